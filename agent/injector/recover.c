#include "recover.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "faults/stress_group.h"
#include "injector/injector.h"
#include "injector/privileges.h"
#include "injector/run_directory.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLEAN_WITHIN_NS (300 * SQ_NS_PER_MILLISECOND)

static int check_record(const struct sq_undo_live *live, const struct sq_fault_ops *ops,
                        struct sq_error *error)
{
    if (ops != NULL)
        return 0;
    return sq_fail(
        error, SQ_UNCLEAN,
        "the undo log holds a fault of kind %u, which this squalld does not know; undo it with the "
        "version that made it",
        live->undo.kind);
}

void sq_recover_make_clean(const struct sq_undo_content *content,
                           const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind))
{
    for (uint32_t i = 0; i < content->live_count; i++) {
        const struct sq_undo_live *live = &content->live[i];
        const struct sq_fault_ops *ops = ops_by_kind((enum sq_fault_kind)live->undo.kind);
        struct sq_error error;
        /* What cannot be cleaned is reported by the removal, which cleans as well. */
        if (check_record(live, ops, &error) == 0)
            (void)ops->clean(NULL, &live->undo, &error);
    }
}

static int remove_one(struct sq_undo_log *log, const struct sq_undo_live *live,
                      const struct sq_fault_ops *ops, struct sq_fault_report *report, struct sq_error *error)
{
    memset(report, 0, sizeof *report);
    report->index = live->key.fault_index;
    report->kind = (enum sq_fault_kind)live->undo.kind;
    report->end_reason = SQ_END_RECOVERY;
    if (check_record(live, ops, error) == 0 && ops->remove(NULL, &live->undo, report, error) == 0 &&
        sq_undo_log_done(log, &live->key, error) == 0) {
        report->state = SQ_STATE_REVERTED;
        report->removed_boot_ns = sq_boot_ns();
        return 0;
    }
    error->code = SQ_UNCLEAN;
    sq_report_fail(report, error);
    report->state = SQ_STATE_FAILED;
    return -1;
}

/* What one recovery has reached so far. */
struct recovery {
    struct sq_undo_log *log;
    const struct sq_undo_content *content;
    const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind);
    sq_recovered *told;
    void *cookie;
    bool is_over[SQ_UNDO_LIVE_MAX];
    bool was_settled[SQ_UNDO_LIVE_MAX];
    int result;
};

/* Settled twice in a row: what has left a queue is for a moment on its way. */
static bool is_settled(struct recovery *recovery, uint32_t i)
{
    const struct sq_undo_live *live = &recovery->content->live[i];
    const struct sq_fault_ops *ops = recovery->ops_by_kind((enum sq_fault_kind)live->undo.kind);
    if (ops == NULL || ops->settle == NULL)
        return true;
    bool was_settled = recovery->was_settled[i];
    uint64_t now_ns = sq_boot_ns(); /* of before: on a busy host the call itself takes a while */
    recovery->was_settled[i] = ops->settle(NULL, &live->undo) <= now_ns;
    return was_settled && recovery->was_settled[i];
}

static void undo(struct recovery *recovery, uint32_t i, struct sq_error *error)
{
    static struct sq_fault_report report;
    const struct sq_undo_live *live = &recovery->content->live[i];
    struct sq_error own = {.code = SQ_UNCLEAN, .text = "its removal failed"};
    const struct sq_fault_ops *ops = recovery->ops_by_kind((enum sq_fault_kind)live->undo.kind);
    bool undone = remove_one(recovery->log, live, ops, &report, &own) == 0;
    recovery->is_over[i] = true;
    if (recovery->told != NULL)
        recovery->told(recovery->cookie, live, &report, undone);
    if (undone)
        return;
    if (recovery->result == 0)
        (void)sq_fail(error, SQ_UNCLEAN, "%s", own.text);
    recovery->result = -1;
}

int sq_recover_log(struct sq_undo_log *log, const struct sq_undo_content *content,
                   const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind), sq_recovered *told,
                   void *cookie, uint64_t wait_ns, struct sq_error *error)
{
    struct recovery recovery = {
        .log = log, .content = content, .ops_by_kind = ops_by_kind, .told = told, .cookie = cookie};
    uint64_t until_ns = sq_ns_add(sq_boot_ns(), wait_ns);
    sq_recover_make_clean(content, ops_by_kind);
    for (uint32_t left = content->live_count; left > 0;) {
        for (uint32_t i = content->live_count; i-- > 0;) {
            if (recovery.is_over[i] || (sq_boot_ns() < until_ns && !is_settled(&recovery, i)))
                continue;
            undo(&recovery, i, error);
            left--;
        }
        if (left > 0)
            (void)poll(NULL, 0, 2);
    }
    return recovery.result;
}

int sq_recover_open_log(const struct sq_agent_config *config, struct sq_undo_log *log,
                        struct sq_undo_log *twin, struct sq_undo_content *content, struct sq_error *error)
{
    char own_directory[PATH_MAX];
    if (sq_run_directory_path(config->run, "", own_directory, error) != 0 ||
        sq_undo_log_open(log, own_directory, false, content, error) != 0)
        return -1;
    if (sq_undo_log_inherit(log, config->run, content, error) == 0 &&
        (config->state[0] == '\0' || sq_undo_log_join(log, twin, config->state, content, error) == 0))
        return 0;
    sq_undo_log_close(log);
    return -1;
}

