/*
 * Lines into a file by a thread of its own, so that a slow, full or hanging disk delays nobody: adding a line
 * never waits. What does not reach the file (the queue is full, a write fails) is lost, the lines after it
 * are tried all the same, and the end says that the file is not whole.
 */
#ifndef SQ_RECORD_WRITER_H
#define SQ_RECORD_WRITER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_WRITER_QUEUE_MAX (16u << 20) /* bytes that wait at most */

struct sq_writer;

/* `fd` is taken over, also on failure. `stream`: no plain file, so there is nothing to sync. */
int sq_writer_open(int fd, bool stream, struct sq_writer **writer, struct sq_error *error);

/* Is there room for so much now? */
bool sq_writer_fits(struct sq_writer *writer, size_t length);

/* Queue a line, which ends in '\n'. With `sync` it is on the disk before what follows is written. */
void sq_writer_add(struct sq_writer *writer, const char *line, size_t length, bool sync);

/* Say that something could not even be made into a line. The first reason is kept. */
void sq_writer_lose(struct sq_writer *writer, const char *why);

/* Wait until all that was added is written, or lost; false: not within `patience_ns`. */
bool sq_writer_wait(struct sq_writer *writer, uint64_t patience_ns);

/*
 * Wait for what was added, sync, close the file and free the writer; NULL is fine. -1 and why: the file is
 * not whole. A disk that hangs for `patience_ns` is left alone with what it should write.
 */
int sq_writer_close(struct sq_writer *writer, uint64_t patience_ns, struct sq_error *error);

#endif
