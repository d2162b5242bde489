/*
 * What a person named on the command line, read once and handed to every reader: a pipe, a FIFO or standard
 * input gives its bytes only once.
 */
#ifndef SQ_READING_INPUT_H
#define SQ_READING_INPUT_H

#include "common/document.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_INPUT_BYTES_MAX (64u << 20) /* of a plan; a document has SQ_DOCUMENT_BYTES_MAX */

struct sq_input {
    char *path; /* as it was named, "<stdin>" for "-"; stands for it in messages */
    char *text; /* `length` bytes and a zero */
    size_t length;
    bool is_stream; /* no plain file: paths in it are taken from the current folder */
};

/* "-" is standard input. SQ_BAD_INPUT, as the one who named it is asked. Freed with sq_input_free. */
int sq_input_read(const char *path, struct sq_input *input, struct sq_error *error);
void sq_input_free(struct sq_input *input); /* all zero is fine */
#define sq_autoinput __attribute__((cleanup(sq_input_free)))

/* As YAML or JSON. The caller frees with sq_document_free. */
int sq_input_document(const struct sq_input *input, struct sq_document **document, struct sq_error *error);

#endif
