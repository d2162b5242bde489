#include "model/company.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/sample.h"
#include "common/text.h"
#include "common/units.h"
#include "model/host_list.h"

#include <stdlib.h>
#include <string.h>

#define NAMED_MOST  3 /* experiments named in one message */
#define ID_SHOWN    8 /* digits of an experiment's id, enough for people */
#define HOSTS_SHOWN 160

int sq_company_open(const struct sq_inventory *inventory, struct sq_company *company, struct sq_error *error)
{
    company->inventory = inventory;
    company->hosts = calloc((size_t)inventory->host_count + 1, sizeof(*company->hosts));
    return company->hosts != NULL ? 0 : sq_fail(error, SQ_SYSTEM, "out of memory");
}

void sq_company_close(struct sq_company *company)
{
    free(company->hosts);
    memset(company, 0, sizeof(*company));
}

const char *sq_company_state_name(enum sq_company_state state)
{
    static const char *const names[] = {"none", "prepared", "injected", "left", "silent"};
    return names[state];
}

/* ---- What a host says ---- */

static uint64_t to_ours(const struct sq_reply *reply, uint64_t answered_boot_ns, uint64_t boot_ns)
{
    if (boot_ns == 0)
        return 0;
    return boot_ns < reply->now_boot_ns ? sq_ns_sub(answered_boot_ns, reply->now_boot_ns - boot_ns)
                                        : sq_ns_add(answered_boot_ns, boot_ns - reply->now_boot_ns);
}

static void take_fault(struct sq_company_host *host, const struct sq_reply *reply,
                       const struct sq_fault_report *report, uint64_t answered_boot_ns)
{
    enum sq_company_state state = SQ_COMPANY_NONE;
    uint64_t since_boot_ns = 0;
    uint64_t until_boot_ns = 0;
    if (report->state == SQ_STATE_PREPARED) {
        state = SQ_COMPANY_PREPARED;
        since_boot_ns = report->prepared_boot_ns;
        until_boot_ns = reply->lease_boot_ns;
    } else if (report->state == SQ_STATE_INJECTED) {
        state = SQ_COMPANY_INJECTED;
        since_boot_ns = report->injected_boot_ns;
        until_boot_ns = report->deadline_boot_ns;
    } else if (report->state == SQ_STATE_FAILED && report->code == SQ_UNCLEAN) {
        state = SQ_COMPANY_LEFT;
        since_boot_ns = report->injected_boot_ns;
        (void)sq_text_copy(host->problem, sizeof(host->problem), report->message);
    }
    since_boot_ns = to_ours(reply, answered_boot_ns, since_boot_ns);
    if (state > host->state)
        host->since_boot_ns = since_boot_ns;
    else if (state == host->state && since_boot_ns < host->since_boot_ns)
        host->since_boot_ns = since_boot_ns;
    host->state = state > host->state ? state : host->state;
    host->renewable = host->renewable || (until_boot_ns != 0 && until_boot_ns >= reply->lease_boot_ns);
    until_boot_ns = to_ours(reply, answered_boot_ns, until_boot_ns);
    host->until_boot_ns = until_boot_ns > host->until_boot_ns ? until_boot_ns : host->until_boot_ns;
}

void sq_company_take(struct sq_company_host *host, const struct sq_id *own, const struct sq_reply *reply,
                     uint64_t answered_boot_ns, const char *problem)
{
    memset(host, 0, sizeof(*host));
    if (reply == NULL || (reply->code != SQ_OK && reply->code != SQ_UNCLEAN)) {
        host->state = SQ_COMPANY_SILENT;
        (void)sq_text_copy(host->problem, sizeof(host->problem), reply == NULL ? problem : reply->message);
        return;
    }
    if (!sq_id_is_zero(&reply->experiment) && sq_id_equal(&reply->experiment, own))
        return;
    host->experiment = reply->experiment;
    (void)sq_text_copy(host->title, sizeof(host->title), reply->title);
    (void)sq_text_copy(host->operator_name, sizeof(host->operator_name), reply->operator_name);
    for (uint32_t i = 0; i < reply->fault_count; i++)
        take_fault(host, reply, &reply->faults[i], answered_boot_ns);
    if (reply->code == SQ_UNCLEAN && host->state < SQ_COMPANY_LEFT) {
        host->state = SQ_COMPANY_LEFT;
        (void)sq_text_copy(host->problem, sizeof(host->problem), reply->message);
    }
}

