/*
 * The heart of the agent: one table entry per fault kind, one file per entry.
 *
 * A fault's life, and who calls what:
 *
 *   able      can this host do it at all? loads and makes nothing
 *   preview   reads the host, changes nothing; fills the report and the undo record
 *   -- the injector writes the undo record to the log --
 *   prepare   begins everything slow: devices, filters, maps, helper processes; nothing applies yet
 *   prepared  is what prepare began there? asked again until it is
 *   inject    from now on the fault applies, until the deadline at the latest
 *   renew     move the deadline
 *   look      is what prepare made still in place and in front? at each renewal, and before it is removed
 *   allowed   the policy was read again: does it still allow what is prepared or in?
 *   attend    what a fault does by itself as time passes, such as looking at processes
 *   clean     the fault applies to nothing any more: a map update or a signal
 *   settle    when can remove finish without waiting?
 *   remove    take away what prepare made, compare with what was there before, say so in the report
 *   release   close descriptors
 *
 * No operation waits: the injector is one thread, and a fault that is slow must not delay another one's lease
 * or a halt. What must block is done by a helper process. clean is called for every fault of the host before
 * any is removed; clean and remove together are the revert. Both are idempotent and work from the undo record
 * alone: after a crash `state` is NULL, and they may be called when prepare never ran or ran half way.
 * Neither allocates memory.
 */
#ifndef SQ_FAULTS_FAULT_H
#define SQ_FAULTS_FAULT_H

#include "common/cidr.h"
#include "common/error.h"
#include "table/message.h"
#include "table/params.h"
#include "table/protection.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SQ_UNDO_BYTES_MAX  8192
#define SQ_SPARED_MAX      8
#define SQ_AGENT_PORTS_MAX 8

/* A boot does not end what the fault changes: its record is also written to disk, and synced. */
#define SQ_UNDO_SURVIVES_BOOT 1u

#define SQ_FAULT_DESCRIPTORS 16

/* What a fault needs to be undone, written to the log before the fault exists. Plain data, one layout per
 * kind. */
struct sq_undo {
    uint32_t kind;   /* enum sq_fault_kind */
    uint32_t layout; /* the kind's own version of `bytes`; an unknown one is reported, not guessed at */
    uint32_t size;   /* bytes used */
    uint32_t flags;  /* SQ_UNDO_SURVIVES_BOOT; set by preview */
    _Alignas(8) uint8_t bytes[SQ_UNDO_BYTES_MAX];
};

/* A TCP connection of the control plane: packets between this address and this local port are spared. */
struct sq_spared {
    struct sq_cidr controller; /* a single address */
    uint16_t agent_port;
};

/* What the injector tells every fault about its surroundings. Lives longer than the call. */
struct sq_fault_env {
    const struct sq_protection *protection;
    uint32_t spared_count;
    struct sq_spared spared[SQ_SPARED_MAX];
    uint32_t agent_port_count; /* TCP ports on which the agent listens: spared for everybody */
    uint16_t agent_ports[SQ_AGENT_PORTS_MAX];
    struct sq_id experiment;
    uint32_t
        slot; /* 0 to SQ_FAULTS_MAX - 1, unique on this host at this time: for filter preferences and names */
    pid_t front_pid; /* squall itself, with the caller: never a victim */
    pid_t
        requester_pid; /* who ordered it over the Unix socket, never a victim nor its ancestors; 0: unknown */
    /*
     * During preview: every order of the request, for kinds that look at the host once for all of them, and a
     * number that no other request has. NULL and 0: there is this one alone.
     */
    const struct sq_fault_order *orders;
    uint32_t order_count;
    uint64_t request_number;
    uid_t stressor_uid; /* what a process that a fault starts becomes; never 0 */
    gid_t stressor_gid;
    /*
     * Write a changed undo record to the log, before the kernel is changed. For kinds that learn on the way
     * what has to be undone (a child's pid). Returns 0 or -1.
     */
    int (*record)(void *cookie, const struct sq_undo *undo, struct sq_error *error);
    void *cookie;
    /* The most packets that each queue of the fault may hold, so that those of all faults together stay
     * within the bound of the host's memory; 0: nobody has shared it out, and this fault is the only one. */
    uint32_t queue_packets_most;
};

/* What an order holds of packets: so many queues, each of which would hold so many if it were alone. */
struct sq_fault_queues {
    uint32_t count;
    uint64_t packets;
};

struct sq_fault_ops {
    enum sq_fault_kind kind;
    size_t state_size; /* bytes of run-time state (descriptors), allocated and zeroed by the injector before
                          preview */

    /*
     * Can this host do what is ordered, or with NULL the kind as such? Loads no module and makes nothing. 0;
     * 1: it cannot be told here, `error` says why, and prepare finds out; or -1 with SQ_UNABLE and what to do
     * about it.
     */
    int (*able)(const struct sq_fault_order *order, struct sq_error *error);

