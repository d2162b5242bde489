#include "agents/agent_clock.h"
#include "commands/command.h"
#include "commands/everybody.h"
#include "commands/operator.h"
#include "commands/options.h"
#include "commands/output.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"
#include "model/ending.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#define HALT_TIMEOUT_NS   (5 * SQ_NS_PER_SECOND)
#define STATUS_TIMEOUT_NS (2 * SQ_NS_PER_SECOND)
#define PATIENCE_NS       (30 * SQ_NS_PER_SECOND)
#define ASK_AGAIN_NS      (100 * SQ_NS_PER_MILLISECOND)

/* Of whom nothing was heard is unreachable, and not well. */
enum outcome { UNREACHABLE, NOTHING_THERE, UNDER_WAY, ALL_REMOVED, LEFT_BEHIND };

/* What became of one host. */
struct halted {
    bool told; /* its outcome is final, and was said */
    uint64_t
        next_ask_boot_ns; /* it is removing things: when it is asked how far it is; 0: it is being asked */
    enum outcome outcome;
    struct sq_agent_clock clock;
    uint64_t sent_boot_ns;
    struct sq_error error; /* UNREACHABLE, or why it is not clean */
    uint32_t ended_count;  /* faults that this halt ended */
};

static uint32_t count_ended(const struct sq_reply *reply)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reply->fault_count; i++)
        count += reply->faults[i].end_reason == SQ_END_HALT;
    return count;
}

static enum outcome outcome_of(const struct sq_reply *reply)
{
    if (reply->code == SQ_UNCLEAN)
        return LEFT_BEHIND;
    if (sq_id_is_zero(&reply->experiment) || reply->fault_count == 0)
        return NOTHING_THERE;
    for (uint32_t i = 0; i < reply->fault_count; i++)
        if (reply->faults[i].state < SQ_STATE_REVERTED)
            return UNDER_WAY;
    return ALL_REMOVED;
}

/* Without memory the one from before stays. */
static void keep(const struct sq_answer *answer, struct sq_answer **place)
{
    struct sq_answer *kept = sq_answer_keep(answer);
    if (kept == NULL)
        return;
    free(*place);
    *place = kept;
}

/* The answer to the halt itself. */
static void judge_halt(struct halted *halted, const struct sq_host *host, const struct sq_answer *answer,
                       struct sq_answer **newest)
{
    const struct sq_reply *reply = &answer->reply;
    keep(answer, newest);
    if (answer->failed) {
        halted->outcome = UNREACHABLE;
        halted->error = answer->error;
        return;
    }
    sq_agent_clock_learn(&halted->clock, answer->sent_boot_ns, answer->answered_boot_ns, reply->now_boot_ns);
    halted->sent_boot_ns = answer->sent_boot_ns;
    halted->ended_count = count_ended(reply);
    halted->outcome = outcome_of(reply);
    if (reply->code != SQ_OK)
        (void)sq_fail(&halted->error, reply->code, "%s", reply->message);
    if (reply->code != SQ_OK && reply->code != SQ_UNCLEAN) {
        halted->outcome = UNREACHABLE;
        (void)sq_fail_in(&halted->error, "%s (%s)", host->name, host->agent);
    }
}

/*
 * The answer to asking after the experiment that was halted. One that did not come leaves things as they were
 * known; an agent that knows the experiment no more has undone it on its way.
 */
static void judge_status(struct halted *halted, const struct sq_answer *answer, struct sq_answer **newest)
{
    const struct sq_reply *reply = &answer->reply;
    if (answer->failed)
        return;
    if (reply->code == SQ_STALE || reply->code == SQ_UNKNOWN) {
        halted->outcome = ALL_REMOVED;
        return;
    }
    if (reply->code != SQ_OK && reply->code != SQ_UNCLEAN)
        return;
    if (reply->code == SQ_UNCLEAN)
        (void)sq_fail(&halted->error, SQ_UNCLEAN, "%s", reply->message);
    sq_agent_clock_learn(&halted->clock, answer->sent_boot_ns, answer->answered_boot_ns, reply->now_boot_ns);
    halted->ended_count = count_ended(reply);
    halted->outcome = outcome_of(reply);
    keep(answer, newest);
}

/* When the last fault that was ended became clean or was removed, after the halt was sent. */
static uint64_t after_ns(const struct halted *halted, const struct sq_reply *reply, bool removed)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        const struct sq_fault_report *report = &reply->faults[i];
        if (report->end_reason != SQ_END_HALT)
            continue;
        uint64_t at = removed ? report->removed_boot_ns : report->clean_boot_ns;
        uint64_t ours = sq_agent_clock_to_ours(&halted->clock, at);
        uint64_t after = sq_ns_sub(ours, halted->sent_boot_ns);
        last_ns = after > last_ns ? after : last_ns;
    }
    return last_ns;
}

