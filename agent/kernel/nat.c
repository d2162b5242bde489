#include "kernel/nat.h"

#include "kernel/module.h"
#include "kernel/netlink.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 40
#define RULES_MAX  65536
#define BASES_MAX  16
#define ROUNDS_MAX                                                                                           \
    16 /* how deep chains that lead to a translation are followed; the kernel allows 16 jumps */

#define DADDR_OFFSET4 16 /* RFC 791 */
#define DADDR_OFFSET6 24 /* RFC 8200 */

/* What is known of one rule. */
struct rule {
    uint64_t chain; /* hash of family, table and chain */
    uint64_t jump;  /* of the chain that it leads to; 0: to none */
    bool translates;
    bool named; /* it asks for a destination, in `destination` if that can be read */
    bool local; /* it asks whether the destination is this host */
    struct sq_cidr destination;
    char table[NAME_SHOWN];
    char name[NAME_SHOWN];
};

struct rules {
    size_t count;
    size_t room;
    struct rule *items;
    size_t base_count;
    uint64_t bases[BASES_MAX]; /* chains that the kernel itself asks to translate destinations */
};

struct attributes {
    struct nlattr *first;
    int length;
};

static void free_rules(struct rules *rules)
{
    free(rules->items);
}

static struct nlattr *find(const struct attributes *attributes, int type)
{
    return attributes->first == NULL ? NULL : nla_find(attributes->first, attributes->length, type);
}

static struct attributes inside(const struct attributes *outer, int type)
{
    struct nlattr *nest = find(outer, type);
    return nest == NULL ? (struct attributes){0} : (struct attributes){nla_data(nest), nla_len(nest)};
}

static const char *text_of(const struct attributes *attributes, int type)
{
    const struct nlattr *attribute = find(attributes, type);
    if (attribute == NULL || nla_len(attribute) <= 0 ||
        !sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)))
        return "";
    return nla_data(attribute);
}

static uint32_t number_of(const struct attributes *attributes, int type, uint32_t otherwise)
{
    const struct nlattr *attribute = find(attributes, type);
    return attribute != NULL && nla_len(attribute) >= 4 ? ntohl(nla_get_u32(attribute)) : otherwise;
}

/* FNV-1a; never 0. */
static uint64_t hash_chain(uint8_t family, const char *table, const char *chain)
{
    uint64_t hash = (UINT64_C(0xcbf29ce484222325) ^ family) * UINT64_C(0x100000001b3);
    const char *const parts[] = {table, "\n", chain};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *at = parts[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    return hash | 1;
}

static struct attributes message_attributes(const struct nlmsghdr *message, uint16_t type, uint8_t *family)
{
    const struct nfgenmsg *info = NLMSG_DATA(message);
    if (message->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | type) ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof *info))
        return (struct attributes){0};
    *family = info->nfgen_family;
    return (struct attributes){(void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info)),
                               (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info))};
}

static int note_base(const struct nlmsghdr *message, void *cookie)
{
    struct rules *rules = cookie;
    uint8_t family = 0;
    const struct attributes chain = message_attributes(message, NFT_MSG_NEWCHAIN, &family);
    const struct attributes hook = inside(&chain, NFTA_CHAIN_HOOK);
    uint32_t point = number_of(&hook, NFTA_HOOK_HOOKNUM, UINT32_MAX);
    if (strcmp(text_of(&chain, NFTA_CHAIN_TYPE), "nat") != 0 ||
        (point != NF_INET_PRE_ROUTING && point != NF_INET_LOCAL_OUT))
        return 0;
    if (rules->base_count == BASES_MAX)
        return -E2BIG;
    rules->bases[rules->base_count++] =
        hash_chain(family, text_of(&chain, NFTA_CHAIN_TABLE), text_of(&chain, NFTA_CHAIN_NAME));
    return 0;
}

/* What the expressions before have put into a register, as far as it is the destination's address. */
struct loaded {
    uint32_t reg; /* 0: nothing of it */
    uint8_t family;
    uint8_t prefix;
};

static void read_payload(const struct attributes *data, struct loaded *loaded)
{
    uint32_t offset = number_of(data, NFTA_PAYLOAD_OFFSET, 0);
    uint32_t length = number_of(data, NFTA_PAYLOAD_LEN, 0);
    bool v4 = offset == DADDR_OFFSET4 && length >= 1 && length <= 4;
    bool v6 = offset == DADDR_OFFSET6 && length >= 1 && length <= 16;
    *loaded = (struct loaded){0};
    if (number_of(data, NFTA_PAYLOAD_BASE, UINT32_MAX) == NFT_PAYLOAD_NETWORK_HEADER && (v4 || v6))
        *loaded = (struct loaded){number_of(data, NFTA_PAYLOAD_DREG, 0), v4 ? 4 : 6, (uint8_t)(length * 8)};
}

