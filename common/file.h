/* Files read whole within a bound, and written so that a crash leaves the old or the new content. */
#ifndef SQ_COMMON_FILE_H
#define SQ_COMMON_FILE_H

#include "error.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * Read `path` into a new, zero-terminated buffer that the caller frees. A file of more than `most_bytes`
 * is refused. Works on /proc, whose files have no size.
 */
int sq_file_read(const char *path, size_t most_bytes, char **content, size_t *length, struct sq_error *error);

/* The same from a descriptor, from where it stands; `name` stands for it in messages. */
int sq_file_read_fd(int fd, const char *name, size_t most_bytes, char **content, size_t *length,
                    struct sq_error *error);

/*
 * That a file may be rested on: a plain one, whose reading ends, that not everybody on this host may write.
 * SQ_BAD_INPUT says what is wrong and what to do.
 */
int sq_file_check_trusted(const char *path, struct sq_error *error);

/*
 * The same into the caller's buffer of 1 byte at least, zero-terminated and cut at size - 1: for paths that
 * may not allocate. Returns the length, or -1 with errno.
 */
ssize_t sq_file_read_into(const char *path, char *buffer, size_t size);

/* Write a temporary file beside `path`, fsync it, rename it over `path`, fsync the directory. */
int sq_file_write(const char *path, const void *content, size_t length, mode_t mode, struct sq_error *error);

/* write(2) until all is written or an error comes; returns -1 with errno. */
int sq_write_all(int fd, const void *content, size_t length);

/*
 * A program that is started with standard input, output or error closed would get these numbers for files of
 * its own, and what it prints would go into them: put /dev/null there.
 */
int sq_standard_files_open(struct sq_error *error);

/* mkdir -p. */
int sq_directory_make(const char *path, mode_t mode, struct sq_error *error);

#endif
