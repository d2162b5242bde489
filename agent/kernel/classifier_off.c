/* Switching off a classifier that another process holds, which may neither die nor be asked. */
#include "kernel/classifier.h"

#include "common/cleanup.h"

#include "bpf_program/classifier.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

#define MAPS_MAX      32 /* of one program; the classifier has fewer */
#define KNOWN_OFF_MAX 64 /* programs of one undo log, twice over */

/* Numbers are not given again before 2^31 others: the oldest make way. */
static uint32_t known_off[KNOWN_OFF_MAX];
static uint32_t known_next;

void sq_classifier_know_off(uint32_t program_id)
{
    for (uint32_t i = 0; i < KNOWN_OFF_MAX; i++)
        if (program_id == 0 || known_off[i] == program_id)
            return;
    known_off[known_next++ % KNOWN_OFF_MAX] = program_id;
}

static bool is_known_off(uint32_t program_id)
{
    for (uint32_t i = 0; i < KNOWN_OFF_MAX; i++)
        if (known_off[i] == program_id)
            return true;
    return false;
}

/* Only what has the name and the form of the classifier's own variables is written to. */
static bool holds_deadline(int map_fd)
{
    static const char suffix[] = ".bss";
    struct bpf_map_info info = {0};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map_fd, &info, &length) != 0)
        return false;
    size_t name_length = strnlen(info.name, sizeof info.name);
    return info.type == BPF_MAP_TYPE_ARRAY && info.max_entries == 1 &&
           (info.map_flags & BPF_F_MMAPABLE) != 0 && info.value_size == sizeof(struct sq_classifier_shared) &&
           name_length >= sizeof suffix - 1 &&
           memcmp(info.name + name_length - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

/* One store, as the process that loaded it would do. 0, or -errno. */
static int clear_deadline(int map_fd)
{
    struct sq_classifier_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (shared == MAP_FAILED)
        return -errno;
    __atomic_store_n(&shared->deadline_boot_ns, 0, __ATOMIC_SEQ_CST);
    (void)munmap(shared, sizeof *shared);
    return 0;
}

/* What the packets are judged by, asked of the kernel again: 1: it is off, 0: it is not, or -errno. */
static int is_cleared(int map_fd)
{
    struct sq_classifier_shared *shared = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, map_fd, 0);
    if (shared == MAP_FAILED)
        return -errno;
    int cleared = __atomic_load_n(&shared->deadline_boot_ns, __ATOMIC_SEQ_CST) == 0;
    (void)munmap(shared, sizeof *shared);
    return cleared;
}

static int switch_off(int program_fd)
{
    uint32_t map_ids[MAPS_MAX] = {0};
    struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uint64_t)(uintptr_t)map_ids};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program_fd, &info, &length) != 0)
        return -errno;
    for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++) {
        sq_autoclose int map_fd = bpf_map_get_fd_by_id(map_ids[i]);
        if (map_fd < 0)
            return -errno;
        if (!holds_deadline(map_fd))
            continue;
        int result = clear_deadline(map_fd);
        if (result == 0)
            result = is_cleared(map_fd);
        return result == 1 ? 0 : result == 0 ? -EBUSY : result;
    }
    return -ENODATA;
}

int sq_classifier_switch_off(uint32_t program_id)
{
    if (program_id == 0 || is_known_off(program_id))
        return 0;
    sq_autoclose int program_fd = bpf_prog_get_fd_by_id(program_id);
    int result = program_fd < 0 ? -errno : switch_off(program_fd);
    if (result == 0 || result == -ENOENT) {
        sq_classifier_know_off(program_id);
        return 0;
    }
    return result;
}