static void read_mask(const struct attributes *data, struct loaded *loaded)
{
    const struct attributes mask = inside(data, NFTA_BITWISE_MASK);
    const struct nlattr *value = find(&mask, NFTA_DATA_VALUE);
    if (loaded->reg == 0 || value == NULL || number_of(data, NFTA_BITWISE_SREG, 0) != loaded->reg)
        return;
    uint8_t bits = 0;
    for (int i = 0; i < nla_len(value); i++)
        bits = (uint8_t)(bits + __builtin_popcount(((const uint8_t *)nla_data(value))[i]));
    loaded->prefix = bits < loaded->prefix ? bits : loaded->prefix;
    loaded->reg = number_of(data, NFTA_BITWISE_DREG, 0);
}

static void read_comparison(const struct attributes *data, const struct loaded *loaded, struct rule *rule)
{
    const struct attributes operand = inside(data, NFTA_CMP_DATA);
    const struct nlattr *value = find(&operand, NFTA_DATA_VALUE);
    if (loaded->reg == 0 || number_of(data, NFTA_CMP_SREG, 0) != loaded->reg || value == NULL ||
        number_of(data, NFTA_CMP_OP, NFT_CMP_EQ) != NFT_CMP_EQ ||
        nla_len(value) > (int)sizeof rule->destination.address)
        return;
    rule->named = true;
    rule->destination = (struct sq_cidr){.family = loaded->family, .prefix = loaded->prefix};
    memcpy(rule->destination.address, nla_data(value), (size_t)nla_len(value));
    if (!sq_cidr_is_valid(&rule->destination))
        rule->destination = (struct sq_cidr){0};
}

static void read_verdict(const struct attributes *data, uint8_t family, const char *table, struct rule *rule)
{
    const struct attributes immediate = inside(data, NFTA_IMMEDIATE_DATA);
    const struct attributes verdict = inside(&immediate, NFTA_DATA_VERDICT);
    const char *chain = text_of(&verdict, NFTA_VERDICT_CHAIN);
    if (chain[0] != '\0')
        rule->jump = hash_chain(family, table, chain);
}

static void read_expression(const struct attributes *expression, uint8_t family, const char *table,
                            struct loaded *loaded, struct rule *rule)
{
    const char *name = text_of(expression, NFTA_EXPR_NAME);
    const struct attributes data = inside(expression, NFTA_EXPR_DATA);
    if (strcmp(name, "payload") == 0)
        read_payload(&data, loaded);
    else if (strcmp(name, "bitwise") == 0)
        read_mask(&data, loaded);
    else if (strcmp(name, "cmp") == 0)
        read_comparison(&data, loaded, rule);
    else if (strcmp(name, "immediate") == 0)
        read_verdict(&data, family, table, rule);
    else if (strcmp(name, "nat") == 0)
        rule->translates = number_of(&data, NFTA_NAT_TYPE, NFT_NAT_SNAT) == NFT_NAT_DNAT;
    else if (strcmp(name, "redir") == 0)
        rule->translates = true;
    else if (strcmp(name, "target") == 0)
        rule->translates = strcmp(text_of(&data, NFTA_TARGET_NAME), "DNAT") == 0 ||
                           strcmp(text_of(&data, NFTA_TARGET_NAME), "REDIRECT") == 0;
    else if (strcmp(name, "fib") == 0 ||
             (strcmp(name, "match") == 0 && strcmp(text_of(&data, NFTA_MATCH_NAME), "addrtype") == 0))
        rule->local = true;
}

static int note_rule(const struct nlmsghdr *message, void *cookie)
{
    struct rules *rules = cookie;
    uint8_t family = 0;
    const struct attributes attributes = message_attributes(message, NFT_MSG_NEWRULE, &family);
    if (attributes.first == NULL)
        return 0;
    if (rules->count == rules->room) {
        size_t room = rules->room == 0 ? 64 : rules->room * 2;
        struct rule *items = room > RULES_MAX ? NULL : reallocarray(rules->items, room, sizeof *rules->items);
        if (items == NULL)
            return room > RULES_MAX ? -E2BIG : -ENOMEM;
        rules->items = items;
        rules->room = room;
    }
    struct rule *rule = &rules->items[rules->count];
    struct loaded loaded = {0};
    const char *table = text_of(&attributes, NFTA_RULE_TABLE);
    const char *chain = text_of(&attributes, NFTA_RULE_CHAIN);
    *rule = (struct rule){.chain = hash_chain(family, table, chain)};
    (void)sq_text_copy(rule->table, sizeof rule->table, table);
    (void)sq_text_copy(rule->name, sizeof rule->name, chain);
    const struct attributes list = inside(&attributes, NFTA_RULE_EXPRESSIONS);
    struct nlattr *element;
    int left;
    nla_for_each_attr(element, list.first, list.length, left)
    {
        const struct attributes expression = {nla_data(element), nla_len(element)};
        read_expression(&expression, family, table, &loaded, rule);
    }
    if (rule->translates || rule->jump != 0)
        rules->count++;
    return 0;
}

