/*
 * The kinds of probes, one entry each: their keys in an experiment, and how what they tolerate and measure is
 * written. What reading, screen and reports need, without any network; how a kind is asked and judged stands
 * in probes/table.h. `squall validate`, the help text and the pages of a run all come from here.
 */
#ifndef SQ_MODEL_PROBE_FORM_H
#define SQ_MODEL_PROBE_FORM_H

#include "common/document.h"
#include "common/problems.h"
#include "model/experiment.h"
#include "model/hypothesis.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_PROBE_TIME_MIN_NS (1 * SQ_NS_PER_MILLISECOND)
#define SQ_PROBE_TIME_MAX_NS (3600 * SQ_NS_PER_SECOND)

struct sq_probe_key {
    const char *key;
    const char *expected; /* its type, unit and range: "a duration, 1ms to 1h" */
    bool required;
    const char *standard; /* the default as text; NULL: none */
    const char *help;     /* one line */
    /* Into *probe, from the value of the key, which is there. The error says file:line:column. */
    int (*read)(const char *key, struct sq_node value, struct sq_probe *probe, struct sq_error *error);
};

struct sq_probe_form {
    enum sq_probe_kind kind;
    const char *name; /* also the key under which its target stands, the first of `keys` */
    const char *help; /* one line */
    const struct sq_probe_key *keys;
    size_t key_count;
    /* What no single key can say, once all is read; `node` is the probe's map. NULL: nothing. */
    int (*check)(struct sq_node node, const struct sq_probe *probe, struct sq_error *error);
    void (*tolerance_format)(const struct sq_probe *probe, char *text, size_t size);
    void (*value_format)(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                         size_t size); /* of a value */
    /* How far a value is from what just breaks the tolerance, in the value's own unit: the smaller the worse,
     * negative where it is broken by itself. */
    double (*margin)(const struct sq_probe *probe, const struct sq_measurement *measurement);
};

/* Every kind, in the order of their numbers. */
extern const struct sq_probe_form *const sq_probe_forms[];
extern const size_t sq_probe_form_count;

const struct sq_probe_form *sq_probe_form_of(enum sq_probe_kind kind);     /* never NULL for a known kind */
const struct sq_probe_form *sq_probe_form_by_name(const char *name);       /* NULL: unknown */
const struct sq_probe_form *sq_probe_form_by_target(struct sq_node probe); /* NULL: none, or several */

/* Read the kind's own keys of a probe. Fills probe->kind. Keys that it does not know are not looked at. */
void sq_probe_form_read(const struct sq_probe_form *form, struct sq_node node, struct sq_probe *probe,
                        struct sq_problems *problems);

/* What it asks, for a person or a record: passwords and tokens are hidden. */
void sq_probe_target_format(const struct sq_probe *probe, char *text, size_t size);

/* The probe's tolerance ("status 200 within 500ms", ">= 0.99") and a measured value ("0.98",
 * "status 200 in 12ms", "no answer", "not measurable"), as text. */
void sq_probe_tolerance_format(const struct sq_probe *probe, char *text, size_t size);
void sq_probe_value_format(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                           size_t size);

/* The kinds, one file each. */
extern const struct sq_probe_form sq_probe_promql_form;
extern const struct sq_probe_form sq_probe_http_form;

/* Is this HTTP status tolerated? */
bool sq_probe_tolerates_status(const struct sq_probe *probe, uint32_t status);
/* "status 200", "status 2xx or 304" */
void sq_probe_statuses_format(const struct sq_probe *probe, char *text, size_t size);

#endif
