/* squalld --recover --sweep: for a log that is damaged. */
#include "injector.h"

#include "common/cleanup.h"
#include "faults/fault.h"
#include "injector/privileges.h"
#include "injector/recover.h"
#include "injector/run_directory.h"
#include "injector/undo_log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* True if nothing that bears a mark is left. */
static bool sweep_all(void)
{
    static struct sq_fault_report report;
    bool is_clean = true;
    uint32_t found = 0;
    for (size_t i = 0; i < sq_fault_ops_count; i++) {
        const struct sq_fault_ops *ops = sq_fault_ops_table[i];
        struct sq_error error;
        memset(&report, 0, sizeof report);
        if (ops->sweep == NULL)
            continue;
        if (ops->sweep(&report, &error) != 0) {
            is_clean = false;
            (void)printf("LEFT: %s\n", error.text);
        }
        for (uint32_t j = 0; j < report.line_count; j++)
            (void)printf("%s%s\n", report.lines[j].kind == SQ_LINE_LEFT ? "LEFT: " : "",
                         report.lines[j].text);
        if (report.lines_dropped > 0)
            (void)printf("and %u more\n", report.lines_dropped);
        found += report.line_count;
    }
    if (found == 0 && is_clean)
        (void)printf("nothing on this host bears squall's marks\n");
    return is_clean;
}

int sq_injector_sweep(const struct sq_agent_config *config, struct sq_error *error)
{
    static struct sq_undo_log log;
    static struct sq_undo_log twin;
    static struct sq_undo_content content;
    char own_directory[PATH_MAX];
    struct sq_error unread;
    sq_autoclose int lock_fd = -1;
    log.fd = twin.fd = -1;
    if (sq_run_directory_make_own(config->run, error) != 0 ||
        sq_run_directory_path(config->run, "", own_directory, error) != 0 ||
        sq_run_directory_lock(config->run, &lock_fd, error) != 0 || sq_injector_privileges_drop(error) != 0)
        return -1;
    bool is_read = sq_recover_open_log(config, &log, &twin, &content, &unread) == 0;
    int result = 0;
    if (is_read)
        result = sq_recover_print(&log, &content, error);
    else
        (void)printf("the log cannot be read: %s\n", unread.text);
    sq_undo_log_close(&log);
    if (!sweep_all())
        return sq_fail(error, SQ_UNCLEAN, "not everything that bears squall's marks could be removed");
    if (is_read || result != 0)
        return result;
    (void)printf("starting a new log\n");
    if (sq_undo_log_discard(own_directory, error) != 0)
        return -1;
    return sq_undo_log_discard(config->run, error);
}
