/*
 * The lines of a run record, whatever became of its file: a torn last line is dropped, damaged ones are
 * skipped and counted, every byte sequence is survived, and memory is bounded by the longest line.
 *
 * A record of version 1, which was one JSON document (and which `squall report --format json` still gives),
 * is read as the lines that it would have been.
 */
#ifndef SQ_RECORD_READER_H
#define SQ_RECORD_READER_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SQ_RECORD_LINE_MAX     (8u << 20)
#define SQ_RECORD_DOCUMENT_MAX (128u << 20) /* of version 1 */

struct sq_record_reader;

/* What was seen of the file so far; at the end, of all of it. */
struct sq_record_state {
    uint32_t version;   /* 1 or 2 */
    char squall[64];    /* the version of squall that wrote it */
    uint64_t damaged;   /* lines that are none */
    bool torn;          /* the last line was cut short */
    bool being_written; /* its run goes on */
};

/*
 * SQ_BAD_INPUT says what is wrong: no such file, no record, a record of a newer squall. What is no plain file
 * is copied first, since it can be read but once.
 */
int sq_record_reader_open(const char *path, struct sq_record_reader **reader, struct sq_error *error);

/* The same for a stream that can be positioned; it is taken over, also on failure. */
int sq_record_reader_open_stream(FILE *stream, const char *name, struct sq_record_reader **reader,
                                 struct sq_error *error);
void sq_record_reader_close(struct sq_record_reader *reader); /* NULL is fine */

/*
 * The next line, the head first: a JSON object that the caller releases, and how many bytes it had. Returns
 * 1, 0 at the end, or -1 (the disk).
 */
int sq_record_reader_next(struct sq_record_reader *reader, json_t **line, size_t *length,
                          struct sq_error *error);

/* Begin anew with the head. */
void sq_record_reader_rewind(struct sq_record_reader *reader);

const struct sq_record_state *sq_record_reader_state(const struct sq_record_reader *reader);

/* Does a file that begins like this come from us: a record of any version? (struct sq_output_form) */
bool sq_record_is_own(const char *beginning, size_t length);

#endif
