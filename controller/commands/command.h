/* The verbs of squall: one file each in commands/, one table in verbs.c. */
#ifndef SQ_COMMANDS_COMMAND_H
#define SQ_COMMANDS_COMMAND_H

#include "common/error.h"
#include "model/ending.h"
#include "model/experiment.h"
#include "screen/style.h"

#include <stdbool.h>
#include <stddef.h>

struct sq_option;

/* The command line, parsed once in main.c; each verb's table of options says which of these it takes. */
struct sq_options {
    const char *hosts_path;     /* --hosts, SQUALL_HOSTS or /etc/squall/hosts.yaml */
    bool hosts_given;           /* --hosts stood on the command line */
    const char *prometheus_url; /* --prometheus; NULL: the inventory's */
    const char *output_path;    /* plan -o */
    const char *record_path;    /* run --record FILE; NULL: in the folder of runs */
    const char *runs_path;      /* --runs; NULL: as commands/records.h says */
    bool json;
    bool yes;     /* run --yes */
    bool offline; /* plan --offline */
    bool local;   /* --local */
    bool help;
    bool version;
    enum sq_color color;
    uint32_t setting_count;
    struct sq_setting settings[SQ_PARAMETERS_MAX];
    uint32_t operand_count; /* FILEs */
    char **operands;
};

struct sq_command {
    const char *name;
    const char *synopsis; /* "validate FILE..." */
    /* Man-page quality: what it does, an example, exit statuses. The first line stands in the list of verbs.
     * Lines are joined and broken anew, but for those that are empty or begin with a space. */
    const char *help;
    const struct sq_option *const
        *options; /* options.h; those that it takes beside the common ones, and NULL */
    uint32_t operands_least;
    uint32_t operands_most;
    int (*run)(const struct sq_options *options); /* returns the exit status; has printed its errors */
};

extern const struct sq_command *const sq_commands[];
extern const size_t sq_command_count;

extern const struct sq_command sq_command_validate;
extern const struct sq_command sq_command_hosts;
extern const struct sq_command sq_command_plan;
extern const struct sq_command sq_command_run;
extern const struct sq_command sq_command_report;
extern const struct sq_command sq_command_halt;
extern const struct sq_command sq_command_status;
extern const struct sq_command sq_command_version;

/* Print "squall: <text>" on standard error (or a JSON object on standard output with --json) and return its
 * status. */
int sq_command_fail(const struct sq_options *options, const struct sq_error *error);

#endif
