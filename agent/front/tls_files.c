#include "front/tls_files.h"

#include "common/file.h"

#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX (1u << 20)

static int read_pem(const char *path, const char *key, char **content, struct sq_error *error)
{
    if (path == NULL || path[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "a TLS listener needs 'tls: {%s: FILE}' in the configuration",
                       key);
    size_t length = 0;
    if (sq_file_read(path, PEM_BYTES_MAX, content, &length, error) != 0)
        return sq_fail_in(error, "tls %s", key);
    if (strlen(*content) != length || strstr(*content, "-----BEGIN ") == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "%s: not a PEM file; expected '-----BEGIN' and so on (tls %s)",
                       path, key);
    return 0;
}

int sq_tls_files_read(const struct sq_front_options *options, struct sq_tls_files *files,
                      struct sq_error *error)
{
    if (read_pem(options->tls_certificate, "certificate", &files->certificate, error) != 0 ||
        read_pem(options->tls_key, "key", &files->key, error) != 0 ||
        read_pem(options->tls_controllers, "controllers", &files->controllers, error) != 0)
        return -1;
    return 0;
}

void sq_tls_files_release(struct sq_tls_files *files)
{
    if (files->key != NULL)
        explicit_bzero(files->key, strlen(files->key));
    free(files->key);
    free(files->certificate);
    free(files->controllers);
    memset(files, 0, sizeof *files);
}
