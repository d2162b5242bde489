/*
 * Many HTTP requests under way at once in the caller's loop. Built on libcurl's multi interface; no threads:
 * names are looked up by loop/names.h, anew for each request and within its time, and handed to curl.
 *
 * Every request has a connection of its own. No proxy is taken from the environment (a probe measures the
 * address that it names), and only http and https are spoken. Redirects are followed if the request says so,
 * each with a name looked up anew; headers, passwords and certificates go to the origin of the URL alone.
 * Compressed answers are understood. No secret of a URL stands in a reason.
 */
#ifndef SQ_PROBES_HTTP_H
#define SQ_PROBES_HTTP_H

#include "common/error.h"
#include "loop/loop.h"
#include "loop/names.h"
#include "model/access.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_http;

struct sq_http_request {
    const char *url; /* borrowed for the call */
    uint64_t timeout_ns;
    const struct sq_access *access; /* loaded (credentials.h), borrowed until done; NULL: nothing */
    size_t body_max;                /* so much of the body is kept */
    bool whole;                     /* a larger one is a failure; else the rest is read and forgotten */
    bool fresh;                     /* ask caches on the way not to answer */
};

enum sq_http_failure {
    SQ_HTTP_ANSWERED,  /* a whole answer came; `status` and `body` are valid */
    SQ_HTTP_NO_ANSWER, /* the server refused, reset, or answered nothing usable */
    SQ_HTTP_TIMED_OUT, /* nothing, or not everything, in time */
    SQ_HTTP_NOT_ASKED  /* the question did not reach a server: name, URL, certificate, our own resources */
};

struct sq_http_result {
    enum sq_http_failure failure;
    char reason[256]; /* unless SQ_HTTP_ANSWERED: what happened, for a person */
    uint32_t status;
    uint64_t started_boot_ns;
    uint64_t ended_boot_ns;
    uint64_t took_ns; /* by curl's own clock, without the look-up of the name */
    const char *body; /* terminated; valid during the call */
    size_t body_bytes;
};

/* `result` NULL: the request was dropped by sq_http_close; release the cookie, and nothing else. */
typedef void (*sq_http_done)(void *cookie, const struct sq_http_result *result);

/* `loop` and `names` are borrowed until it is closed. */
int sq_http_open(struct sq_loop *loop, struct sq_names *names, struct sq_http **http, struct sq_error *error);
void sq_http_close(struct sq_http *http); /* drops what is under way; not from a `done`; NULL is fine */

/* Start a GET. `done` is called once, in a turn of the loop or by sq_http_close. -1 only when out of memory
 * or for an unusable URL. */
int sq_http_get(struct sq_http *http, const struct sq_http_request *request, sq_http_done done, void *cookie,
                struct sq_error *error);

#endif
