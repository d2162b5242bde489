/*
 * Writing to a path that somebody named for output (`plan -o`, `run --record`) without destroying what is
 * there: a file is replaced only by its own author, and what is no plain file is written through.
 *
 * A path that cannot be used is SQ_BAD_INPUT; a full or failing disk SQ_SYSTEM.
 */
#ifndef SQ_COMMON_OUTPUT_H
#define SQ_COMMON_OUTPUT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SQ_OUTPUT_BEGINNING 512 /* so many bytes of a file tell whose it is */

/* What may stand in the output's place. */
struct sq_output_form {
    const char *what; /* for messages: "plan" */
    mode_t mode;      /* of a new file */
    /* Does a file that begins like this come from us? `beginning` is terminated, and may hold zeros. */
    bool (*is_own)(const char *beginning, size_t length);
};

/*
 * Open `path` for appending, empty. Nothing there: a new file in a folder that exists. A plain file, or a
 * symbolic link to one: emptied if it was empty or is_own says so, and refused otherwise, or while another
 * squall writes it (it is locked). A device or a FIFO is opened as it is, without blocking (*stream is set):
 * write it with sq_output_write. A FIFO that nobody reads is refused. The caller closes *fd.
 */
int sq_output_open(const char *path, const struct sq_output_form *form, int *fd, bool *stream,
                   struct sq_error *error);

/*
 * Could it be written, as things stand? Changes nothing: for telling it before the work that is to be
 * written down is done. Says what sq_output_write_file would say of the path.
 */
int sq_output_check(const char *path, const struct sq_output_form *form, struct sq_error *error);

/*
 * The same as sq_output_open for a content that is known: a plain file gets it whole or stays as it was, its
 * folder synced, and a symbolic link stays one. A device or FIFO must take it within SQ_OUTPUT_PATIENCE_MS.
 */
#define SQ_OUTPUT_PATIENCE_MS 10000
int sq_output_write_file(const char *path, const struct sq_output_form *form, const void *content,
                         size_t length, struct sq_error *error);

/*
 * write(2) until all is written, waiting for a descriptor that does not block at most `patience_ms` at a
 * time. Returns how much was written; if that is less than `length`, errno says why (ETIMEDOUT: the reader
 * does not read).
 */
size_t sq_output_write(int fd, const void *content, size_t length, int patience_ms);

#endif
