/* network.partition: packets between the host and its peers vanish. See docs/faults/network.partition.md. */
#include "faults/fault.h"
#include "faults/network_target.h"
#include "faults/network_undo.h"

#include "kernel/classifier.h"
#include "kernel/tc_ability.h"

#include <string.h>

/* Zeroed by the injector; `ready` tells whether the descriptor in it is one. */
struct partition_state {
    struct sq_classifier *classifier;
    struct sq_netlink netlink; /* opened in prepare, so that reverting needs no free descriptor */
    bool ready;
    bool injected;
};

static int preview(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error)
{
    struct sq_network_undo record;
    if (sq_network_preview(&order->spec.partition.selector, env, &record, report, error) != 0)
        return -1;
    sq_network_undo_write(&record, SQ_NETWORK_PARTITION, undo);
    return 0;
}

static int prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error)
{
    struct partition_state *partition = state;
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, error) != 0 || sq_netlink_open(&partition->netlink, error) != 0)
        return -1;
    partition->ready = true;
    if (sq_network_load(&order->spec.partition.selector, env, false, &partition->classifier, error) != 0)
        return -1;
    return sq_network_attach(&partition->netlink, partition->classifier, env, &record, undo, error);
}

static int set_deadline(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                        struct sq_error *error)
{
    (void)undo;
    struct partition_state *partition = state;
    if (partition == NULL || partition->classifier == NULL)
        return sq_fail(error, SQ_INTERNAL, "a partition that was not prepared cannot be injected");
    sq_classifier_set_deadline(partition->classifier, deadline_boot_ns);
    partition->injected = true;
    return 0;
}

static int clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct partition_state *partition = state;
    if (partition != NULL && partition->ready) {
        /* Without a classifier nothing was ever attached. */
        if (partition->classifier != NULL)
            sq_classifier_set_deadline(partition->classifier, 0);
        partition->injected = false;
        return 0;
    }
    struct sq_network_undo record;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_network_undo_read(undo, &record, error) != 0 || sq_netlink_open(&netlink, error) != 0)
        return -1;
    return sq_network_undo_clean(&netlink, &record, error);
}

static int take_away(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                     struct sq_error *error)
{
    struct partition_state *partition = state;
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    if (partition != NULL && partition->ready)
        return sq_network_undo_remove(&partition->netlink, &record, report, error);
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, error) != 0)
        return -1;
    return sq_network_undo_remove(&netlink, &record, report, error);
}

/* Status is asked again and again of the same report. */
static void warn_once(struct sq_fault_report *report, const char *text)
{
    for (uint32_t i = 0; i < report->line_count; i++)
        if (strcmp(report->lines[i].text, text) == 0)
            return;
    sq_report_line(report, SQ_LINE_WARNING, "%s", text);
}

/* What was true of an earlier status and is no more. */
static void take_back(struct sq_fault_report *report, const char *text)
{
    for (uint32_t i = 0; i < report->line_count; i++) {
        if (strcmp(report->lines[i].text, text) != 0)
            continue;
        report->line_count--;
        memmove(&report->lines[i], &report->lines[i + 1],
                (report->line_count - i) * sizeof(report->lines[0]));
        return;
    }
}

static void status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    static const char nothing_yet[] = "it has touched nothing so far: no packet from or to the peers came by";
    (void)undo;
    struct partition_state *partition = state;
    struct sq_classifier_totals in;
    struct sq_classifier_totals out;
    if (partition == NULL || partition->classifier == NULL ||
        sq_classifier_totals(partition->classifier, &in, &out, NULL) != 0)
        return;
    sq_report_count(report, "matched-in", in.matched);
    sq_report_count(report, "dropped-in", in.hit);
    sq_report_count(report, "matched-out", out.matched);
    sq_report_count(report, "dropped-out", out.hit);
    report->touched = in.hit + out.hit > 0;
    if (report->touched)
        take_back(report, nothing_yet);
    else if (partition->injected)
        warn_once(report, nothing_yet);
}

static void release(void *state)
{
    struct partition_state *partition = state;
    sq_classifier_free(partition->classifier);
    partition->classifier = NULL;
    if (partition->ready)
        sq_netlink_close(&partition->netlink);
    partition->ready = false;
}

const struct sq_fault_ops sq_network_partition_ops = {
    .kind = SQ_NETWORK_PARTITION,
    .state_size = sizeof(struct partition_state),
    .check = sq_tc_check_ability,
    .preview = preview,
    .prepare = prepare,
    .inject = set_deadline,
    .renew = set_deadline,
    .clean = clean,
    .remove = take_away,
    .status = status,
    .release = release,
};
