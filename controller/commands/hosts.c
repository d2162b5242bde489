#include "commands/command.h"
#include "commands/everybody.h"
#include "commands/options.h"
#include "commands/output.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"
#include "screen/style.h"
#include "screen/text_table.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#define CERTIFICATE_SOON_NS (14 * 24 * 3600 * SQ_NS_PER_SECOND)
#define HOSTS_TIMEOUT_NS    (2 * SQ_NS_PER_SECOND)

static bool is_there(const struct sq_answer *answer)
{
    return !answer->failed && answer->reply.code == SQ_OK;
}

static const char *why_not(const struct sq_answer *answer)
{
    return answer->failed ? answer->error.text : answer->reply.message;
}

/* The agent's wall clock minus ours, at the middle of the exchange. */
static int64_t clock_offset_ns(const struct sq_answer *answer)
{
    uint64_t middle_boot_ns = answer->sent_boot_ns + (answer->answered_boot_ns - answer->sent_boot_ns) / 2;
    uint64_t ours_ns = sq_ns_sub(sq_real_ns(), sq_ns_sub(sq_boot_ns(), middle_boot_ns));
    return (int64_t)(answer->reply.hello.real_ns - ours_ns);
}

static void format_offset(int64_t offset_ns, char *text, size_t size)
{
    char distance[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded(offset_ns < 0 ? (uint64_t)-offset_ns : (uint64_t)offset_ns, distance);
    text[0] = '\0';
    sq_text_append(text, size, "%c%s", offset_ns < 0 ? '-' : '+', distance);
}

static const struct sq_ability *ability_of(const struct sq_hello *hello, enum sq_fault_kind kind)
{
    for (uint32_t i = 0; i < hello->ability_count; i++)
        if (hello->abilities[i].kind == kind)
            return &hello->abilities[i];
    return NULL;
}

static bool is_possible(const struct sq_ability *ability)
{
    return ability != NULL && ability->able && ability->permitted;
}

/* Nothing on the host tells whether it can: it has a reason though it is not refused. */
static bool is_perhaps(const struct sq_ability *ability)
{
    return is_possible(ability) && ability->reason[0] != '\0';
}

/* "all", "none", or the kinds that can be injected; with a question mark where that is not certain. */
static void format_faults(const struct sq_hello *hello, char *text, size_t size)
{
    size_t possible = 0;
    size_t certain = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_ability *ability = ability_of(hello, sq_fault_table[i]->kind);
        if (!is_possible(ability))
            continue;
        sq_text_append(text, size, "%s%s%s", possible > 0 ? ", " : "", sq_fault_table[i]->name,
                       is_perhaps(ability) ? "?" : "");
        possible++;
        certain += !is_perhaps(ability);
    }
    if (possible == 0 || certain == sq_fault_table_count)
        (void)sq_text_copy(text, size, possible == 0 ? "none" : "all");
}

/* Where it speaks another protocol version than this squall, that as well. */
static void add_version(struct sq_text_table *table, const struct sq_hello *hello)
{
    if (hello->protocol == SQ_PROTOCOL_VERSION)
        sq_text_table_add(table, "%s", hello->agent_version);
    else
        sq_text_table_add(table, "%s (protocol %u, here %d)", hello->agent_version, hello->protocol,
                          SQ_PROTOCOL_VERSION);
}

/* The day on which the agent's certificate ends. */
static void format_end(const struct sq_hello *hello, char text[SQ_TIMESTAMP_MAX])
{
    if (hello->certificate_ends_real_ns == 0) {
        (void)sq_text_copy(text, SQ_TIMESTAMP_MAX, "-");
        return;
    }
    sq_timestamp_format(hello->certificate_ends_real_ns, text);
    text[strcspn(text, "T")] = '\0';
}

