#include "own_memory.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024) /* more than any call takes */
#define LINE_BYTES  512

/*
 * Nothing that squalld fills is as large: what is has only been reserved, such as the memory of a sanitizer,
 * and looking at all of that would take too long.
 */
#define MAPPING_BYTES_MAX (16ul << 20)
#define PAGES_AT_A_TIME   512
#define PAGE_IS_PRESENT                                                                                      \
    (UINT64_C(1) << 63) /* /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst                       \
                         */

struct mapping {
    unsigned long start;
    unsigned long end;
    bool is_private;
    bool is_writable;
    bool is_code;
    bool is_file;
    bool is_own_code; /* squalld's own file, or the C library: what ending a fault runs through */
};

/* Let the stack grow to what it may need, one page after the other. */
static void grow_stack(void)
{
    volatile char bytes[STACK_BYTES];
    for (size_t i = sizeof bytes; i > 0; i -= i < 4096 ? i : 4096)
        bytes[i - 1] = 0;
}

static bool read_mapping(const char *line, const char *own_path, struct mapping *mapping)
{
    char permissions[5];
    if (sscanf(line, "%lx-%lx %4s", &mapping->start, &mapping->end, permissions) != 3 ||
        strstr(line, "[v") != NULL || mapping->end - mapping->start > MAPPING_BYTES_MAX)
        return false;
    const char *path = strchr(line, '/');
    mapping->is_private = permissions[3] == 'p';
    mapping->is_writable = permissions[1] == 'w';
    mapping->is_code = permissions[2] == 'x' && !mapping->is_writable;
    mapping->is_file = path != NULL;
    mapping->is_own_code =
        mapping->is_code && path != NULL && (strstr(path, "/libc.so") != NULL || strcmp(path, own_path) == 0);
    return true;
}

static void each_mapping(void (*visit)(const struct mapping *mapping, int pagemap_fd))
{
    char line[LINE_BYTES];
    char own_path[LINE_BYTES] = "";
    ssize_t length = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
    own_path[length > 0 ? length : 0] = '\0';
    sq_autoclose int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL)
        return;
    while (fgets(line, sizeof line, maps) != NULL) {
        struct mapping mapping;
        line[strcspn(line, "\n")] = '\0';
        if (read_mapping(line, own_path, &mapping))
            visit(&mapping, pagemap_fd);
    }
    (void)fclose(maps);
}

static void advise(unsigned long start, unsigned long end, int advice)
{
    (void)madvise((void *)(uintptr_t)start, end - start, advice); // NOLINT(performance-no-int-to-ptr)
}

/* Pages that are there already, and so are used, but may be shared with a stressor: a write would need a
 * copy. */
static void take_present(const struct mapping *mapping, int pagemap_fd)
{
    static uint64_t pages[PAGES_AT_A_TIME];
    const unsigned long page_bytes = (unsigned long)sysconf(_SC_PAGESIZE);
    for (unsigned long at = mapping->start; at < mapping->end;) {
        size_t wanted = (mapping->end - at) / page_bytes;
        if (wanted > PAGES_AT_A_TIME)
            wanted = PAGES_AT_A_TIME;
        ssize_t got =
            pread(pagemap_fd, pages, wanted * sizeof pages[0], (off_t)(at / page_bytes * sizeof pages[0]));
        if (got <= 0) {
            advise(at, mapping->end, MADV_POPULATE_WRITE);
            return;
        }
        size_t count = (size_t)got / sizeof pages[0];
        for (size_t i = 0; i < count;) {
            size_t end = i;
            while (end < count && (pages[end] & PAGE_IS_PRESENT) != 0)
                end++;
            if (end > i)
                advise(at + i * page_bytes, at + end * page_bytes, MADV_POPULATE_WRITE);
            i = end > i ? end : i + 1;
        }
        at += count * page_bytes;
    }
}

static void take_mapping(const struct mapping *mapping, int pagemap_fd)
{
    if (mapping->is_private && mapping->is_writable)
        take_present(mapping, pagemap_fd);
    else if (mapping->is_own_code)
        advise(mapping->start, mapping->end, MADV_POPULATE_READ);
}

void sq_own_memory_take(void)
{
    grow_stack();
    each_mapping(take_mapping);
}

/*
 * Code alone, which is as it stands in its file: the kernel finds it there again. Read-only data may have
 * been relocated.
 */
static void give_back_mapping(const struct mapping *mapping, int pagemap_fd)
{
    (void)pagemap_fd;
    if (mapping->is_private && mapping->is_file && mapping->is_code)
        advise(mapping->start, mapping->end, MADV_DONTNEED);
}

void sq_own_memory_give_back(void)
{
    (void)malloc_trim(0);
    each_mapping(give_back_mapping);
}
