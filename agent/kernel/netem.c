#include "kernel/netem.h"

#include "kernel/tc.h"

#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysinfo.h>

#define PACKETS_PER_SECOND 1000000u
#define NS_PER_SECOND      UINT64_C(1000000000)
#define BURST_PACKETS      1000u
#define MEMORY_SHARE       8
#define PACKET_BYTES_MAX   65536u /* GSO_LEGACY_MAX_SIZE of the kernel */
#define LONGEST_DELAY_NS   (120 * NS_PER_SECOND)

/*
 * Without a table the kernel draws jitter as a 32-bit random number modulo the range, which favours short
 * delays visibly from some 100 ms on. With an even table of as many steps as it takes, all are alike.
 */
#define TABLE_SIZE  NETEM_DIST_MAX
#define TABLE_SCALE NETEM_DIST_SCALE /* of one jitter */

_Static_assert(TABLE_SIZE == 2 * TABLE_SCALE, "a table of steps of one covers minus to plus one jitter");

/* Room for the table and everything else. */
#define MESSAGE_BYTES (TABLE_SIZE * sizeof(int16_t) + 4096)

static int put_table(struct nl_msg *message)
{
    struct nlattr *table = nla_reserve(message, TCA_NETEM_DELAY_DIST, TABLE_SIZE * (int)sizeof(int16_t));
    if (table == NULL)
        return -1;
    int16_t *steps = nla_data(table);
    for (int i = 0; i < TABLE_SIZE; i++)
        steps[i] = (int16_t)(i - TABLE_SCALE);
    return 0;
}

static int put_netem(struct nl_msg *message, uint32_t ifindex, const struct sq_netem *netem)
{
    struct tcmsg info = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = (int)ifindex,
        .tcm_parent = TC_H_ROOT,
    };
    /* Delays go into the attributes behind it, which count in nanoseconds. */
    const struct tc_netem_qopt options = {.limit = netem->limit};
    if (nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) != 0 ||
        nla_put_string(message, TCA_KIND, "netem") != 0)
        return -1;
    struct nlattr *nest = nla_nest_start(message, TCA_OPTIONS);
    if (nest == NULL ||
        nlmsg_append(message, (void *)(uintptr_t)&options, sizeof options, NLMSG_ALIGNTO) != 0 ||
        nla_put_s64(message, TCA_NETEM_LATENCY64, (int64_t)netem->delay_ns) != 0)
        return -1;
    if (netem->jitter_ns > 0 &&
        (nla_put_s64(message, TCA_NETEM_JITTER64, (int64_t)netem->jitter_ns) != 0 || put_table(message) != 0))
        return -1;
    return nla_nest_end(message, nest);
}

static int fail_add(int result, const char *reason, struct sq_error *error)
{
    if (result == -ENOENT)
        return sq_fail(error, SQ_UNABLE, SQ_NETEM_MISSING);
    return sq_fail(error, SQ_UNABLE, "the kernel refused the netem queue: %s%s%s", strerror(-result),
                   reason[0] != '\0' ? ": " : "", reason);
}

int sq_netem_add(struct sq_netlink *netlink, uint32_t ifindex, const struct sq_netem *netem,
                 struct sq_error *error)
{
    if (netem->delay_ns > LONGEST_DELAY_NS || netem->jitter_ns > SQ_NETEM_JITTER_MAX_NS)
        return sq_fail(error, SQ_INTERNAL, "a delay or jitter is beyond what netem computes rightly");
    struct nl_msg *message = nlmsg_alloc_size(MESSAGE_BYTES);
    if (message == NULL || nlmsg_put(message, 0, 0, RTM_NEWQDISC, 0, NLM_F_CREATE | NLM_F_EXCL) == NULL ||
        put_netem(message, ifindex, netem) < 0) {
        nlmsg_free(message);
        return sq_fail_errno(error, ENOMEM, "cannot build a netem queue");
    }
    char reason[160];
    int result = sq_netlink_request(netlink, nlmsg_hdr(message), reason, sizeof reason);
    nlmsg_free(message);
    return result == 0 ? 0 : fail_add(result, reason, error);
}

struct netem_search {
    struct sq_netem_queue *queue;
    bool found;
};

static int notice_netem(const struct sq_tc_qdisc *qdisc, void *cookie)
{
    struct netem_search *search = cookie;
    if (qdisc->parent != TC_H_ROOT || strcmp(qdisc->kind, "netem") != 0 || qdisc->stats == NULL)
        return 0;
    struct nlattr *counts = nla_find(nla_data(qdisc->stats), nla_len(qdisc->stats), TCA_STATS_QUEUE);
    struct gnet_stats_queue queue;
    if (counts == NULL || nla_len(counts) < (int)sizeof queue)
        return 0;
    memcpy(&queue, nla_data(counts), sizeof queue);
    *search->queue = (struct sq_netem_queue){.held = queue.qlen, .lost = queue.drops};
    search->found = true;
    return 0;
}

int sq_netem_look(struct sq_netlink *netlink, uint32_t ifindex, struct sq_netem_queue *queue)
{
    struct netem_search search;
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        search = (struct netem_search){.queue = queue};
        result = sq_tc_qdiscs(netlink, ifindex, notice_netem, &search);
    }
    if (result != 0)
        return result;
    return search.found ? 0 : -ENOENT;
}

uint64_t sq_netem_memory_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

uint64_t sq_netem_wanted(uint64_t longest_delay_ns)
{
    if (longest_delay_ns > LONGEST_DELAY_NS)
        longest_delay_ns = LONGEST_DELAY_NS;
    return BURST_PACKETS + longest_delay_ns / 1000 * PACKETS_PER_SECOND / 1000000;
}

uint32_t sq_netem_share(const struct sq_netem_wish *wishes, size_t count, uint64_t memory_bytes)
{
    uint64_t left = memory_bytes == 0 ? BURST_PACKETS : memory_bytes / MEMORY_SHARE / PACKET_BYTES_MAX;
    uint64_t queues = 0;
    uint64_t share = 0;
    for (size_t i = 0; i < count; i++)
        queues += wishes[i].queues;
    /* Whoever wants no more than an even share gets it, and leaves the rest to the others. */
    for (uint64_t settled = 0; queues > 0; settled = share) {
        share = left / queues;
        if (share <= settled)
            break;
        uint64_t taken = 0;
        uint64_t satisfied = 0;
        for (size_t i = 0; i < count; i++) {
            if (wishes[i].packets > share || wishes[i].packets <= settled)
                continue;
            taken += wishes[i].packets * wishes[i].queues;
            satisfied += wishes[i].queues;
        }
        if (satisfied == 0)
            break;
        left -= taken;
        queues -= satisfied;
    }
    return share < UINT32_MAX ? (uint32_t)share : UINT32_MAX;
}
