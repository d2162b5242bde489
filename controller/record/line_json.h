/* The larger parts of lines, and how all of them set their keys; for line.c and line_json.c alone. */
#ifndef SQ_RECORD_LINE_JSON_H
#define SQ_RECORD_LINE_JSON_H

#include "record/line.h"

/* Take over `value`; NULL, of memory that ran out, is noted in the maker. */
void sq_line_set(struct sq_line_maker *maker, json_t *object, const char *key, json_t *value);
void sq_line_append(struct sq_line_maker *maker, json_t *array, json_t *value);

void sq_line_set_text(struct sq_line_maker *maker, json_t *object, const char *key, const char *text);

/* Nothing for NULL and "", and nothing for a time that never came. */
void sq_line_set_some(struct sq_line_maker *maker, json_t *object, const char *key, const char *text);
void sq_line_set_time(struct sq_line_maker *maker, json_t *object, const char *key, uint64_t boot_ns);

void sq_line_set_id(struct sq_line_maker *maker, json_t *object, const char *key, const struct sq_id *id);
void sq_line_set_step(struct sq_line_maker *maker, json_t *object, const struct sq_step *step);

json_t *sq_line_head_json(struct sq_line_maker *maker);
void sq_line_set_plan(struct sq_line_maker *maker, json_t *line, uint32_t host);
void sq_line_set_result(struct sq_line_maker *maker, json_t *line, const struct sq_run_last_host *host);

#endif
