#include "commands/command.h"
#include "commands/everybody.h"
#include "commands/hosts_table.h"
#include "commands/options.h"
#include "commands/output.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#define HOSTS_TIMEOUT_NS  (2 * SQ_NS_PER_SECOND)
#define CLOCKS_TIMEOUT_NS (500 * SQ_NS_PER_MILLISECOND)

static const char *why_not(const struct sq_answer *answer)
{
    return answer->failed ? answer->error.text : answer->reply.message;
}

static json_t *hello_json(const struct sq_answer *answer)
{
    const struct sq_hello *hello = &answer->reply.hello;
    json_t *faults = json_object();
    for (uint32_t i = 0; i < hello->ability_count; i++) {
        const struct sq_ability *ability = &hello->abilities[i];
        const struct sq_fault_info *info = sq_fault_by_kind(ability->kind);
        if (info != NULL)
            (void)json_object_set_new(faults, info->name,
                                      json_pack("{s:b, s:b, s:o}", "able", (int)ability->able, "permitted",
                                                (int)ability->permitted, "reason",
                                                sq_json_text(ability->reason)));
    }
    json_t *object =
        json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "version", sq_json_text(hello->agent_version),
                  "protocol", (int)hello->protocol, "hostname", sq_json_text(hello->hostname), "kernel",
                  sq_json_text(hello->kernel), "clock_offset_s",
                  sq_json_number((double)sq_hosts_clock_offset_ns(answer) / 1e9), "round_trip_s",
                  sq_json_seconds(answer->answered_boot_ns - answer->sent_boot_ns), "max_duration_s",
                  sq_json_seconds(hello->max_duration_ns), "faults", faults);
    char ends[SQ_TIMESTAMP_MAX];
    sq_timestamp_format(hello->certificate_ends_real_ns, ends);
    if (hello->certificate_ends_real_ns != 0)
        (void)json_object_set_new(object, "certificate_ends", json_string(ends));
    if (hello->policy_problem[0] != '\0')
        (void)json_object_set_new(object, "policy_problem", sq_json_text(hello->policy_problem));
    return object;
}

static json_t *everybody_json(const struct sq_everybody *everybody)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        const struct sq_host *host = &everybody->inventory->hosts[i];
        const struct sq_answer *answer = everybody->answers[i];
        json_t *labels = json_object();
        for (uint32_t j = 0; j < host->label_count; j++)
            (void)json_object_set_new(labels, host->labels[j].name, sq_json_text(host->labels[j].value));
        json_t *entry = json_pack("{s:o, s:o, s:o}", "name", sq_json_text(host->name), "agent",
                                  sq_json_text(host->agent), "labels", labels);
        if (sq_hosts_is_there(answer))
            (void)json_object_set_new(entry, "hello", hello_json(answer));
        else
            (void)json_object_set_new(
                entry, "problem",
                sq_output_problem(answer->failed ? answer->error.code : answer->reply.code, why_not(answer)));
        (void)json_array_append_new(list, entry);
    }
    return json_pack("{s:o}", "hosts", list);
}

static int run_hosts(const struct sq_options *options)
{
    sq_autoeverybody struct sq_everybody everybody = {0};
    struct sq_error error;
    if (sq_everybody_open(options, &everybody, &error) != 0 ||
        sq_everybody_ask(&everybody, SQ_VERB_HELLO, HOSTS_TIMEOUT_NS, &error) != 0)
        return sq_command_fail(options, &error);
    /* The first exchange carried the TLS handshake, which blurs the clocks. What fails now, failed to refine.
     */
    (void)sq_everybody_ask_again(&everybody, SQ_VERB_HELLO, CLOCKS_TIMEOUT_NS, NULL);
    int status = SQ_EXIT_COMPLETED;
    for (uint32_t i = 0; i < everybody.inventory->host_count; i++)
        if (!sq_hosts_is_there(everybody.answers[i]))
            status = SQ_EXIT_FAILED;
    if (options->json)
        return sq_output_json(everybody_json(&everybody), status, NULL);
    if (sq_hosts_print(&everybody, sq_style_is_wanted(options->color, stdout), stdout) != 0)
        return SQ_EXIT_FAILED;
    return sq_output_text(status);
}

static const struct sq_option *const option_table[] = {&sq_option_hosts, &sq_option_local, &sq_option_json,
                                                       NULL};

const struct sq_command sq_command_hosts = {
    .name = "hosts",
    .synopsis = "hosts",
    .help = "ask every agent who it is, and what it can inject and why not; changes nothing\n"
            "\n"
            "Asks all hosts of the inventory at once and waits 2.5 s at most. Per host: the\n"
            "agent's version, how far its wall clock is from ours, the day its certificate\n"
            "ends, its labels, and the kinds of fault that can be injected there. Hosts that\n"
            "say the same share a row. The others are explained below the table: \"forbidden\"\n"
            "by the host's own policy, or \"unable\", because its kernel or the agent's\n"
            "privileges do not allow it. A question mark (\"perhaps\") stands where nothing on\n"
            "the host tells whether its kernel can; preparing the fault finds out. Why a host\n"
            "cannot be reached stands there too.\n"
            "\n"
            "Examples:\n"
            "  squall hosts --hosts lab.yaml\n"
            "  squall hosts --local\n"
            "\n"
            "Exit status: 0 when every host answered, 4 when one did not.\n",
    .options = option_table,
    .operands_least = 0,
    .operands_most = 0,
    .run = run_hosts,
};
