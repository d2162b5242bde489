#include "faults/protection.h"

#include "kernel/link_name.h"
#include "kernel/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UNIT_PREFIX    "unit:"
#define WARN_LINES_MAX 4 /* a report has room for more than warnings */

static bool is_unit(const char *entry)
{
    return strncmp(entry, UNIT_PREFIX, strlen(UNIT_PREFIX)) == 0;
}

static void look_for_units(const struct sq_protection *protection,
                           struct sq_unit_query queries[SQ_PROTECTED_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < protection->process_count; i++)
        if (is_unit(protection->processes[i]))
            queries[count++].unit = protection->processes[i] + strlen(UNIT_PREFIX);
    sq_units_look("", queries, count);
}

/* What is wrong with a path; NULL: nothing. */
static const char *file_problem(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return "does not exist here: it protects nobody outside containers";
    return S_ISREG(status.st_mode) ? NULL : "is no file: it protects nobody";
}

void sq_protection_each_unmatched(const struct sq_protection *protection,
                                  void (*visit)(const char *sentence, void *cookie), void *cookie)
{
    char sentence[SQ_LINE_MAX];
    struct sq_unit_query queries[SQ_PROTECTED_MAX];
    const struct sq_unit_query *query = queries;
    look_for_units(protection, queries);
    for (uint32_t i = 0; i < protection->process_count; i++) {
        const char *entry = protection->processes[i];
        const char *problem = NULL;
        if (!is_unit(entry))
            problem = file_problem(entry);
        else if (!(query++)->is_known)
            problem = "has neither a unit file nor a cgroup here: it protects nobody";
        if (problem == NULL)
            continue;
        (void)snprintf(sentence, sizeof sentence, "the policy protects %.100s, which %s", entry, problem);
        visit(sentence, cookie);
    }
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    bool can_ask = sq_netlink_open(&netlink, NULL) == 0;
    for (uint32_t i = 0; i < protection->interface_count; i++) {
        if (!can_ask || sq_link_is_named(&netlink, protection->interfaces[i]) != 0)
            continue;
        (void)snprintf(sentence, sizeof sentence,
                       "the policy protects the interface %.100s, which is not there",
                       protection->interfaces[i]);
        visit(sentence, cookie);
    }
}

struct warnings {
    struct sq_fault_report *report;
    uint32_t count;
};

static void warn(const char *sentence, void *cookie)
{
    struct warnings *warnings = cookie;
    if (++warnings->count <= WARN_LINES_MAX)
        sq_report_line(warnings->report, SQ_LINE_WARNING, "%s", sentence);
}

void sq_protection_warn(const struct sq_protection *protection, struct sq_fault_report *report)
{
    struct warnings warnings = {.report = report};
    sq_protection_each_unmatched(protection, warn, &warnings);
    if (warnings.count > WARN_LINES_MAX)
        sq_report_line(report, SQ_LINE_WARNING, "%u more such entries; `squalld --check` names them",
                       warnings.count - WARN_LINES_MAX);
}
