#include "record/record.h"

#include "common/cleanup.h"
#include "common/file.h"
#include "common/text.h"
#include "json/json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAVE_LEAST_INTERVAL_NS (2 * SQ_NS_PER_SECOND)
#define SAVE_COST_FACTOR       50 /* saving takes at most a fiftieth of the loop's time */
#define RECORD_MODE            0644

struct text {
    char *bytes;
    size_t length;
    size_t size;
};

struct sq_record {
    char path[PATH_MAX];
    uint64_t opened_boot_ns;
    uint64_t real_minus_boot_ns;
    json_t *head;
    struct text events; /* serialized, joined by commas */
    bool incomplete;
    uint64_t next_save_boot_ns;

    pthread_t saver;
    bool saver_runs;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct text pending; /* what the thread shall write; empty: nothing */
    bool closing;
    bool writing;
};

static int text_add(struct text *text, const char *bytes, size_t length)
{
    if (length > text->size - text->length) {
        size_t size = text->size != 0 ? text->size : 4096;
        while (size - text->length < length) {
            if (size > SIZE_MAX / 2)
                return -1;
            size *= 2;
        }
        char *grown = realloc(text->bytes, size);
        if (grown == NULL)
            return -1;
        text->bytes = grown;
        text->size = size;
    }
    if (length > 0)
        memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    return 0;
}

static void *save_thread(void *cookie)
{
    struct sq_record *record = cookie;
    (void)pthread_mutex_lock(&record->mutex);
    for (;;) {
        while (record->pending.bytes == NULL && !record->closing)
            (void)pthread_cond_wait(&record->changed, &record->mutex);
        if (record->pending.bytes == NULL)
            break;
        struct text content = record->pending;
        record->pending = (struct text){0};
        record->writing = true;
        (void)pthread_mutex_unlock(&record->mutex);
        /* A failure here shows again, and is told, when the whole record is written at the end. */
        (void)sq_file_write(record->path, content.bytes, content.length, RECORD_MODE, NULL);
        free(content.bytes);
        (void)pthread_mutex_lock(&record->mutex);
        record->writing = false;
        (void)pthread_cond_broadcast(&record->changed);
    }
    (void)pthread_mutex_unlock(&record->mutex);
    return NULL;
}

/* {head..., "complete": bool, "events": [...]} */
static int compose(const struct sq_record *record, struct text *text)
{
    sq_autofree char *head = json_dumps(record->head, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    size_t length = head != NULL ? strlen(head) : 0;
    if (length < 4)
        return -1;
    length -= 2; /* "\n}" */
    int status = text_add(text, head, length);
    const char *separator =
        record->incomplete ? ",\n \"out_of_memory\": true,\n \"events\": [\n" : ",\n \"events\": [\n";
    status |= text_add(text, separator, strlen(separator));
    status |= text_add(text, record->events.bytes, record->events.length);
    status |= text_add(text, "\n ]\n}\n", 6);
    return status;
}

static int write_now(struct sq_record *record, struct sq_error *error)
{
    struct text text = {0};
    int status = compose(record, &text);
    if (status != 0)
        status = sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
    else
        status = sq_file_write(record->path, text.bytes, text.length, RECORD_MODE, error);
    free(text.bytes);
    return status;
}

static int make_folder(const char *path, struct sq_error *error)
{
    char folder[PATH_MAX];
    if (!sq_text_copy(folder, sizeof(folder), path))
        return sq_fail(error, SQ_BAD_INPUT, "the path of the run record is too long");
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder)
        return 0;
    *slash = '\0';
    return sq_directory_make(folder, 0755, error);
}

