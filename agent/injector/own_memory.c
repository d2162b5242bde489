#include "own_memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_BYTES (256u * 1024) /* more than any call takes */
#define LINE_BYTES  512

/*
 * Nothing that squalld fills is as large: what is has only been reserved, such as the memory of a sanitizer,
 * and taking all of that would take the machine's.
 */
#define MAPPING_BYTES_MAX (16ul << 20)

/* Let the stack grow to what it may need, one page after the other. */
static void grow_stack(void)
{
    volatile char bytes[STACK_BYTES];
    for (size_t i = sizeof bytes; i > 0; i -= i < 4096 ? i : 4096)
        bytes[i - 1] = 0;
}

static void take_mapping(const char *line)
{
    unsigned long start;
    unsigned long end;
    char permissions[5];
    if (sscanf(line, "%lx-%lx %4s", &start, &end, permissions) != 3 || permissions[3] != 'p' ||
        strstr(line, "[v") != NULL || end - start > MAPPING_BYTES_MAX)
        return;
    int advice = MADV_POPULATE_WRITE;
    if (permissions[1] != 'w' && permissions[2] == 'x')
        advice = MADV_POPULATE_READ;
    else if (permissions[1] != 'w')
        return;
    (void)madvise((void *)(uintptr_t)start, end - start, advice); // NOLINT(performance-no-int-to-ptr)
}

void sq_own_memory_take(void)
{
    char line[LINE_BYTES];
    grow_stack();
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL)
        return;
    while (fgets(line, sizeof line, maps) != NULL)
        take_mapping(line);
    (void)fclose(maps);
}
