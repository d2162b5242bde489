/*
 * The parameter table: every fault kind with its parameters, and what can be done with any of them: defaults,
 * reading from text, checking, writing back. `squall validate`, the help text, the wire format and the
 * agent's own checks all come from here, so that they cannot disagree.
 */
#ifndef SQ_TABLE_PARAMS_H
#define SQ_TABLE_PARAMS_H

#include "common/error.h"
#include "table/fault_spec.h"

#include <stdbool.h>
#include <stddef.h>

enum sq_param_type {
    SQ_PARAM_CHOICE,   /* uint32_t, one of `choices` (values 1, 2, ... in their order) */
    SQ_PARAM_TEXT,     /* char[size] */
    SQ_PARAM_CIDRS,    /* uint32_t count at count_offset, struct sq_cidr[most] */
    SQ_PARAM_COUNT,    /* uint32_t, least..most */
    SQ_PARAM_SEED,     /* uint64_t */
    SQ_PARAM_PERCENT,  /* double, least..most per cent */
    SQ_PARAM_DURATION, /* uint64_t nanoseconds, least..most */
    SQ_PARAM_SIZE,     /* uint64_t bytes, least..most */
    SQ_PARAM_SIGNAL,   /* uint32_t signal number, by name: KILL, TERM, ... */
    SQ_PARAM_CORES     /* struct sq_cores: all, how many, or which */
};

/* What faults of one host share, and may fight over. */
enum sq_resource { SQ_RESOURCE_NETWORK = 1, SQ_RESOURCE_PROCESSES, SQ_RESOURCE_CPU, SQ_RESOURCE_MEMORY };

/* Enough for any parameter that is not a list of ranges, as text. */
#define SQ_PARAM_TEXT_MAX SQ_CORES_TEXT_MAX

struct sq_param {
    const char *key; /* as written in an experiment; '-' stands where the field of the message has '_' */
    enum sq_param_type type;
    size_t offset;       /* of the value in struct sq_fault_spec */
    size_t count_offset; /* SQ_PARAM_CIDRS: of the count */
    size_t size;         /* SQ_PARAM_TEXT: bytes of the array */
    double least;
    double most;                /* SQ_PARAM_CIDRS: entries of the array */
    const char *const *choices; /* SQ_PARAM_CHOICE: names, ended by NULL */
    const char *standard;       /* the default as text, NULL: none (zero: not given) */
    bool required;
    const char *help; /* one line */
    uint32_t since;   /* the protocol version that it came with; 0: it was always there */
};

struct sq_fault_info {
    enum sq_fault_kind kind;
    const char *name; /* "network.partition" */
    const char *help; /* one line */
    bool instant;     /* nothing can undo it; its duration is how long squall watches for a recovery */
    enum sq_resource resource;
    uint32_t since; /* the protocol version that it came with; 0: it was always there */
    const struct sq_param *params;
    size_t param_count;
    /*
     * What no single range can say, such as "at least one of". Pure: looks at the spec alone. `culprit`
     * receives the key to point at, or NULL.
     */
    int (*check)(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error);
    /*
     * What cannot be had within the fault's duration, such as a delay that is longer. The spec has passed
     * `check`. NULL: any duration will do.
     */
    int (*check_duration)(const struct sq_fault_spec *spec, uint64_t duration_ns, const char **culprit,
                          struct sq_error *error);
    /* Would these two of one host fight over their resource? The same resource on both sides, of any of its
     * kinds. NULL: never. */
    bool (*collides)(const struct sq_fault_spec *a, const struct sq_fault_spec *b);
};

/* Every kind, in the order of their numbers. */
extern const struct sq_fault_info *const sq_fault_table[];
extern const size_t sq_fault_table_count;

const struct sq_fault_info *sq_fault_by_kind(enum sq_fault_kind kind); /* NULL: unknown */
const struct sq_fault_info *sq_fault_by_name(const char *name);        /* NULL: unknown */

/* The message for an unknown name, with the nearest known one. Returns -1. */
int sq_fault_name_fail(const char *name, struct sq_error *error);

const struct sq_param *sq_param_by_key(const struct sq_fault_info *info, const char *key); /* NULL: unknown */

/* The packets that a network kind means; NULL: the spec is of another kind. */
const struct sq_network_selector *sq_spec_selector(const struct sq_fault_spec *spec);

/* Zero the spec, set its kind and every default. */
void sq_spec_init(struct sq_fault_spec *spec, const struct sq_fault_info *info);

/*
 * Set one parameter from its text; a list parameter appends one entry per call. Type, unit and range are
 * checked; the message names the parameter and what was expected.
 */
int sq_spec_set(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                struct sq_error *error);

/*
 * The same for an entry of a list in a file, where it differs from the parameter's text: in a list of cores
 * `2` is core 2, while alone it is how many.
 */
int sq_spec_set_item(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                     struct sq_error *error);

/* Whether the parameter may be written as a list. */
bool sq_param_takes_list(const struct sq_param *param);

/*
 * Check a whole spec, also one that came over the wire: known kind, every value in range and well-formed,
 * required ones present, then info->check. `culprit` (may be NULL) receives the key of the parameter at
 * fault, or NULL.
 */
int sq_spec_check(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error);

/* Check a spec that has passed sq_spec_check against its fault's duration. */
int sq_spec_check_duration(const struct sq_fault_spec *spec, uint64_t duration_ns, const char **culprit,
                           struct sq_error *error);

/*
 * Can an agent of this protocol version be asked for it? A parameter that is not given can be left out. 0, or
 * -1 with SQ_UNABLE, which names the kind or the parameter that the agent does not know.
 */
int sq_spec_check_version(const struct sq_fault_spec *spec, uint32_t version, struct sq_error *error);

/* The same by a description of its own. */
int sq_spec_check_version_of(const struct sq_fault_info *info, const struct sq_fault_spec *spec,
                             uint32_t version, struct sq_error *error);

/*
 * One parameter as text that sq_spec_set reads back; lists are joined by ", ". Returns false if it is not
 * given or equal to zero and optional. The text is cut at `size`.
 */
bool sq_param_format(const struct sq_fault_spec *spec, const struct sq_param *param, char *text, size_t size);

/* The i-th entry of a list parameter as text; false when there are no more. */
bool sq_param_format_item(const struct sq_fault_spec *spec, const struct sq_param *param, size_t i,
                          char *text, size_t size);

/* Do two faults on one host stand in each other's way? `spec`s are checked ones. */
bool sq_spec_collides(const struct sq_fault_spec *a, const struct sq_fault_spec *b);

/* "SIGKILL", "KILL" or a number to a signal that a fault may send; stopping signals and 0 are refused. */
int sq_signal_parse(const char *text, uint32_t *number, struct sq_error *error);
const char *sq_signal_name(uint32_t number); /* "KILL"; never NULL */
bool sq_signal_is_allowed(uint32_t number);

/* The tables of one kind each, one file each. */
extern const struct sq_fault_info sq_network_partition_info;
extern const struct sq_fault_info sq_process_kill_info;
extern const struct sq_fault_info sq_network_latency_info;
extern const struct sq_fault_info sq_network_loss_info;
extern const struct sq_fault_info sq_cpu_stress_info;
extern const struct sq_fault_info sq_memory_stress_info;

#endif