static void print_lines(const struct sq_reply *reply)
{
    for (uint32_t i = 0; i < reply->fault_count; i++)
        for (uint32_t j = 0; j < reply->faults[i].line_count; j++)
            if (reply->faults[i].lines[j].kind == SQ_LINE_LEFT)
                (void)printf("    %s: %s\n", sq_line_kind_name(SQ_LINE_LEFT), reply->faults[i].lines[j].text);
}

static void print_host(const struct sq_host *host, const struct halted *halted,
                       const struct sq_answer *answer, bool colored)
{
    char clean[SQ_UNIT_TEXT_MAX];
    char removed[SQ_UNIT_TEXT_MAX];
    const char *bad = sq_style_begin(colored, SQ_STYLE_BAD);
    const char *end = sq_style_end(colored);
    switch (halted->outcome) {
    case UNREACHABLE:
        (void)printf("%s%s%s\n    what was injected there ends with its lease\n", bad, halted->error.text,
                     end);
        return;
    case NOTHING_THERE:
        (void)printf("%s: nothing to end\n", host->name);
        return;
    case UNDER_WAY:
        (void)printf("%s: %sended \"%s\", but not all of it is removed yet%s: look with `squall status`\n",
                     host->name, bad, answer->reply.title, end);
        return;
    case LEFT_BEHIND:
        (void)printf("%s: %snot clean: %s%s\n", host->name, bad, halted->error.text, end);
        print_lines(&answer->reply);
        return;
    case ALL_REMOVED:
        break;
    }
    if (halted->ended_count == 0) {
        (void)printf("%s: nothing to end; \"%s\" was over\n", host->name, answer->reply.title);
        return;
    }
    sq_duration_format_rounded(after_ns(halted, &answer->reply, false), clean);
    sq_duration_format_rounded(after_ns(halted, &answer->reply, true), removed);
    (void)printf("%s: ended \"%s\", %u fault%s: clean after %s, removed after %s\n", host->name,
                 answer->reply.title, halted->ended_count, halted->ended_count == 1 ? "" : "s", clean,
                 removed);
}

static json_t *host_json(const struct sq_host *host, const struct halted *halted,
                         const struct sq_answer *answer)
{
    static const char *const words[] = {"unreachable", "nothing", "under way", "removed", "unclean"};
    json_t *entry = json_pack("{s:o, s:s, s:i}", "name", sq_json_text(host->name), "outcome",
                              words[halted->outcome], "ended", (int)halted->ended_count);
    if (halted->error.code != SQ_OK)
        (void)json_object_set_new(entry, "problem",
                                  sq_output_problem(halted->error.code, halted->error.text));
    if (halted->outcome == ALL_REMOVED && halted->ended_count > 0) {
        (void)json_object_set_new(entry, "title", sq_json_text(answer->reply.title));
        (void)json_object_set_new(entry, "clean_after_s",
                                  sq_json_seconds(after_ns(halted, &answer->reply, false)));
        (void)json_object_set_new(entry, "removed_after_s",
                                  sq_json_seconds(after_ns(halted, &answer->reply, true)));
    }
    return entry;
}

static int exit_status(const struct halted *halted, uint32_t count)
{
    int status = SQ_EXIT_COMPLETED;
    for (uint32_t i = 0; i < count; i++) {
        if (halted[i].outcome == LEFT_BEHIND || halted[i].outcome == UNDER_WAY)
            return SQ_EXIT_UNCLEAN;
        if (halted[i].outcome == UNREACHABLE)
            status = SQ_EXIT_FAILED;
    }
    return status;
}

struct halting {
    const struct sq_options *options;
    struct sq_everybody *everybody;
    struct halted *halted; /* one per host */
    uint32_t left;         /* of whom nothing final was said */
    bool colored;
    struct sq_request request;
    struct sq_answer answer; /* scratch */
};

/* As it happens: who waits for one host should see what became of the others. */
static void tell(struct halting *halting, uint32_t i)
{
    const struct sq_everybody *everybody = halting->everybody;
    halting->halted[i].told = true;
    halting->left--;
    if (halting->options->json)
        return;
    print_host(&everybody->inventory->hosts[i], &halting->halted[i], everybody->answers[i], halting->colored);
    (void)fflush(stdout);
}

static void take(struct halting *halting)
{
    const struct sq_answer *answer = &halting->answer;
    struct sq_everybody *everybody = halting->everybody;
    uint32_t i = answer->host;
    struct halted *halted = &halting->halted[i];
    if (answer->tag == SQ_VERB_HALT)
        judge_halt(halted, &everybody->inventory->hosts[i], answer, &everybody->answers[i]);
    else
        judge_status(halted, answer, &everybody->answers[i]);
    if (everybody->answers[i] == NULL) {
        halted->outcome = UNREACHABLE;
        (void)sq_fail(&halted->error, SQ_SYSTEM, "%s: out of memory for its answer",
                      everybody->inventory->hosts[i].name);
    }
    if (halted->outcome == UNDER_WAY)
        halted->next_ask_boot_ns = sq_ns_add(sq_loop_now_boot_ns(everybody->loop), ASK_AGAIN_NS);
    else
        tell(halting, i);
}

