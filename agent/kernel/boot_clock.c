#include "kernel/boot_clock.h"

#include "common/cleanup.h"
#include "common/clock.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>

#define ATTEMPTS     5
#define PACKET_BYTES 64

/*
 * Where in the packet: an Ethernet header begins 2 bytes behind a word (NET_IP_ALIGN), and some processors
 * want 8 bytes where they belong.
 */
#define OFFSET 6

/* Instructions of BPF as the headers do not spell them; an operand is a constant unless BPF_X says otherwise
 * (linux/bpf.h, Documentation/bpf/instruction-set.rst).
 */
#define CALL(function)                                                                                       \
    {                                                                                                        \
        .code = BPF_JMP | BPF_CALL, .imm = (function)                                                        \
    }
#define MOVE(to, from)                                                                                       \
    {                                                                                                        \
        .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)                              \
    }
#define LOAD(to, field)                                                                                      \
    {                                                                                                        \
        .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = BPF_REG_6,                            \
        .off = offsetof(struct __sk_buff, field)                                                             \
    }

/* Writes the clock into its packet, which bpf(2) gives back. */
static const struct bpf_insn program[] = {
    MOVE(BPF_REG_6, BPF_REG_1),
    CALL(BPF_FUNC_ktime_get_boot_ns),
    LOAD(BPF_REG_2, data),
    LOAD(BPF_REG_3, data_end),
    MOVE(BPF_REG_1, BPF_REG_2),
    {.code = BPF_ALU64 | BPF_ADD, .dst_reg = BPF_REG_1, .imm = OFFSET + sizeof(uint64_t)},
    {.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_3, .off = 1},
    {.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_0, .off = OFFSET},
    {.code = BPF_ALU64 | BPF_MOV, .dst_reg = BPF_REG_0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT},
};

/* 0, or -errno. */
static int read_kernel(int program_fd, uint64_t *kernel_ns)
{
    uint8_t packet[PACKET_BYTES] = {0};
    uint8_t answer[PACKET_BYTES] = {0};
    struct bpf_test_run_opts options = {.sz = sizeof options,
                                        .data_in = packet,
                                        .data_size_in = sizeof packet,
                                        .data_out = answer,
                                        .data_size_out = sizeof answer,
                                        .repeat = 1};
    int result = bpf_prog_test_run_opts(program_fd, &options);
    memcpy(kernel_ns, answer + OFFSET, sizeof *kernel_ns);
    return result != 0 ? result : *kernel_ns == 0 ? -EPROTO : 0;
}

int sq_boot_clock_measure(int64_t *ahead_ns, struct sq_error *error)
{
    sq_autoclose int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sq_clock", "Dual BSD/GPL", program,
                                        sizeof program / sizeof program[0], NULL);
    int result = fd < 0 ? fd : 0;
    uint64_t best_ns = UINT64_MAX;
    *ahead_ns = 0;
    for (int i = 0; i < ATTEMPTS && result == 0; i++) {
        uint64_t kernel_ns = 0;
        uint64_t before_ns = sq_boot_ns();
        result = read_kernel(fd, &kernel_ns);
        uint64_t after_ns = sq_boot_ns();
        if (result != 0 || after_ns - before_ns >= best_ns)
            continue;
        best_ns = after_ns - before_ns;
        bool same = before_ns <= kernel_ns && kernel_ns <= after_ns;
        *ahead_ns = same ? 0 : (int64_t)kernel_ns - (int64_t)after_ns;
    }
    if (result == 0)
        return 0;
    return sq_fail(
        error, SQ_UNABLE,
        "the clock by which the kernel would end a fault cannot be read (%s); squalld needs CAP_BPF and "
        "CAP_NET_ADMIN, the kernel CONFIG_BPF_SYSCALL and Linux 5.8 or later",
        strerror(-result));
}

uint64_t sq_boot_clock_to_kernel(uint64_t boot_ns, int64_t ahead_ns)
{
    if (boot_ns == 0)
        return 0;
    if (ahead_ns >= 0)
        return sq_ns_add(boot_ns, (uint64_t)ahead_ns);
    uint64_t behind_ns = (uint64_t)(-(ahead_ns + 1)) + 1;
    return sq_ns_sub(boot_ns, behind_ns);
}
