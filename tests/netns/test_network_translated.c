/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBNL */
/* Peers whose address this host translates: the plan warns of those that can be seen. */
#include "fixture.h"
#include "impairment.h"

#include "kernel/nat.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
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

/* ---- nftables, spoken by hand: its tool need not be installed ---- */

static _Alignas(struct nlmsghdr) char batch[16384];
static size_t batch_used;
static uint32_t sequence;
static unsigned answers;

static struct nl_msg *begin(uint16_t type, uint16_t flags)
{
    struct nl_msg *message = nlmsg_alloc();
    struct nfgenmsg info = {.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0};
    assert_non_null(message);
    if (type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END)
        info.res_id = htons(NFNL_SUBSYS_NFTABLES);
    else
        type |= NFNL_SUBSYS_NFTABLES << 8;
    struct nlmsghdr *header = nlmsg_put(message, 0, ++sequence, type, sizeof info, NLM_F_REQUEST | flags);
    memcpy(nlmsg_data(header), &info, sizeof info);
    answers += (flags & NLM_F_ACK) != 0;
    return message;
}

static void end(struct nl_msg *message)
{
    memcpy(batch + batch_used, nlmsg_hdr(message), nlmsg_hdr(message)->nlmsg_len);
    batch_used += NLMSG_ALIGN(nlmsg_hdr(message)->nlmsg_len);
    nlmsg_free(message);
}

static bool commit(void)
{
    end(begin(NFNL_MSG_BATCH_END, 0));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    bool made = fd >= 0 && send(fd, batch, batch_used, 0) == (ssize_t)batch_used;
    for (; answers > 0 && made; answers--) {
        ssize_t size = recv(fd, batch, sizeof batch, 0);
        const struct nlmsghdr *answer = (const void *)batch;
        assert_true(size > 0);
        made = answer->nlmsg_type != NLMSG_ERROR || ((const struct nlmsgerr *)NLMSG_DATA(answer))->error == 0;
    }
    close(fd);
    return made;
}

/* A chain of table `edge`; `hooked`: the kernel itself asks it, for what this host sends. */
static void add_chain(const char *name, bool hooked)
{
    struct nl_msg *chain = begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
    assert_int_equal(nla_put_string(chain, NFTA_CHAIN_TABLE, "edge"), 0);
    assert_int_equal(nla_put_string(chain, NFTA_CHAIN_NAME, name), 0);
    if (hooked) {
        struct nlattr *hook = nla_nest_start(chain, NFTA_CHAIN_HOOK);
        assert_int_equal(nla_put_u32(chain, NFTA_HOOK_HOOKNUM, htonl(NF_INET_LOCAL_OUT)), 0);
        assert_int_equal(nla_put_u32(chain, NFTA_HOOK_PRIORITY, htonl((uint32_t)-100)), 0);
        (void)nla_nest_end(chain, hook);
        assert_int_equal(nla_put_string(chain, NFTA_CHAIN_TYPE, "nat"), 0);
    }
    end(chain);
}

static struct nlattr *begin_expression(struct nl_msg *rule, const char *name, struct nlattr **element)
{
    *element = nla_nest_start(rule, NFTA_LIST_ELEM);
    assert_int_equal(nla_put_string(rule, NFTA_EXPR_NAME, name), 0);
    return nla_nest_start(rule, NFTA_EXPR_DATA);
}

static void put_number(struct nl_msg *rule, int type, uint32_t number)
{
    assert_int_equal(nla_put_u32(rule, type, htonl(number)), 0);
}

static void put_value(struct nl_msg *rule, int type, const char *address)
{
    struct in_addr value;
    assert_int_equal(inet_pton(AF_INET, address, &value), 1);
    struct nlattr *data = nla_nest_start(rule, type);
    assert_int_equal(nla_put(rule, NFTA_DATA_VALUE, sizeof value, &value), 0);
    (void)nla_nest_end(rule, data);
}

