/* The TLS files that the front uses: judged at start and at SIGHUP, and told apart from what they were
 * before. */
#ifndef SQ_INJECTOR_TLS_FILES_H
#define SQ_INJECTOR_TLS_FILES_H

#include "certificates/certificates.h"
#include "common/error.h"
#include "injector/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SQ_TLS_FILES 3

/* Which file stood there, and which content it had. */
struct sq_tls_file {
    dev_t device;
    ino_t inode;
    off_t size_bytes;
    int64_t modified_ns;
};

struct sq_tls_state {
    struct sq_certificate_facts facts; /* zero: no listener needs TLS */
    struct sq_tls_file files[SQ_TLS_FILES];
};

/*
 * Judge the configuration's files; without TLS there is nothing to judge. 0: *state tells of them, and
 * *is_new whether they are others than it told of before. SQ_BAD_INPUT: they cannot serve, and *state is what
 * it was. Files that are only out of date are said in the log at the start; later
 * they cannot take the place of others.
 */
int sq_tls_state_load(struct sq_tls_state *state, const struct sq_agent_config *config, bool *is_new,
                      struct sq_error *error);

#endif
