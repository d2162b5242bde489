#include "record/reader.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "record/line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

struct sq_record_reader {
    FILE *stream;
    char *name;
    char *buffer;
    size_t size;
    json_t *document; /* of version 1; NULL: lines */
    uint32_t part;    /* the document's: which of `parts` is next, and how far */
    size_t index;
    struct sq_record_state state;
};

enum part { PART_HEAD, PART_PLAN, PART_EVENTS, PART_HOSTS, PART_ENDING, PART_END };

/* What of a document is no head. */
static const char *const ending_keys[] = {
    "ended",   "ending",    "exit_status",           "why",     "had_ended_because",
    "moments", "recovered", "not_recovered_because", "verified"};
static const char *const other_keys[] = {"plan",           "events",        "hosts",
                                         "probes",         "out_of_memory", "record",
                                         "record_problem", "damaged_lines", "being_written"};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

void sq_record_reader_close(struct sq_record_reader *reader)
{
    if (reader == NULL)
        return;
    (void)fclose(reader->stream);
    json_decref(reader->document);
    free(reader->buffer);
    free(reader->name);
    free(reader);
}

const struct sq_record_state *sq_record_reader_state(const struct sq_record_reader *reader)
{
    return &reader->state;
}

bool sq_record_is_own(const char *beginning, size_t length)
{
    size_t used = strnlen(beginning, length);
    const char *format = used > 0 && beginning[0] == '{' ? strstr(beginning, "\"format\"") : NULL;
    return format != NULL && strstr(format, "\"" SQ_RECORD_FORMAT "\"") != NULL;
}

static bool grow(struct sq_record_reader *reader)
{
    size_t size = reader->size != 0 ? reader->size * 2 : 4096;
    char *grown = realloc(reader->buffer, size);
    if (grown == NULL)
        return false;
    reader->buffer = grown;
    reader->size = size;
    return true;
}

/* One line without its end. What is longer than a line may be is passed over, and comes out cut. */
static int read_line(struct sq_record_reader *reader, size_t *length, bool *ended, struct sq_error *error)
{
    size_t used = 0;
    int c;
    *ended = false;
    while ((c = getc_unlocked(reader->stream)) != EOF) {
        if (c == '\n') {
            *ended = true;
            break;
        }
        if (used >= SQ_RECORD_LINE_MAX)
            continue;
        if (used == reader->size && !grow(reader))
            return sq_fail(error, SQ_SYSTEM, "out of memory for a line of %s", reader->name);
        reader->buffer[used++] = (char)c;
    }
    if (c == EOF && ferror(reader->stream))
        return sq_fail_errno(error, errno, "cannot read %s", reader->name);
    *length = used;
    return used > 0 || *ended ? 1 : 0;
}

static int next_line(struct sq_record_reader *reader, json_t **line, size_t *length, struct sq_error *error)
{
    for (;;) {
        bool ended = false;
        int got = read_line(reader, length, &ended, error);
        if (got <= 0)
            return got;
        if (*length == 0)
            continue;
        *line = json_loadb(reader->buffer, *length, 0, NULL);
        if (json_is_object(*line))
            return 1;
        json_decref(*line);
        *line = NULL;
        if (ended)
            reader->state.damaged++;
        else
            reader->state.torn = true;
    }
}

static json_t *head_of(const json_t *document)
{
    json_t *head = json_copy((json_t *)document);
    for (size_t i = 0; i < COUNT_OF(ending_keys); i++)
        (void)json_object_del(head, ending_keys[i]);
    for (size_t i = 0; i < COUNT_OF(other_keys); i++)
        (void)json_object_del(head, other_keys[i]);
    return head;
}

static json_t *ending_of(const json_t *document)
{
    if (!json_is_string(json_object_get(document, "ending")))
        return NULL;
    json_t *line = json_object();
    json_t *ended = json_object_get(document, "ended");
    if (ended != NULL)
        (void)json_object_set(line, "at", ended);
    for (size_t i = 0; i < COUNT_OF(ending_keys); i++) {
        json_t *value = json_object_get(document, ending_keys[i]);
        if (value != NULL)
            (void)json_object_set(line, ending_keys[i], value);
    }
    return line;
}

/* One line out of the document's part; NULL: the part is through. */
static json_t *part_line(struct sq_record_reader *reader, const char **type)
{
    const json_t *document = reader->document;
    size_t index = reader->index++;
    switch ((enum part)reader->part) {
    case PART_HEAD:
        return index == 0 ? head_of(document) : NULL;
    case PART_PLAN:
        *type = "plan";
        return json_copy(json_array_get(json_object_get(document, "plan"), index));
    case PART_EVENTS:
        return json_incref(json_array_get(json_object_get(document, "events"), index));
    case PART_HOSTS:
        *type = "result";
        return json_copy(json_array_get(json_object_get(document, "hosts"), index));
    case PART_ENDING:
        *type = "ending";
        return index == 0 ? ending_of(document) : NULL;
    case PART_END:
        break;
    }
    return NULL;
}

static int next_of_document(struct sq_record_reader *reader, json_t **line)
{
    while (reader->part != PART_END) {
        const char *type = NULL;
        json_t *value = part_line(reader, &type);
        if (value == NULL) {
            reader->part++;
            reader->index = 0;
            continue;
        }
        if (json_is_object(value) &&
            (type == NULL || json_object_set_new(value, "type", json_string(type)) == 0)) {
            *line = value;
            return 1;
        }
        json_decref(value);
        reader->state.damaged++;
    }
    return 0;
}