static void add_row(struct sq_text_table *table, const struct sq_host *host, const struct sq_answer *answer)
{
    char text[1024] = "";
    sq_text_table_add(table, "%s", host->name);
    sq_text_table_add(table, "%s", host->agent);
    if (is_there(answer)) {
        format_offset(clock_offset_ns(answer), text, sizeof(text));
        add_version(table, &answer->reply.hello);
        sq_text_table_add(table, "%s", text);
        format_end(&answer->reply.hello, text);
        sq_text_table_add(table, "%s", text);
    } else {
        sq_text_table_add(table, "%s", answer->failed ? sq_code_name(answer->error.code) : "refused");
        sq_text_table_add(table, "%s", "-");
        sq_text_table_add(table, "%s", "-");
    }
    text[0] = '\0';
    for (uint32_t i = 0; i < host->label_count; i++)
        sq_text_append(text, sizeof(text), "%s%s=%s", i > 0 ? "," : "", host->labels[i].name,
                       host->labels[i].value);
    sq_text_table_add(table, "%s", text[0] != '\0' ? text : "-");
    (void)sq_text_copy(text, sizeof(text), "-");
    if (is_there(answer))
        format_faults(&answer->reply.hello, text, sizeof(text));
    sq_text_table_add(table, "%s", text);
}

/* Why single kinds cannot be injected. A host without a policy has said so once for all. */
static void print_abilities(const char *name, const struct sq_hello *hello, const char *begin,
                            const char *end)
{
    if (hello->policy_problem[0] != '\0')
        (void)printf("%s: %s%s%s\n", name, begin, hello->policy_problem, end);
    if (hello->certificate_ends_real_ns != 0 &&
        hello->certificate_ends_real_ns < sq_ns_add(sq_real_ns(), CERTIFICATE_SOON_NS)) {
        char ends[SQ_TIMESTAMP_MAX];
        sq_timestamp_format(hello->certificate_ends_real_ns, ends);
        (void)printf("%s: %sits agent's certificate ends soon: %s%s\n", name, begin, ends, end);
    }
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_fault_info *info = sq_fault_table[i];
        const struct sq_ability *ability = ability_of(hello, info->kind);
        if (ability == NULL)
            (void)printf("%s: %s: %sits agent (%s) does not know this fault%s\n", name, info->name, begin,
                         hello->agent_version, end);
        else if (!is_possible(ability) && (!ability->able || hello->policy_problem[0] == '\0'))
            (void)printf("%s: %s: %s%s: %s%s\n", name, info->name, begin,
                         ability->able ? "forbidden" : "unable", ability->reason, end);
        else if (is_perhaps(ability))
            (void)printf("%s: %s: %sperhaps: %s%s\n", name, info->name, begin, ability->reason, end);
    }
}

/* Everything that is not a plain "yes" is explained below the table. */
static void print_reasons(const struct sq_everybody *everybody, bool colored)
{
    const char *begin = sq_style_begin(colored, SQ_STYLE_WARNING);
    const char *end = sq_style_end(colored);
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        const struct sq_answer *answer = &everybody->answers[i];
        const char *name = everybody->inventory->hosts[i].name;
        if (answer->failed) { /* names the host itself */
            (void)printf("%s%s%s\n", sq_style_begin(colored, SQ_STYLE_BAD), answer->error.text, end);
            continue;
        }
        if (answer->reply.code != SQ_OK) {
            (void)printf("%s: %s%s%s\n", name, sq_style_begin(colored, SQ_STYLE_BAD), answer->reply.message,
                         end);
            continue;
        }
        print_abilities(name, &answer->reply.hello, begin, end);
    }
}

static int print_table(const struct sq_everybody *everybody, bool colored)
{
    static const char *const heads[] = {"NAME",        "AGENT",  "VERSION", "CLOCK",
                                        "CERTIFICATE", "LABELS", "FAULTS"};
    struct sq_text_table *table = sq_text_table_new(sizeof(heads) / sizeof(heads[0]));
    if (table == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        sq_text_table_add(table, "%s", heads[i]);
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++)
        add_row(table, &everybody->inventory->hosts[i], &everybody->answers[i]);
    sq_text_table_print(table, stdout);
    sq_text_table_free(table);
    print_reasons(everybody, colored);
    return fflush(stdout) == 0 ? 0 : -1;
}

static json_t *hello_json(const struct sq_answer *answer)
{
    const struct sq_hello *hello = &answer->reply.hello;
    char max_duration[SQ_UNIT_TEXT_MAX];
    sq_duration_format(hello->max_duration_ns, max_duration);
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
    char ends[SQ_TIMESTAMP_MAX] = "";
    if (hello->certificate_ends_real_ns != 0)
        sq_timestamp_format(hello->certificate_ends_real_ns, ends);
    return json_pack(
        "{s:o, s:i, s:o, s:o, s:I, s:I, s:s, s:o, s:s, s:o}", "version", sq_json_text(hello->agent_version),
        "protocol", (int)hello->protocol, "hostname", sq_json_text(hello->hostname), "kernel",
        sq_json_text(hello->kernel), "clock-offset-ns", (json_int_t)clock_offset_ns(answer), "round-trip-ns",
        (json_int_t)(answer->answered_boot_ns - answer->sent_boot_ns), "max-duration", max_duration,
        "policy-problem", sq_json_text(hello->policy_problem), "certificate-ends", ends, "faults", faults);
}

