#include "kernel/module.h"

#include "common/cleanup.h"
#include "common/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LIST_BYTES_MAX (16u << 20)

/* 1: the list names the module, 0: it does not, -1: there is no such list. */
static int is_listed(const char *list, const char *name)
{
    struct utsname system;
    char path[256];
    char file[80];
    sq_autofree char *content = NULL;
    size_t length = 0;
    if (uname(&system) != 0)
        return -1;
    (void)snprintf(path, sizeof path, "/lib/modules/%s/%s", system.release, list);
    (void)snprintf(file, sizeof file, "/%s.ko", name);
    if (sq_file_read(path, LIST_BYTES_MAX, &content, &length, NULL) != 0)
        return -1;
    return strstr(content, file) != NULL ? 1 : 0;
}

enum sq_module_state sq_module_state(const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/sys/module/%s", name);
    if (access(path, F_OK) == 0)
        return SQ_MODULE_PRESENT;
    int built_in = is_listed("modules.builtin", name);
    int on_disk = is_listed("modules.dep", name);
    if (built_in == 1)
        return SQ_MODULE_PRESENT;
    if (on_disk == 1)
        return SQ_MODULE_LOADABLE;
    return built_in == 0 && on_disk == 0 ? SQ_MODULE_MISSING : SQ_MODULE_UNKNOWN;
}
