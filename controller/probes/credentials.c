#include "probes/credentials.h"

#include "common/cleanup.h"
#include "common/file.h"
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECRET_BYTES_MAX      (64u << 10)
#define CERTIFICATE_BYTES_MAX (4u << 20)
#define WARNING_MAX           600

static void unload(struct sq_credentials *credentials)
{
    struct sq_blob *blobs[] = {&credentials->ca, &credentials->certificate, &credentials->key};
    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
        free(blobs[i]->bytes);
    free(credentials->bearer);
    free(credentials->password);
    free(credentials);
}

struct loading {
    const char *whose;
    sq_warning warn;
    void *cookie;
};

static void warn_of_readers(const struct loading *loading, const char *path)
{
    struct stat status;
    char text[WARNING_MAX];
    if (loading->warn == NULL || stat(path, &status) != 0 || (status.st_mode & S_IROTH) == 0)
        return;
    (void)snprintf(text, sizeof(text),
                   "%s: everybody on this machine may read the secret in %s; chmod o-r it", loading->whose,
                   path);
    loading->warn(loading->cookie, text);
}

static int read_blob(const struct loading *loading, const char *path, bool secret, struct sq_blob *blob,
                     struct sq_error *error)
{
    if (path == NULL)
        return 0;
    if (sq_file_read(path, CERTIFICATE_BYTES_MAX, &blob->bytes, &blob->length, error) != 0) {
        if (error != NULL)
            error->code = SQ_BAD_INPUT;
        return sq_fail_in(error, "%s", loading->whose);
    }
    if (secret)
        warn_of_readers(loading, path);
    return 0;
}

/* One line, without its end: what goes into a header must not begin another one. */
static int take_line(const struct loading *loading, const char *from, char *text, struct sq_error *error)
{
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
    if (length == 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s: %s is empty; expected a secret", loading->whose, from);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return sq_fail(error, SQ_BAD_INPUT, "%s: %s holds more than one line; expected the secret alone",
                           loading->whose, from);
    return sq_secret_remember(text, length, error);
}

static int read_secret(const struct loading *loading, const struct sq_secret_source *source, char **text,
                       struct sq_error *error)
{
    size_t length = 0;
    if (source->variable != NULL) {
        const char *value = getenv(source->variable);
        if (value == NULL)
            return sq_fail(error, SQ_BAD_INPUT, "%s: the environment has no %.100s", loading->whose,
                           source->variable);
        *text = strdup(value);
        if (*text == NULL)
            return sq_fail(error, SQ_SYSTEM, "out of memory");
        return take_line(loading, source->variable, *text, error);
    }
    if (source->file == NULL)
        return 0;
    if (sq_file_read(source->file, SECRET_BYTES_MAX, text, &length, error) != 0) {
        if (error != NULL)
            error->code = SQ_BAD_INPUT;
        return sq_fail_in(error, "%s", loading->whose);
    }
    warn_of_readers(loading, source->file);
    return take_line(loading, source->file, *text, error);
}

int sq_access_load(struct sq_access *access, const char *whose, sq_warning warn, void *cookie,
                   struct sq_error *error)
{
    const struct loading loading = {.whose = whose, .warn = warn, .cookie = cookie};
    if (access == NULL || access->loaded != NULL)
        return 0;
    struct sq_credentials *credentials = calloc(1, sizeof(*credentials));
    if (credentials == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    if (read_secret(&loading, &access->bearer, &credentials->bearer, error) != 0 ||
        read_secret(&loading, &access->password, &credentials->password, error) != 0 ||
        read_blob(&loading, access->ca, false, &credentials->ca, error) != 0 ||
        read_blob(&loading, access->certificate, false, &credentials->certificate, error) != 0 ||
        read_blob(&loading, access->key, true, &credentials->key, error) != 0) {
        unload(credentials);
        return -1;
    }
    access->loaded = credentials;
    access->unload = unload;
    return 0;
}

int sq_credentials_load(struct sq_hypothesis *hypothesis, struct sq_access *prometheus, sq_warning warn,
                        void *cookie, struct sq_error *error)
{
    for (uint32_t i = 0; i < hypothesis->probe_count; i++) {
        char whose[SQ_TITLE_MAX + 48];
        (void)snprintf(whose, sizeof(whose), "probe \"%s\" on line %zu", hypothesis->probes[i].name,
                       hypothesis->probes[i].line);
        if (sq_access_load(hypothesis->probes[i].access, whose, warn, cookie, error) != 0)
            return -1;
    }
    return sq_access_load(prometheus, "Prometheus", warn, cookie, error);
}
