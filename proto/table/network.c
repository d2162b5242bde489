/* The parameter tables of the network fault kinds. */
#include "table/params.h"

static const char *const direction_choices[] = {"in", "out", "both", NULL};

/* The selector that every network kind shares; `member` is the kind's member of struct sq_fault_spec. */
#define SELECTOR_PARAMS(member)                                                                              \
    {.key = "direction",                                                                                     \
     .type = SQ_PARAM_CHOICE,                                                                                \
     .offset = offsetof(struct sq_fault_spec, member.selector.direction),                                    \
     .choices = direction_choices,                                                                           \
     .standard = "both",                                                                                     \
     .help = "packets coming in, going out, or both, as the target host sees them"},                         \
        {.key = "to",                                                                                        \
         .type = SQ_PARAM_CIDRS,                                                                             \
         .offset = offsetof(struct sq_fault_spec, member.selector.to),                                       \
         .count_offset = offsetof(struct sq_fault_spec, member.selector.to_count),                           \
         .most = SQ_PEERS_MAX,                                                                               \
         .required = true,                                                                                   \
         .help = "the peers, as addresses or ranges; 0.0.0.0/0 and ::/0 are everybody"},                     \
        {.key = "except",                                                                                    \
         .type = SQ_PARAM_CIDRS,                                                                             \
         .offset = offsetof(struct sq_fault_spec, member.selector.except),                                   \
         .count_offset = offsetof(struct sq_fault_spec, member.selector.except_count),                       \
         .most = SQ_EXCEPT_MAX,                                                                              \
         .help = "peers to leave alone, out of those in `to`"},                                              \
    {                                                                                                        \
        .key = "interface", .type = SQ_PARAM_TEXT,                                                           \
        .offset = offsetof(struct sq_fault_spec, member.selector.interface), .size = SQ_INTERFACE_NAME_MAX,  \
        .help = "the network interface; without it, the one each peer's route leaves by"                     \
    }

/* Exclusions that leave nothing of a range are a slip, and so is an exclusion of something that is not named.
 */
static int check_selector(const struct sq_network_selector *selector, const char **culprit,
                          struct sq_error *error)
{
    char text[SQ_CIDR_TEXT_MAX];
    for (uint32_t i = 0; i < selector->except_count; i++) {
        bool within = false;
        for (uint32_t j = 0; j < selector->to_count; j++) {
            if (sq_cidr_contains(&selector->except[i], &selector->to[j])) {
                *culprit = "except";
                sq_cidr_format(&selector->to[j], text);
                return sq_fail(error, SQ_BAD_INPUT, "'except' takes back all of %s, which 'to' names", text);
            }
            within = within || sq_cidr_contains(&selector->to[j], &selector->except[i]);
        }
        if (!within) {
            *culprit = "except";
            sq_cidr_format(&selector->except[i], text);
            return sq_fail(error, SQ_BAD_INPUT, "'except' names %s, which is not within any range of 'to'",
                           text);
        }
    }
    return 0;
}

static bool selectors_collide(const struct sq_network_selector *a, const struct sq_network_selector *b)
{
    if ((a->direction & b->direction) == 0)
        return false;
    for (uint32_t i = 0; i < a->to_count; i++)
        for (uint32_t j = 0; j < b->to_count; j++)
            if (sq_cidr_overlaps(&a->to[i], &b->to[j]))
                return true;
    return false;
}

static const struct sq_param partition_params[] = {SELECTOR_PARAMS(partition)};

static int check_partition(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    return check_selector(&spec->partition.selector, culprit, error);
}

static bool partitions_collide(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    return selectors_collide(&a->partition.selector, &b->partition.selector);
}

const struct sq_fault_info sq_network_partition_info = {
    .kind = SQ_NETWORK_PARTITION,
    .name = "network.partition",
    .help = "drop every packet between the host and its peers",
    .params = partition_params,
    .param_count = sizeof partition_params / sizeof partition_params[0],
    .check = check_partition,
    .collides = partitions_collide,
};
