/* What the verbs that write and read run records share. */
#ifndef SQ_COMMANDS_RECORDS_H
#define SQ_COMMANDS_RECORDS_H

#include "commands/command.h"
#include "model/inventory.h"
#include "reports/report.h"

/* The folder of records: --runs, SQUALL_RUNS, the inventory's (NULL: there is none), ./squall-runs. */
bool sq_records_needs_inventory(const struct sq_options *options);
const char *sq_records_folder(const struct sq_options *options, const struct sq_inventory *inventory);

struct sq_report_style sq_records_style(bool colored);

#endif