/* ---- Saying whose it is ---- */

static bool is_same_company(const struct sq_company_host *a, const struct sq_company_host *b)
{
    return a->state == b->state && sq_id_equal(&a->experiment, &b->experiment);
}

/* The names of all hosts from `first` on that have the same company. */
static void list_same(const struct sq_company *company, uint32_t first, char text[HOSTS_SHOWN])
{
    const struct sq_inventory *inventory = company->inventory;
    sq_autofree const char **names = calloc(inventory->host_count, sizeof(*names));
    uint32_t count = 0;
    for (uint32_t i = first; names != NULL && i < inventory->host_count; i++)
        if (is_same_company(&company->hosts[i], &company->hosts[first]))
            names[count++] = inventory->hosts[i].name;
    if (names != NULL)
        sq_host_list_format(names, count, text, HOSTS_SHOWN);
    else
        (void)sq_text_copy(text, HOSTS_SHOWN, inventory->hosts[first].name);
}

static bool was_told(const struct sq_company *company, uint32_t host)
{
    for (uint32_t i = 0; i < host; i++)
        if (is_same_company(&company->hosts[i], &company->hosts[host]))
            return true;
    return false;
}

static void append_times(const struct sq_company_host *host, uint64_t now_boot_ns, char *text)
{
    char ago[SQ_UNIT_TEXT_MAX];
    char left[SQ_UNIT_TEXT_MAX];
    uint64_t ago_ns = sq_ns_sub(now_boot_ns, host->since_boot_ns);
    uint64_t left_ns = sq_ns_sub(host->until_boot_ns, now_boot_ns);
    sq_duration_format(ago_ns - ago_ns % SQ_NS_PER_SECOND, ago);
    sq_duration_format(left_ns - left_ns % SQ_NS_PER_SECOND, left);
    if (host->since_boot_ns != 0)
        sq_text_append(text, SQ_ERROR_TEXT_MAX, " %s ago", ago);
    if (host->until_boot_ns > now_boot_ns)
        sq_text_append(text, SQ_ERROR_TEXT_MAX, ", ends in %s%s", left,
                       host->renewable ? " unless its lease is renewed" : "");
}

static void describe(const struct sq_company *company, uint32_t first, uint64_t now_boot_ns,
                     char text[SQ_ERROR_TEXT_MAX])
{
    const struct sq_company_host *host = &company->hosts[first];
    char hosts[HOSTS_SHOWN];
    char id[SQ_ID_TEXT_MAX];
    text[0] = '\0';
    list_same(company, first, hosts);
    if (host->state == SQ_COMPANY_SILENT) {
        sq_text_append(text, SQ_ERROR_TEXT_MAX, "%s: no answer, counted as disturbed: %s", hosts,
                       host->problem);
        return;
    }
    sq_id_format(&host->experiment, id);
    sq_text_append(text, SQ_ERROR_TEXT_MAX, "%s: \"%s\" of %s (experiment %.*s), ", hosts, host->title,
                   host->operator_name[0] != '\0' ? host->operator_name : "somebody", ID_SHOWN, id);
    if (host->state == SQ_COMPANY_LEFT)
        sq_text_append(text, SQ_ERROR_TEXT_MAX, "not all of it undone: %s", host->problem);
    else
        sq_text_append(text, SQ_ERROR_TEXT_MAX, "%s", sq_company_state_name(host->state));
    append_times(host, now_boot_ns, text);
}

