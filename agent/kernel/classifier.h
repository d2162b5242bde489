/*
 * The classifier in the kernel: loading, filling and steering it. Loading allocates and takes about a
 * millisecond; steering is one store to memory that the kernel reads.
 */
#ifndef SQ_KERNEL_CLASSIFIER_H
#define SQ_KERNEL_CLASSIFIER_H

#include "common/cidr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Programs and maps of one fault; the kernel keeps them alive while a filter uses them. */
struct sq_classifier;

/* TCP connections of the control plane: packets between `peer` and this local port are spared. */
struct sq_classifier_session {
    struct sq_cidr peer; /* one address; family 0: whoever it is */
    uint16_t local_port;
};

/* Ranges of several sources are passed as several lists; the caller keeps them. */
struct sq_cidr_list {
    const struct sq_cidr *ranges;
    size_t count;
};

struct sq_classifier_config {
    bool redirects; /* false: the programs consume what matches. true: they only match, the filter's action
                       follows */
    bool for_tcx;   /* they consume it as tcx has to be told; not with `redirects` */
    bool ethernet;  /* all interfaces carry Ethernet frames: packets that are no target then pay less */
    double lose_percent; /* of what matches: each packet by chance of its own; 0: all of it, every time */
    uint64_t lose_seed;
    /*
     * Attached to lo, on the way out alone: in which direction packets are meant there. Neither: not to lo.
     * `ethernet` is then of no use.
     */
    bool loopback_in;
    bool loopback_out;
    uint32_t detour_out;     /* with it, where that action sends outgoing packets: an interface's index */
    const uint32_t *devices; /* with it, the interfaces whose packets those are, by index: 8 at most */
    size_t device_count;
    struct sq_cidr_list peers;
    struct sq_cidr_list except;    /* within the peers, but left alone */
    struct sq_cidr_list protected; /* left alone as peers, and as what peers talk to through this host */
    struct sq_cidr_list own;       /* of those, this host's addresses, which are not left alone by that */
    const uint16_t *ports;         /* protected: packets from or to them are left alone */
    size_t port_count;
    const struct sq_classifier_session *sessions;
    size_t session_count;
};

struct sq_classifier_totals {
    uint64_t matched; /* packets of the peers, the spared ones included, while the fault was on */
    uint64_t hit;     /* of them, those that the fault was applied to; with lose_percent, that ran the risk */
    uint64_t lost;    /* with lose_percent: of them, those that were lost */
};

/*
 * Load and fill the programs, switched off. All that one process has loaded know of each other's detours, so
 * that a packet is not met a second time when it comes back from one. The caller frees with
 * sq_classifier_free. SQ_UNABLE says what the kernel or the privileges lack.
 */
int sq_classifier_load(const struct sq_classifier_config *config, struct sq_classifier **classifier,
                       struct sq_error *error);
void sq_classifier_free(struct sq_classifier *classifier); /* closes descriptors; NULL is fine */

/* Descriptors of the programs for a filter; owned by the classifier. */
int sq_classifier_program_in(const struct sq_classifier *classifier);
int sq_classifier_program_out(const struct sq_classifier *classifier);

/*
 * From now on until the deadline, by this process's CLOCK_BOOTTIME also in a time namespace; 0 is off. Cannot
 * fail, cannot block.
 */
void sq_classifier_set_deadline(struct sq_classifier *classifier, uint64_t deadline_boot_ns);

/*
 * Switch off the classifier of the program with this number, which another process holds, and look whether it
 * is off. 0: it is, or there is no such program any more, or this process knows that it is off already
 * (sq_classifier_know_off, or this succeeded before), which needs no privilege. -errno: nobody knows; -EPERM
 * without CAP_SYS_ADMIN, -ENODATA if it is none of this squall's. Neither allocates nor waits.
 */
int sq_classifier_switch_off(uint32_t program_id);

/* This process switched that one off, and nobody is going to switch it on again. */
void sq_classifier_know_off(uint32_t program_id);

/* Sums over all processors. */
int sq_classifier_totals(const struct sq_classifier *classifier, struct sq_classifier_totals *in,
                         struct sq_classifier_totals *out, struct sq_error *error);

#define SQ_CLASSIFIER_PROGRAMS 8 /* of which a fault loads two */

/* The kernel's digest of a program's instructions, the same in every process that loads it. */
struct sq_classifier_tag {
    uint8_t bytes[8];
    bool loses; /* by chance */
};

/*
 * The tags of all the classifier's programs. Loads and closes them, which takes some time and leaves the
 * memory of the process larger: for one that ends. 0, or -1 if the kernel does not take one of them.
 */
int sq_classifier_read_tags(struct sq_classifier_tag tags[SQ_CLASSIFIER_PROGRAMS]);

#define SQ_TCX_PROGRAMS_MAX 64 /* BPF_MPROG_MAX of the kernel */

/*
 * The tcx programs on one side of an interface, which run before every clsact filter. Returns how many there
 * are and the ids of the first `most`; 0 also on kernels that know no tcx, and on -errno nothing is known.
 */
int sq_tcx_programs(uint32_t ifindex, bool egress, uint32_t *ids, uint32_t most);

/* A BPF program's name by its id; needs CAP_SYS_ADMIN. Returns false and an empty name if it cannot be told.
 */
bool sq_bpf_program_name(uint32_t id, char *name, size_t size);

#endif
