#include "commands/command.h"
#include "commands/options.h"
#include "commands/output.h"

#include <stdio.h>

static int run_version(const struct sq_options *options)
{
    if (options->json)
        return sq_output_json(json_pack("{s:s}", "version", SQ_VERSION), SQ_EXIT_COMPLETED, NULL);
    (void)printf("squall %s\n", SQ_VERSION);
    return sq_output_text(SQ_EXIT_COMPLETED);
}

static const struct sq_option *const option_table[] = {&sq_option_json, NULL};

const struct sq_command sq_command_version = {
    .name = "version",
    .synopsis = "version",
    .help = "print the version of squall\n"
            "\n"
            "Exit status: 0, or 4 when it could not be printed.\n",
    .options = option_table,
    .run = run_version,
};
