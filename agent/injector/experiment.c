#include "experiment.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "common/units.h"

#include <string.h>

uint64_t sq_experiments_now(const struct sq_experiments *experiments)
{
    return experiments->world.now_boot_ns(experiments->world.cookie);
}

const char *sq_experiment_kind_name(const struct sq_experiment_fault *fault)
{
    const struct sq_fault_info *info = sq_fault_by_kind(fault->order.spec.kind);
    return info == NULL ? "unknown fault" : info->name;
}

void sq_experiments_init(struct sq_experiments *experiments, const struct sq_experiment_world *world)
{
    experiments->world = *world;
    experiments->current = &experiments->storage[0];
    experiments->draft = &experiments->storage[1];
}

struct sq_undo_key sq_experiment_key(const struct sq_experiment_fault *fault)
{
    return (struct sq_undo_key){
        .experiment = fault->env.experiment, .slot = fault->env.slot, .fault_index = fault->order.index};
}

static bool fault_is_live(const struct sq_experiment_fault *fault)
{
    return fault->is_being_prepared || fault->report.state == SQ_STATE_PREPARED ||
           fault->report.state == SQ_STATE_INJECTED;
}

bool sq_experiment_is_live(const struct sq_experiment *experiment)
{
    for (uint32_t i = 0; i < experiment->fault_count; i++)
        if (fault_is_live(&experiment->faults[i]))
            return true;
    return false;
}

bool sq_experiments_is_live(const struct sq_experiments *experiments)
{
    return sq_experiment_is_live(experiments->current);
}

bool sq_experiments_is_unclean(const struct sq_experiments *experiments)
{
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        if (experiments->current->faults[i].report.code == SQ_UNCLEAN)
            return true;
    return false;
}

void sq_experiment_release(struct sq_experiment_fault *fault)
{
    if (fault->state == NULL)
        return;
    if (fault->ops->release != NULL)
        fault->ops->release(fault->state);
    free(fault->state);
    fault->state = NULL;
}

void sq_experiment_reset(struct sq_experiment *experiment)
{
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        sq_experiment_release(&experiment->faults[i]);
        memset(&experiment->faults[i], 0, sizeof experiment->faults[i]);
    }
    experiment->id = (struct sq_id){{0}};
    experiment->title[0] = '\0';
    experiment->operator_name[0] = '\0';
    experiment->requester = (struct sq_requester){0};
    experiment->token = (struct sq_id){{0}};
    experiment->lease_boot_ns = 0;
    experiment->prepared_until_boot_ns = 0;
    experiment->fault_count = 0;
}

void sq_experiment_refresh(struct sq_experiment *experiment)
{
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiment->faults[i];
        bool is_in = fault->report.state == SQ_STATE_INJECTED || fault->report.state == SQ_STATE_REVERTING;
        if (is_in && fault->state != NULL)
            fault->ops->status(fault->state, &fault->undo, &fault->report);
    }
}

/* When the kernel has to end the fault: with the lease, and never after its duration. */
static uint64_t deadline_of(const struct sq_experiment *experiment, const struct sq_experiment_fault *fault)
{
    uint64_t end_ns = sq_ns_add(fault->report.injected_boot_ns, fault->order.duration_ns);
    return end_ns < experiment->lease_boot_ns ? end_ns : experiment->lease_boot_ns;
}

static void fault_fails(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                        const struct sq_error *error)
{
    sq_report_fail(&fault->report, error);
    sq_experiment_clean(experiments, fault, SQ_END_FAILURE);
    sq_log(SQ_LOG_ERROR, "fault %u, %s: %s", fault->order.index, sq_experiment_kind_name(fault), error->text);
}

void sq_experiment_forbid(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                          const struct sq_error *error)
{
    /* No failure of the fault's own: what it did is undone, and its code says only whether that worked. */
    sq_report_fail(&fault->report, error);
    fault->report.code = SQ_OK;
    sq_report_line(&fault->report, SQ_LINE_NOTE, "%s: %s", sq_end_reason_name(SQ_END_POLICY), error->text);
    sq_experiment_clean(experiments, fault, SQ_END_POLICY);
    sq_log(SQ_LOG_WARNING, "fault %u, %s: %s: %s", fault->order.index, sq_experiment_kind_name(fault),
           sq_end_reason_name(SQ_END_POLICY), error->text);
}

