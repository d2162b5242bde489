/* An experiment (docs/experiments.md) as plain structures, and what follows from them. Pure. */
#ifndef SQ_MODEL_EXPERIMENT_H
#define SQ_MODEL_EXPERIMENT_H

#include "common/error.h"
#include "model/access.h"
#include "model/tolerance.h"
#include "table/message.h"
#include "table/params.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_TAGS_MAX        16
#define SQ_PARAMETERS_MAX  32
#define SQ_PROBES_MAX      256
#define SQ_STEPS_MAX       32
#define SQ_HOST_NAME_MAX   254 /* a DNS name has 253 bytes, RFC 1035 */
#define SQ_SELECT_MAX      16
#define SQ_DESCRIPTION_MAX 1024
#define SQ_QUERY_MAX       2048
#define SQ_STATUSES_MAX    16

/* One `NAME=VALUE` of --set, or one entry of `parameters`. */
struct sq_setting {
    char name[SQ_NAME_MAX];
    char value[SQ_PATH_TEXT_MAX];
};

/* What is known of each kind: probe_form.h. */
enum sq_probe_kind { SQ_PROBE_PROMQL, SQ_PROBE_HTTP };

struct sq_status_range { /* 200 to 200, or 200 to 299 for 2xx */
    uint32_t least;
    uint32_t most;
};

/* How many measurements of a step may miss: `max-misses`. */
struct sq_allowance {
    bool given; /* else: see sq_probe_allowed */
    bool is_percent;
    uint32_t count;
    double percent;
};

#define SQ_LAG_DEFAULT_NS (15 * SQ_NS_PER_SECOND) /* where neither the file nor Prometheus says it */

struct sq_probe {
    char name[SQ_TITLE_MAX];
    enum sq_probe_kind kind;
    char target[SQ_QUERY_MAX];     /* the PromQL query, or the URL: shown by sq_probe_target_format alone */
    struct sq_tolerance tolerance; /* promql */
    uint32_t status_count;         /* http: the statuses that are tolerated; none: 200 */
    struct sq_status_range statuses[SQ_STATUSES_MAX];
    struct sq_access *access;    /* http: what goes with the request; NULL: nothing; owned */
    uint64_t within_ns;          /* http: the slowest answer that is tolerated; 0: any within the timeout */
    uint64_t every_ns;           /* default 1s */
    uint64_t timeout_ns;         /* of one measurement; default: `every`, 10s at most */
    uint32_t abort_after_misses; /* consecutive misses that end the experiment; default 3 */
    struct sq_allowance max_misses;
    uint64_t settle_ns; /* after an injection: misses are not judged; default 0 */
    uint64_t lag_ns;    /* after an injection: a value in tolerance says nothing yet; default 0 */
    bool has_lag;       /* as the file says, or by its kind; false: promql, to be taken from Prometheus */
    size_t line;        /* where it stands in the file */
};

struct sq_hypothesis {
    char title[SQ_TITLE_MAX];
    uint32_t probe_count;
    struct sq_probe *probes;    /* probe_count of them, owned by the experiment */
    uint64_t hold_before_ns;    /* default 0: one measurement of each probe must hold */
    uint64_t recover_within_ns; /* default 30s */
};

/* Which hosts of the inventory. All given conditions must hold; then count or percent picks among them by
 * seed. */
struct sq_targets {
    uint32_t label_count;
    struct sq_setting labels[SQ_SELECT_MAX];
    uint32_t host_count; /* by name */
    char hosts[SQ_SELECT_MAX][SQ_HOST_NAME_MAX];
    uint32_t count; /* 0: not given */
    double percent; /* 0: not given; neither given: all that match */
    uint64_t seed;
    size_t line;
    size_t column;
};

struct sq_step {
    char name[SQ_TITLE_MAX];
    struct sq_targets targets;
    uint64_t duration_ns;
    bool has_at; /* starts `at_ns` after the first step's injection, instead of after the step before it */
    uint64_t at_ns;
    struct sq_fault_spec spec;
    uint64_t came_back_within_ns; /* `expect`, process.kill; 0: not expected */
    size_t line;
    size_t column;
    size_t duration_line; /* where its duration stands; the step's own place if it is not given */
    size_t duration_column;
};

struct sq_limits {
    uint32_t max_hosts;       /* 0: not given */
    double max_hosts_percent; /* of the inventory; 0: not given; rounded down, one at least */
    bool alone;               /* no company: nothing of others on any host of the inventory */
};

struct sq_experiment {
    char path[SQ_PATH_TEXT_MAX];
    char title[SQ_TITLE_MAX];
    char description[SQ_DESCRIPTION_MAX];
    uint32_t tag_count;
    char tags[SQ_TAGS_MAX][SQ_NAME_MAX];
    uint32_t parameter_count; /* with --set applied */
    struct sq_setting parameters[SQ_PARAMETERS_MAX];
    bool has_hypothesis;
    struct sq_hypothesis hypothesis;
    uint32_t step_count;
    struct sq_step *steps; /* step_count of them, owned */
    struct sq_limits limits;
    uint64_t lease_ns; /* `lease:`, default 10s */
};

void sq_experiment_free(struct sq_experiment *experiment);
void sq_experiment_cleanup(struct sq_experiment **experiment);
#define sq_autoexperiment __attribute__((cleanup(sq_experiment_cleanup)))

/*
 * How long the last step may have to wait after everything was prepared: until the steady state has held, and
 * until its turn comes. SQ_EXPERIMENT_SLACK_NS more is for preparing itself and for slow measurements; both
 * together are less than SQ_PREPARED_MAX_NS.
 */
#define SQ_EXPERIMENT_SLACK_NS (300 * SQ_NS_PER_SECOND)
uint64_t sq_experiment_wait_ns(const struct sq_experiment *experiment);

/* When step `i` starts and ends, in nanoseconds after the first injection. */
uint64_t sq_experiment_step_start_ns(const struct sq_experiment *experiment, uint32_t i);
uint64_t sq_experiment_step_end_ns(const struct sq_experiment *experiment, uint32_t i);
bool sq_experiment_steps_overlap(const struct sq_experiment *experiment, uint32_t a, uint32_t b);
uint64_t sq_experiment_length_ns(const struct sq_experiment *experiment); /* until the last step ends */

#endif
