/*
 * A plan written down: the experiment's text and settings, and per host what was ordered and what its agent
 * said it would touch, under a SHA-256. `squall run PLAN` does exactly that, or refuses and shows the
 * difference.
 *
 * JSON: {"format": "squall plan 2", ..., "sha256": of everything else in canonical form}.
 */
#ifndef SQ_PLANNING_PLAN_FILE_H
#define SQ_PLANNING_PLAN_FILE_H

#include "common/error.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "model/plan.h"
#include "reading/input.h"

#include <jansson.h>
#include <stdbool.h>

#define SQ_SHA256_TEXT_MAX 65

/* What a plan file holds; from sq_plan_file_load. */
struct sq_plan_file {
    json_t *content; /* owned */
    char sha256[SQ_SHA256_TEXT_MAX];
    const char *experiment_path; /* where the text came from; these three are owned by `content` */
    const char *experiment_text;
    const char *inventory_path;
    bool offline; /* nobody was asked what would be touched */
    uint32_t setting_count;
    struct sq_setting settings[SQ_PARAMETERS_MAX];
};

/* Could a plan be written there? For telling it before anybody is asked. Changes nothing. */
int sq_plan_file_check_path(const char *path, struct sq_error *error);

/*
 * Write `plan` to `path`. `experiment_text` is the file's own content, `settings` what --set gave. A plan
 * that was not previewed (`offline`) is marked so. `sha256` (may be NULL) receives the hash. What is there
 * and no plan of squall's is never replaced; a device, a FIFO or a symbolic link is written through
 * (common/output.h). An experiment that holds a password or a token is refused (SQ_BAD_INPUT).
 */
int sq_plan_file_write(const char *path, const struct sq_plan *plan, bool offline,
                       const char *experiment_text, const struct sq_setting *settings, uint32_t setting_count,
                       char sha256[SQ_SHA256_TEXT_MAX], struct sq_error *error);

/* Is it meant as a plan: JSON whose format is a plan's, whatever its name, its layout or its version? */
bool sq_plan_file_is(const struct sq_input *input);

/* Read and verify: the format, and that the hash is that of the content. Free with sq_plan_file_free. */
int sq_plan_file_load(const struct sq_input *input, struct sq_plan_file **file, struct sq_error *error);
void sq_plan_file_free(struct sq_plan_file *file); /* NULL is fine */
void sq_plan_file_cleanup(struct sq_plan_file **file);
#define sq_autoplan_file __attribute__((cleanup(sq_plan_file_cleanup)))

/* The experiment in it, parsed with its settings. The caller frees it with sq_experiment_free. */
int sq_plan_file_experiment(const struct sq_plan_file *file, struct sq_experiment **experiment,
                            struct sq_error *error);

/*
 * Is `plan` (made anew from the file's experiment and the inventory of now, and previewed) what the file
 * promised: the same hosts under the same agents' URLs, the same orders, and the same things touched and
 * spared (an offline plan promised only the first two)? Else -1 with SQ_CONFLICT, and `differences` (a new
 * text that the caller frees, one line each, host by host).
 */
int sq_plan_file_compare(const struct sq_plan_file *file, const struct sq_plan *plan, char **differences,
                         struct sq_error *error);

#endif
