/*
 * The agent's TLS files, judged before anybody rests on them: by `squalld --check`, at start, and before a
 * reload. A module of its own, as both halves of the agent look at them.
 */
#ifndef SQ_CERTIFICATES_CERTIFICATES_H
#define SQ_CERTIFICATES_CERTIFICATES_H

#include "common/error.h"

#include <stdint.h>

/* PEM files, as in the configuration's `tls`. */
struct sq_certificate_files {
    const char *certificate; /* the host's own, its issuers behind it if need be */
    const char *key;
    const char *controllers; /* the authorities whose certificates may give orders */
};

/* What a look at them told; wall clock, 0: not known. */
struct sq_certificate_facts {
    uint64_t
        ends_real_ns; /* when the host's own certificate ends, or, if it is sooner, the last authority's */
};

/*
 * That they can serve: each is there and is what it should be, the key fits the certificate and is not
 * writable by everybody, the authorities are some, and none of them signed the host's own certificate: with
 * one authority in both roles any host's certificate could give orders to all others. SQ_BAD_INPUT names
 * file, reason and what to do. *facts is filled as far as it could be.
 */
int sq_certificates_check(const struct sq_certificate_files *files, struct sq_certificate_facts *facts,
                          struct sq_error *error);

/* That they are valid at this time (wall clock). SQ_BAD_INPUT says since or from when not. */
int sq_certificates_check_time(const struct sq_certificate_files *files, uint64_t now_real_ns,
                               struct sq_error *error);

#endif
