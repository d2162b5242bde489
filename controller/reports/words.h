/* What the parts of the text report share: printable texts out of JSON, and times; for text*.c alone. */
#ifndef SQ_REPORTS_WORDS_H
#define SQ_REPORTS_WORDS_H

#include "reports/report.h"

#include <stdbool.h>

#define SQ_SHOWN_MAX 1024

struct sq_text_report {
    const struct sq_report *report;
    const struct sq_summary *summary;
    const struct sq_report_style *style;
    FILE *stream;
    /* A few texts at a time: what sq_shown returned is overwritten by the sixth call after it. */
    char shown[6][SQ_SHOWN_MAX];
    unsigned next_shown;
};

/* The text of a key, printable and cut to SQ_SHOWN_MAX - 1 bytes; "" if there is none. */
const char *sq_shown(struct sq_text_report *text, const json_t *object, const char *key);
const char *sq_shown_text(struct sq_text_report *text, const char *words);

bool sq_has(const json_t *object, const char *key);     /* the key, and it is not null */
bool sq_is_true(const json_t *object, const char *key); /* the key, and it is true */

/* "19:12:08.123", with its date before it when that is not the run's first day. */
const char *sq_shown_time(struct sq_text_report *text, uint64_t real_ns);

/* "2026-11-27 19:12:08.123", and "CET (UTC+01:00)". */
const char *sq_shown_date(struct sq_text_report *text, uint64_t real_ns);
const char *sq_shown_zone(struct sq_text_report *text, uint64_t real_ns);

/* text_faults.c, text_probes.c */
void sq_report_faults(struct sq_text_report *text);
void sq_report_probes(struct sq_text_report *text);

#endif