bool sq_recover_is_elsewhere(const struct sq_undo_log *log, const struct sq_undo_content *content)
{
    for (uint32_t i = 0; i < content->live_count; i++)
        if (content->live[i].netns_inode != log->netns_inode)
            return true;
    return false;
}

static void print_recovered(void *cookie, const struct sq_undo_live *live,
                            const struct sq_fault_report *report, bool undone)
{
    char experiment[SQ_ID_TEXT_MAX];
    char since[SQ_TIMESTAMP_MAX];
    const struct sq_fault_info *info = sq_fault_by_kind(report->kind);
    (void)cookie;
    sq_id_format(&live->key.experiment, experiment);
    sq_timestamp_format(live->real_ns, since);
    (void)printf("%s: fault %u of experiment %s, %s, recorded %s\n", undone ? "undone" : "LEFT",
                 live->key.fault_index, experiment, info == NULL ? "unknown kind" : info->name, since);
    for (uint32_t i = 0; i < report->line_count; i++)
        (void)printf("  %s: %s\n", sq_line_kind_name(report->lines[i].kind), report->lines[i].text);
    if (!undone)
        (void)printf("  %s\n", report->message);
}

int sq_recover_print(struct sq_undo_log *log, const struct sq_undo_content *content, struct sq_error *error)
{
    return sq_recover_log(log, content, sq_fault_ops_by_kind, print_recovered, NULL, SQ_RECOVER_WAITS_NS,
                          error);
}

/* The agent's own part of its control group, which no fault's record names. What is left harms nobody. */
static void remove_groups(void)
{
    static struct sq_fault_report report;
    struct sq_error error;
    (void)sq_stress_group_sweep(&report, &error);
    for (uint32_t i = 0; i < report.line_count; i++)
        (void)printf("%s\n", report.lines[i].text);
}

/* A boot empties `run` and takes its directory away, but not what stands in the log on disk. */
static bool is_there(const struct sq_agent_config *config)
{
    return access(config->run, F_OK) == 0 || errno != ENOENT ||
           (config->state[0] != '\0' && sq_undo_log_is_there(config->state));
}

int sq_recover_make_directory(const struct sq_agent_config *config, struct sq_error *error)
{
    if (access(config->run, F_OK) != 0 && errno == ENOENT)
        return sq_run_directory_make(config, error);
    return sq_run_directory_make_own(config->run, error);
}

int sq_injector_recover(const struct sq_agent_config *config, struct sq_error *error)
{
    static struct sq_undo_log log;
    static struct sq_undo_log twin;
    static struct sq_undo_content content;
    sq_autoclose int lock_fd = -1;
    if (!is_there(config)) {
        (void)printf("nothing to undo: there is no %s\n", config->run);
        return 0;
    }
    if (sq_recover_make_directory(config, error) != 0 ||
        sq_run_directory_lock(config->run, &lock_fd, error) != 0 ||
        sq_recover_open_log(config, &log, &twin, &content, error) != 0)
        return -1;
    sq_recover_make_clean(&content, sq_fault_ops_by_kind);
    if (!sq_recover_is_elsewhere(&log, &content) && sq_injector_privileges_drop(error) != 0)
        return -1;
    if (content.live_count == 0)
        (void)printf("nothing to undo in %s\n", config->run);
    int result = sq_recover_print(&log, &content, error);
    remove_groups();
    if (result != 0)
        (void)printf("What is left stays in the undo log in %s/squalld; `squalld --recover` tries again.\n",
                     config->run);
    sq_undo_log_close(&log);
    return result;
}

/* Before `until_ns` it is tried again: what was killed may be on its way out. */
static int clean_and_print(const struct sq_undo_live *live, uint64_t until_ns, struct sq_error *error)
{
    const struct sq_fault_ops *ops = sq_fault_ops_by_kind((enum sq_fault_kind)live->undo.kind);
    const struct sq_fault_info *info = sq_fault_by_kind((enum sq_fault_kind)live->undo.kind);
    struct sq_error own = {.text = "it could not be made clean"};
    bool is_known = check_record(live, ops, &own) == 0;
    bool is_clean = is_known && ops->clean(NULL, &live->undo, &own) == 0;
    while (is_known && !is_clean && sq_boot_ns() < until_ns) {
        (void)poll(NULL, 0, 5);
        is_clean = ops->clean(NULL, &live->undo, &own) == 0;
    }
    (void)printf("%s: fault %u, %s\n", is_clean ? "clean" : "NOT CLEAN", live->key.fault_index,
                 info == NULL ? "unknown kind" : info->name);
    if (is_clean)
        return 0;
    (void)printf("  %s\n", own.text);
    return sq_fail(error, SQ_UNCLEAN, "%s", own.text);
}

int sq_recover_clean(const char *run, struct sq_error *error)
{
    static struct sq_undo_content content;
    char own_directory[PATH_MAX];
    if (sq_run_directory_path(run, "", own_directory, error) != 0)
        return -1;
    /* An agent of version 0.1 has its log in <run> itself. */
    const char *const directories[] = {own_directory, run};
    uint64_t until_ns = sq_ns_add(sq_boot_ns(), CLEAN_WITHIN_NS);
    int result = 0;
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        struct sq_error own;
        if (sq_undo_log_peek(directories[i], false, &content, &own) != 0)
            result = sq_fail(error, SQ_UNCLEAN, "%s", own.text);
        for (uint32_t j = 0; j < content.live_count; j++)
            if (clean_and_print(&content.live[j], until_ns, &own) != 0)
                result = sq_fail(error, SQ_UNCLEAN, "%s", own.text);
    }
    return result;
}
