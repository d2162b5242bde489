/*
 * How a web service or Prometheus is reached beyond its URL: headers, who asks, whose certificates are
 * trusted. Read from the map of an http probe or of the inventory's `prometheus`. Passwords and tokens are
 * named here, by file or environment variable; probes/credentials.h reads them, once.
 */
#ifndef SQ_MODEL_ACCESS_H
#define SQ_MODEL_ACCESS_H

#include "common/document.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_HEADERS_MAX   32
#define SQ_REDIRECTS_MAX 20

struct sq_secret_source { /* one of them, or none */
    char *file;           /* relative paths are taken from the folder of the file that names it */
    char *variable;
};

struct sq_access {
    uint32_t header_count;
    char *headers[SQ_HEADERS_MAX]; /* "Name: value" */
    struct sq_secret_source bearer;
    char *user; /* basic authentication; NULL: none */
    struct sq_secret_source password;
    char *ca;          /* paths of PEM files; NULL: the system's authorities */
    char *certificate; /* NULL: none */
    char *key;
    uint32_t redirects;            /* so many are followed; 0: none */
    struct sq_credentials *loaded; /* by sq_access_load (probes/credentials.h); NULL: not yet */
    void (*unload)(struct sq_credentials *loaded); /* what frees it */
};

struct sq_prometheus {
    const char *url;                /* borrowed; empty: there is none */
    const struct sq_access *access; /* borrowed; NULL: nothing */
};

/*
 * Read one of the keys (headers, bearer, basic, ca, certificate, key, redirects) into *access, which is made
 * when it is NULL. `value` is there. SQ_BAD_INPUT with file:line:column.
 */
int sq_access_read(const char *key, struct sq_node value, struct sq_access **access, struct sq_error *error);

/* What no single key can say: one way to say who asks, a key to each certificate. `map` is where it stands.
 */
int sq_access_check(struct sq_node map, const struct sq_access *access, struct sq_error *error);

void sq_access_free(struct sq_access *access); /* NULL is fine */

#endif