int sq_experiment_look(const struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                       struct sq_error *error)
{
    if (fault->ops->look == NULL || fault->state == NULL)
        return 0;
    uint64_t now_ns = sq_experiments_now(experiments);
    if (fault->ops->look(fault->state, &fault->undo, error) == 0) {
        fault->report.seen_boot_ns = now_ns;
        return 0;
    }
    char ago[SQ_UNIT_TEXT_MAX];
    struct sq_error found = *error;
    if (fault->report.seen_boot_ns == 0)
        return -1;
    sq_duration_format_rounded(sq_ns_sub(now_ns, fault->report.seen_boot_ns), ago);
    return sq_fail(error, found.code, "%s; %s ago all of it was seen in place", found.text, ago);
}

/* An order to go on with what somebody took away is no order to be kept. */
int sq_experiment_insist_on(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                            struct sq_error *error)
{
    if (sq_experiment_look(experiments, fault, error) == 0)
        return 0;
    fault_fails(experiments, fault, error);
    return -1;
}

/* The fault that is in, and means the same targets; NULL: none. */
static const struct sq_experiment_fault *find_rival(const struct sq_experiment *experiment,
                                                    const struct sq_experiment_fault *fault)
{
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        const struct sq_experiment_fault *other = &experiment->faults[i];
        if (other != fault && other->report.state == SQ_STATE_INJECTED &&
            sq_spec_collides(&other->order.spec, &fault->order.spec))
            return other;
    }
    return NULL;
}

/*
 * Two steps with the same targets come one after the other. The first was injected a moment after its time
 * and so ends a moment after the second one's: that moment is waited for, more is a collision.
 */
#define RIVAL_GRACE_NS (100 * SQ_NS_PER_MILLISECOND)

int sq_experiment_inject(struct sq_experiments *experiments, struct sq_experiment_fault *fault)
{
    if (fault->report.state != SQ_STATE_PREPARED)
        return 0;
    struct sq_error error;
    if (sq_policy_permits(experiments->world.policy, &fault->order, &error) != 0) {
        sq_experiment_forbid(experiments, fault, &error);
        return -1;
    }
    uint64_t now_ns = sq_experiments_now(experiments);
    const struct sq_experiment_fault *rival = find_rival(experiments->current, fault);
    if (rival != NULL) {
        uint64_t end_ns = sq_ns_add(rival->report.injected_boot_ns, rival->order.duration_ns);
        if (end_ns > now_ns && end_ns - now_ns <= RIVAL_GRACE_NS) {
            fault->inject_at_boot_ns = end_ns;
            return 0;
        }
        (void)sq_fail(&error, SQ_CONFLICT, "fault %u means the same targets and is in", rival->order.index);
        fault_fails(experiments, fault, &error);
        return -1;
    }
    fault->report.injected_boot_ns = now_ns;
    fault->report.ends_boot_ns = sq_ns_add(now_ns, fault->order.duration_ns);
    fault->report.deadline_boot_ns = deadline_of(experiments->current, fault);
    fault->report.state = SQ_STATE_INJECTED;
    if (fault->ops->inject(fault->state, &fault->undo, fault->report.deadline_boot_ns, &error) == 0) {
        fault->attend_at_boot_ns = now_ns;
        sq_log(SQ_LOG_INFO, "fault %u, %s: injected", fault->order.index, sq_experiment_kind_name(fault));
        /* Since it was prepared, somebody may have taken it away. */
        return sq_experiment_insist_on(experiments, fault, &error);
    }
    fault_fails(experiments, fault, &error);
    return -1;
}

int sq_experiment_renew(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                        struct sq_error *error)
{
    if (sq_experiment_insist_on(experiments, fault, error) != 0)
        return -1;
    uint64_t deadline_ns = deadline_of(experiments->current, fault);
    if (deadline_ns == fault->report.deadline_boot_ns)
        return 0;
    if (fault->ops->renew(fault->state, &fault->undo, deadline_ns, error) != 0) {
        fault_fails(experiments, fault, error);
        return -1;
    }
    fault->report.deadline_boot_ns = deadline_ns;
    return 0;
}

void sq_experiment_clean(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                         enum sq_end_reason reason)
{
    if (!fault_is_live(fault))
        return;
    struct sq_error error;
    fault->is_being_prepared = false;
    fault->report.end_reason = reason;
    fault->report.state = SQ_STATE_REVERTING;
    fault->removal_is_due = true;
    fault->removal_at_boot_ns = 0;
    if (fault->ops->clean(fault->state, &fault->undo, &error) == 0) {
        fault->report.clean_boot_ns = sq_experiments_now(experiments);
        return;
    }
    /* Removing also cleans; what cannot even be removed ends with the deadline in the kernel. */
    sq_log(SQ_LOG_ERROR, "fault %u, %s: %s", fault->order.index, sq_experiment_kind_name(fault), error.text);
}