static int dump(struct sq_netlink *netlink, uint16_t type, sq_netlink_visit visit, struct rules *rules)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        if (type == NFT_MSG_GETCHAIN)
            rules->base_count = 0;
        rules->count = 0;
        struct {
            struct nlmsghdr header;
            struct nfgenmsg info;
        } request = {
            .header = {.nlmsg_len = sizeof request,
                       .nlmsg_type = (uint16_t)((NFNL_SUBSYS_NFTABLES << 8) | type)},
            .info = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0},
        };
        result = sq_netlink_dump(netlink, &request.header, visit, rules);
    }
    return result == -EINVAL || result == -EOPNOTSUPP ? 0 : result; /* no nf_tables in this kernel */
}

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t first = *(const uint64_t *)a;
    const uint64_t second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

/* A jump into a chain that translates is as good as a translation. */
static int follow_jumps(struct rules *rules)
{
    sq_autofree uint64_t *chains = calloc(rules->count + 1, sizeof *chains);
    bool changed = true;
    if (chains == NULL)
        return -ENOMEM;
    for (int round = 0; round < ROUNDS_MAX && changed; round++) {
        size_t count = 0;
        changed = false;
        for (size_t i = 0; i < rules->count; i++)
            if (rules->items[i].translates)
                chains[count++] = rules->items[i].chain;
        if (count == 0)
            return 0;
        qsort(chains, count, sizeof chains[0], compare_hashes);
        for (size_t i = 0; i < rules->count; i++) {
            struct rule *rule = &rules->items[i];
            if (rule->translates || rule->jump == 0 ||
                bsearch(&rule->jump, chains, count, sizeof chains[0], compare_hashes) == NULL)
                continue;
            rule->translates = true;
            changed = true;
        }
    }
    return 0;
}

static void visit_rule(const struct rule *rule, sq_nat_visit visit, void *cookie)
{
    char what[2 * NAME_SHOWN + 40];
    (void)snprintf(what, sizeof what, "the nftables chain '%s' of table '%s'", rule->name, rule->table);
    const struct sq_nat_rule found = {.destination = rule->destination, .what = what};
    visit(&found, cookie);
}

/* From a chain of the kernel's own down to where a destination is named, or a rule translates whatever comes.
 */
static void visit_chain(const struct rules *rules, uint64_t chain, int depth, sq_nat_visit visit,
                        void *cookie)
{
    for (size_t i = 0; i < rules->count && depth > 0; i++) {
        const struct rule *rule = &rules->items[i];
        if (rule->chain != chain || !rule->translates || rule->local)
            continue;
        if (rule->named || rule->jump == 0)
            visit_rule(rule, visit, cookie);
        else
            visit_chain(rules, rule->jump, depth - 1, visit, cookie);
    }
}

void sq_nat_each_ipvs(FILE *file, sq_nat_visit visit, void *cookie)
{
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        char protocol[8];
        char address[64];
        unsigned number;
        struct sq_nat_rule rule = {.what = "an IPVS service"};
        if (line[0] == ' ' || sscanf(line, "%7s %63s", protocol, address) != 2)
            continue;
        if (strcmp(protocol, "TCP") != 0 && strcmp(protocol, "UDP") != 0 && strcmp(protocol, "SCTP") != 0 &&
            strcmp(protocol, "FWM") != 0)
            continue;
        char *end = strrchr(address, address[0] == '[' ? ']' : ':');
        if (strcmp(protocol, "FWM") != 0 && end != NULL) {
            *end = '\0';
            if (address[0] == '[') {
                (void)sq_cidr_parse(address + 1, &rule.destination, NULL);
            } else if (sscanf(address, "%8x", &number) == 1) {
                number = htonl(number);
                rule.destination = (struct sq_cidr){.family = 4, .prefix = 32};
                memcpy(rule.destination.address, &number, sizeof number);
            }
        }
        visit(&rule, cookie);
    }
}

int sq_nat_each(sq_nat_visit visit, void *cookie, struct sq_error *error)
{
    sq_autofile FILE *services = fopen("/proc/self/net/ip_vs", "re");
    if (services != NULL)
        sq_nat_each_ipvs(services, visit, cookie);
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    sq_auto(free_rules) struct rules rules = {0};
    /* Asking would load it; and without it there are no rules. */
    if (sq_kernel_part_is_absent(SQ_PART_NF_TABLES) ||
        sq_netlink_open_to(&netlink, NETLINK_NETFILTER, NULL) != 0)
        return 0;
    int result = dump(&netlink, NFT_MSG_GETCHAIN, note_base, &rules);
    if (result == 0 && rules.base_count > 0)
        result = dump(&netlink, NFT_MSG_GETRULE, note_rule, &rules);
    if (result == 0)
        result = follow_jumps(&rules);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the rules of nftables");
    for (size_t i = 0; i < rules.base_count; i++)
        visit_chain(&rules, rules.bases[i], ROUNDS_MAX, visit, cookie);
    return 0;
}
