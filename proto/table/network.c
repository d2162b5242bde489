/* The parameter tables of the network fault kinds. */
#include "table/params.h"

#include "common/clock.h"
#include "common/units.h"

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
        .offset = offsetof(struct sq_fault_spec, member.selector.interface), .size = SQ_INTERFACE_TEXT_MAX,  \
        .help = "the network interface, by any of its names; without it, all by which packets to the peers " \
                "may leave"                                                                                  \
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

const struct sq_network_selector *sq_spec_selector(const struct sq_fault_spec *spec)
{
    switch (spec->kind) {
    case SQ_NETWORK_PARTITION:
        return &spec->partition.selector;
    case SQ_NETWORK_LATENCY:
        return &spec->latency.selector;
    case SQ_NETWORK_LOSS:
        return &spec->loss.selector;
    default:
        return NULL;
    }
}

/*
 * Of different kinds, each does its own to a packet that both mean: what drops comes first, what is left is
 * delayed. Two of the same kind would be one with other numbers.
 */
static bool network_faults_collide(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    const struct sq_network_selector *first = sq_spec_selector(a);
    const struct sq_network_selector *second = sq_spec_selector(b);
    return a->kind == b->kind && first != NULL && second != NULL && selectors_collide(first, second);
}

static int check_network(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    const struct sq_network_selector *selector = sq_spec_selector(spec);
    if (selector == NULL)
        return sq_fail(error, SQ_INTERNAL, "a network fault that names no packets");
    return check_selector(selector, culprit, error);
}

static const struct sq_param partition_params[] = {SELECTOR_PARAMS(partition)};

const struct sq_fault_info sq_network_partition_info = {
    .kind = SQ_NETWORK_PARTITION,
    .name = "network.partition",
    .help = "drop every packet between the host and its peers",
    .resource = SQ_RESOURCE_NETWORK,
    .params = partition_params,
    .param_count = sizeof partition_params / sizeof partition_params[0],
    .check = check_network,
    .collides = network_faults_collide,
};

static const struct sq_param latency_params[] = {
    SELECTOR_PARAMS(latency),
    {.key = "delay",
     .type = SQ_PARAM_DURATION,
     .offset = offsetof(struct sq_fault_spec, latency.delay_ns),
     .least = 1000.0, /* one microsecond */
     .most = (double)(60 * SQ_NS_PER_SECOND),
     .required = true,
     .help = "how much later each packet goes on, in each chosen direction"},
    {.key = "jitter",
     .type = SQ_PARAM_DURATION,
     .offset = offsetof(struct sq_fault_spec, latency.jitter_ns),
     .least = 1000.0,                        /* one microsecond */
     .most = (double)(2 * SQ_NS_PER_SECOND), /* netem computes with 31 bits of nanoseconds */
     .help = "vary each packet's delay evenly from delay - jitter to delay + jitter; at most the delay"},
};

static int check_latency(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    const struct sq_network_latency *latency = &spec->latency;
    char delay[SQ_UNIT_TEXT_MAX];
    char jitter[SQ_UNIT_TEXT_MAX];
    if (latency->jitter_ns > latency->delay_ns) {
        *culprit = "jitter";
        sq_duration_format(latency->jitter_ns, jitter);
        sq_duration_format(latency->delay_ns, delay);
        return sq_fail(error, SQ_BAD_INPUT,
                       "a jitter of %s around a delay of %s would let packets arrive before they were sent; "
                       "expected at most the delay",
                       jitter, delay);
    }
    return check_network(spec, culprit, error);
}

static int check_latency_duration(const struct sq_fault_spec *spec, uint64_t duration_ns,
                                  const char **culprit, struct sq_error *error)
{
    const struct sq_network_latency *latency = &spec->latency;
    uint64_t longest_ns = latency->delay_ns + latency->jitter_ns;
    char longest[SQ_UNIT_TEXT_MAX];
    char duration[SQ_UNIT_TEXT_MAX];
    if (longest_ns <= duration_ns)
        return 0;
    *culprit = latency->delay_ns > duration_ns ? "delay" : "jitter";
    sq_duration_format(longest_ns, longest);
    sq_duration_format(duration_ns, duration);
    return sq_fail(error, SQ_BAD_INPUT,
                   "a delay of %s%s goes beyond the fault's duration of %s: packets would still be held when "
                   "it ends; expected a longer duration or a shorter delay",
                   latency->jitter_ns > 0 ? "up to " : "", longest, duration);
}

const struct sq_fault_info sq_network_latency_info = {
    .kind = SQ_NETWORK_LATENCY,
    .name = "network.latency",
    .help = "delay every packet between the host and its peers",
    .resource = SQ_RESOURCE_NETWORK,
    .params = latency_params,
    .param_count = sizeof latency_params / sizeof latency_params[0],
    .check = check_latency,
    .check_duration = check_latency_duration,
    .collides = network_faults_collide,
};

static const struct sq_param loss_params[] = {
    SELECTOR_PARAMS(loss),
    {.key = "percent",
     .type = SQ_PARAM_PERCENT,
     .offset = offsetof(struct sq_fault_spec, loss.percent),
     .least = 0.001, /* netem counts in steps of 100/2^32 per cent; 0 would do nothing */
     .most = 100,
     .required = true,
     .help = "how many of the packets are lost, each by chance of its own, in each chosen direction"},
};

const struct sq_fault_info sq_network_loss_info = {
    .kind = SQ_NETWORK_LOSS,
    .name = "network.loss",
    .help = "lose some of the packets between the host and its peers",
    .resource = SQ_RESOURCE_NETWORK,
    .params = loss_params,
    .param_count = sizeof loss_params / sizeof loss_params[0],
    .check = check_network,
    .collides = network_faults_collide,
};