int sq_record_reader_next(struct sq_record_reader *reader, json_t **line, size_t *length,
                          struct sq_error *error)
{
    if (reader->document == NULL)
        return next_line(reader, line, length, error);
    *length = 0; /* the document is in memory as it is */
    return next_of_document(reader, line);
}

void sq_record_reader_rewind(struct sq_record_reader *reader)
{
    reader->part = PART_HEAD;
    reader->index = 0;
    reader->state.damaged = 0;
    reader->state.torn = false;
    rewind(reader->stream);
}

static int check_head(struct sq_record_reader *reader, const json_t *head, uint32_t expected,
                      struct sq_error *error)
{
    const char *format = json_string_value(json_object_get(head, "format"));
    json_int_t version = json_integer_value(json_object_get(head, "version"));
    const char *squall = json_string_value(json_object_get(head, "squall"));
    if (format == NULL || strcmp(format, SQ_RECORD_FORMAT) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s is no run record: its format is not \"" SQ_RECORD_FORMAT "\"",
                       reader->name);
    (void)sq_text_copy(reader->state.squall, sizeof(reader->state.squall), squall != NULL ? squall : "?");
    sq_text_make_printable(reader->state.squall);
    if (version != expected)
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s is a run record of version %lld, written by squall %s; this is squall " SQ_VERSION
                       ", which reads up to version %d",
                       reader->name, (long long)version, reader->state.squall, SQ_RECORD_VERSION);
    reader->state.version = (uint32_t)version;
    return 0;
}

/* The whole file as one document. */
static int read_document(struct sq_record_reader *reader, struct sq_error *error)
{
    struct stat status;
    json_error_t problem;
    if (fstat(fileno(reader->stream), &status) == 0 && status.st_size > (off_t)SQ_RECORD_DOCUMENT_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s is no run record, or one of version 1 with more than %u MiB",
                       reader->name, SQ_RECORD_DOCUMENT_MAX >> 20);
    rewind(reader->stream);
    reader->document = json_loadf(reader->stream, 0, &problem);
    if (reader->document == NULL)
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s is no run record: its first line is none, and as a document line %d says: %s",
                       reader->name, problem.line, problem.text);
    return check_head(reader, reader->document, 1, error);
}

static int begin(struct sq_record_reader *reader, struct sq_error *error)
{
    json_t *head = NULL;
    size_t length = 0;
    int got = next_line(reader, &head, &length, error);
    if (got < 0)
        return -1;
    if (got == 0 && reader->state.damaged == 0 && !reader->state.torn)
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s is empty: its run ended before the first line was written, or it is no record",
                       reader->name);
    bool first = got == 1 && reader->state.damaged == 0;
    /* A document may stand in one line as well. */
    if (first && json_integer_value(json_object_get(head, "version")) != 1) {
        int status = check_head(reader, head, SQ_RECORD_VERSION, error);
        json_decref(head);
        sq_record_reader_rewind(reader);
        return status;
    }
    json_decref(head);
    int status = read_document(reader, error);
    sq_record_reader_rewind(reader);
    return status;
}

int sq_record_reader_open_stream(FILE *stream, const char *name, struct sq_record_reader **reader_out,
                                 struct sq_error *error)
{
    struct sq_record_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        (void)fclose(stream);
        return sq_fail(error, SQ_SYSTEM, "out of memory for %s", name);
    }
    reader->stream = stream;
    reader->name = strdup(name);
    if (reader->name == NULL || begin(reader, error) != 0) {
        if (reader->name == NULL)
            (void)sq_fail(error, SQ_SYSTEM, "out of memory for %s", name);
        sq_record_reader_close(reader);
        return -1;
    }
    *reader_out = reader;
    return 0;
}

/* What can be read but once, as a file that nobody else sees. */
static FILE *copy_of(FILE *stream)
{
    char bytes[65536];
    size_t count;
    FILE *copy = tmpfile();
    while (copy != NULL && (count = fread(bytes, 1, sizeof(bytes), stream)) > 0) {
        if (fwrite(bytes, 1, count, copy) == count)
            continue;
        (void)fclose(copy);
        return NULL;
    }
    if (copy != NULL && (ferror(stream) || fflush(copy) != 0)) {
        (void)fclose(copy);
        return NULL;
    }
    if (copy != NULL)
        rewind(copy);
    return copy;
}

int sq_record_reader_open(const char *path, struct sq_record_reader **reader, struct sq_error *error)
{
    struct stat status;
    sq_autofile FILE *stream = strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "r") : fopen(path, "re");
    if (stream == NULL || fstat(fileno(stream), &status) != 0 || S_ISDIR(status.st_mode)) {
        int number = stream != NULL && S_ISDIR(status.st_mode) ? EISDIR : errno;
        return sq_fail(error, SQ_BAD_INPUT, "cannot read the run record %s: %s", path,
                       strerrordesc_np(number));
    }
    bool plain = S_ISREG(status.st_mode);
    if (!plain) {
        FILE *copy = copy_of(stream);
        if (copy == NULL)
            return sq_fail_errno(error, errno, "cannot copy the run record %s", path);
        (void)fclose(stream);
        stream = copy;
    }
    /* Its writer holds it locked while the run goes on. */
    bool locked = plain && flock(fileno(stream), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)flock(fileno(stream), LOCK_UN); /* and who reads it stands in nobody's way */
    if (sq_record_reader_open_stream(sq_take(stream), path, reader, error) != 0)
        return -1;
    (*reader)->state.being_written = locked;
    return 0;
}
