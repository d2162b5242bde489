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

/* Throw away those of the three logs that cannot be read. True if there was one. */
static int discard_damaged(const struct sq_agent_config *config, const char *own_directory, bool is_clean,
                           bool *was_damaged, struct sq_error *error)
{
    static struct sq_undo_content content;
    const struct {
        const char *directory;
        bool durable;
    } logs[] = {{own_directory, false}, {config->run, false}, {config->state, true}};
    struct sq_error unread;
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        if (logs[i].directory[0] == '\0' ||
            sq_undo_log_peek(logs[i].directory, logs[i].durable, &content, &unread) == 0)
            continue;
        *was_damaged = true;
        (void)printf("%s/undo.log cannot be read: %s\n", logs[i].directory, unread.text);
        if (!is_clean)
            continue;
        if (sq_undo_log_discard(logs[i].directory, error) != 0)
            return -1;
        (void)printf("starting a new log in its place; what it held that bears no mark cannot be found\n");
    }
    return 0;
}

int sq_injector_sweep(const struct sq_agent_config *config, struct sq_error *error)
{
    static struct sq_undo_log log;
    static struct sq_undo_log twin;
    static struct sq_undo_content content;
    char own_directory[PATH_MAX];
    bool was_damaged = false;
    sq_autoclose int lock_fd = -1;
    log.fd = twin.fd = -1;
    if (sq_recover_make_directory(config, error) != 0 ||
        sq_run_directory_path(config->run, "", own_directory, error) != 0 ||
        sq_run_directory_lock(config->run, &lock_fd, error) != 0)
        return -1;
    /* What can be read is undone from its records first: they tell more than marks do. */
    bool is_open = sq_recover_open_log(config, &log, &twin, &content, error) == 0;
    if (is_open)
        sq_recover_make_clean(&content, sq_fault_ops_by_kind);
    if (sq_injector_privileges_drop(error) != 0)
        return -1;
    if (is_open && sq_recover_print(&log, &content, error) != 0)
        (void)printf("LEFT: %s\n", error->text);
    sq_undo_log_close(&log);
    bool is_clean = sweep_all();
    if (discard_damaged(config, own_directory, is_clean, &was_damaged, error) != 0)
        return -1;
    if (!is_clean)
        return sq_fail(error, SQ_UNCLEAN, "not everything that bears squall's marks could be removed");
    /* And what stands in the others beside a damaged one, or could not be undone before the sweep. */
    if (sq_recover_open_log(config, &log, &twin, &content, error) != 0)
        return -1;
    int result = sq_recover_print(&log, &content, error);
    sq_undo_log_close(&log);
    return result;
}
