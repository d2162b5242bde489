#include "commands/options.h"
#include "commands/records.h"
#include "common/cleanup.h"
#include "reading/inventory.h"
#include "record/runs.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static void close_reader(struct sq_record_reader **reader)
{
    sq_record_reader_close(*reader);
}

static void free_summary(struct sq_summary **summary)
{
    sq_summary_free(*summary);
}

/* Only its `runs:` matters here, so one that nobody named may as well be missing or wrong. */
static int load_inventory(const struct sq_options *options, struct sq_inventory **inventory,
                          struct sq_error *error)
{
    if (!sq_records_needs_inventory(options))
        return 0;
    return sq_inventory_load(options->hosts_path, inventory, error) != 0 && options->hosts_given ? -1 : 0;
}

static int find_record(const struct sq_options *options, char path[PATH_MAX], struct sq_error *error)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    if (load_inventory(options, &inventory, error) != 0)
        return -1;
    return sq_runs_find(sq_records_folder(options, inventory), options->operands[0], path, PATH_MAX, error);
}

static int run_report(const struct sq_options *options)
{
    char path[PATH_MAX];
    struct sq_error error;
    sq_auto(close_reader) struct sq_record_reader *reader = NULL;
    sq_auto(free_summary) struct sq_summary *summary = NULL;
    if (find_record(options, path, &error) != 0 || sq_record_reader_open(path, &reader, &error) != 0 ||
        sq_summary_read(reader, &summary, &error) != 0)
        return sq_command_fail(options, &error);
    struct sq_report report = {.summary = summary, .record_path = path};
    if (options->json) {
        if (sq_report_json(&report, reader, stdout, &error) != 0)
            return sq_command_fail(options, &error);
        return SQ_EXIT_COMPLETED;
    }
    struct sq_report_style style = sq_records_style(sq_style_is_wanted(options->color, stdout));
    sq_report_text(&report, &style, stdout);
    return SQ_EXIT_COMPLETED;
}

static int read_format(struct sq_options *options, const char *value, struct sq_error *error)
{
    options->json = strcmp(value, "json") == 0;
    if (!options->json && strcmp(value, "text") != 0)
        return sq_fail(error, SQ_BAD_INPUT, "'--format %.30s': expected text or json", value);
    return 0;
}

static const struct sq_option option_format = {
    .name = "format",
    .value = "FORMAT",
    .help = "text (the default), or json: one document with all events",
    .read = read_format,
};
static const struct sq_option *const option_table[] = {&option_format, &sq_option_runs, &sq_option_hosts,
                                                       &sq_option_json, NULL};

const struct sq_command sq_command_report = {
    .name = "report",
    .synopsis = "report RUN",
    .help =
        "show what a run came to, from its record\n"
        "\n"
        "RUN is a path (a record, or the folder of one; - is standard input), the beginning of a run's id, "
        "or "
        "`last`, the newest in the folder of run records. The report is the one that `squall run` ends with: "
        "what is to be pasted into a post-mortem. Times are those of this machine's zone (TZ).\n"
        "\n"
        "A record without an ending is one whose controller was killed, or whose run goes on: it is shown as "
        "far as it goes, and what to do.\n"
        "\n"
        "Examples:\n"
        "  squall report last\n"
        "  squall report 5d1f --format json | jq .moments\n"
        "\n"
        "Exit status: 0 when it was shown, whatever the run came to; 2 for no such record, 4 when it cannot "
        "be "
        "read or shown.\n",
    .options = option_table,
    .operands_least = 1,
    .operands_most = 1,
    .run = run_report,
};
