#include "commands/records.h"

#include "record/runs.h"

#include <stdlib.h>

static const char *from_environment(void)
{
    const char *given = getenv("SQUALL_RUNS");
    return given != NULL && given[0] != '\0' ? given : NULL;
}

bool sq_records_needs_inventory(const struct sq_options *options)
{
    return options->runs_path == NULL && from_environment() == NULL;
}

const char *sq_records_folder(const struct sq_options *options, const struct sq_inventory *inventory)
{
    const char *given = from_environment();
    if (options->runs_path != NULL)
        return options->runs_path;
    if (given != NULL)
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
