/* The PEM files of the TLS listeners, read while the front may still read them. For agent/front alone. */
#ifndef SQ_FRONT_TLS_FILES_H
#define SQ_FRONT_TLS_FILES_H

#include "common/error.h"
#include "front/front.h"

struct sq_tls_files {
    char *certificate; /* PEM, terminated; NULL: no TLS */
    char *key;
    char *controllers;
};

/* Freed with sq_tls_files_release, which wipes the key, also on failure. Files are named in messages. */
int sq_tls_files_read(const struct sq_front_options *options, struct sq_tls_files *files,
                      struct sq_error *error);
void sq_tls_files_release(struct sq_tls_files *files);

#endif
