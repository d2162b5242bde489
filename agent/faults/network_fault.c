#include "faults/network_fault.h"

#include "faults/network_detour.h"
#include "faults/network_target.h"
#include "faults/network_tell.h"

#include "kernel/tcx.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

/* A netlink socket, the classifier's maps and programs, and one more for each place where they are attached.
 */
#define OWN_DESCRIPTORS 24

#define SETTLE_LOOK_NS  (5 * SQ_NS_PER_MILLISECOND)
#define EMPTY_LOOK_NS   SQ_NS_PER_MILLISECOND
#define TCX_LOOK_NS     (2 * SQ_NS_PER_MILLISECOND)
#define TCX_GONE_MAX_NS SQ_NS_PER_SECOND

int sq_network_preview_fault(enum sq_fault_kind kind, const struct sq_network_selector *selector,
                             const struct sq_network_effect *effect, const struct sq_fault_env *env,
                             struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    struct sq_network_undo record;
    if (sq_network_preview(kind, selector, effect->netem != NULL, env, &record, report, error) != 0)
        return -1;
    if (effect->netem != NULL && sq_network_detours_preview(env, effect->netem, &record, report, error) != 0)
        return -1;
    sq_network_tell_loading(&record, report);
    sq_network_undo_write(&record, kind, undo);
    return 0;
}

uint32_t sq_network_descriptors(const struct sq_undo *undo)
{
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, NULL) != 0)
        return SQ_FAULT_DESCRIPTORS;
    return OWN_DESCRIPTORS + record.interface_count * SQ_TC_SIDES;
}

int sq_network_prepare(struct sq_network_state *state, const struct sq_network_selector *selector,
                       const struct sq_network_effect *effect, const struct sq_fault_env *env,
                       struct sq_undo *undo, struct sq_error *error)
{
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, error) != 0 || sq_netlink_open(&state->netlink, error) != 0)
        return -1;
    state->ready = true;
    if (!sq_network_undo_is_here(&state->netlink, &record))
        return sq_fail(error, SQ_INTERNAL, "the network namespace changed between preview and prepare");
    if (sq_network_load(&state->netlink, selector, &effect->chance, env, &record, &state->classifier,
                        error) != 0)
        return -1;
    /* What stands on tcx is told by `prepared`. */
    if (record.attachment == SQ_NETWORK_TCX)
        return sq_network_tcx_begin(&state->tcx, state->classifier, env, &record, undo, error);
    if (effect->netem != NULL) {
        effect->netem->limit = sq_network_detours_limit(env, &record);
        if (sq_network_detours_make(&state->netlink, env, &record, effect->netem, undo, error) != 0)
            return -1;
    }
    if (sq_network_attach(&state->netlink, state->classifier, env, &record, undo, error) != 0)
        return -1;
    /* What the kernel took and does not show is no fault to begin with. */
    state->program_ids[SQ_TC_IN] = sq_bpf_program_id(sq_classifier_program_in(state->classifier));
    state->program_ids[SQ_TC_OUT] = sq_bpf_program_id(sq_classifier_program_out(state->classifier));
    return sq_network_look(state, undo, error);
}

int sq_network_prepared(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_network_state *network = state;
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    if (record.attachment != SQ_NETWORK_TCX)
        return 1;
    int result = sq_network_tcx_prepared(&network->tcx, error);
    return result != 1 || sq_network_look(state, undo, error) == 0 ? result : -1;
}

int sq_network_set_deadline(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                            struct sq_error *error)
{
    (void)undo;
    struct sq_network_state *network = state;
    if (network == NULL || network->classifier == NULL)
        return sq_fail(error, SQ_INTERNAL, "a network fault that was not prepared cannot be injected");
    sq_classifier_set_deadline(network->classifier, deadline_boot_ns);
    network->injected = true;
    return 0;
}

int sq_network_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_network_state *network = state;
    if (network != NULL && network->ready) {
        /* Without a classifier nothing was ever attached. */
        if (network->classifier != NULL)
            sq_classifier_set_deadline(network->classifier, 0);
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            sq_classifier_know_off(network->tcx.programs[side]);
        network->injected = false;
        return 0;
    }
    struct sq_network_undo record;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    if (record.attachment == SQ_NETWORK_TCX)
        return sq_network_tcx_clean(&record, error);
    if (sq_netlink_open(&netlink, error) != 0)
        return -1;
    return sq_network_undo_clean(&netlink, &record, error);
}

/* Of a fault whose state is gone with the process that had it: the caller bounds the waiting. */
static uint64_t settle_from_record(const struct sq_network_undo *record)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    struct sq_network_detour_count count;
    if (sq_netlink_open(&netlink, NULL) != 0 || !sq_network_undo_is_here(&netlink, record) ||
        sq_network_detours_count(&netlink, record, &count) != 0 || count.held == 0)
        return 0;
    return sq_ns_add(sq_boot_ns(), SETTLE_LOOK_NS);
}

/* What was in place until now is looked at once more: afterwards nobody can tell. */
static void end_tcx(struct sq_network_state *network, const struct sq_undo *undo,
                    const struct sq_network_undo *record)
{
    struct sq_error last = {.code = SQ_OK};
    if (record->attachment != SQ_NETWORK_TCX)
        return;
    if (network == NULL || !network->ready) {
        sq_network_tcx_end(NULL, record, NULL);
        return;
    }
    if (!network->tcx.is_ending)
        (void)sq_network_look(network, undo, &last);
    sq_network_tcx_end(&network->tcx, record, &last);
}

