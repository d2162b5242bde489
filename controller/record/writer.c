#include "record/writer.h"

#include "common/clock.h"
#include "common/output.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_UP_MS 100 /* so often a thread that waits for a full FIFO looks whether anybody waits for it */

struct text {
    char *bytes;
    size_t length;
    size_t size;
};

struct sq_writer {
    int fd;
    bool stream;
    bool torn; /* the thread's own: the last write ended within a line */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct text pending;
    bool sync;
    bool closing;
    bool writing;
    bool done;      /* the thread is at its end */
    bool abandoned; /* nobody waits for it any more: the thread frees it */
    uint64_t lost;  /* lines that found no room */
    struct sq_error failure;
};

static void writer_free(struct sq_writer *writer)
{
    (void)close(writer->fd);
    (void)pthread_mutex_destroy(&writer->mutex);
    (void)pthread_cond_destroy(&writer->changed);
    free(writer->pending.bytes);
    free(writer);
}

static void note_failure(struct sq_writer *writer, int number, const char *what)
{
    (void)pthread_mutex_lock(&writer->mutex);
    if (writer->failure.code == SQ_OK)
        (void)sq_fail_errno(&writer->failure, number, "%s", what);
    (void)pthread_mutex_unlock(&writer->mutex);
}

static bool is_abandoned(struct sq_writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    bool abandoned = writer->abandoned;
    (void)pthread_mutex_unlock(&writer->mutex);
    return abandoned;
}

/* All of it, however long a reader takes, unless it fails or nobody waits any more. */
static bool write_bytes(struct sq_writer *writer, const char *bytes, size_t length)
{
    size_t written = 0;
    for (;;) {
        written += sq_output_write(writer->fd, bytes + written, length - written, LOOK_UP_MS);
        if (written == length || errno != ETIMEDOUT || is_abandoned(writer))
            break;
    }
    if (written < length)
        note_failure(writer, errno, "it could not be written");
    if (written > 0)
        writer->torn = bytes[written - 1] != '\n';
    return written == length;
}

static void write_text(struct sq_writer *writer, const struct text *text, bool sync)
{
    /* After half a line a new one begins, so that one is lost and not two. */
    if (text->length > 0 && (!writer->torn || write_bytes(writer, "\n", 1)))
        (void)write_bytes(writer, text->bytes, text->length);
    if (sync && !writer->stream && fsync(writer->fd) != 0)
        note_failure(writer, errno, "it could not be synced to its disk");
}

static void *write_lines(void *cookie)
{
    struct sq_writer *writer = cookie;
    (void)pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (writer->pending.length == 0 && !writer->closing)
            (void)pthread_cond_wait(&writer->changed, &writer->mutex);
        struct text text = writer->pending;
        bool last = writer->closing;
        bool sync = writer->sync || last;
        writer->pending = (struct text){0};
        writer->sync = false;
        writer->writing = true;
        (void)pthread_mutex_unlock(&writer->mutex);
        write_text(writer, &text, sync);
        (void)pthread_mutex_lock(&writer->mutex);
        writer->writing = false;
        /* The buffer is used again, unless another one was begun meanwhile. */
        if (writer->pending.bytes == NULL)
            writer->pending = (struct text){.bytes = text.bytes, .size = text.size};
        else
            free(text.bytes);
        (void)pthread_cond_broadcast(&writer->changed);
        if (last)
            break;
    }
    writer->done = true;
    bool abandoned = writer->abandoned;
    (void)pthread_mutex_unlock(&writer->mutex);
    if (abandoned)
        writer_free(writer);
    return NULL;
}