int sq_record_open(const char *path, struct sq_record **record_out, struct sq_error *error)
{
    if (make_folder(path, error) != 0)
        return sq_fail_in(error, "run record %s", path);
    struct sq_record *record = calloc(1, sizeof(*record));
    if (record == NULL || (record->head = json_object()) == NULL) {
        free(record);
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
    }
    (void)sq_text_copy(record->path, sizeof(record->path), path);
    record->opened_boot_ns = sq_boot_ns();
    record->real_minus_boot_ns = sq_real_ns() - record->opened_boot_ns;
    (void)pthread_mutex_init(&record->mutex, NULL);
    (void)pthread_cond_init(&record->changed, NULL);
    sq_record_set(record, "format", json_string(SQ_RECORD_FORMAT));
    sq_record_set(record, "version", json_integer(SQ_RECORD_VERSION));
    sq_record_set(record, "squall", json_string(SQ_VERSION));
    sq_record_set(record, "began", sq_record_time(record, record->opened_boot_ns));
    if (write_now(record, error) != 0) {
        sq_record_close(record);
        return sq_fail_in(error, "run record %s", path);
    }
    /* A thread that took signals would take them from whoever waits for them. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&record->saver, NULL, save_thread, record);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number != 0) {
        sq_record_close(record);
        return sq_fail_errno(error, number, "thread for the run record");
    }
    record->saver_runs = true;
    *record_out = record;
    return 0;
}

void sq_record_close(struct sq_record *record)
{
    if (record == NULL)
        return;
    if (record->saver_runs) {
        (void)pthread_mutex_lock(&record->mutex);
        record->closing = true;
        (void)pthread_cond_broadcast(&record->changed);
        (void)pthread_mutex_unlock(&record->mutex);
        (void)pthread_join(record->saver, NULL);
    }
    (void)pthread_mutex_destroy(&record->mutex);
    (void)pthread_cond_destroy(&record->changed);
    json_decref(record->head);
    free(record->events.bytes);
    free(record->pending.bytes);
    free(record);
}

void sq_record_set(struct sq_record *record, const char *key, json_t *value)
{
    if (json_object_set_new(record->head, key, value) != 0)
        record->incomplete = true;
}

void sq_record_event(struct sq_record *record, uint64_t boot_ns, const char *type, json_t *fields)
{
    json_t *event = json_object();
    int status = json_object_set_new(event, "at", sq_record_time(record, boot_ns));
    uint64_t since_ns = sq_ns_sub(boot_ns, record->opened_boot_ns);
    status |= json_object_set_new(event, "t", sq_json_seconds(since_ns));
    status |= json_object_set_new(event, "type", json_string(type));
    if (fields != NULL)
        status |= json_object_update(event, fields);
    json_decref(fields);
    sq_autofree char *text = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(event);
    if (status != 0 || text == NULL) {
        record->incomplete = true;
        return;
    }
    size_t before = record->events.length;
    const char *separator = before != 0 ? ",\n  " : "  ";
    if (text_add(&record->events, separator, strlen(separator)) != 0 ||
        text_add(&record->events, text, strlen(text)) != 0) {
        record->events.length = before;
        record->incomplete = true;
    }
}

void sq_record_save(struct sq_record *record)
{
    struct text text = {0};
    uint64_t began_boot_ns = sq_boot_ns();
    if (compose(record, &text) != 0) {
        free(text.bytes);
        return;
    }
    uint64_t cost_ns = sq_boot_ns() - began_boot_ns;
    uint64_t interval_ns = cost_ns * SAVE_COST_FACTOR;
    if (interval_ns < SAVE_LEAST_INTERVAL_NS)
        interval_ns = SAVE_LEAST_INTERVAL_NS;
    record->next_save_boot_ns = sq_ns_add(began_boot_ns, interval_ns);
    (void)pthread_mutex_lock(&record->mutex);
    free(record->pending.bytes);
    record->pending = text;
    (void)pthread_cond_broadcast(&record->changed);
    (void)pthread_mutex_unlock(&record->mutex);
}

void sq_record_save_sometimes(struct sq_record *record, uint64_t now_boot_ns)
{
    if (now_boot_ns >= record->next_save_boot_ns)
        sq_record_save(record);
}

int sq_record_finish(struct sq_record *record, struct sq_error *error)
{
    (void)pthread_mutex_lock(&record->mutex);
    free(record->pending.bytes);
    record->pending = (struct text){0};
    while (record->writing)
        (void)pthread_cond_wait(&record->changed, &record->mutex);
    (void)pthread_mutex_unlock(&record->mutex);
    if (write_now(record, error) != 0)
        return sq_fail_in(error, "run record %s", record->path);
    return 0;
}

const json_t *sq_record_head(const struct sq_record *record)
{
    return record->head;
}

void sq_record_time_format(const struct sq_record *record, uint64_t boot_ns, char text[SQ_TIMESTAMP_MAX])
{
    sq_timestamp_format(boot_ns + record->real_minus_boot_ns, text);
}

json_t *sq_record_time(const struct sq_record *record, uint64_t boot_ns)
{
    char text[SQ_TIMESTAMP_MAX];
    if (boot_ns == 0)
        return json_null();
    sq_record_time_format(record, boot_ns, text);
    return json_string(text);
}

void sq_record_default_path(uint64_t real_ns, const char *id_text, char *path, size_t size)
{
    time_t seconds = (time_t)(real_ns / SQ_NS_PER_SECOND);
    struct tm utc;
    char stamp[32] = "";
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    (void)snprintf(path, size, "squall-runs/%s-%.8s/run.json", stamp, id_text);
}
