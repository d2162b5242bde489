#include "agents/client_tls.h"

#include "common/cleanup.h"
#include "common/file.h"

#include <stdlib.h>

#include <mbedtls/error.h>
#include <mbedtls/platform_util.h>
#include <string.h>

#define PEM_BYTES_MAX (1u << 20)

static int parse_failed(const char *what, const char *path, int code, struct sq_error *error)
{
    char reason[128] = "";
    mbedtls_strerror(code, reason, sizeof(reason));
    return sq_fail(error, SQ_BAD_INPUT, "%s: not a %s in PEM form: %s", path, what,
                   code > 0 ? "some of its certificates cannot be read" : reason);
}

static int read_certificates(const char *what, const char *path, char **pem, mbedtls_x509_crt *chain,
                             struct sq_error *error)
{
    size_t length = 0;
    if (sq_file_read(path, PEM_BYTES_MAX, pem, &length, error) != 0) {
        if (error != NULL)
            error->code = SQ_BAD_INPUT;
        return -1;
    }
    int code = mbedtls_x509_crt_parse(chain, (const unsigned char *)*pem, length + 1);
    return code == 0 ? 0 : parse_failed(what, path, code, error);
}

static int read_key(const char *path, char **pem, mbedtls_pk_context *key, struct sq_error *error)
{
    size_t length = 0;
    if (sq_file_read(path, PEM_BYTES_MAX, pem, &length, error) != 0) {
        if (error != NULL)
            error->code = SQ_BAD_INPUT;
        return -1;
    }
    int code = mbedtls_pk_parse_key(key, (const unsigned char *)*pem, length + 1, NULL, 0);
    return code == 0 ? 0 : parse_failed("private key without a passphrase", path, code, error);
}

static int configure(struct sq_client_tls *tls, struct sq_error *error)
{
    if (mbedtls_ctr_drbg_seed(&tls->random, mbedtls_entropy_func, &tls->entropy, NULL, 0) != 0 ||
        mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_ssl_conf_own_cert(&tls->config, &tls->certificate, &tls->key) != 0)
        return sq_fail(error, SQ_SYSTEM, "cannot set up TLS: out of memory or out of randomness");
    mbedtls_ssl_conf_rng(&tls->config, mbedtls_ctr_drbg_random, &tls->random);
    mbedtls_ssl_conf_ca_chain(&tls->config, &tls->agents, NULL);
    mbedtls_ssl_conf_authmode(&tls->config, MBEDTLS_SSL_VERIFY_OPTIONAL);
    return 0;
}

int sq_client_tls_load(const struct sq_inventory *inventory, struct sq_client_tls **result,
                       struct sq_error *error)
{
    struct sq_client_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    tls->inventory = inventory;
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_x509_crt_init(&tls->agents);
    mbedtls_pk_init(&tls->key);
    mbedtls_entropy_init(&tls->entropy);
    mbedtls_ctr_drbg_init(&tls->random);
    mbedtls_ssl_config_init(&tls->config);
    int status = -1;
    if (read_certificates("certificate", inventory->tls_certificate, &tls->certificate_pem, &tls->certificate,
                          error) == 0 &&
        read_key(inventory->tls_key, &tls->key_pem, &tls->key, error) == 0 &&
        read_certificates("certificate of a CA", inventory->tls_agents, &tls->agents_pem, &tls->agents,
                          error) == 0) {
        if (mbedtls_pk_check_pair(&tls->certificate.pk, &tls->key) != 0)
            (void)sq_fail(error, SQ_BAD_INPUT, "%s: this key does not belong to the certificate %s",
                          inventory->tls_key, inventory->tls_certificate);
        else
            status = configure(tls, error);
    }
    if (status != 0) {
        sq_client_tls_free(tls);
        return -1;
    }
    *result = tls;
    return 0;
}

void sq_client_tls_free(struct sq_client_tls *tls)
{
    if (tls == NULL)
        return;
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_ctr_drbg_free(&tls->random);
    mbedtls_entropy_free(&tls->entropy);
    mbedtls_pk_free(&tls->key);
    mbedtls_x509_crt_free(&tls->agents);
    mbedtls_x509_crt_free(&tls->certificate);
    if (tls->key_pem != NULL)
        mbedtls_platform_zeroize(tls->key_pem, strlen(tls->key_pem));
    free(tls->agents_pem);
    free(tls->key_pem);
    free(tls->certificate_pem);
    free(tls);
}

int sq_client_tls_for(const struct sq_client_tls *tls, const char *name, nng_tls_config **result,
                      struct sq_error *error)
{
    nng_tls_config *config = NULL;
    int code = nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT);
    if (code == 0)
        code = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    if (code == 0)
        code = nng_tls_config_ca_chain(config, tls->agents_pem, NULL);
    if (code == 0)
        code = nng_tls_config_own_cert(config, tls->certificate_pem, tls->key_pem, NULL);
    if (code == 0)
        code = nng_tls_config_server_name(config, name);
    if (code != 0) {
        if (config != NULL)
            nng_tls_config_free(config);
        return sq_fail(error, SQ_SYSTEM, "cannot set up TLS for %s: %s", name, nng_strerror(code));
    }
    *result = config;
    return 0;
}
