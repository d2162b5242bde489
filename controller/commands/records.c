#include "commands/records.h"

#include "record/runs.h"

#include <stdlib.h>

const char *sq_records_folder(const struct sq_options *options, const struct sq_inventory *inventory)
{
    const char *given = getenv("SQUALL_RUNS");
    if (options->runs_path != NULL)
        return options->runs_path;
    if (given != NULL && given[0] != '\0')
        return given;
    return inventory != NULL && inventory->runs[0] != '\0' ? inventory->runs : SQ_RUNS_DEFAULT;
}

struct sq_report_style sq_records_style(bool colored)
{
    return (struct sq_report_style){
        .good = sq_style_begin(colored, SQ_STYLE_GOOD),
        .bad = sq_style_begin(colored, SQ_STYLE_BAD),
        .warning = sq_style_begin(colored, SQ_STYLE_WARNING),
        .faint = sq_style_begin(colored, SQ_STYLE_FAINT),
        .end = sq_style_end(colored),
    };
}
