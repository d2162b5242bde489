#include "commands/command.h"
#include "commands/everybody.h"
#include "commands/options.h"
#include "commands/output.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"
#include "model/ending.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_TIMEOUT_NS (2 * SQ_NS_PER_SECOND)

static bool is_over(const struct sq_reply *reply)
{
    for (uint32_t i = 0; i < reply->fault_count; i++)
        if (reply->faults[i].state < SQ_STATE_REVERTED)
            return false;
    return true;
}

/* "in 7.2s" on the agent's own clock, or "now". */
static void format_left(uint64_t until_boot_ns, uint64_t now_boot_ns, char text[SQ_UNIT_TEXT_MAX + 4])
{
    char left[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded(sq_ns_sub(until_boot_ns, now_boot_ns), left);
    (void)snprintf(text, SQ_UNIT_TEXT_MAX + 4, "%s%s", until_boot_ns > now_boot_ns ? "in " : "now",
                   until_boot_ns > now_boot_ns ? left : "");
}

static bool has_line(const struct sq_fault_report *report, const struct sq_report_line *line)
{
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind == line->kind && strcmp(report->lines[i].text, line->text) == 0)
            return true;
    return false;
}

/* How many of the host's faults before this one, or in all, say the same line: its policy's slips, for one.
 */
static uint32_t count_line(const struct sq_reply *reply, uint32_t faults, const struct sq_report_line *line)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < faults; i++)
        count += has_line(&reply->faults[i], line) ? 1 : 0;
    return count;
}

/* What several faults say stands once, in front of them. */
static void print_common_lines(const struct sq_reply *reply)
{
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        const struct sq_fault_report *report = &reply->faults[i];
        for (uint32_t j = 0; j < report->line_count; j++) {
            const struct sq_report_line *line = &report->lines[j];
            if (line->kind >= SQ_LINE_NOTE && count_line(reply, i, line) == 0 &&
                count_line(reply, reply->fault_count, line) > 1)
                (void)printf("    %s: %s\n", sq_line_kind_name(line->kind), line->text);
        }
    }
}

static void print_fault(const struct sq_reply *reply, const struct sq_fault_report *report)
{
    const struct sq_fault_info *info = sq_fault_by_kind(report->kind);
    char left[SQ_UNIT_TEXT_MAX + 4];
    (void)printf("    %-18s %s", info != NULL ? info->name : "?", sq_state_name(report->state));
    /* Its own end; that the lease may end it before is said of the host. An older agent tells the lease's
     * alone. */
    if (report->state == SQ_STATE_INJECTED && report->ends_boot_ns != 0) {
        format_left(report->ends_boot_ns, reply->now_boot_ns, left);
        (void)printf(", ends %s", left);
    }
    if (report->end_reason != SQ_END_NONE)
        (void)printf(", %s", sq_end_reason_name(report->end_reason));
    if (report->proof != SQ_PROOF_NONE)
        (void)printf(", %s", sq_proof_name(report->proof));
    for (uint32_t i = 0; i < report->counter_count; i++)
        (void)printf(", %s %llu", report->counters[i].name, (unsigned long long)report->counters[i].value);
    if (report->code != SQ_OK)
        (void)printf(": %s", report->message);
    (void)putchar('\n');
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind >= SQ_LINE_NOTE &&
            count_line(reply, reply->fault_count, &report->lines[i]) == 1)
            (void)printf("      %s: %s\n", sq_line_kind_name(report->lines[i].kind), report->lines[i].text);
}

static void print_host(const struct sq_host *host, const struct sq_answer *answer, bool colored)
{
    const struct sq_reply *reply = &answer->reply;
    const char *bad = sq_style_begin(colored, SQ_STYLE_BAD);
    if (answer->failed) { /* names the host itself */
        (void)printf("%s%s%s\n", bad, answer->error.text, sq_style_end(colored));
        return;
    }
    if (reply->code != SQ_OK)
        (void)printf("%s: %s%s%s\n", host->name, bad, reply->message, sq_style_end(colored));
    if (sq_id_is_zero(&reply->experiment)) {
        if (reply->code == SQ_OK)
            (void)printf("%s: nothing\n", host->name);
        return;
    }
    (void)printf("%s: %s%s%s", host->name, sq_style_begin(colored, SQ_STYLE_STRONG), reply->title,
                 sq_style_end(colored));
    if (reply->operator_name[0] != '\0')
        (void)printf(", by %s", reply->operator_name);
    if (is_over(reply)) {
        (void)printf(", over");
    } else if (reply->lease_boot_ns != 0) {
        char left[SQ_UNIT_TEXT_MAX + 4];
        format_left(reply->lease_boot_ns, reply->now_boot_ns, left);
        (void)printf(", lease ends %s", left);
    }
    (void)putchar('\n');
    print_common_lines(reply);
    for (uint32_t i = 0; i < reply->fault_count; i++)
        print_fault(reply, &reply->faults[i]);
}

