/* Values of an experiment as its sections share them. */
#ifndef SQ_READING_VALUES_H
#define SQ_READING_VALUES_H

#include "common/document.h"

#include <stdbool.h>
#include <stdint.h>

/* A whole number of at least one, into *value; refused with `what` in the message. */
int sq_read_positive(struct sq_node map, const char *key, uint32_t most, uint32_t *value,
                     struct sq_error *error);

/* yes, no, true or false; absent: *value stays. */
int sq_read_yes_or_no(struct sq_node map, const char *key, bool *value, struct sq_error *error);

#endif
