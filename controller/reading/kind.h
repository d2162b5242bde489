/* What a YAML or JSON file is meant as, by its form: which kind's keys it has most of. (Plans: plan_file.h.)
 */
#ifndef SQ_READING_KIND_H
#define SQ_READING_KIND_H

#include "common/document.h"
#include "reading/input.h"

enum sq_file_kind {
    SQ_FILE_UNKNOWN,
    SQ_FILE_EXPERIMENT,
    SQ_FILE_INVENTORY,  /* squall's own, or Prometheus file_sd */
    SQ_FILE_POLICY,     /* a host's */
    SQ_FILE_AGENT,      /* an agent's configuration */
    SQ_FILE_CONTROLLER, /* what SQUALL_CONTROLLER names: `tls` and `prometheus` alone */
};

/* A list is file_sd; an empty file, a scalar and a map without any known key are unknown. */
enum sq_file_kind sq_file_kind_of(struct sq_document *document);

/*
 * After a file was refused that was read as an experiment or as an inventory: where it is plainly another
 * kind of file, its first unknown key says less than that, and `error` becomes "FILE is ..., where ... is
 * expected".
 */
void sq_file_kind_explain(const struct sq_input *input, enum sq_file_kind expected, struct sq_error *error);

const char *sq_file_kind_name(enum sq_file_kind kind); /* "experiment", "agent-configuration", ... */

#endif
