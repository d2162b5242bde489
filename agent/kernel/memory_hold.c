#include "memory_hold.h"

#include "common/clock.h"
#include "common/units.h"
#include "kernel/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES                                                                                      \
    (2u << 20) /* on other machines than x86-64 and arm64 with 4 KiB pages this is just a step */
#define CHUNK_MOST      (64u << 20)
#define TAKE_NS         (10 * SQ_NS_PER_MILLISECOND) /* a chunk is to take about so long, to follow the lease */
#define HUGE_RATE_LEAST (4u << 20)                   /* slower growth is in small pages, to be even */
#define STEP_NS         (20 * SQ_NS_PER_MILLISECOND)
#define LOOK_NS         SQ_NS_PER_SECOND

/* Where sq_stressor's set-up puts the files that it was given. */
enum { MEMINFO_FD = 1, STATUS_FD = 2 };

const int sq_memory_hold_calls[] = {SCMP_SYS(madvise), SCMP_SYS(pread64)};
const uint32_t sq_memory_hold_call_count = sizeof sq_memory_hold_calls / sizeof sq_memory_hold_calls[0];

int sq_memory_hold_set_up(void *cookie, int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error)
{
    struct sq_memory_hold *hold = cookie;
    char size[SQ_UNIT_TEXT_MAX];
    uint64_t reserved;
    if (__builtin_add_overflow(hold->bytes, HUGE_PAGE_BYTES, &reserved) || reserved > SIZE_MAX / 2)
        return sq_fail(error, SQ_UNABLE, "so much memory cannot be addressed");
    char *start = mmap(NULL, (size_t)reserved, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        int number = errno;
        sq_size_format(hold->bytes, size);
        return sq_fail(error, SQ_UNABLE, "the kernel does not grant %s of address space: %s%s", size,
                       strerrordesc_np(number),
                       number == ENOMEM ? "; see vm.overcommit_memory and vm.overcommit_ratio" : "");
    }
    size_t beside = (size_t)((uintptr_t)start % HUGE_PAGE_BYTES);
    hold->area = start + (beside == 0 ? 0 : HUGE_PAGE_BYTES - beside);
    bool is_slow = hold->rate_bytes != 0 && hold->rate_bytes < HUGE_RATE_LEAST;
    /* Advice: a kernel without huge pages refuses it, and does well without. */
    (void)madvise(hold->area, (size_t)hold->bytes, is_slow ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    (void)madvise(hold->area, (size_t)hold->bytes, MADV_DONTDUMP);
    files[MEMINFO_FD - 1] = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    files[STATUS_FD - 1] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (files[0] < 0 || files[1] < 0)
        return sq_fail_errno(error, errno, "cannot open /proc/meminfo and /proc/self/status");
    return 0;
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Have the kernel fetch the pages, then make each one different. Where it cannot, writing fetches them. */
static void take(char *area, size_t length, size_t page)
{
    (void)madvise(area, length, MADV_POPULATE_WRITE);
    for (size_t at = 0; at < length; at += page) {
        uintptr_t mark = (uintptr_t)(area + at);
        memcpy(area + at, &mark, sizeof mark);
    }
}

static bool read_file(int fd, char *buffer, size_t size)
{
    ssize_t length = pread(fd, buffer, size - 1, 0);
    if (length <= 0)
        return false;
    buffer[length] = '\0';
    return true;
}

static bool read_memory(struct sq_host_memory *memory)
{
    char content[4096];
    return read_file(MEMINFO_FD, content, sizeof content) && sq_host_memory_parse(content, memory);
}

static bool is_at_floor(const struct sq_memory_hold *hold, size_t step)
{
    struct sq_host_memory memory;
    return read_memory(&memory) && memory.available_bytes < hold->floor_bytes + step;
}

/* How much may be held by now. */
static uint64_t allowed_bytes(const struct sq_memory_hold *hold, uint64_t since_ns)
{
    if (hold->rate_bytes == 0)
        return hold->bytes;
    double grown = (double)hold->rate_bytes * ((double)since_ns / (double)SQ_NS_PER_SECOND);
    return grown < (double)hold->bytes ? (uint64_t)grown : hold->bytes;
}

/* The next piece to take: whole units, but for the last one. */
static size_t next_step(const struct sq_memory_hold *hold, uint64_t held, uint64_t allowed, size_t chunk,
                        size_t unit)
{
    uint64_t step = allowed > held ? allowed - held : 0;
    if (step > chunk)
        step = chunk;
    return (size_t)(held + step == hold->bytes ? step : step - step % unit);
}

/* Hosts differ by a factor of a hundred in how long a page takes, virtual ones from page to page. */
static size_t next_chunk(size_t chunk, uint64_t took_ns)
{
    if (took_ns < TAKE_NS / 2 && chunk < CHUNK_MOST)
        return chunk * 2;
    return took_ns > TAKE_NS && chunk > HUGE_PAGE_BYTES ? chunk / 2 : chunk;
}

static void grow(const struct sq_memory_hold *hold, struct sq_stressor_self *self)
{
    bool is_slow = hold->rate_bytes != 0 && hold->rate_bytes < HUGE_RATE_LEAST;
    size_t page = page_bytes();
    uint64_t start_ns = sq_boot_ns();
    uint64_t held = 0;
    bool was_at_floor = false;
    size_t chunk = HUGE_PAGE_BYTES;
    while (held < hold->bytes) {
        sq_stressor_tick(self);
        uint64_t now_ns = sq_boot_ns();
        size_t step = next_step(hold, held, allowed_bytes(hold, sq_ns_sub(now_ns, start_ns)), chunk,
                                is_slow ? page : HUGE_PAGE_BYTES);
        bool at_floor = step > 0 && is_at_floor(hold, step);
        if (at_floor != was_at_floor)
            (void)atomic_fetch_add(&self->control->stopped_short, at_floor ? 1 : UINT32_MAX);
        was_at_floor = at_floor;
        if (step == 0 || at_floor) {
            sq_stressor_wait(self, STEP_NS);
            continue;
        }
        take(hold->area + held, step, page);
        held += step;
        (void)atomic_fetch_add(&self->control->held_bytes, step);
        chunk = next_chunk(chunk, sq_ns_sub(sq_boot_ns(), now_ns));
    }
}

static bool is_swapped(void)
{
    char content[4096];
    if (!read_file(STATUS_FD, content, sizeof content))
        return false;
    const char *line = strstr(content, "\nVmSwap:");
    return line != NULL && strspn(line + 8, " \t0") != strcspn(line + 8, "k");
}

/* What was swapped out comes back when it is read. */
static void fetch_back(const struct sq_memory_hold *hold, struct sq_stressor_self *self)
{
    size_t page = page_bytes();
    for (uint64_t at = 0; at < hold->bytes; at += page) {
        (void)*(volatile char *)(hold->area + at);
        if (at % HUGE_PAGE_BYTES == 0)
            sq_stressor_tick(self);
    }
}

void sq_memory_hold_run(void *cookie, struct sq_stressor_self *self)
{
    const struct sq_memory_hold *hold = cookie;
    struct sq_host_memory memory = {.swap_total_bytes = 0};
    grow(hold, self);
    for (;;) {
        sq_stressor_tick(self);
        if (read_memory(&memory) && memory.swap_total_bytes > 0 && is_swapped())
            fetch_back(hold, self);
        sq_stressor_wait(self, LOOK_NS);
    }
}
