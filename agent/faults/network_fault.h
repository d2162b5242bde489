/*
 * What every network fault does once its filters are there, whatever they do to packets: the deadline in the
 * kernel, clean, remove, counters. Shared by the network kinds, whose own files say what is made of packets.
 */
#ifndef SQ_FAULTS_NETWORK_FAULT_H
#define SQ_FAULTS_NETWORK_FAULT_H

#include "faults/fault.h"
#include "faults/network_target.h"
#include "faults/network_tcx.h"
#include "faults/network_undo.h"

#include "kernel/classifier.h"
#include "kernel/netem.h"

#include <stdbool.h>

/* Zeroed by the injector; `ready` tells whether the descriptor in it is one. */
struct sq_network_state {
    struct sq_classifier *classifier;
    struct sq_netlink netlink;         /* opened in prepare, so that reverting needs no free descriptor */
    uint32_t program_ids[SQ_TC_SIDES]; /* what the filters must hold to be squall's own; 0: not loaded */
    struct sq_network_tcx tcx;         /* of a fault that stands there */
    bool ready;
    bool injected;
    uint64_t drained_boot_ns; /* until when packets are waited for; 0: nobody waits */
    bool is_empty;            /* the detours' queues, when they were last looked at */
};

/* What becomes of the packets that the selector means. */
struct sq_network_effect {
    struct sq_netem *netem;          /* they take a detour through it; NULL: they are dropped */
    struct sq_network_chance chance; /* by chance, some of them */
};

/* Everything slow: classifier, detours, filters. Undo record and order are those of the preview. */
int sq_network_prepare(struct sq_network_state *state, const struct sq_network_selector *selector,
                       const struct sq_network_effect *effect, const struct sq_fault_env *env,
                       struct sq_undo *undo, struct sq_error *error);

/* Previews filters and detours; fills *undo. */
int sq_network_preview_fault(enum sq_fault_kind kind, const struct sq_network_selector *selector,
                             const struct sq_network_effect *effect, const struct sq_fault_env *env,
                             struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error);

/* Of fault.h. */
uint32_t sq_network_descriptors(const struct sq_undo *undo);

/* The operations of fault.h; `state` is a struct sq_network_state, or NULL. */
int sq_network_prepared(void *state, const struct sq_undo *undo, struct sq_error *error);
int sq_network_set_deadline(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                            struct sq_error *error);
int sq_network_clean(void *state, const struct sq_undo *undo, struct sq_error *error);
int sq_network_look(void *state, const struct sq_undo *undo, struct sq_error *error);
uint64_t sq_network_settle(void *state, const struct sq_undo *undo);
int sq_network_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                      struct sq_error *error);
void sq_network_release(void *state);

/*
 * Sets the counters matched-in, EFFECT-in, matched-out and EFFECT-out, `effect` being what the fault did to
 * packets; report->touched, and a warning while it is not.
 */
void sq_network_count_hits(struct sq_network_state *state, const char *effect,
                           struct sq_fault_report *report);

/* Sets the counters lost-in and lost-out of what chance has taken. Returns the sum. */
uint64_t sq_network_count_chance(struct sq_network_state *state, const struct sq_undo *undo,
                                 struct sq_fault_report *report);

/* Sets the same counters from the detours' queues. Returns the sum. */
uint64_t sq_network_count_lost(struct sq_network_state *state, const struct sq_undo *undo,
                               struct sq_fault_report *report);

/* A warning that stands in the report once, or not, as `holds` says: status is asked for again and again. */
void sq_network_warn_while(bool holds, const char *text, struct sq_fault_report *report);

#endif
