/*
 * The controller's side of mutual TLS: its own certificate and key, and the CA that signs agents, read once
 * and given both to nng (which carries the requests) and to the diagnosis (which explains why a connection
 * failed).
 */
#ifndef SQ_AGENTS_CLIENT_TLS_H
#define SQ_AGENTS_CLIENT_TLS_H

#include "common/error.h"
#include "model/inventory.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

struct sq_client_tls {
    const struct sq_inventory *inventory; /* borrowed: names of the files for messages */
    char *certificate_pem;
    char *key_pem;
    char *agents_pem;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
    mbedtls_x509_crt agents;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config; /* client, verifying without aborting, so that the reason can be told */
};

/* Read and check the three files of the inventory's `tls:`. Messages name the file. Free with
 * sq_client_tls_free. */
int sq_client_tls_load(const struct sq_inventory *inventory, struct sq_client_tls **tls,
                       struct sq_error *error);
void sq_client_tls_free(struct sq_client_tls *tls); /* NULL is fine */

/* An nng configuration that accepts only a peer whose certificate carries `name`. The caller frees it. */
int sq_client_tls_for(const struct sq_client_tls *tls, const char *name, nng_tls_config **config,
                      struct sq_error *error);

#endif