    /*
     * Which queues of packets would it make? From the order alone, before preview: all faults of a request
     * share one bound of memory. NULL: none.
     */
    void (*queues)(const struct sq_fault_order *order, struct sq_fault_queues *queues);

    /*
     * What would it do? The spec has passed sq_spec_check. Fills report->lines and *undo. Refuses with
     * SQ_POLICY (protected), SQ_CONFLICT, SQ_UNABLE (a foreign filter in front) or SQ_NOBODY.
     */
    int (*preview)(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error);

    /*
     * How many descriptors will it hold from prepare to release? By its undo record as preview has left it.
     * NULL: SQ_FAULT_DESCRIPTORS at most.
     */
    uint32_t (*descriptors)(const struct sq_undo *undo);

    /* `undo` is in the log by now. On failure the injector calls clean and remove. */
    int (*prepare)(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error);

    /*
     * 1: what prepare began is there, 0: not yet, ask again soon, -1: it failed; then as for prepare. NULL:
     * it was there when prepare returned.
     */
    int (*prepared)(void *state, const struct sq_undo *undo, struct sq_error *error);

    int (*inject)(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns, struct sq_error *error);
    int (*renew)(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns, struct sq_error *error);

    /*
     * Is all that prepare made still there, and does nobody stand in front of it? 0, or -1 with SQ_VANISHED
     * and what is missing or bypassed. Quick: a few questions to the kernel, which answers late (30 to 80 ms)
     * while it attaches or takes away another fault's tcx programs. NULL: nobody can take it away unseen.
     */
    int (*look)(void *state, const struct sq_undo *undo, struct sq_error *error);

    /*
     * The host's policy was read again, and env->protection is what it protects now: is the fault still none
     * that it forbids? `before` is what it protected when the fault was prepared. 0, or -1 with SQ_POLICY and
     * what is protected; any other failure counts as a no. Changes nothing, and is quick. `state` may not be
     * prepared yet: what prepare asks the policy itself need not be asked here. NULL: kind and duration,
     * which the injector knows, are all that there is to forbid.
     */
    int (*allowed)(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   const struct sq_undo *undo, const struct sq_protection *before, struct sq_error *error);

    /*
     * Called from time to time while the fault is in or being removed; does a little of what it has to do,
     * and returns when it wants to be called again (boot-time clock), 0: not by itself. NULL: nothing to do.
     */
    uint64_t (*attend)(void *state, const struct sq_undo *undo, uint64_t now_boot_ns);

    int (*clean)(void *state, const struct sq_undo *undo, struct sq_error *error);

    /*
     * After clean: when may remove be called so that it need not wait and loses nothing, such as packets that
     * are still delayed? 0, or past when it was called: now; else ask again at that time (boot-time clock).
     * Ends within a bound of the kind's own; without a state (after a crash) the caller bounds it. Whoever
     * cannot wait calls remove at once, and again later if something is left. Neither blocks nor allocates.
     * NULL: always now.
     */
    uint64_t (*settle)(void *state, const struct sq_undo *undo);

    /*
     * Fills report->lines with what is left (SQ_LINE_LEFT) and what is foreign (SQ_LINE_FOREIGN), and
     * report->proof. 0: nothing of ours is left. -1: something is.
     */
    int (*remove)(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                  struct sq_error *error);

    /*
     * Counters, and notes such as "pid 901 came back"; sets report->touched. Called for every status and
     * renewal: answers from what is known, and looks at nothing that grows with the host.
     */
    void (*status)(void *state, const struct sq_undo *undo, struct sq_fault_report *report);

    void (*release)(void *state); /* NULL: nothing to release */

    /*
     * Without any record: find by squall's marks what faults of this kind left on this host, whoever made it,
     * and remove it. Fills report->lines, SQ_LINE_NOTE for what is gone and SQ_LINE_LEFT. For a person who
     * asks for it when a log is damaged; it may allocate. NULL: nothing is left by this kind that another
     * one's does not find.
     */
    int (*sweep)(struct sq_fault_report *report, struct sq_error *error);
};

/* Every kind the agent can inject. */
extern const struct sq_fault_ops *const sq_fault_ops_table[];
extern const size_t sq_fault_ops_count;

const struct sq_fault_ops *sq_fault_ops_by_kind(enum sq_fault_kind kind); /* NULL: unknown */

extern const struct sq_fault_ops sq_network_partition_ops;
extern const struct sq_fault_ops sq_process_kill_ops;
extern const struct sq_fault_ops sq_network_latency_ops;
extern const struct sq_fault_ops sq_network_loss_ops;
extern const struct sq_fault_ops sq_cpu_stress_ops;
extern const struct sq_fault_ops sq_memory_stress_ops;

#endif
