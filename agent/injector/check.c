/*
 * squalld --check: what this host can do and why not, with the agent's own configuration and privileges. A
 * gate for configuration management: it succeeds only if this agent would serve, and could do what its policy
 * allows.
 */
#include "injector.h"

#include "certificates/certificates.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "faults/network_tcx.h"
#include "faults/protection.h"
#include "injector/abilities.h"
#include "injector/listening.h"
#include "injector/policy.h"
#include "injector/privileges.h"
#include "injector/run_directory.h"
#include "injector/undo_log.h"

#include <stdio.h>

#define PROBLEMS_MAX (SQ_ABILITIES_MAX + SQ_LISTEN_MAX + 8)

static void print_json_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            (void)printf("\\%c", byte);
        else if (byte < 0x20)
            (void)printf("\\u%04x", byte);
        else
            (void)putchar(byte);
    }
    (void)putchar('"');
}

static const char *name_of(const struct sq_ability *ability)
{
    const struct sq_fault_info *info = sq_fault_by_kind(ability->kind);
    return info == NULL ? "unknown" : info->name;
}

static void print_json_unmatched(const char *sentence, void *cookie)
{
    bool *is_first = cookie;
    if (!*is_first)
        (void)printf(", ");
    *is_first = false;
    print_json_text(sentence);
}

static void print_unmatched(const char *sentence, void *cookie)
{
    (void)cookie;
    (void)printf("warning: %s\n", sentence);
}

/* All that was found out. */
struct findings {
    struct sq_policy policy;
    struct sq_abilities abilities;
    struct sq_ability list[SQ_ABILITIES_MAX];
    uint32_t count;
    bool tmpfs;
    bool has_certificates;
    struct sq_certificate_facts certificates;
    uint32_t problem_count;
    struct sq_error problems[PROBLEMS_MAX]; /* why this agent would not serve, or not do what it may */
};

static void note(struct findings *findings, const struct sq_error *problem)
{
    if (findings->problem_count < PROBLEMS_MAX)
        findings->problems[findings->problem_count++] = *problem;
}

static void look_at_abilities(struct findings *findings)
{
    sq_abilities_refresh(&findings->abilities, sq_boot_ns());
    findings->count = sq_abilities_list(&findings->abilities, &findings->policy, findings->list);
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct sq_ability *ability = &findings->list[i];
        struct sq_error problem;
        if (!ability->permitted || sq_abilities_check(&findings->abilities, ability->kind, &problem) >= 0)
            continue;
        (void)sq_fail_in(&problem, "the policy allows %s, and this host cannot do it", name_of(ability));
        problem.code = SQ_UNABLE;
        note(findings, &problem);
    }
}

static void look_at_certificates(struct findings *findings, const struct sq_agent_config *config)
{
    const struct sq_certificate_files files = {.certificate = config->tls_certificate,
                                               .key = config->tls_key,
                                               .controllers = config->tls_controllers};
    struct sq_error problem;
    findings->has_certificates = config->tls_certificate[0] != '\0';
    if (findings->has_certificates &&
        (sq_certificates_check(&files, &findings->certificates, &problem) != 0 ||
         sq_certificates_check_time(&files, sq_real_ns(), &problem) != 0))
        note(findings, &problem);
}

static void look_at_run(struct findings *findings, const struct sq_agent_config *config)
{
    static struct sq_undo_content content;
    char path[PATH_MAX];
    struct sq_error problem;
    findings->tmpfs = sq_run_directory_is_tmpfs(config->run);
    if (sq_run_directory_check(config->run, &problem) != 0)
        note(findings, &problem);
    else if (sq_run_directory_path(config->run, "", path, &problem) != 0 ||
             sq_undo_log_peek(path, false, &content, &problem) != 0)
        note(findings, &problem);
    /* That of version 0.1; what somebody else planted there is none. */
    if (sq_undo_log_peek(config->run, false, &content, &problem) != 0 && problem.code == SQ_UNCLEAN)
        note(findings, &problem);
    if (sq_undo_log_peek(config->state, true, &content, &problem) != 0)
        note(findings, &problem);
}

static void look_at_listening(struct findings *findings, const struct sq_agent_config *config)
{
    struct sq_error problem;
    for (uint32_t i = 0; i < config->listen_count; i++)
        if (sq_listening_check(config, i, &problem) != 0)
            note(findings, &problem);
}

static void print_json_certificates(const struct findings *findings)
{
    char ends[SQ_TIMESTAMP_MAX];
    if (!findings->has_certificates || findings->certificates.ends_real_ns == 0) {
        (void)printf("null");
        return;
    }
    sq_timestamp_format(findings->certificates.ends_real_ns, ends);
    print_json_text(ends);
}

