/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBNL */
/* Where a detour could not be exact, or would lead past a firewall, the preview says so. Needs no netem. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "faults/network_undo.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    fault.order.spec.latency.delay_ns = 10 * SQ_NS_PER_MILLISECOND;
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

/* A virtual LAN and the device under it: its packets would meet both filters. */
static void test_stacked_interfaces(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "ip link add link eth0 name eth0.7 type vlan id 7 2>/dev/null") != 0) {
        print_message("not checked: this kernel has no virtual LANs\n");
        skip();
    }
    fixture_must(lab.host, "ip addr add 10.7.0.1/24 dev eth0.7 && ip link set eth0.7 up");
    fault.order.spec.latency.selector.interface[0] = '\0';
    impairment_to(&fault, "10.7.0.2");
    impairment_assert_refused(&fault, SQ_UNABLE, "eth0, which carries the packets of eth0.7");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL); /* for a partition, twice is once */
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "10.7.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
}

/* ---- nftables, spoken by hand: its tool need not be installed ---- */

static void add_message(struct nl_msg *batch, uint16_t type, uint8_t family, uint16_t flags,
                        struct nlmsghdr **header)
{
    static uint32_t sequence;
    struct nfgenmsg info = {.nfgen_family = family, .version = NFNETLINK_V0};
    if (type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END)
        info.res_id = htons(NFNL_SUBSYS_NFTABLES);
    else
        type |= NFNL_SUBSYS_NFTABLES << 8;
    *header = nlmsg_put(batch, 0, ++sequence, type, sizeof info, NLM_F_REQUEST | flags);
    assert_non_null(*header);
    memcpy(nlmsg_data(*header), &info, sizeof info);
}

static struct nl_msg *new_message(uint16_t type, uint16_t flags)
{
    struct nl_msg *message = nlmsg_alloc();
    struct nlmsghdr *header;
    assert_non_null(message);
    add_message(message, type, NFPROTO_NETDEV, flags, &header);
    return message;
}

static size_t append(char *buffer, size_t used, struct nl_msg *message)
{
    memcpy(buffer + used, nlmsg_hdr(message), nlmsg_hdr(message)->nlmsg_len);
    used += NLMSG_ALIGN(nlmsg_hdr(message)->nlmsg_len);
    nlmsg_free(message);
    return used;
}

static struct nl_msg *chain_message(const char *device)
{
    struct nl_msg *chain = new_message(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
    assert_int_equal(nla_put_string(chain, NFTA_CHAIN_TABLE, "edge"), 0);
    assert_int_equal(nla_put_string(chain, NFTA_CHAIN_NAME, "guard"), 0);
    struct nlattr *hook = nla_nest_start(chain, NFTA_CHAIN_HOOK);
    assert_int_equal(nla_put_u32(chain, NFTA_HOOK_HOOKNUM, htonl(NF_NETDEV_INGRESS)), 0);
    assert_int_equal(nla_put_u32(chain, NFTA_HOOK_PRIORITY, 0), 0);
    assert_int_equal(nla_put_string(chain, NFTA_HOOK_DEV, device), 0);
    (void)nla_nest_end(chain, hook);
    assert_int_equal(nla_put_string(chain, NFTA_CHAIN_TYPE, "filter"), 0);
    assert_int_equal(nla_put_u32(chain, NFTA_CHAIN_POLICY, htonl(NF_DROP)), 0);
    return chain;
}

/* Table `edge` with the chain `guard` that drops all that comes in by `device`; false: there is no nf_tables.
 */
static bool make_ingress_chain(const char *device)
{
    _Alignas(struct nlmsghdr) char buffer[4096];
    size_t used = append(buffer, 0, new_message(NFNL_MSG_BATCH_BEGIN, 0));
    struct nl_msg *table = new_message(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
    assert_int_equal(nla_put_string(table, NFTA_TABLE_NAME, "edge"), 0);
    used = append(buffer, used, table);
    used = append(buffer, used, chain_message(device));
    used = append(buffer, used, new_message(NFNL_MSG_BATCH_END, 0));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return false;
    assert_int_equal(send(fd, buffer, used, 0), used);
    bool made = true;
    for (int answers = 0; answers < 2 && made; answers++) {
        ssize_t size = recv(fd, buffer, sizeof buffer, 0);
        const struct nlmsghdr *answer = (const void *)buffer;
        assert_true(size > 0);
        if (answer->nlmsg_type == NLMSG_ERROR)
            made = ((const struct nlmsgerr *)NLMSG_DATA(answer))->error == 0;
    }
    close(fd);
    return made;
}

static void test_firewall_at_ingress(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(&fault), 0);
    if (!make_ingress_chain("eth0")) {
        print_message("not checked: this kernel has no nf_tables\n");
        skip();
    }
    assert_int_equal(fixture_in4(&lab, "3"), 0);
    impairment_assert_refused(&fault, SQ_UNABLE, "nftables chain 'guard' of table 'edge'");
    fault.order.spec.latency.selector.direction = SQ_DIRECTION_OUT;
    assert_int_equal(impairment_preview(&fault), 0);
    impairment_init(&fault, SQ_DIRECTION_IN, "eth0"); /* a partition lets nothing go past it */
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    fixture_add_link(&lab, "eth1", 1);
    impairment_init_kind(&fault, SQ_NETWORK_LOSS, SQ_DIRECTION_IN, "eth1");
    impairment_to(&fault, "10.8.1.2");
    assert_int_equal(impairment_preview(&fault), 0);
}

/*
 * What a chain that comes later drops would go past it as well, and no one looks at the plan again. No kernel
 * at hand has both netem and nf_tables: a partition on clsact whose record tells of a detour stands for one
 * that delays.
 */
static void test_firewall_that_comes_later(void **state)
{
    (void)state;
    struct sq_network_undo record;
    struct sq_undo undo;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    assert_int_equal(sq_network_undo_read(&fault.undo, &record, &fault.error), 0);
    record.detours[SQ_TC_IN].ifindex = if_nametoindex("eth0");
    sq_network_undo_write(&record, SQ_NETWORK_LATENCY, &undo);
    fault.error.text[0] = '\0';
    (void)fault.ops->look(fault.state, &undo, &fault.error);
    assert_null(strstr(fault.error.text, "nftables"));
    bool made = make_ingress_chain("eth0");
    if (made) {
        assert_int_equal(fault.ops->look(fault.state, &undo, &fault.error), -1);
        print_message("%s\n", fault.error.text);
        assert_int_equal(fault.error.code, SQ_VANISHED);
        assert_non_null(strstr(fault.error.text, "nftables chain 'guard' of table 'edge' came to eth0"));
        /* What drops leads past nobody. */
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), 0);
    }
    impairment_stop(&fault);
    if (!made) {
        print_message("not checked: this kernel has no nf_tables\n");
        skip();
    }
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stacked_interfaces, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_firewall_at_ingress, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_firewall_that_comes_later, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
