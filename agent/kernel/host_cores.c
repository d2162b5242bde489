#include "host_cores.h"

#include "common/file.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char **text, unsigned long *number)
{
    char *end = NULL;
    if (**text < '0' || **text > '9')
        return false;
    *number = strtoul(*text, &end, 10);
    *text = end;
    return *number < CPU_SETSIZE;
}

bool sq_core_list_parse(const char *list, cpu_set_t *set)
{
    CPU_ZERO(set);
    /* An empty list is an empty line. */
    while (*list != '\0' && *list != '\n') {
        unsigned long first;
        if (!parse_number(&list, &first))
            return false;
        unsigned long last = first;
        if (*list == '-') {
            list++;
            if (!parse_number(&list, &last) || last < first)
                return false;
        }
        for (unsigned long core = first; core <= last; core++)
            CPU_SET(core, set);
        if (*list == ',')
            list++;
        else if (*list != '\0' && *list != '\n')
            return false;
    }
    return true;
}

void sq_core_list_format(const cpu_set_t *set, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, set))
            continue;
        size_t last = core;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
            last++;
        const char *comma = text[0] == '\0' ? "" : ",";
        if (last > core)
            sq_text_append(text, size, "%s%zu-%zu", comma, core, last);
        else
            sq_text_append(text, size, "%s%zu", comma, core);
        core = last;
    }
}

static int read_list(const char *path, cpu_set_t *set, struct sq_error *error)
{
    char content[4096];
    if (sq_file_read_into(path, content, sizeof content) < 0)
        return sq_fail(error, SQ_UNABLE, "cannot read %s: %s", path, strerrordesc_np(errno));
    if (!sq_core_list_parse(content, set))
        return sq_fail(error, SQ_UNABLE, "%s holds no list of cores below %d", path, CPU_SETSIZE);
    return 0;
}

int sq_host_cores_read(struct sq_host_cores *cores, struct sq_error *error)
{
    cpu_set_t allowed;
    if (read_list("/sys/devices/system/cpu/present", &cores->present, error) != 0 ||
        read_list("/sys/devices/system/cpu/online", &cores->online, error) != 0)
        return -1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return sq_fail_errno(error, errno, "cannot read the agent's CPU affinity");
    CPU_AND(&cores->usable, &cores->online, &allowed);
    return 0;
}
