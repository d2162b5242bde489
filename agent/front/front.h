/*
 * The unprivileged half of the agent: listens with nng on Unix sockets and mutual TLS, decodes, checks,
 * passes each request to the injector and its answer back. It holds no capabilities, runs as its own user and
 * under seccomp before nng starts, and knows nothing of faults.
 */
#ifndef SQ_FRONT_FRONT_H
#define SQ_FRONT_FRONT_H

#include "common/error.h"

#include <stdint.h>
#include <sys/types.h>

/* What the front needs of the configuration; texts are borrowed. */
struct sq_front_options {
    uint32_t listen_count;
    const char *const *listen;   /* ipc:///path or tls+tcp://address:port */
    const char *tls_certificate; /* paths, read before privileges are dropped; NULL: no TLS listener */
    const char *tls_key;
    const char *tls_controllers;
    uid_t uid;
    gid_t gid;
    mode_t socket_mode;
    int in_fd; /* the front's ends of the pipes to the injector */
    int out_fd;
    int ready_fd; /* one byte is written here when every listener listens; -1: nobody waits */
};

/*
 * Run until the injector's end closes. Returns 0 then, or -1 if it could not start. Called in a process of
 * its own, which ends with the return: nng's threads and connections live until then.
 */
int sq_front_run(const struct sq_front_options *options, struct sq_error *error);

#endif
