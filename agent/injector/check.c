/* squalld --check: what this host can do and why not, with the agent's own configuration and privileges. */
#include "injector.h"

#include "common/clock.h"
#include "common/units.h"
#include "faults/protection.h"
#include "injector/abilities.h"
#include "injector/policy.h"
#include "injector/privileges.h"
#include "injector/run_directory.h"

#include <stdio.h>

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

static void print_json(const struct sq_policy *policy, const struct sq_ability *list, uint32_t count,
                       bool tmpfs)
{
    (void)printf("{\"version\": \"%s\", \"policy\": {\"path\": ", SQ_VERSION);
    print_json_text(policy->path);
    (void)printf(", \"problem\": ");
    print_json_text(policy->problem);
    (void)printf(", \"max_duration_ns\": %llu, \"unmatched\": [",
                 (unsigned long long)policy->max_duration_ns);
    bool is_first = true;
    sq_protection_each_unmatched(&policy->protection, print_json_unmatched, &is_first);
    (void)printf("]}, \"run_is_tmpfs\": %s, \"faults\": [", tmpfs ? "true" : "false");
    for (uint32_t i = 0; i < count; i++) {
        (void)printf(
            "%s{\"fault\": \"%s\", \"able\": %s, \"permitted\": %s, \"reason\": ", i == 0 ? "" : ", ",
            name_of(&list[i]), list[i].able ? "true" : "false", list[i].permitted ? "true" : "false");
        print_json_text(list[i].reason);
        (void)putchar('}');
    }
    (void)printf("]}\n");
}

static void print_text(const struct sq_policy *policy, const struct sq_abilities *abilities,
                       const struct sq_ability *list, uint32_t count)
{
    char most[SQ_UNIT_TEXT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        static const char *const answers[] = {"NOT possible", "possible", "perhaps possible"};
        struct sq_error error;
        int able = sq_abilities_check(abilities, list[i].kind, &error);
        (void)printf("%-20s %s, %s\n", name_of(&list[i]), answers[able < 0 ? 0 : 1 + able],
                     list[i].permitted ? "allowed" : "NOT allowed");
        if (able != 0)
            (void)printf("  %s\n", error.text);
        if (policy->problem[0] == '\0' && sq_policy_permits_kind(policy, list[i].kind, &error) != 0)
            (void)printf("  %s\n", error.text);
    }
    if (policy->problem[0] != '\0') {
        (void)printf("policy: %s\n", policy->problem);
        return;
    }
    sq_duration_format(policy->max_duration_ns, most);
    (void)printf("policy: %s; no fault longer than %s\n", policy->path, most);
    sq_protection_each_unmatched(&policy->protection, print_unmatched, NULL);
}

int sq_injector_check(const struct sq_agent_config *config, bool json, struct sq_error *error)
{
    static struct sq_policy policy;
    static struct sq_abilities abilities;
    struct sq_ability list[SQ_ABILITIES_MAX];
    if (sq_injector_privileges_drop(error) != 0)
        return -1;
    sq_policy_load(&policy, config->policy);
    sq_abilities_refresh(&abilities, sq_boot_ns());
    uint32_t count = sq_abilities_list(&abilities, &policy, list);
    bool tmpfs = sq_run_directory_is_tmpfs(config->run);
    if (json) {
        print_json(&policy, list, count, tmpfs);
        return 0;
    }
    print_text(&policy, &abilities, list, count);
    if (!tmpfs)
        (void)printf("warning: %s is not on a tmpfs, or not there yet; choose a 'run:' on one\n",
                     config->run);
    return 0;
}