/* Ask those whose turn it is, each after its own experiment. Gives the time of the next turn. */
static int ask_due(struct halting *halting, uint64_t *next_boot_ns, struct sq_error *error)
{
    struct sq_everybody *everybody = halting->everybody;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(everybody->loop);
    halting->request.verb = SQ_VERB_STATUS;
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        struct halted *halted = &halting->halted[i];
        if (halted->told || halted->next_ask_boot_ns == 0)
            continue;
        if (halted->next_ask_boot_ns > now_boot_ns) {
            *next_boot_ns =
                halted->next_ask_boot_ns < *next_boot_ns ? halted->next_ask_boot_ns : *next_boot_ns;
            continue;
        }
        halted->next_ask_boot_ns = 0;
        halting->request.experiment = everybody->answers[i]->reply.experiment;
        if (sq_client_send(everybody->client, i, SQ_VERB_STATUS, &halting->request, STATUS_TIMEOUT_NS,
                           error) != 0)
            return -1;
    }
    return 0;
}

/* Until something final is said of each, or patience ends. */
static int halt_all(struct halting *halting, struct sq_error *error)
{
    struct sq_everybody *everybody = halting->everybody;
    uint64_t until_boot_ns = sq_ns_add(sq_loop_now_boot_ns(everybody->loop), PATIENCE_NS);
    halting->left = everybody->inventory->host_count;
    halting->request.verb = SQ_VERB_HALT;
    sq_operator_name(halting->request.operator_name);
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++)
        if (sq_client_send(everybody->client, i, SQ_VERB_HALT, &halting->request, HALT_TIMEOUT_NS, error) !=
            0)
            return -1;
    while (halting->left > 0 && sq_loop_now_boot_ns(everybody->loop) < until_boot_ns) {
        uint64_t next_boot_ns = until_boot_ns;
        while (sq_client_next(everybody->client, &halting->answer))
            take(halting);
        if (ask_due(halting, &next_boot_ns, error) != 0 ||
            (halting->left > 0 && sq_client_wait(everybody->client, -1, next_boot_ns, error) != 0))
            return -1;
    }
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        const struct sq_host *host = &everybody->inventory->hosts[i];
        struct halted *halted = &halting->halted[i];
        if (halted->told)
            continue;
        if (everybody->answers[i] == NULL)
            (void)sq_fail(&halted->error, SQ_TIMEOUT,
                          "%s (%s): not even asked within %u s, for too many before it do not answer",
                          host->name, host->agent, (unsigned)(PATIENCE_NS / SQ_NS_PER_SECOND));
        tell(halting, i);
    }
    return 0;
}

static json_t *everybody_json(const struct halting *halting)
{
    const struct sq_everybody *everybody = halting->everybody;
    json_t *list = json_array();
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++)
        (void)json_array_append_new(
            list, host_json(&everybody->inventory->hosts[i], &halting->halted[i], everybody->answers[i]));
    return json_pack("{s:o}", "hosts", list);
}

static int run_halt(const struct sq_options *options)
{
    sq_autoeverybody struct sq_everybody everybody = {0};
    struct sq_error error;
    if (sq_everybody_open(options, &everybody, &error) != 0)
        return sq_command_fail(options, &error);
    uint32_t count = everybody.inventory->host_count;
    sq_autofree struct halted *halted = calloc((size_t)count + 1, sizeof(*halted));
    sq_autofree struct halting *halting = calloc(1, sizeof(*halting));
    if (halted == NULL || halting == NULL)
        return SQ_EXIT_FAILED;
    halting->options = options;
    halting->everybody = &everybody;
    halting->halted = halted;
    halting->colored = sq_style_is_wanted(options->color, stdout);
    if (halt_all(halting, &error) != 0)
        return sq_command_fail(options, &error);
    int status = exit_status(halted, count);
    return options->json ? sq_output_json(everybody_json(halting), status, NULL) : sq_output_text(status);
}

static const struct sq_option *const option_table[] = {&sq_option_hosts, &sq_option_json, NULL};

const struct sq_command sq_command_halt = {
    .name = "halt",
    .synopsis = "halt",
    .help = "stop everything on every host of the inventory, now\n"
            "\n"
            "Orders every agent at once to end all faults, whoever injected them, and to\n"
            "refuse what was prepared for later; asks nothing first. Then waits up to 30 s\n"
            "until what was made is removed, and says of each host, as it happens, when it was\n"
            "clean (no fault applies any more) and when everything was removed. Where a host cannot be\n"
            "reached its faults end by themselves with their lease.\n"
            "\n"
            "On a host itself, `squalld --halt` does the same without a network.\n"
            "\n"
            "Example:\n"
            "  squall halt --hosts lab.yaml\n"
            "\n"
            "Exit status: 0 when all hosts are clean, 4 when one could not be reached, 6 when\n"
            "something could not be undone.\n",
    .options = option_table,
    .operands_least = 0,
    .operands_most = 0,
    .run = run_halt,
};