static void print_json(const struct findings *findings)
{
    const struct sq_policy *policy = &findings->policy;
    (void)printf("{\"version\": \"%s\", \"ok\": %s, \"problems\": [", SQ_VERSION,
                 findings->problem_count == 0 ? "true" : "false");
    for (uint32_t i = 0; i < findings->problem_count; i++) {
        (void)printf("%s", i == 0 ? "" : ", ");
        print_json_text(findings->problems[i].text);
    }
    (void)printf("], \"certificate_ends\": ");
    print_json_certificates(findings);
    (void)printf(", \"policy\": {\"path\": ");
    print_json_text(policy->path);
    (void)printf(", \"problem\": ");
    print_json_text(policy->problem);
    (void)printf(", \"max_duration_ns\": %llu, \"unmatched\": [",
                 (unsigned long long)policy->max_duration_ns);
    bool is_first = true;
    sq_protection_each_unmatched(&policy->protection, print_json_unmatched, &is_first);
    (void)printf("]}, \"run_is_tmpfs\": %s, \"faults\": [", findings->tmpfs ? "true" : "false");
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct sq_ability *ability = &findings->list[i];
        (void)printf(
            "%s{\"fault\": \"%s\", \"able\": %s, \"permitted\": %s, \"reason\": ", i == 0 ? "" : ", ",
            name_of(ability), ability->able ? "true" : "false", ability->permitted ? "true" : "false");
        print_json_text(ability->reason);
        (void)putchar('}');
    }
    (void)printf("]}\n");
}

static void print_abilities(const struct findings *findings)
{
    for (uint32_t i = 0; i < findings->count; i++) {
        static const char *const answers[] = {"NOT possible", "possible", "perhaps possible"};
        const struct sq_ability *ability = &findings->list[i];
        struct sq_error error;
        int able = sq_abilities_check(&findings->abilities, ability->kind, &error);
        (void)printf("%-20s %s, %s\n", name_of(ability), answers[able < 0 ? 0 : 1 + able],
                     ability->permitted ? "allowed" : "NOT allowed");
        if (able != 0)
            (void)printf("  %s\n", error.text);
        if (findings->policy.problem[0] == '\0' &&
            sq_policy_permits_kind(&findings->policy, ability->kind, &error) != 0)
            (void)printf("  %s\n", error.text);
    }
}

static void print_text(const struct findings *findings, const struct sq_agent_config *config)
{
    char most[SQ_UNIT_TEXT_MAX];
    char ends[SQ_TIMESTAMP_MAX];
    print_abilities(findings);
    if (findings->policy.problem[0] == '\0') {
        sq_duration_format(findings->policy.max_duration_ns, most);
        (void)printf("policy: %s; no fault longer than %s\n", findings->policy.path, most);
    }
    if (findings->has_certificates && findings->certificates.ends_real_ns != 0) {
        sq_timestamp_format(findings->certificates.ends_real_ns, ends);
        (void)printf("certificates: good until %s\n", ends);
    }
    sq_protection_each_unmatched(&findings->policy.protection, print_unmatched, NULL);
    if (!findings->tmpfs)
        (void)printf("warning: %s is not on a tmpfs; choose a 'run:' on one\n", config->run);
    for (uint32_t i = 0; i < findings->problem_count; i++)
        (void)printf("PROBLEM: %s\n", findings->problems[i].text);
}

/* What decides the exit status: something left on this host, then a file that is wrong, then the host. */
static int judge(const struct findings *findings, struct sq_error *error)
{
    static const enum sq_code weight[] = {SQ_UNCLEAN, SQ_BAD_INPUT};
    if (findings->problem_count == 0)
        return 0;
    enum sq_code code = SQ_UNABLE;
    for (size_t i = sizeof weight / sizeof weight[0]; i-- > 0;)
        for (uint32_t j = 0; j < findings->problem_count; j++)
            if (findings->problems[j].code == weight[i])
                code = weight[i];
    return sq_fail(error, code,
                   "%u problem%s: this agent would not serve, or could not do all that its policy allows",
                   findings->problem_count, findings->problem_count == 1 ? "" : "s");
}

int sq_injector_check(const struct sq_agent_config *config, bool json, struct sq_error *error)
{
    static struct findings findings;
    struct sq_error problem;
    /* What root alone may read is looked at as squalld looks at it when it starts. */
    look_at_certificates(&findings, config);
    look_at_run(&findings, config);
    look_at_listening(&findings, config);
    sq_network_try_host();
    if (sq_injector_privileges_drop(error) != 0)
        return -1;
    sq_policy_load(&findings.policy, config->policy);
    if (findings.policy.problem[0] != '\0') {
        (void)sq_fail(&problem, SQ_BAD_INPUT, "%s", findings.policy.problem);
        note(&findings, &problem);
    }
    look_at_abilities(&findings);
    if (json)
        print_json(&findings);
    else
        print_text(&findings, config);
    return judge(&findings, error);
}