/* Closing the programs' links takes the guard's end some 10 ms each. */
static uint64_t settle_tcx(struct sq_network_state *network, const struct sq_undo *undo,
                           const struct sq_network_undo *record)
{
    struct sq_network_tcx *tcx = network != NULL && network->ready ? &network->tcx : NULL;
    end_tcx(network, undo, record);
    if (sq_network_tcx_is_gone(tcx, record))
        return 0;
    uint64_t now_ns = sq_boot_ns(); /* after the questions: they may have taken their time */
    if (network != NULL && network->drained_boot_ns == 0)
        network->drained_boot_ns = sq_ns_add(now_ns, TCX_GONE_MAX_NS);
    return network != NULL && now_ns >= network->drained_boot_ns ? 0 : sq_ns_add(now_ns, TCX_LOOK_NS);
}

/* Empty once is not yet empty: what has left the queue is for a moment in the hands of the IFB. */
uint64_t sq_network_settle(void *state, const struct sq_undo *undo)
{
    struct sq_network_state *network = state;
    struct sq_network_undo record;
    struct sq_network_detour_count count;
    uint64_t now_ns = sq_boot_ns();
    if (sq_network_undo_read(undo, &record, NULL) != 0)
        return 0;
    if (record.attachment == SQ_NETWORK_TCX)
        return settle_tcx(network, undo, &record);
    if (!sq_network_has_detour(&record))
        return 0;
    if (network == NULL || !network->ready)
        return settle_from_record(&record);
    if (network->drained_boot_ns == 0)
        network->drained_boot_ns = sq_ns_add(now_ns, sq_network_detours_drain_ns(&record));
    if (now_ns >= network->drained_boot_ns ||
        sq_network_detours_count(&network->netlink, &record, &count) != 0)
        return 0;
    bool was_empty = network->is_empty;
    network->is_empty = count.held == 0;
    if (count.held != 0)
        return sq_ns_add(sq_boot_ns(), SETTLE_LOOK_NS);
    return was_empty ? 0 : sq_ns_add(sq_boot_ns(), EMPTY_LOOK_NS);
}

int sq_network_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                      struct sq_error *error)
{
    struct sq_network_state *network = state;
    struct sq_network_undo record;
    if (sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    end_tcx(network, undo, &record);
    if (network != NULL && network->ready)
        return sq_network_undo_remove(&network->netlink, &record, report, error);
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, error) != 0 ||
        sq_network_undo_remove(&netlink, &record, report, error) != 0)
        return -1;
    sq_network_tcx_forget(&record);
    return 0;
}

void sq_network_release(void *state)
{
    struct sq_network_state *network = state;
    sq_network_tcx_release(&network->tcx);
    sq_classifier_free(network->classifier);
    network->classifier = NULL;
    if (network->ready)
        sq_netlink_close(&network->netlink);
    network->ready = false;
}

void sq_network_warn_while(bool holds, const char *text, struct sq_fault_report *report)
{
    uint32_t at = 0;
    while (at < report->line_count && strcmp(report->lines[at].text, text) != 0)
        at++;
    if (holds && at == report->line_count)
        sq_report_line(report, SQ_LINE_WARNING, "%s", text);
    if (holds || at == report->line_count)
        return;
    report->line_count--;
    memmove(&report->lines[at], &report->lines[at + 1], (report->line_count - at) * sizeof(report->lines[0]));
}

static void count(struct sq_fault_report *report, const char *what, enum sq_tc_side side, uint64_t value)
{
    char name[sizeof report->counters[0].name];
    (void)snprintf(name, sizeof name, "%s-%s", what, side == SQ_TC_IN ? "in" : "out");
    sq_report_count(report, name, value);
}

void sq_network_count_hits(struct sq_network_state *state, const char *effect, struct sq_fault_report *report)
{
    struct sq_classifier_totals in;
    struct sq_classifier_totals out;
    if (state == NULL || state->classifier == NULL ||
        sq_classifier_totals(state->classifier, &in, &out, NULL) != 0)
        return;
    count(report, "matched", SQ_TC_IN, in.matched);
    count(report, effect, SQ_TC_IN, in.hit);
    count(report, "matched", SQ_TC_OUT, out.matched);
    count(report, effect, SQ_TC_OUT, out.hit);
    report->touched = in.hit + out.hit > 0;
    /* A clean fault is not injected any more, and keeps what it said last. */
    if (report->touched || state->injected)
        sq_network_warn_while(!report->touched,
                              "it has touched nothing so far: no packet from or to the peers came by",
                              report);
}

uint64_t sq_network_count_chance(struct sq_network_state *state, const struct sq_undo *undo,
                                 struct sq_fault_report *report)
{
    struct sq_network_undo record;
    struct sq_classifier_totals totals[SQ_TC_SIDES];
    if (state == NULL || state->classifier == NULL || sq_network_undo_read(undo, &record, NULL) != 0 ||
        sq_classifier_totals(state->classifier, &totals[SQ_TC_IN], &totals[SQ_TC_OUT], NULL) != 0)
        return 0;
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        /* On lo packets of either direction are met on the one side. */
        if (sq_network_undo_uses(&record, side) || totals[side].hit > 0)
            count(report, "lost", side, totals[side].lost);
    return totals[SQ_TC_IN].lost + totals[SQ_TC_OUT].lost;
}

uint64_t sq_network_count_lost(struct sq_network_state *state, const struct sq_undo *undo,
                               struct sq_fault_report *report)
{
    struct sq_network_undo record;
    struct sq_network_detour_count counted;
    if (state == NULL || !state->ready || sq_network_undo_read(undo, &record, NULL) != 0 ||
        sq_network_detours_count(&state->netlink, &record, &counted) != 0)
        return 0;
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        if (record.detours[side].ifindex != 0)
            count(report, "lost", side, counted.lost[side]);
    return counted.lost[SQ_TC_IN] + counted.lost[SQ_TC_OUT];
}