int sq_writer_open(int fd, bool stream, struct sq_writer **writer_out, struct sq_error *error)
{
    struct sq_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        (void)close(fd);
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
    }
    writer->fd = fd;
    writer->stream = stream;
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_cond_init(&writer->changed, NULL);
    /* A thread that took signals would take them from whoever waits for them. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&writer->thread, NULL, write_lines, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number != 0) {
        writer_free(writer);
        return sq_fail_errno(error, number, "thread for the run record");
    }
    *writer_out = writer;
    return 0;
}

static bool make_room(struct text *text, size_t length)
{
    if (length > SQ_WRITER_QUEUE_MAX - text->length)
        return false;
    size_t size = text->size != 0 ? text->size : 16384;
    while (size - text->length < length)
        size *= 2;
    char *grown = size == text->size ? text->bytes : realloc(text->bytes, size);
    if (grown == NULL)
        return false;
    text->bytes = grown;
    text->size = size;
    return true;
}

bool sq_writer_fits(struct sq_writer *writer, size_t length)
{
    (void)pthread_mutex_lock(&writer->mutex);
    bool fits = length <= SQ_WRITER_QUEUE_MAX - writer->pending.length;
    (void)pthread_mutex_unlock(&writer->mutex);
    return fits;
}

void sq_writer_add(struct sq_writer *writer, const char *line, size_t length, bool sync)
{
    if (length == 0)
        return;
    (void)pthread_mutex_lock(&writer->mutex);
    if (make_room(&writer->pending, length)) {
        memcpy(writer->pending.bytes + writer->pending.length, line, length);
        writer->pending.length += length;
    } else {
        writer->lost++;
    }
    writer->sync = writer->sync || sync;
    (void)pthread_cond_broadcast(&writer->changed);
    (void)pthread_mutex_unlock(&writer->mutex);
}

void sq_writer_lose(struct sq_writer *writer, const char *why)
{
    (void)pthread_mutex_lock(&writer->mutex);
    if (writer->failure.code == SQ_OK)
        (void)sq_fail(&writer->failure, SQ_SYSTEM, "%s", why);
    (void)pthread_mutex_unlock(&writer->mutex);
}

static struct timespec deadline_in(uint64_t patience_ns)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t end_ns = sq_ns_add((uint64_t)at.tv_sec * SQ_NS_PER_SECOND + (uint64_t)at.tv_nsec, patience_ns);
    at.tv_sec = (time_t)(end_ns / SQ_NS_PER_SECOND);
    at.tv_nsec = (long)(end_ns % SQ_NS_PER_SECOND);
    return at;
}

bool sq_writer_wait(struct sq_writer *writer, uint64_t patience_ns)
{
    struct timespec end = deadline_in(patience_ns);
    int number = 0;
    (void)pthread_mutex_lock(&writer->mutex);
    while ((writer->pending.length > 0 || writer->writing) && number != ETIMEDOUT)
        number = pthread_cond_clockwait(&writer->changed, &writer->mutex, CLOCK_MONOTONIC, &end);
    bool empty = writer->pending.length == 0 && !writer->writing;
    (void)pthread_mutex_unlock(&writer->mutex);
    return empty;
}

int sq_writer_close(struct sq_writer *writer, uint64_t patience_ns, struct sq_error *error)
{
    if (writer == NULL)
        return 0;
    struct timespec end = deadline_in(patience_ns);
    int number = 0;
    (void)pthread_mutex_lock(&writer->mutex);
    writer->closing = true;
    (void)pthread_cond_broadcast(&writer->changed);
    while (!writer->done && number != ETIMEDOUT)
        number = pthread_cond_clockwait(&writer->changed, &writer->mutex, CLOCK_MONOTONIC, &end);
    bool done = writer->done;
    struct sq_error failure = writer->failure;
    uint64_t lost = writer->lost;
    pthread_t thread = writer->thread;
    writer->abandoned = !done;
    (void)pthread_mutex_unlock(&writer->mutex);
    if (!done) {
        (void)pthread_detach(thread);
        return sq_fail(error, SQ_SYSTEM, "its disk, or its reader, does not take it in time");
    }
    (void)pthread_join(thread, NULL);
    writer_free(writer);
    if (failure.code != SQ_OK) {
        if (error != NULL)
            *error = failure;
        return -1;
    }
    if (lost > 0)
        return sq_fail(error, SQ_SYSTEM, "%llu lines were lost, because its disk was too slow for them",
                       (unsigned long long)lost);
    return 0;
}
