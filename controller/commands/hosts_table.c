#include "commands/hosts_table.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/host_list.h"
#include "screen/style.h"
#include "screen/text_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CERTIFICATE_SOON_NS (14 * 24 * 3600 * SQ_NS_PER_SECOND)

bool sq_hosts_is_there(const struct sq_answer *answer)
{
    return !answer->failed && answer->reply.code == SQ_OK;
}

int64_t sq_hosts_clock_offset_ns(const struct sq_answer *answer)
{
    uint64_t middle_boot_ns = answer->sent_boot_ns + (answer->answered_boot_ns - answer->sent_boot_ns) / 2;
    uint64_t ours_ns = sq_ns_sub(sq_real_ns(), sq_ns_sub(sq_boot_ns(), middle_boot_ns));
    return (int64_t)(answer->reply.hello.real_ns - ours_ns);
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

/* What a row says of a host, and why not everything can be injected there: whoever has both the same is in
 * one row, and is explained once. */
struct host_text {
    char version[96];
    char ends[SQ_TIMESTAMP_MAX]; /* the day on which the agent's certificate ends */
    char labels[1024];
    char faults[1024];
};

static void describe(const struct sq_host *host, const struct sq_answer *answer, struct host_text *text)
{
    const struct sq_hello *hello = &answer->reply.hello;
    *text = (struct host_text){.version = "refused", .ends = "-", .labels = "-", .faults = "-"};
    for (uint32_t i = 0; i < host->label_count; i++) {
        if (i == 0)
            text->labels[0] = '\0';
        sq_text_append(text->labels, sizeof(text->labels), "%s%s=%s", i > 0 ? "," : "", host->labels[i].name,
                       host->labels[i].value);
    }
    if (!sq_hosts_is_there(answer)) {
        if (answer->failed)
            (void)sq_text_copy(text->version, sizeof(text->version), sq_code_name(answer->error.code));
        return;
    }
    (void)sq_text_copy(text->version, sizeof(text->version), hello->agent_version);
    if (hello->protocol != SQ_PROTOCOL_VERSION)
        sq_text_append(text->version, sizeof(text->version), " (protocol %u, here %d)", hello->protocol,
                       SQ_PROTOCOL_VERSION);
    if (hello->certificate_ends_real_ns != 0) {
        sq_timestamp_format(hello->certificate_ends_real_ns, text->ends);
        text->ends[strcspn(text->ends, "T")] = '\0';
    }
    format_faults(hello, text->faults, sizeof(text->faults));
}

/* The address of one, "tls+tcp://10.0.0.â¦:7433" of several. */
static void format_agents(const struct sq_inventory *inventory, const struct sq_host_block *block, char *text,
                          size_t size)
{
    const char *first = inventory->hosts[block->hosts[0]].agent;
    size_t begin = strlen(first);
    size_t end = begin;
    for (uint32_t i = 1; i < block->count; i++) {
        const char *agent = inventory->hosts[block->hosts[i]].agent;
        size_t length = strlen(agent);
        size_t same = 0;
        while (same < begin && agent[same] == first[same])
            same++;
        begin = same;
        for (same = 0; same < end && same < length - begin; same++)
            if (agent[length - 1 - same] != first[strlen(first) - 1 - same])
                break;
        end = same;
    }
    if (end > strlen(first) - begin)
        end = strlen(first) - begin;
    text[0] = '\0';
    if (block->count == 1)
        sq_text_append(text, size, "%s", first);
    else
        sq_text_append(text, size, "%.*s\xe2\x80\xa6%s", (int)begin, first, first + strlen(first) - end);
}

/* How far one's clock is from ours; of several the one that is farthest. */
static void format_clocks(const struct sq_everybody *everybody, const struct sq_host_block *block, char *text,
                          size_t size)
{
    int64_t farthest_ns = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        int64_t offset_ns = sq_hosts_clock_offset_ns(everybody->answers[block->hosts[i]]);
        if (llabs(offset_ns) >= llabs(farthest_ns))
            farthest_ns = offset_ns;
    }
    char distance[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded((uint64_t)llabs(farthest_ns), distance);
    text[0] = '\0';
    sq_text_append(text, size, "%s%s", block->count > 1 ? "within " : farthest_ns < 0 ? "-" : "+", distance);
}

static void add_row(struct sq_text_table *table, const struct sq_everybody *everybody,
                    const struct sq_host_block *block)
{
    char names[SQ_HOST_LIST_MAX / 4];
    char agents[2 * SQ_AGENT_URL_MAX];
    char clock[SQ_UNIT_TEXT_MAX + 16] = "-";
    struct host_text text;
    const struct sq_answer *answer = everybody->answers[block->hosts[0]];
    describe(&everybody->inventory->hosts[block->hosts[0]], answer, &text);
    sq_host_list_format(block->names, block->count, names, sizeof(names));
    format_agents(everybody->inventory, block, agents, sizeof(agents));
    if (sq_hosts_is_there(answer))
        format_clocks(everybody, block, clock, sizeof(clock));
    sq_text_table_add(table, "%s", names);
    sq_text_table_add(table, "%s", agents);
    sq_text_table_add(table, "%s", text.version);
    sq_text_table_add(table, "%s", clock);
    sq_text_table_add(table, "%s", text.ends);
    sq_text_table_add(table, "%s", text.labels);
    sq_text_table_add(table, "%s", text.faults);
}

static int print_table(const struct sq_everybody *everybody, FILE *stream)
{
    static const char *const heads[] = {"HOSTS",       "AGENT",  "VERSION", "CLOCK",
                                        "CERTIFICATE", "LABELS", "FAULTS"};
    struct sq_text_table *table = sq_text_table_new(sizeof(heads) / sizeof(heads[0]));
    struct sq_host_blocks *blocks = sq_host_blocks_new();
    int failed = table == NULL || blocks == NULL;
    for (uint32_t i = 0; failed == 0 && i < everybody->inventory->host_count; i++) {
        const struct sq_host *host = &everybody->inventory->hosts[i];
        struct host_text text;
        char row[sizeof(text) + 8] = "";
        describe(host, everybody->answers[i], &text);
        sq_text_append(row, sizeof(row), "%s\n%s\n%s\n%s", text.version, text.ends, text.labels, text.faults);
        failed = sq_host_blocks_add(blocks, i, host->name, row);
    }
    if (failed == 0) {
        uint32_t count;
        const struct sq_host_block *all = sq_host_blocks_all(blocks, &count);
        for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
            sq_text_table_add(table, "%s", heads[i]);
        for (uint32_t i = 0; i < count; i++)
            add_row(table, everybody, &all[i]);
        sq_text_table_print(table, stream);
    }
    sq_host_blocks_free(blocks);
    sq_text_table_free(table);
    return failed != 0 ? -1 : 0;
}

/* What is explained below the table, each sentence once for all hosts of which it is true. */
struct remarks {
    struct sq_host_blocks *blocks;
    uint32_t host;
    const char *name;
    uint32_t warnings; /* hosts with a policy that is missing, or a certificate that ends */
    const char *begin;
    const char *end;
};

static void remark(struct remarks *remarks, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void remark(struct remarks *remarks, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (remarks->blocks != NULL)
        (void)sq_host_blocks_add(remarks->blocks, remarks->host, remarks->name, text);
}

/* Why single kinds cannot be injected. A host without a policy has said so once for all. */
static void remark_on_abilities(struct remarks *remarks, const struct sq_hello *hello)
{
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_fault_info *info = sq_fault_table[i];
        const struct sq_ability *ability = ability_of(hello, info->kind);
        if (ability == NULL)
            remark(remarks, "%s: %sits agent (%s) does not know this fault%s", info->name, remarks->begin,
                   hello->agent_version, remarks->end);
        else if (!is_possible(ability) && (!ability->able || hello->policy_problem[0] == '\0'))
            remark(remarks, "%s: %s%s: %s%s", info->name, remarks->begin,
                   ability->able ? "forbidden" : "unable", ability->reason, remarks->end);
        else if (is_perhaps(ability))
            remark(remarks, "%s: %sperhaps: %s%s", info->name, remarks->begin, ability->reason, remarks->end);
    }
}

static void remark_on_host(struct remarks *remarks, const struct sq_host *host,
                           const struct sq_answer *answer, bool colored)
{
    const struct sq_hello *hello = &answer->reply.hello;
    if (!sq_hosts_is_there(answer)) {
        remark(remarks, "%s%s%s", sq_style_begin(colored, SQ_STYLE_BAD),
               answer->failed ? sq_host_said_of(host->name, host->agent, answer->error.text)
                              : answer->reply.message,
               remarks->end);
        return;
    }
    if (hello->policy_problem[0] != '\0') {
        remarks->warnings++;
        remark(remarks, "%s%s%s", remarks->begin, hello->policy_problem, remarks->end);
    }
    if (hello->certificate_ends_real_ns != 0 &&
        hello->certificate_ends_real_ns < sq_ns_add(sq_real_ns(), CERTIFICATE_SOON_NS)) {
        char ends[SQ_TIMESTAMP_MAX];
        sq_timestamp_format(hello->certificate_ends_real_ns, ends);
        remarks->warnings++;
        remark(remarks, "%sits agent's certificate ends soon: %s%s", remarks->begin, ends, remarks->end);
    }
    remark_on_abilities(remarks, hello);
}

/* Everything that is not a plain "yes". */
static uint32_t print_remarks(const struct sq_everybody *everybody, bool colored, FILE *stream)
{
    struct remarks remarks = {.blocks = sq_host_blocks_new(),
                              .begin = sq_style_begin(colored, SQ_STYLE_WARNING),
                              .end = sq_style_end(colored)};
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++) {
        const struct sq_host *host = &everybody->inventory->hosts[i];
        remarks.host = i;
        remarks.name = host->name;
        remark_on_host(&remarks, host, everybody->answers[i], colored);
    }
    uint32_t count = 0;
    const struct sq_host_block *all =
        remarks.blocks != NULL ? sq_host_blocks_all(remarks.blocks, &count) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        char names[SQ_HOST_LIST_MAX];
        sq_host_list_format(all[i].names, all[i].count, names, sizeof(names));
        (void)fprintf(stream, "%s: %s\n", names, all[i].text);
    }
    sq_host_blocks_free(remarks.blocks);
    return remarks.warnings;
}

