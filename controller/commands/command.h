/* The verbs of squall: one file each in commands/, one table in main.c. */
#ifndef SQ_COMMANDS_COMMAND_H
#define SQ_COMMANDS_COMMAND_H

#include "common/error.h"
#include "model/ending.h"
#include "model/experiment.h"
#include "screen/style.h"

#include <stdbool.h>

/* The command line, parsed once in main.c; each verb says which of these it takes. */
struct sq_options {
    const char *hosts_path;     /* --hosts, SQUALL_HOSTS or /etc/squall/hosts.yaml */
    bool hosts_given;           /* --hosts stood on the command line */
    const char *prometheus_url; /* --prometheus; NULL: the inventory's */
    const char *output_path;    /* plan -o */
    const char *record_path;    /* run --record FILE; default ./squall-runs/<time>-<id>/run.json */
    bool json;
    bool yes;     /* run --yes */
    bool offline; /* plan --offline */
    bool local;   /* --local */
    enum sq_color color;
    uint32_t setting_count;
    struct sq_setting settings[SQ_PARAMETERS_MAX];
    uint32_t operand_count; /* FILEs */
    char **operands;
};

struct sq_command {
    const char *name;
    const char *synopsis; /* "validate FILE..." */
    const char *help;     /* man-page quality: what it does, its options, an example, exit statuses */
    const char *options;  /* the letters or long names it takes, separated by spaces: "hosts json local" */
    uint32_t operands_least;
    uint32_t operands_most;
    int (*run)(const struct sq_options *options); /* returns the exit status; has printed its errors */
};

extern const struct sq_command sq_command_validate;
extern const struct sq_command sq_command_hosts;
extern const struct sq_command sq_command_plan;
extern const struct sq_command sq_command_run;
extern const struct sq_command sq_command_halt;
extern const struct sq_command sq_command_status;

/* Print "squall: <text>" on standard error (or a JSON object on standard output with --json) and return its
 * status. */
int sq_command_fail(const struct sq_options *options, const struct sq_error *error);

#endif
