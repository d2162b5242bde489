/*
 * The run record, run.json (docs/run-record.md): a head that is set as things become known, and the events in
 * the order of their time, enough to draw the whole run. It is saved to its file while the run goes on, so
 * that a killed controller leaves what was known; saving happens on a thread of its own, because a slow disk
 * must never delay a rollback. All functions are for one thread.
 */
#ifndef SQ_RECORD_RECORD_H
#define SQ_RECORD_RECORD_H

#include "common/clock.h"
#include "common/error.h"

#include <jansson.h>
#include <stdint.h>

#define SQ_RECORD_FORMAT  "squall-run-record"
#define SQ_RECORD_VERSION 1

struct sq_record;

/*
 * Begin a record that will be saved to `path`, whose folder is made. The file is written at once, so that an
 * unwritable place is known before anything is injected.
 */
int sq_record_open(const char *path, struct sq_record **record, struct sq_error *error);
void sq_record_close(struct sq_record *record); /* waits for a save under way; does not save; NULL is fine */

/* Set a key of the head. Takes over `value`; NULL (out of memory while it was made) marks the record
 * incomplete. */
void sq_record_set(struct sq_record *record, const char *key, json_t *value);

/* Append an event. `fields` (an object, taken over; may be NULL) follow its time and type. */
void sq_record_event(struct sq_record *record, uint64_t boot_ns, const char *type, json_t *fields);

/* Hand what is known to the saving thread and return at once. A failure to write is told by sq_record_finish.
 */
void sq_record_save(struct sq_record *record);

/* Save if the last time was long ago, measured by what saving costs: for every turn of a loop. */
void sq_record_save_sometimes(struct sq_record *record, uint64_t now_boot_ns);

/* Write all of it, now. */
int sq_record_finish(struct sq_record *record, struct sq_error *error);

/* The head as an object, borrowed: the report's --json is made of it. */
const json_t *sq_record_head(const struct sq_record *record);

/* Wall-clock text and JSON for a boot-time moment of the controller, by the offset at sq_record_open. */
void sq_record_time_format(const struct sq_record *record, uint64_t boot_ns, char text[SQ_TIMESTAMP_MAX]);
json_t *sq_record_time(const struct sq_record *record, uint64_t boot_ns); /* JSON null for 0 */

/* The default place: squall-runs/<UTC time>-<first digits of the id>/run.json. */
void sq_record_default_path(uint64_t real_ns, const char *id_text, char *path, size_t size);

#endif
