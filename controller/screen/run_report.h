/* The observer that writes what a run came to, as text for people, once it has ended. */
#ifndef SQ_SCREEN_RUN_REPORT_H
#define SQ_SCREEN_RUN_REPORT_H

#include "common/error.h"
#include "events/event.h"

#include <stdbool.h>

struct sq_run_report;

int sq_run_report_open(bool colored, struct sq_run_report **report, struct sq_error *error);
void sq_run_report_close(struct sq_run_report *report); /* NULL is fine */

struct sq_observer sq_run_report_observer(struct sq_run_report *report);

/* The text; "" before the run's end. */
const char *sq_run_report_text(const struct sq_run_report *report);

#endif
