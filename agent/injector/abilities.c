#include "abilities.h"

#include "common/text.h"

#include <string.h>

_Static_assert(SQ_FAULT_KIND_MAX <= SQ_ABILITIES_MAX, "hello has room for every kind");

void sq_abilities_refresh(struct sq_abilities *abilities, uint64_t now_boot_ns)
{
    if (abilities->checked_boot_ns != 0 &&
        sq_ns_sub(now_boot_ns, abilities->checked_boot_ns) < SQ_ABILITIES_FRESH_NS)
        return;
    for (size_t i = 0; i < sq_fault_ops_count; i++) {
        const struct sq_fault_ops *ops = sq_fault_ops_table[i];
        struct sq_error *problem = &abilities->problems[ops->kind];
        struct sq_error error;
        *problem = (struct sq_error){.code = SQ_OK};
        int able = ops->able == NULL ? 0 : ops->able(NULL, &error);
        if (able != 0)
            *problem = error;
        abilities->cannot_be_told[ops->kind] = able > 0;
    }
    abilities->checked_boot_ns = now_boot_ns;
}

int sq_abilities_check(const struct sq_abilities *abilities, enum sq_fault_kind kind, struct sq_error *error)
{
    if ((int)kind < 0 || kind > SQ_FAULT_KIND_MAX)
        return sq_fail(error, SQ_UNABLE, "this agent knows no fault of kind %d", (int)kind);
    if (abilities->problems[kind].code == SQ_OK)
        return 0;
    (void)sq_fail(error, SQ_UNABLE, "%s", abilities->problems[kind].text);
    return abilities->cannot_be_told[kind] ? 1 : -1;
}

uint32_t sq_abilities_list(const struct sq_abilities *abilities, const struct sq_policy *policy,
                           struct sq_ability list[SQ_ABILITIES_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < sq_fault_ops_count; i++) {
        struct sq_ability *ability = &list[count++];
        struct sq_error error;
        memset(ability, 0, sizeof *ability);
        ability->kind = sq_fault_ops_table[i]->kind;
        ability->permitted = sq_policy_permits_kind(policy, ability->kind, &error) == 0;
        if (!ability->permitted)
            (void)sq_text_copy(ability->reason, sizeof ability->reason, error.text);
        int able = sq_abilities_check(abilities, ability->kind, &error);
        ability->able = able >= 0;
        if (able < 0 || (able > 0 && ability->permitted))
            (void)sq_text_copy(ability->reason, sizeof ability->reason, error.text);
    }
    return count;
}