static void put_destination(struct nl_msg *rule, const char *destination, const char *mask)
{
    struct nlattr *element;
    struct nlattr *data = begin_expression(rule, "payload", &element);
    put_number(rule, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_number(rule, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    put_number(rule, NFTA_PAYLOAD_OFFSET, 16);
    put_number(rule, NFTA_PAYLOAD_LEN, 4);
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
    data = begin_expression(rule, "bitwise", &element);
    put_number(rule, NFTA_BITWISE_SREG, NFT_REG_1);
    put_number(rule, NFTA_BITWISE_DREG, NFT_REG_1);
    put_number(rule, NFTA_BITWISE_LEN, 4);
    put_value(rule, NFTA_BITWISE_MASK, mask);
    put_value(rule, NFTA_BITWISE_XOR, "0.0.0.0");
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
    data = begin_expression(rule, "cmp", &element);
    put_number(rule, NFTA_CMP_SREG, NFT_REG_1);
    put_number(rule, NFTA_CMP_OP, NFT_CMP_EQ);
    put_value(rule, NFTA_CMP_DATA, destination);
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
}

static void put_translation(struct nl_msg *rule, const char *to)
{
    struct nlattr *element;
    struct nlattr *data = begin_expression(rule, "immediate", &element);
    put_number(rule, NFTA_IMMEDIATE_DREG, NFT_REG_2);
    put_value(rule, NFTA_IMMEDIATE_DATA, to);
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
    data = begin_expression(rule, "nat", &element);
    put_number(rule, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_number(rule, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    put_number(rule, NFTA_NAT_REG_ADDR_MIN, NFT_REG_2);
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
}

static void put_jump(struct nl_msg *rule, const char *chain)
{
    struct nlattr *element;
    struct nlattr *data = begin_expression(rule, "immediate", &element);
    put_number(rule, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *immediate = nla_nest_start(rule, NFTA_IMMEDIATE_DATA);
    struct nlattr *verdict = nla_nest_start(rule, NFTA_DATA_VERDICT);
    put_number(rule, NFTA_VERDICT_CODE, (uint32_t)NFT_JUMP);
    assert_int_equal(nla_put_string(rule, NFTA_VERDICT_CHAIN, chain), 0);
    (void)nla_nest_end(rule, verdict);
    (void)nla_nest_end(rule, immediate);
    (void)nla_nest_end(rule, data);
    (void)nla_nest_end(rule, element);
}

/* In `chain`: to `destination` (NULL: to whomever), go to the chain `jump`, or translate to `to`. */
static void add_rule(const char *chain, const char *destination, const char *mask, const char *jump,
                     const char *to)
{
    struct nl_msg *rule = begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
    assert_int_equal(nla_put_string(rule, NFTA_RULE_TABLE, "edge"), 0);
    assert_int_equal(nla_put_string(rule, NFTA_RULE_CHAIN, chain), 0);
    struct nlattr *expressions = nla_nest_start(rule, NFTA_RULE_EXPRESSIONS);
    if (destination != NULL)
        put_destination(rule, destination, mask);
    if (jump != NULL)
        put_jump(rule, jump);
    else
        put_translation(rule, to);
    (void)nla_nest_end(rule, expressions);
    end(rule);
}

static void begin_table(void)
{
    batch_used = 0;
    answers = 0;
    end(begin(NFNL_MSG_BATCH_BEGIN, 0));
    struct nl_msg *table = begin(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
    assert_int_equal(nla_put_string(table, NFTA_TABLE_NAME, "edge"), 0);
    end(table);
    add_chain("out", true);
    add_chain("services", false);
    add_chain("ends", false);
}

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    fixture_must(lab.host, "ip route add 10.7.0.0/16 via 10.9.0.2");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    return 0;
}

static bool warns(const char *peer, enum sq_line_kind kind, const char *text)
{
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, peer);
    assert_int_equal(impairment_preview(&fault), 0);
    return impairment_says(&fault, kind, text);
}

/* One rule that says all, and as Kubernetes does it: the destination in one chain, the translation two
 * further. */
static void test_nftables(void **state)
{
    (void)state;
    static const char one[] = "this host translates 10.7.0.9/32 (the nftables chain 'out' of table 'edge')";
    static const char range[] =
        "this host translates 10.7.8.0/24 (the nftables chain 'services' of table 'edge')";
    assert_false(warns("10.7.0.9", SQ_LINE_WARNING, "translates"));
    begin_table();
    add_rule("out", "10.7.0.9", "255.255.255.255", NULL, "10.9.0.3");
    add_rule("out", NULL, NULL, "services", NULL);
    add_rule("services", "10.7.8.0", "255.255.255.0", "ends", NULL);
    add_rule("ends", NULL, NULL, NULL, "10.9.0.4");
    if (!commit()) {
        print_message("not checked: this kernel has no nftables that translate\n");
        skip();
    }
    assert_true(warns("10.7.0.9", SQ_LINE_WARNING, one));
    assert_false(warns("10.7.0.9", SQ_LINE_WARNING, range));
    assert_true(warns("10.7.0.0/16", SQ_LINE_WARNING, one));
    assert_true(warns("10.7.0.0/16", SQ_LINE_WARNING, range));
    assert_true(warns("10.7.8.1", SQ_LINE_WARNING, range));
    assert_false(warns("10.9.0.3", SQ_LINE_WARNING, "translates"));
    assert_false(warns("0.0.0.0/0", SQ_LINE_WARNING, "translates"));
    assert_false(warns("10.9.0.3", SQ_LINE_NOTE, "translates"));
}

static void test_rule_for_whomever(void **state)
{
    (void)state;
    begin_table();
    add_rule("out", NULL, NULL, NULL, "10.9.0.4");
    if (!commit())
        skip();
    assert_true(warns("10.9.0.3", SQ_LINE_NOTE,
                      "the nftables chain 'out' of table 'edge' translates destinations "
                      "without naming them"));
}

static void note_service(const struct sq_nat_rule *rule, void *cookie)
{
    char text[SQ_CIDR_TEXT_MAX] = "unnamed";
    if (rule->destination.family != 0)
        sq_cidr_format(&rule->destination, text);
    strcat(strcat(cookie, text), " ");
}

/* As Linux writes it (ip_vs_info_seq_show); this kernel has none. */
static void test_ipvs(void **state)
{
    (void)state;
    char text[] = "IP Virtual Server version 1.2.1 (size=4096)\n"
                  "Prot LocalAddress:Port Scheduler Flags\n"
                  "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
                  "TCP  0A070009:01BB rr  \n"
                  "  -> 0A090003:01BB      Masq    1      0          0         \n"
                  "UDP  [fd07:0000:0000:0000:0000:0000:0000:0009]:0035 rr  \n"
                  "FWM  00000007 rr  \n";
    char found[200] = "";
    FILE *file = fmemopen(text, strlen(text), "r");
    assert_non_null(file);
    sq_nat_each_ipvs(file, note_service, found);
    fclose(file);
    assert_string_equal(found, "10.7.0.9/32 fd07::9/128 unnamed ");
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nftables, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_rule_for_whomever, set_up, fixture_tear_down),
        cmocka_unit_test(test_ipvs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
