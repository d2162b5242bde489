#include "kernel/tcx.h"

#include "kernel/tcx_others.h"

#include "common/cleanup.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the bpf(2) of Linux 6.6, which the headers of older systems do not know. */
#define TCX_INGRESS      46
#define TCX_EGRESS       47
#define FLAG_BEFORE      (1u << 3)
#define FLAG_AFTER       (1u << 4)
#define FLAG_ID          (1u << 5)
#define PROGRAMS_MAX     64 /* BPF_MPROG_MAX of the kernel */
#define LOOPBACK_IFINDEX 1  /* in every network namespace */
#define ATTEMPTS         64 /* while others change the order */
#define TRIAL_SECONDS    5
#define ARRIVES_MS       100
#define STAYS_AWAY_MS    20

struct link_request {
    uint32_t program_fd;
    uint32_t ifindex;
    uint32_t attach_type;
    uint32_t flags;
    uint32_t relative_id;
    uint32_t reserved;
    uint64_t expected_revision; /* 0: whatever it is */
};

struct query {
    uint32_t ifindex;
    uint32_t attach_type;
    uint32_t query_flags;
    uint32_t attach_flags;
    uint64_t program_ids;
    uint32_t count;
    uint32_t reserved;
    uint64_t program_flags;
    uint64_t link_ids;
    uint64_t link_flags;
    uint64_t revision; /* changes with every change of the order */
};

static bool is_used;

/* Shared with guards, which are forked from this process: one writes, the others read. */
struct own {
    _Atomic uint32_t id; /* 0: free */
    _Atomic uint32_t rank;
};
static struct own alone[SQ_TCX_OWN_MAX];
static struct own *owns = alone;

static void share_owns(void)
{
    void *page = owns == alone
                     ? mmap(NULL, sizeof alone, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
                     : MAP_FAILED;
    if (page == MAP_FAILED)
        return;
    memcpy(page, alone, sizeof alone);
    owns = page;
}

bool sq_tcx_is_used(void)
{
    return is_used;
}

void sq_tcx_use(bool use)
{
    is_used = use;
    if (use)
        share_owns();
}

uint32_t sq_bpf_program_id(int program_fd)
{
    struct bpf_prog_info info = {0};
    uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(program_fd, &info, &length) == 0 ? info.id : 0;
}

int sq_tcx_own_add(uint32_t id, uint32_t rank, struct sq_error *error)
{
    for (int i = 0; i < SQ_TCX_OWN_MAX; i++) {
        if (atomic_load(&owns[i].id) != 0)
            continue;
        atomic_store(&owns[i].rank, rank);
        atomic_store(&owns[i].id, id);
        return 0;
    }
    return sq_fail(error, SQ_LIMIT, "more than %d BPF programs at a time", SQ_TCX_OWN_MAX);
}

static struct own *find_own(uint32_t id)
{
    for (int i = 0; id != 0 && i < SQ_TCX_OWN_MAX; i++)
        if (atomic_load(&owns[i].id) == id)
            return &owns[i];
    return NULL;
}

void sq_tcx_own_remove(uint32_t id)
{
    struct own *own = find_own(id);
    if (own != NULL)
        atomic_store(&own->id, 0);
}

bool sq_tcx_is_own(uint32_t id)
{
    return find_own(id) != NULL;
}

static uint32_t attach_type_of(enum sq_tc_side side)
{
    return side == SQ_TC_OUT ? TCX_EGRESS : TCX_INGRESS;
}

/* -1: it is no squall's. */
static int64_t rank_of(uint32_t id)
{
    bool loses;
    const struct own *own = find_own(id);
    if (own != NULL)
        return atomic_load(&own->rank);
    return !sq_tcx_is_others(id, &loses) ? -1 : loses ? SQ_TCX_LOSS_RANK : 0;
}

/* The last of squall's of a lower rank, behind which a new one has to stand; 0: it stands first. */
static int find_place(uint32_t ifindex, enum sq_tc_side side, uint32_t rank, uint32_t *behind,
                      uint64_t *revision)
{
    uint32_t ids[PROGRAMS_MAX] = {0};
    struct query query = {.ifindex = ifindex,
                          .attach_type = attach_type_of(side),
                          .program_ids = (uint64_t)(uintptr_t)ids,
                          .count = PROGRAMS_MAX};
    *behind = 0;
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0)
        return -errno;
    for (uint32_t i = 0; i < query.count && i < PROGRAMS_MAX; i++) {
        int64_t its_rank = rank_of(ids[i]);
        if (its_rank >= 0 && its_rank < rank)
            *behind = ids[i];
    }
    *revision = query.revision;
    return 0;
}

int sq_tcx_attach(int program_fd, uint32_t ifindex, enum sq_tc_side side, uint32_t rank)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct link_request request = {
            .program_fd = (uint32_t)program_fd, .ifindex = ifindex, .attach_type = attach_type_of(side)};
        int result = find_place(ifindex, side, rank, &request.relative_id, &request.expected_revision);
        if (result != 0)
            return result;
        request.flags = request.relative_id == 0 ? FLAG_BEFORE : FLAG_AFTER | FLAG_ID;
        long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &request, sizeof request);
        if (fd >= 0)
            return (int)fd;
        if (errno != ESTALE && errno != ENOENT)
            return -errno;
    }
    return -EBUSY;
}

/* ---- the trial ---- */

/* r1 = 0; r2 = 0; call bpf_redirect; exit: to the interface of number 0, which there is none of. */
static int load_dropper(void)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sq_trial", "Dual BSD/GPL", code,
                         sizeof code / sizeof code[0], NULL);
}

static bool start_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK};
    sq_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

/* A socket connected to itself that hears of every error. */
static int open_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        connect(fd, (struct sockaddr *)&address, length) != 0)
        return -1;
    return fd;
}

static bool arrives(int fd, int within_ms)
{
    char byte;
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, within_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

/* In a process and a network namespace of its own, which take everything with them. */
static bool try_it(void)
{
    if (unshare(CLONE_NEWNET) != 0 || !start_loopback())
        return false;
    int fd = open_socket();
    int program = load_dropper();
    if (fd < 0 || program < 0 || send(fd, "x", 1, 0) != 1 || !arrives(fd, ARRIVES_MS))
        return false;
    int link = sq_tcx_attach(program, LOOPBACK_IFINDEX, SQ_TC_OUT, 0);
    if (link < 0 || send(fd, "x", 1, 0) != 1 || arrives(fd, STAYS_AWAY_MS))
        return false;
    (void)close(link);
    return send(fd, "x", 1, 0) == 1 && arrives(fd, ARRIVES_MS);
}

/* What the process that tries brings back. */
struct trial {
    bool has_tags;
    struct sq_classifier_tag tags[SQ_CLASSIFIER_PROGRAMS];
};

static int run_trial(struct trial *trial)
{
    int status = 1;
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(TRIAL_SECONDS);
        bool works = try_it();
        trial->has_tags = works && sq_classifier_read_tags(trial->tags) == 0;
        _exit(works ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return status;
}

void sq_tcx_try(void)
{
    sq_tcx_use(false);
    struct trial *trial =
        mmap(NULL, sizeof *trial, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED)
        return;
    int status = run_trial(trial);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        sq_tcx_use(true);
    if (trial->has_tags)
        sq_tcx_others_learn(trial->tags);
    (void)munmap(trial, sizeof *trial);
}
