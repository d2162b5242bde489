#include "certificates/certificates.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"

#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEM_BYTES_MAX (1u << 20)

/* All of the files, parsed. */
struct material {
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    mbedtls_x509_crt controllers;
};

static void release(struct material *material)
{
    mbedtls_x509_crt_free(&material->own);
    mbedtls_pk_free(&material->key);
    mbedtls_x509_crt_free(&material->controllers);
}

static void begin(struct material *material)
{
    mbedtls_x509_crt_init(&material->own);
    mbedtls_pk_init(&material->key);
    mbedtls_x509_crt_init(&material->controllers);
}

static int fail_parse(const char *path, const char *what, int code, struct sq_error *error)
{
    char reason[128];
    mbedtls_strerror(code, reason, sizeof reason);
    return sq_fail(error, SQ_BAD_INPUT, "%s: %s (%s)", path, what, reason);
}

/* A file's content, or NULL; wiped and freed by the caller. */
static int read_pem(const char *path, char **content, size_t *length, struct sq_error *error)
{
    if (sq_file_check_trusted(path, error) != 0)
        return -1;
    if (sq_file_read(path, PEM_BYTES_MAX, content, length, error) != 0) {
        error->code = SQ_BAD_INPUT;
        return -1;
    }
    return 0;
}

static int read_certificates(const char *path, const char *expected, mbedtls_x509_crt *certificates,
                             struct sq_error *error)
{
    sq_autofree char *content = NULL;
    size_t length = 0;
    if (read_pem(path, &content, &length, error) != 0)
        return -1;
    int code = mbedtls_x509_crt_parse(certificates, (const unsigned char *)content, length + 1);
    if (code > 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s: %d of its certificates cannot be read; expected %s", path,
                       code, expected);
    if (code < 0) {
        char what[160];
        (void)snprintf(what, sizeof what, "expected %s as PEM", expected);
        return fail_parse(path, what, code, error);
    }
    return 0;
}

static int read_key(const char *path, mbedtls_pk_context *key, struct sq_error *error)
{
    sq_autofree char *content = NULL;
    size_t length = 0;
    if (read_pem(path, &content, &length, error) != 0)
        return -1;
    int code = mbedtls_pk_parse_key(key, (const unsigned char *)content, length + 1, NULL, 0);
    explicit_bzero(content, length);
    if (code != 0)
        return fail_parse(path, "expected a private key as PEM, without a password", code, error);
    return 0;
}

static int read_all(const struct sq_certificate_files *files, struct material *material,
                    struct sq_error *error)
{
    if (read_certificates(files->certificate, "this host's certificate", &material->own, error) != 0 ||
        read_key(files->key, &material->key, error) != 0)
        return -1;
    return read_certificates(files->controllers, "certificates of the authorities that sign controllers",
                             &material->controllers, error);
}

static int check_authorities(const struct sq_certificate_files *files, const struct material *material,
                             struct sq_error *error)
{
    for (const mbedtls_x509_crt *authority = &material->controllers; authority != NULL;
         authority = authority->next) {
        char name[200] = "?";
        (void)mbedtls_x509_dn_gets(name, sizeof name, &authority->subject);
        if (authority->ca_istrue == 0)
            return sq_fail(
                error, SQ_BAD_INPUT,
                "%s: '%.150s' is no authority (basicConstraints CA is not set), so no controller's "
                "certificate can be signed by it",
                files->controllers, name);
    }
    return 0;
}

