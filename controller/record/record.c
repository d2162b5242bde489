#include "record/record.h"

#include "common/clock.h"
#include "common/output.h"
#include "record/writer.h"
#include "json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_PATIENCE_MS 5000
/* At the end nothing is in any more, but somebody waits for the report. */
#define FILE_PATIENCE_NS   (10 * SQ_NS_PER_SECOND)
#define STREAM_PATIENCE_NS (2 * SQ_NS_PER_SECOND)

struct sq_record {
    struct sq_line_maker maker;
    struct sq_record_head head;
    struct sq_writer *writer; /* NULL: not yet, or closed */
    struct sq_summary *summary;
    char *text; /* of a line; grows */
    size_t text_size;
    bool sync;    /* the line under way is one that must be on the disk */
    bool at_end;  /* the run is over: waiting for the disk delays nothing any more */
    int first_fd; /* while the first line is written; then -1 */
    bool stream;
    bool finished;
    char *path;
    struct stat file;        /* as it was opened */
    uint64_t bytes;          /* of all its lines */
    struct sq_error failure; /* why it is not whole */
};

static uint64_t patience_ns(const struct sq_record *record)
{
    return record->stream ? STREAM_PATIENCE_NS : FILE_PATIENCE_NS;
}

static int fail_memory(struct sq_error *error)
{
    return sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
}

/* The line as text, in record->text; 0: out of memory. */
static size_t format(struct sq_record *record, const json_t *line)
{
    const size_t flags = JSON_COMPACT | JSON_PRESERVE_ORDER | sq_json_digits(line);
    size_t length = json_dumpb(line, record->text, record->text_size, flags);
    if (length + 2 > record->text_size) {
        size_t size = 2 * length + 4096;
        char *grown = realloc(record->text, size);
        if (grown == NULL)
            return 0;
        record->text = grown;
        record->text_size = size;
        length = json_dumpb(line, record->text, record->text_size, flags);
    }
    if (length == 0 || length + 2 > record->text_size)
        return 0;
    record->text[length] = '\n';
    return length + 1;
}

static void take(void *cookie, const json_t *line)
{
    struct sq_record *record = cookie;
    size_t length = format(record, line);
    sq_summary_take(record->summary, line, length);
    record->bytes += length;
    if (length == 0) {
        record->maker.lost = true;
        return;
    }
    if (record->writer == NULL) {
        if (record->first_fd >= 0 &&
            sq_output_write(record->first_fd, record->text, length, HEAD_PATIENCE_MS) == length &&
            (record->stream || fsync(record->first_fd) == 0))
            return;
        (void)sq_fail_errno(&record->failure, errno, "its first line could not be written");
        return;
    }
    if (record->at_end && !sq_writer_fits(record->writer, length))
        (void)sq_writer_wait(record->writer, patience_ns(record));
    sq_writer_add(record->writer, record->text, length, record->sync);
}

static int write_head(struct sq_record *record, struct sq_error *error)
{
    sq_line_head(&record->maker);
    if (record->maker.lost)
        return fail_memory(error);
    if (record->failure.code != SQ_OK) {
        *error = record->failure;
        return -1;
    }
    int fd = record->first_fd;
    record->first_fd = -1;
    return sq_writer_open(fd, record->stream, &record->writer, error);
}

int sq_record_open(const struct sq_record_head *head, const char *path, struct sq_record **record_out,
                   struct sq_error *error)
{
    static const struct sq_output_form form = {
        .what = "run record", .mode = 0600, .is_own = sq_record_is_own};
    struct sq_record *record = calloc(1, sizeof(*record));
    if (record == NULL || (record->summary = sq_summary_new()) == NULL ||
        (record->path = strdup(path)) == NULL) {
        if (record != NULL)
            sq_summary_free(record->summary);
        free(record);
        return fail_memory(error);
    }
    record->first_fd = -1;
    record->head = *head;
    record->maker = (struct sq_line_maker){.head = &record->head, .take = take, .cookie = record};
    if (sq_output_open(path, &form, &record->first_fd, &record->stream, error) != 0 ||
        (fstat(record->first_fd, &record->file) != 0 && sq_fail_errno(error, errno, "cannot look at it")) ||
        write_head(record, error) != 0) {
        sq_record_close(record);
        return sq_fail_in(error, "run record %s", path);
    }
    *record_out = record;
    return 0;
}

static void see(void *cookie, const struct sq_run_event *event)
{
    struct sq_record *record = cookie;
    if (record->finished)
        return;
    record->at_end = event->kind == SQ_EVENT_ENDING;
    record->sync = event->kind == SQ_EVENT_DECISION || event->kind == SQ_EVENT_PHASE;
    sq_line_event(&record->maker, event);
}

struct sq_observer sq_record_observer(struct sq_record *record)
{
    return (struct sq_observer){.see = see, .cookie = record};
}

void sq_record_end_early(struct sq_record *record, enum sq_exit ending, const char *why)
{
    if (record->finished)
        return;
    record->sync = true;
    sq_line_ended_early(&record->maker, sq_boot_ns(), ending, why);
}

bool sq_record_wait(struct sq_record *record, uint64_t most_ns)
{
    return record->writer == NULL || sq_writer_wait(record->writer, most_ns);
}

/* Somebody may have removed, moved or emptied it meanwhile: what was written is then not where it is said to
 * be. */
static int check_file(const struct sq_record *record, struct sq_error *error)
{
    struct stat status;
    if (record->stream)
        return 0;
    if (stat(record->path, &status) != 0)
        return sq_fail_errno(error, errno, "it was taken away while it was written");
    if (status.st_dev != record->file.st_dev || status.st_ino != record->file.st_ino)
        return sq_fail(error, SQ_SYSTEM, "another file has taken its place while it was written");
    if ((uint64_t)status.st_size < record->bytes)
        return sq_fail(error, SQ_SYSTEM, "somebody cut it short while it was written");
    return 0;
}

int sq_record_finish(struct sq_record *record, struct sq_error *error)
{
    if (!record->finished) {
        struct sq_writer *writer = record->writer;
        record->writer = NULL;
        record->finished = true;
        if (record->maker.lost || record->summary->lost)
            sq_writer_lose(writer, "memory ran out for some of it");
        if (sq_writer_close(writer, patience_ns(record), &record->failure) == 0)
            (void)check_file(record, &record->failure);
    }
    if (record->failure.code == SQ_OK)
        return 0;
    *error = record->failure;
    return -1;
}

const struct sq_summary *sq_record_summary(const struct sq_record *record)
{
    return record->summary;
}

void sq_record_close(struct sq_record *record)
{
    if (record == NULL)
        return;
    if (record->first_fd >= 0)
        (void)close(record->first_fd);
    (void)sq_writer_close(record->writer, patience_ns(record), NULL);
    sq_summary_free(record->summary);
    free(record->path);
    free(record->text);
    free(record);
}