/* "3 hosts: 2 answered, 0 refused, 1 did not answer; 5 of 6 kinds of fault on all that answered; 0 warnings"
 */
static void print_sum(const struct sq_everybody *everybody, uint32_t warnings, FILE *stream)
{
    uint32_t count = everybody->inventory->host_count;
    uint32_t answered = 0;
    uint32_t silent = 0;
    uint32_t everywhere = 0;
    for (uint32_t i = 0; i < count; i++) {
        answered += sq_hosts_is_there(everybody->answers[i]);
        silent += everybody->answers[i]->failed;
    }
    for (size_t kind = 0; kind < sq_fault_table_count; kind++) {
        bool possible = answered > 0;
        for (uint32_t i = 0; i < count && possible; i++)
            possible =
                !sq_hosts_is_there(everybody->answers[i]) ||
                is_possible(ability_of(&everybody->answers[i]->reply.hello, sq_fault_table[kind]->kind));
        everywhere += possible;
    }
    (void)fprintf(stream, "%u host%s: %u answered, %u refused, %u did not answer; ", count,
                  count == 1 ? "" : "s", answered, count - answered - silent, silent);
    if (answered > 0)
        (void)fprintf(stream, "%u of %zu kinds of fault on all that answered; ", everywhere,
                      sq_fault_table_count);
    (void)fprintf(stream, "%u warning%s\n", warnings, warnings == 1 ? "" : "s");
}

int sq_hosts_print(const struct sq_everybody *everybody, bool colored, FILE *stream)
{
    if (print_table(everybody, stream) != 0)
        return -1;
    print_sum(everybody, print_remarks(everybody, colored, stream), stream);
    return fflush(stream) == 0 ? 0 : -1;
}