/* Whether a chain is trusted, whatever else is wrong with it, its time for example. */
static bool is_signed_by(mbedtls_x509_crt *chain, mbedtls_x509_crt *authorities)
{
    uint32_t flags = 0;
    (void)mbedtls_x509_crt_verify(chain, authorities, NULL, NULL, &flags, NULL, NULL);
    return (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0;
}

static int check_roles(const struct sq_certificate_files *files, struct material *material,
                       struct sq_error *error)
{
    if (!is_signed_by(&material->own, &material->controllers))
        return 0;
    return sq_fail(error, SQ_BAD_INPUT,
                   "%s was signed by an authority of %s: one authority in both roles would let every host's "
                   "certificate give orders to all others; sign hosts and controllers by two authorities",
                   files->certificate, files->controllers);
}

static uint64_t real_ns_of(const mbedtls_x509_time *time)
{
    struct tm parts = {.tm_year = time->year - 1900,
                       .tm_mon = time->mon - 1,
                       .tm_mday = time->day,
                       .tm_hour = time->hour,
                       .tm_min = time->min,
                       .tm_sec = time->sec};
    time_t seconds = timegm(&parts);
    /* What ends after the year 2500 does not end. */
    if (seconds <= 0 || (uint64_t)seconds > UINT64_MAX / SQ_NS_PER_SECOND)
        return seconds <= 0 ? 1 : UINT64_MAX;
    return (uint64_t)seconds * SQ_NS_PER_SECOND;
}

/* The host's certificate and its issuers all have to be valid; of the authorities, one is enough. */
static uint64_t end_of(const struct material *material)
{
    uint64_t own_ns = UINT64_MAX;
    uint64_t authority_ns = 0;
    for (const mbedtls_x509_crt *certificate = &material->own; certificate != NULL;
         certificate = certificate->next) {
        uint64_t end_ns = real_ns_of(&certificate->valid_to);
        own_ns = end_ns < own_ns ? end_ns : own_ns;
    }
    for (const mbedtls_x509_crt *authority = &material->controllers; authority != NULL;
         authority = authority->next) {
        uint64_t end_ns = real_ns_of(&authority->valid_to);
        authority_ns = end_ns > authority_ns ? end_ns : authority_ns;
    }
    return own_ns < authority_ns ? own_ns : authority_ns;
}

int sq_certificates_check(const struct sq_certificate_files *files, struct sq_certificate_facts *facts,
                          struct sq_error *error)
{
    struct material material;
    *facts = (struct sq_certificate_facts){0};
    begin(&material);
    int result = read_all(files, &material, error);
    if (result == 0) {
        facts->ends_real_ns = end_of(&material);
        if (mbedtls_pk_check_pair(&material.own.pk, &material.key) != 0)
            result = sq_fail(
                error, SQ_BAD_INPUT,
                "the key in %s does not fit the certificate in %s; expected the one that the certificate "
                "was asked for with",
                files->key, files->certificate);
    }
    if (result == 0)
        result = check_authorities(files, &material, error);
    if (result == 0)
        result = check_roles(files, &material, error);
    release(&material);
    return result;
}

static int check_time(const char *path, const mbedtls_x509_crt *certificate, uint64_t now_real_ns,
                      struct sq_error *error)
{
    char since[SQ_TIMESTAMP_MAX];
    uint64_t from_ns = real_ns_of(&certificate->valid_from);
    uint64_t to_ns = real_ns_of(&certificate->valid_to);
    if (now_real_ns >= from_ns && now_real_ns <= to_ns)
        return 0;
    bool is_over = now_real_ns > to_ns;
    sq_timestamp_format(is_over ? to_ns : from_ns, since);
    return sq_fail(error, SQ_BAD_INPUT, "%s %s %s%s", path, is_over ? "ended at" : "holds only from", since,
                   is_over ? "; put a new one there and send squalld a SIGHUP"
                           : " on; is this host's clock right?");
}

int sq_certificates_check_time(const struct sq_certificate_files *files, uint64_t now_real_ns,
                               struct sq_error *error)
{
    struct material material;
    begin(&material);
    int result = read_all(files, &material, error);
    for (const mbedtls_x509_crt *own = &material.own; own != NULL && result == 0; own = own->next)
        result = check_time(files->certificate, own, now_real_ns, error);
    int authorities = result;
    for (const mbedtls_x509_crt *one = &material.controllers; one != NULL && result == 0; one = one->next) {
        authorities = check_time(files->controllers, one, now_real_ns, error);
        if (authorities == 0)
            break;
    }
    release(&material);
    return authorities;
}