static json_t *fault_json(const struct sq_reply *reply, const struct sq_fault_report *report)
{
    const struct sq_fault_info *info = sq_fault_by_kind(report->kind);
    json_t *counters = json_object();
    for (uint32_t i = 0; i < report->counter_count; i++)
        (void)json_object_set_new(counters, report->counters[i].name,
                                  json_integer((json_int_t)report->counters[i].value));
    json_t *lines = json_array();
    for (uint32_t i = 0; i < report->line_count; i++)
        (void)json_array_append_new(lines,
                                    json_pack("{s:s, s:o}", "kind", sq_line_kind_name(report->lines[i].kind),
                                              "text", sq_json_text(report->lines[i].text)));
    json_t *fault = json_pack("{s:i, s:s, s:s, s:s, s:b, s:o, s:o}", "index", (int)report->index, "fault",
                              info != NULL ? info->name : "?", "state", sq_state_name(report->state), "proof",
                              sq_proof_name(report->proof), "touched", (int)report->touched, "counters",
                              counters, "lines", lines);
    if (report->end_reason != SQ_END_NONE)
        (void)json_object_set_new(fault, "ended_by", json_string(sq_end_reason_name(report->end_reason)));
    if (report->code != SQ_OK)
        (void)json_object_set_new(fault, "problem", sq_output_problem(report->code, report->message));
    if (report->state == SQ_STATE_INJECTED && report->ends_boot_ns != 0)
        (void)json_object_set_new(fault, "left_s",
                                  sq_json_seconds(sq_ns_sub(report->ends_boot_ns, reply->now_boot_ns)));
    return fault;
}

static json_t *host_json(const struct sq_host *host, const struct sq_answer *answer)
{
    const struct sq_reply *reply = &answer->reply;
    json_t *entry =
        json_pack("{s:o, s:o}", "name", sq_json_text(host->name), "agent", sq_json_text(host->agent));
    if (answer->failed || reply->code != SQ_OK)
        (void)json_object_set_new(entry, "problem",
                                  sq_output_problem(answer->failed ? answer->error.code : reply->code,
                                                    answer->failed ? answer->error.text : reply->message));
    if (answer->failed)
        return entry;
    if (sq_id_is_zero(&reply->experiment)) {
        (void)json_object_set_new(entry, "experiment", json_null());
        return entry;
    }
    char id[SQ_ID_TEXT_MAX];
    sq_id_format(&reply->experiment, id);
    json_t *faults = json_array();
    for (uint32_t i = 0; i < reply->fault_count; i++)
        (void)json_array_append_new(faults, fault_json(reply, &reply->faults[i]));
    (void)json_object_set_new(
        entry, "experiment",
        json_pack("{s:s, s:o, s:o, s:b, s:o, s:o}", "id", id, "title", sq_json_text(reply->title), "operator",
                  sq_json_text(reply->operator_name), "over", (int)is_over(reply), "lease_left_s",
                  sq_json_seconds(sq_ns_sub(reply->lease_boot_ns, reply->now_boot_ns)), "faults", faults));
    return entry;
}

/* Unclean outranks unreachable. */
static int worse(int status, const struct sq_answer *answer)
{
    if (status == SQ_EXIT_UNCLEAN || (!answer->failed && answer->reply.code == SQ_UNCLEAN))
        return SQ_EXIT_UNCLEAN;
    return answer->failed || answer->reply.code != SQ_OK ? SQ_EXIT_FAILED : status;
}

static int run_status(const struct sq_options *options)
{
    sq_autoeverybody struct sq_everybody everybody = {0};
    struct sq_error error;
    if (sq_everybody_open(options, &everybody, &error) != 0 ||
        sq_everybody_ask(&everybody, SQ_VERB_STATUS, STATUS_TIMEOUT_NS, &error) != 0)
        return sq_command_fail(options, &error);
    bool colored = sq_style_is_wanted(options->color, stdout);
    json_t *list = options->json ? json_array() : NULL;
    int status = SQ_EXIT_COMPLETED;
    for (uint32_t i = 0; i < everybody.inventory->host_count; i++) {
        const struct sq_host *host = &everybody.inventory->hosts[i];
        if (options->json)
            (void)json_array_append_new(list, host_json(host, everybody.answers[i]));
        else
            print_host(host, everybody.answers[i], colored);
        status = worse(status, everybody.answers[i]);
    }
    return options->json ? sq_output_json(json_pack("{s:o}", "hosts", list), status, NULL)
                         : sq_output_text(status);
}

static const struct sq_option *const option_table[] = {&sq_option_hosts, &sq_option_json, NULL};

const struct sq_command sq_command_status = {
    .name = "status",
    .synopsis = "status",
    .help = "show what is injected where, by whom, and until when; changes nothing\n"
            "\n"
            "Asks all hosts of the inventory at once and waits 2 s at most. Per host: the\n"
            "experiment and its operator, when its lease ends, and each fault with its state,\n"
            "the time that is left, and its counters. What squall could not undo is listed\n"
            "with how to finish by hand.\n"
            "\n"
            "Example:\n"
            "  squall status --hosts lab.yaml\n"
            "\n"
            "Exit status: 0 when every host answered, 4 when one did not, 6 when something is\n"
            "left behind that could not be undone.\n",
    .options = option_table,
    .operands_least = 0,
    .operands_most = 0,
    .run = run_status,
};