bool sq_company_next(const struct sq_company *company, uint32_t *position, uint64_t now_boot_ns,
                     char text[SQ_ERROR_TEXT_MAX])
{
    while (*position < company->inventory->host_count) {
        uint32_t host = (*position)++;
        if (company->hosts[host].state == SQ_COMPANY_NONE || was_told(company, host))
            continue;
        describe(company, host, now_boot_ns, text);
        return true;
    }
    return false;
}

/* ---- Judging ---- */

bool sq_company_matters(const struct sq_limits *limits)
{
    return limits->alone || limits->max_hosts > 0 || limits->max_hosts_percent > 0;
}

uint32_t sq_limits_most(const struct sq_limits *limits, const struct sq_inventory *inventory)
{
    uint32_t most = limits->max_hosts > 0 ? limits->max_hosts : UINT32_MAX;
    if (limits->max_hosts_percent > 0) {
        size_t share = sq_sample_share(limits->max_hosts_percent, inventory->host_count);
        most = share < most ? (uint32_t)share : most;
    }
    return most;
}

/* "ada@laptop's "The shop" on web1; no answer from web3", with what it says of the rest left out. */
static void name_company(const struct sq_company *company, char *text, size_t size)
{
    uint32_t named = 0;
    uint32_t more = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < company->inventory->host_count; i++) {
        const struct sq_company_host *host = &company->hosts[i];
        char hosts[HOSTS_SHOWN];
        if (host->state == SQ_COMPANY_NONE || was_told(company, i))
            continue;
        if (named == NAMED_MOST) {
            more++;
            continue;
        }
        list_same(company, i, hosts);
        const char *separator = named++ > 0 ? "; " : "";
        if (host->state == SQ_COMPANY_SILENT)
            sq_text_append(text, size, "%s%s: no answer", separator, hosts);
        else
            sq_text_append(text, size, "%s%s: %s by %s, \"%.60s\"", separator, hosts,
                           sq_company_state_name(host->state),
                           host->operator_name[0] != '\0' ? host->operator_name : "somebody", host->title);
    }
    if (more > 0)
        sq_text_append(text, size, "; and %u more", more);
}

int sq_company_judge(const struct sq_company *company, const struct sq_plan *plan, struct sq_error *error)
{
    const struct sq_experiment *experiment = plan->experiment;
    uint32_t disturbed = 0;
    uint32_t next = 0; /* of the plan's hosts, which are in the inventory's order */
    uint32_t others = 0;
    for (uint32_t i = 0; i < company->inventory->host_count; i++) {
        bool planned = next < plan->host_count && plan->hosts[next].host == &company->inventory->hosts[i];
        next += planned;
        disturbed += company->hosts[i].state != SQ_COMPANY_NONE;
        others += !planned && company->hosts[i].state != SQ_COMPANY_NONE;
    }
    char whose[SQ_ERROR_TEXT_MAX / 2];
    name_company(company, whose, sizeof(whose));
    if (experiment->limits.alone && disturbed > 0)
        return sq_fail(error, SQ_LIMIT,
                       "%.80s: 'limits: alone' bears no company, and %u host%s disturbed (%s): wait, or end "
                       "it with `squall halt`",
                       experiment->path, disturbed, disturbed == 1 ? " is" : "s are", whose);
    uint32_t most = sq_limits_most(&experiment->limits, company->inventory);
    if (plan->host_count + others <= most)
        return 0;
    return sq_fail(error, SQ_LIMIT,
                   "%.80s: the plan hits %u host%s and %u more %s disturbed (%s); 'limits: max-hosts' allows "
                   "%u of the %u together: wait, or end it with `squall halt`",
                   experiment->path, plan->host_count, plan->host_count == 1 ? "" : "s", others,
                   others == 1 ? "is" : "are", whose, most, company->inventory->host_count);
}
