/*
 * The passwords, tokens and certificates that a struct sq_access names, read once, at the start: what a file
 * says later changes nothing in a run. What was read is remembered as secret (common/secret.h).
 */
#ifndef SQ_PROBES_CREDENTIALS_H
#define SQ_PROBES_CREDENTIALS_H

#include "common/error.h"
#include "model/access.h"
#include "model/experiment.h"
#include "model/inventory.h"

#include <stddef.h>

struct sq_blob {
    char *bytes; /* NULL: none */
    size_t length;
};

struct sq_credentials {
    char *bearer;   /* NULL: none */
    char *password; /* of access->user */
    struct sq_blob ca;
    struct sq_blob certificate;
    struct sq_blob key;
};

typedef void (*sq_warning)(void *cookie, const char *text);

/*
 * Read what `access` (NULL is fine) names into access->loaded, unless that is there already. `whose` stands
 * in messages: "probe \"front page\"". `warn` is told of secret files that others may read. SQ_BAD_INPUT: a
 * file or variable is not there, empty, or no single line.
 */
int sq_access_load(struct sq_access *access, const char *whose, sq_warning warn, void *cookie,
                   struct sq_error *error);

/* The same for every probe of an experiment and for its Prometheus. */
int sq_credentials_load(struct sq_hypothesis *hypothesis, struct sq_access *prometheus, sq_warning warn,
                        void *cookie, struct sq_error *error);

#endif