static json_t *everybody_json(const struct sq_everybody *everybody)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        const struct sq_host *host = &everybody->inventory->hosts[i];
        const struct sq_answer *answer = &everybody->answers[i];
        json_t *labels = json_object();
        for (uint32_t j = 0; j < host->label_count; j++)
            (void)json_object_set_new(labels, host->labels[j].name, sq_json_text(host->labels[j].value));
        json_t *entry = json_pack("{s:o, s:o, s:o}", "name", sq_json_text(host->name), "agent",
                                  sq_json_text(host->agent), "labels", labels);
        if (is_there(answer))
            (void)json_object_set_new(entry, "hello", hello_json(answer));
        else
            (void)json_object_set_new(
                entry, "problem",
                json_pack("{s:s, s:o}", "code",
                          sq_code_name(answer->failed ? answer->error.code : answer->reply.code), "message",
                          sq_json_text(why_not(answer))));
        (void)json_array_append_new(list, entry);
    }
    return json_pack("{s:o}", "hosts", list);
}

/* The first exchange carried the TLS handshake, which blurs the clocks: take a second one where that went
 * well. */
static void refine_clocks(struct sq_everybody *everybody)
{
    uint32_t count = everybody->inventory->host_count;
    uint32_t asked = 0;
    sq_autofree uint32_t *hosts = calloc((size_t)count + 1, sizeof(*hosts));
    sq_autofree struct sq_answer *answers = calloc((size_t)count + 1, sizeof(*answers));
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    if (hosts == NULL || answers == NULL || request == NULL)
        return;
    request->verb = SQ_VERB_HELLO;
    for (uint32_t i = 0; i < count; i++)
        if (is_there(&everybody->answers[i]))
            hosts[asked++] = i;
    if (sq_client_ask(everybody->client, hosts, asked, request, HOSTS_TIMEOUT_NS, -1, answers, NULL) != 0)
        return;
    for (uint32_t i = 0; i < asked; i++)
        if (is_there(&answers[i]))
            everybody->answers[hosts[i]] = answers[i];
}

static int run_hosts(const struct sq_options *options)
{
    sq_autoeverybody struct sq_everybody everybody = {0};
    struct sq_error error;
    if (sq_everybody_open(options, &everybody, &error) != 0 ||
        sq_everybody_ask(&everybody, SQ_VERB_HELLO, HOSTS_TIMEOUT_NS, &error) != 0)
        return sq_command_fail(options, &error);
    refine_clocks(&everybody);
    int printed = options->json ? sq_output_json(everybody_json(&everybody))
                                : print_table(&everybody, sq_style_is_wanted(options->color, stdout));
    if (printed != 0)
        return SQ_EXIT_FAILED;
    for (uint32_t i = 0; i < everybody.inventory->host_count; i++)
        if (!is_there(&everybody.answers[i]))
            return SQ_EXIT_FAILED;
    return SQ_EXIT_COMPLETED;
}

static const struct sq_option *const option_table[] = {&sq_option_hosts, &sq_option_local, &sq_option_json,
                                                       NULL};

const struct sq_command sq_command_hosts = {
    .name = "hosts",
    .synopsis = "hosts",
    .help = "ask every agent who it is, and what it can inject and why not; changes nothing\n"
            "\n"
            "Asks all hosts of the inventory at once and waits 2 s at most. Per host: the\n"
            "agent's version, how far its wall clock is from ours, the day its certificate\n"
            "ends, its labels, and the kinds of fault that can be injected there. The\n"
            "others are explained below the table: \"forbidden\" by the host's own policy, or\n"
            "\"unable\", because its kernel or the agent's privileges do not allow it. A question mark "
            "(\"perhaps\") stands where\n"
            "nothing on the host tells whether its kernel can; preparing the fault finds out.\n"
            "Why a host cannot be reached stands there too.\n"
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