void sq_experiments_end(struct sq_experiments *experiments, enum sq_end_reason reason)
{
    struct sq_experiment *experiment = experiments->current;
    /* What waits is not on this host yet; all the same it must never begin when it is sent once more. */
    if (experiments->awaits_room)
        (void)sq_ended_bar(&experiments->ended, &experiments->waiting, sq_experiments_now(experiments), NULL);
    if (experiments->preparing.is_on || experiments->awaits_room) {
        experiments->preparing.is_on = false;
        experiments->awaits_room = false;
        (void)sq_fail(&experiments->preparing.outcome, SQ_STALE,
                      "the experiment was ended while it was being prepared (%s)",
                      sq_end_reason_name(reason));
    }
    for (uint32_t i = 0; i < experiment->fault_count; i++)
        sq_experiment_clean(experiments, &experiment->faults[i], reason);
    sq_experiments_remove_unclean(experiments);
}

uint64_t sq_sooner_boot_ns(uint64_t a_boot_ns, uint64_t b_boot_ns)
{
    if (a_boot_ns == 0)
        return b_boot_ns;
    return b_boot_ns == 0 || a_boot_ns < b_boot_ns ? a_boot_ns : b_boot_ns;
}

static bool wants_attention(const struct sq_experiment_fault *fault)
{
    return (fault->report.state == SQ_STATE_INJECTED || fault->report.state == SQ_STATE_REVERTING) &&
           fault->ops->attend != NULL && fault->state != NULL && fault->attend_at_boot_ns != 0;
}

uint64_t sq_experiments_next_boot_ns(const struct sq_experiments *experiments)
{
    const struct sq_experiment *experiment = experiments->current;
    uint64_t next_ns = sq_experiments_next_removal_boot_ns(experiments);
    if (experiments->preparing.is_on)
        next_ns = sq_sooner_boot_ns(next_ns, experiments->preparing.next_boot_ns);
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        const struct sq_experiment_fault *fault = &experiment->faults[i];
        if (wants_attention(fault))
            next_ns = sq_sooner_boot_ns(next_ns, fault->attend_at_boot_ns);
        if (!fault_is_live(fault))
            continue;
        next_ns = sq_sooner_boot_ns(next_ns, experiment->lease_boot_ns);
        if (fault->report.state == SQ_STATE_PREPARED)
            next_ns = sq_sooner_boot_ns(sq_sooner_boot_ns(next_ns, fault->inject_at_boot_ns),
                                        experiment->prepared_until_boot_ns);
        else if (fault->report.state == SQ_STATE_INJECTED)
            next_ns = sq_sooner_boot_ns(next_ns,
                                        sq_ns_add(fault->report.injected_boot_ns, fault->order.duration_ns));
    }
    return next_ns;
}

static void attend(struct sq_experiments *experiments, uint64_t now_ns)
{
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiments->current->faults[i];
        if (wants_attention(fault) && now_ns >= fault->attend_at_boot_ns)
            fault->attend_at_boot_ns = fault->ops->attend(fault->state, &fault->undo, now_ns);
    }
}

/* Ends come before beginnings. */
static void pass_live(struct sq_experiments *experiments, uint64_t now_ns)
{
    struct sq_experiment *experiment = experiments->current;
    if (now_ns >= experiment->lease_boot_ns) {
        sq_experiments_end(experiments, SQ_END_LEASE);
        sq_log(SQ_LOG_WARNING, "the lease of '%s' ended without a renewal; everything is reverted",
               experiment->title);
        return;
    }
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiment->faults[i];
        if (fault->report.state == SQ_STATE_INJECTED &&
            now_ns >= sq_ns_add(fault->report.injected_boot_ns, fault->order.duration_ns))
            sq_experiment_clean(experiments, fault, SQ_END_DURATION);
        if (fault->report.state == SQ_STATE_PREPARED && now_ns >= experiment->prepared_until_boot_ns)
            sq_experiment_clean(experiments, fault, SQ_END_UNUSED);
    }
    sq_experiments_remove_unclean(experiments);
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiment->faults[i];
        if (fault->inject_at_boot_ns != 0 && now_ns >= fault->inject_at_boot_ns)
            (void)sq_experiment_inject(experiments, fault);
    }
    if (experiments->preparing.is_on && now_ns >= experiments->preparing.next_boot_ns)
        sq_experiments_go_on_preparing(experiments);
}

void sq_experiments_tick(struct sq_experiments *experiments)
{
    uint64_t now_ns = sq_experiments_now(experiments);
    if (sq_experiment_is_live(experiments->current))
        pass_live(experiments, now_ns);
    attend(experiments, now_ns);
}
