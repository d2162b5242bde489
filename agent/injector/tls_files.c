#include "tls_files.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int look(const char *path, struct sq_tls_file *file, struct sq_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s: %s", path, strerrordesc_np(errno));
    *file = (struct sq_tls_file){.device = status.st_dev,
                                 .inode = status.st_ino,
                                 .size_bytes = status.st_size,
                                 .modified_ns = (int64_t)status.st_mtim.tv_sec * (int64_t)SQ_NS_PER_SECOND +
                                                status.st_mtim.tv_nsec};
    return 0;
}

static bool is_same(const struct sq_tls_file *a, const struct sq_tls_file *b)
{
    return a->device == b->device && a->inode == b->inode && a->size_bytes == b->size_bytes &&
           a->modified_ns == b->modified_ns;
}

int sq_tls_state_load(struct sq_tls_state *state, const struct sq_agent_config *config, bool *is_new,
                      struct sq_error *error)
{
    const char *const paths[SQ_TLS_FILES] = {config->tls_certificate, config->tls_key,
                                             config->tls_controllers};
    const struct sq_certificate_files files = {
        .certificate = paths[0], .key = paths[1], .controllers = paths[2]};
    struct sq_tls_state loaded = {.facts = {0}};
    struct sq_error late;
    *is_new = false;
    if (config->tls_certificate[0] == '\0')
        return 0;
    for (int i = 0; i < SQ_TLS_FILES; i++)
        if (look(paths[i], &loaded.files[i], error) != 0)
            return -1;
    if (sq_certificates_check(&files, &loaded.facts, error) != 0)
        return -1;
    for (int i = 0; i < SQ_TLS_FILES; i++)
        *is_new = *is_new || !is_same(&loaded.files[i], &state->files[i]);
    if (sq_certificates_check_time(&files, sq_real_ns(), &late) != 0) {
        /* At start they are better than none: the Unix socket works. Those in use are better than they. */
        if (*is_new && state->files[0].inode != 0)
            return sq_fail(error, SQ_BAD_INPUT, "%s", late.text);
        sq_log(SQ_LOG_WARNING, "%s", late.text);
    }
    *state = loaded;
    return 0;
}
