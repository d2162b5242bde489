/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/*
 * Every way to a peer: a partition from one address cuts it off whichever of the host's routes, rules,
 * routing domains or links its packets take.
 */
#include "fixture.h"
#include "impairment.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FLOWS 40

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    fixture_add_link(&lab, "eth1", 1);
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    return 0;
}

static bool touches(const char *interface)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%s: packets", interface);
    return impairment_says(&fault, SQ_LINE_TOUCHES, text);
}

/* A peer behind both links, as a server behind two routers is. */
static void add_far_peer(void)
{
    fixture_must(lab.net, "ip addr add 10.7.0.9/32 dev lo && ip addr add fd07::9/128 dev lo nodad && "
                          "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0");
    fixture_must(lab.host, "sysctl -qw net.ipv4.fib_multipath_hash_policy=1");
}

/* Where datagrams go, and by which interface the sender insists on; empty: by routing alone. */
struct way {
    const char *from; /* an address of the host, or an interface's name that is bound to */
    struct sockaddr_storage to;
    int receiver; /* in the other namespace */
};

static int socket_in(int namespace, int family)
{
    int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(before >= 0);
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(before, CLONE_NEWNET), 0);
    close(before);
    assert_true(fd >= 0);
    return fd;
}

static void bind_sender(int fd, const char *from, unsigned i)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(6000 + i))};
    if (inet_pton(AF_INET, from, &local.sin_addr) == 1)
        assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    else
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, from, (socklen_t)strlen(from)), 0);
}

/* How many of 40 datagrams, each from another port, reach the peer; for those that are to come a busy machine
 * gets time.
 */
static unsigned flows_through(const struct way *way, unsigned expected)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        int sender = socket_in(lab.host, way->to.ss_family);
        bind_sender(sender, way->from, i);
        assert_int_equal(sendto(sender, "x", 1, 0, (const struct sockaddr *)&way->to, sizeof way->to), 1);
        close(sender);
    }
    unsigned received = 0;
    char byte;
    struct pollfd poller = {.fd = way->receiver, .events = POLLIN};
    while (received < FLOWS && poll(&poller, 1, received < expected ? 2000 : 150) == 1 &&
           recv(way->receiver, &byte, 1, 0) == 1)
        received++;
    return received;
}

static struct way way_to4(const char *from, const char *to)
{
    struct way way = {.from = from};
    struct sockaddr_in *address = (struct sockaddr_in *)&way.to;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(5000)};
    assert_int_equal(inet_pton(AF_INET, to, &address->sin_addr), 1);
    way.receiver = socket_in(lab.net, AF_INET);
    assert_int_equal(bind(way.receiver, (struct sockaddr *)address, sizeof *address), 0);
    return way;
}

static struct way way_to6(const char *interface, const char *to)
{
    struct way way = {.from = interface};
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)&way.to;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(5000)};
    *address = any;
    address->sin6_scope_id = if_nametoindex(interface);
    assert_int_equal(inet_pton(AF_INET6, to, &address->sin6_addr), 1);
    way.receiver = socket_in(lab.net, AF_INET6);
    assert_int_equal(bind(way.receiver, (struct sockaddr *)&any, sizeof any), 0);
    return way;
}

static void assert_cut(struct way way)
{
    /* Until both ends have noticed their carrier, IPv6 sends nothing. */
    for (int i = 0; i < 50 && flows_through(&way, 0) != FLOWS; i++)
        usleep(20000);
    assert_int_equal(flows_through(&way, FLOWS), FLOWS);
    impairment_start(&fault);
    assert_int_equal(flows_through(&way, 0), 0);
    impairment_stop(&fault);
    assert_int_equal(flows_through(&way, FLOWS), FLOWS);
    close(way.receiver);
}

static void test_equal_cost_routes(void **state)
{
    (void)state;
    add_far_peer();
    fixture_must(lab.host, "ip route add 10.7.0.9/32 nexthop via 10.9.0.2 nexthop via 10.8.1.2");
    impairment_to(&fault, "10.7.0.9");
    assert_cut(way_to4("10.9.0.1", "10.7.0.9"));
}

static void test_equal_cost_routes_of_ipv6(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip addr add fd08::1/64 dev eth1 nodad && ip route add fd07::9 via fd09::2 && "
                           "ip route append fd07::9 via fd08::2");
    impairment_to(&fault, "fd07::9");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && touches("eth1"));
}

/* Also where the kernel names nothing but the object (nexthop_compat_mode=0). */
static void test_nexthop_objects(void **state)
{
    (void)state;
    if (fixture_run(lab.host,
                    "ip nexthop add id 1 via 10.9.0.2 dev eth0 && ip nexthop add id 2 via 10.8.1.2 dev eth1 "
                    "&& ip nexthop add id 3 group 1/2 && ip route add 10.7.0.9/32 nhid 3 && "
                    "ip route add 10.7.0.8/32 nhid 2") != 0)
        skip();
    for (int compat = 0; compat < 2; compat++) {
        fixture_must(lab.host, "sysctl -qw net.ipv4.nexthop_compat_mode=%d", compat);
        impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
        impairment_to(&fault, "10.7.0.9");
        assert_int_equal(impairment_preview(&fault), 0);
        assert_true(touches("eth0") && touches("eth1"));
        impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
        impairment_to(&fault, "10.7.0.8/31");
        assert_int_equal(impairment_preview(&fault), 0);
        assert_true(touches("eth0") && touches("eth1"));
        impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
        impairment_to(&fault, "10.7.0.8");
        assert_int_equal(impairment_preview(&fault), 0);
        assert_true(touches("eth1") && !touches("eth0"));
    }
}

/* By source address, and as by mark, user or port: whatever a rule asks for, some packets may have. */
static void test_rules(void **state)
{
    (void)state;
    add_far_peer();
    fixture_must(lab.host, "ip route add 10.7.0.9/32 via 10.9.0.2 && ip rule add from 10.8.1.1 lookup 77 && "
                           "ip route add default via 10.8.1.2 table 77");
    impairment_to(&fault, "10.7.0.9");
    assert_cut(way_to4("10.8.1.1", "10.7.0.9"));
    assert_cut(way_to4("10.9.0.1", "10.7.0.9"));
    static const char *const others[] = {"fwmark 7", "uidrange 33-33", "iif eth0", "ipproto 6 dport 80",
                                         "not to 10.1.0.0/16"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        fixture_must(lab.host, "ip rule del lookup 77 && ip rule add %s lookup 77", others[i]);
        assert_int_equal(impairment_preview(&fault), 0);
        assert_true(touches("eth0") && touches("eth1"));
    }
}

/* The interface of a table that is never asked is left alone. */
static void test_rules_that_decide(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip route add default via 10.9.0.2 && ip rule add to 10.7.0.0/24 lookup 77 && "
                           "ip route add default via 10.8.1.2 table 77");
    impairment_to(&fault, "10.7.0.9");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth1") && !touches("eth0"));
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.6.0.9");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && !touches("eth1"));
    /* As wg-quick does it: of the main table all but the default route, then the tunnel's. */
    fixture_must(lab.host, "ip rule add not fwmark 51820 lookup 51820 prio 200 && "
                           "ip route add default dev eth1 table 51820 && "
                           "ip rule add lookup main suppress_prefixlength 0 prio 100");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && touches("eth1"));
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.9.0.3");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && !touches("eth1"));
    /* A rule that jumps makes the order uncertain. */
    fixture_must(lab.host, "ip rule add lookup 77 prio 40 && ip rule add goto 100 prio 30");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0"));
}

static void assert_touches_both(const char *range)
{
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, range);
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && touches("eth1"));
}

static void assert_touches_one(const char *range, const char *interface)
{
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, range);
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") == (strcmp(interface, "eth0") == 0));
    assert_true(touches("eth1") == (strcmp(interface, "eth1") == 0));
}

static void wait_for_route(const char *to, const char *interface)
{
    fixture_must(lab.host,
                 "for i in $(seq 100); do ip route get %s | grep -q %s && exit 0; sleep 0.02; done; exit 1",
                 to, interface);
}

/* The narrower route leads by a link without carrier, and such routes are passed over. */
static void test_link_down(void **state)
{
    (void)state;
    add_far_peer();
    fixture_must(lab.host, "sysctl -qw net.ipv4.conf.eth1.ignore_routes_with_linkdown=1 && "
                           "ip route add 10.7.0.0/16 via 10.8.1.2 && "
                           "ip route add 10.6.0.0/16 nexthop via 10.8.1.2 nexthop via 10.8.1.3 && "
                           "ip route add 10.5.0.0/16 nexthop via 10.8.1.2 nexthop via 10.9.0.2 && "
                           "ip route add default via 10.9.0.2");
    assert_touches_one("10.7.0.0/24", "eth1");
    fixture_must(lab.net, "ip link set eth1 down");
    wait_for_route("10.7.0.9", "eth0");
    assert_touches_both("10.7.0.9");
    assert_touches_both("10.6.0.0/24");
    assert_touches_both("10.5.0.0/24");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.7.0.0/24");
    assert_cut(way_to4("10.9.0.1", "10.7.0.9"));
    assert_true(touches("eth0") && touches("eth1"));
    /* Where they are not passed over, their packets are lost. */
    fixture_must(lab.host, "sysctl -qw net.ipv4.conf.eth1.ignore_routes_with_linkdown=0");
    assert_touches_one("10.7.0.0/24", "eth1");
}

/* By type of service: those of other packets are the wider route's. */
static void test_type_of_service(void **state)
{
    (void)state;
    add_far_peer();
    fixture_must(lab.host,
                 "ip route add 10.7.0.0/16 tos 0x10 via 10.8.1.2 && "
                 "ip route add blackhole 10.6.0.0/16 tos 0x10 && ip route add 10.6.0.0/15 dev eth1 && "
                 "ip route add default via 10.9.0.2");
    assert_touches_one("10.6.0.0/24", "eth1");
    fixture_must(lab.host, "ip route del 10.6.0.0/15");
    assert_touches_one("10.6.0.9", "eth0");
    assert_touches_both("10.7.0.9");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.7.0.0/24");
    assert_cut(way_to4("10.9.0.1", "10.7.0.9"));
    assert_true(touches("eth0") && touches("eth1"));
}

/* The conditions are the route's, what it leads by the object's. */
static void test_conditions_of_nexthop_objects(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip addr add fd08::1/64 dev eth1 nodad && ip route add default via 10.9.0.2 && "
                           "ip route add default via fd09::2");
    if (fixture_run(lab.host,
                    "ip nexthop add id 1 via 10.8.1.2 dev eth1 && ip nexthop add id 2 group 1 && "
                    "ip nexthop add id 3 via fd08::2 dev eth1 && ip nexthop add id 4 blackhole && "
                    "ip route add 10.7.0.0/16 tos 0x10 nhid 2 && ip route add 10.6.0.0/16 nhid 2 && "
                    "ip route add fd07::/64 nhid 3 && ip route add 10.5.0.0/16 nhid 4") != 0)
        skip();
    for (int compat = 0; compat < 2; compat++) {
        fixture_must(lab.host, "sysctl -qw net.ipv4.nexthop_compat_mode=%d", compat);
        assert_touches_both("10.7.0.0/24");
        assert_touches_one("10.6.0.0/24", "eth1");
        assert_touches_both("fd07::/112");
        impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
        impairment_to(&fault, "10.5.0.0/24");
        impairment_assert_refused(&fault, SQ_NOBODY, "no route to 10.5.0.0/24");
    }
}

static void test_source_prefix(void **state)
{
    (void)state;
    add_far_peer();
    fixture_must(lab.host, "ip addr add fd08::1/64 dev eth1 nodad && ip route add default via fd09::2");
    if (fixture_run(lab.host, "ip route add fd07::/64 from fd08::/64 dev eth1") != 0) {
        print_message("not checked: this kernel has no IPv6 routes by source\n");
        skip();
    }
    assert_touches_both("fd07::9");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "fd07::/112");
    assert_cut(way_to6("eth0", "fd07::9"));
    assert_true(touches("eth0") && touches("eth1"));
}

/* An IPv6 host passes over a gateway that does not answer, but stays in the table. */
static void test_gateway_that_does_not_answer(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip addr add fd08::1/64 dev eth1 nodad && ip route add default via fd09::2 && "
                           "ip route add fd07::/64 via fd08::dead && "
                           "ip neigh add fd08::dead dev eth1 nud failed");
    assert_int_equal(fixture_run(lab.host, "ip route get fd07::9 | grep -q eth0"), 0);
    assert_touches_both("fd07::/112");
    fixture_must(lab.host,
                 "ip -6 rule add to fd07::/64 lookup 77 && ip route add fd07::/64 via fd08::dead table 77");
    assert_touches_one("fd07::/112", "eth1");
    fixture_must(lab.host, "ip route add fd06::/64 dev eth1");
    assert_touches_one("fd06::/112", "eth1");
}

/* A route whose time is over stands there a while, but no packet takes it. */
static void test_expired_route(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip addr add fd08::1/64 dev eth1 nodad && ip route add default via fd09::2 && "
                           "ip route add fd07::/64 dev eth1 expires 1");
    assert_touches_one("fd07::/112", "eth1");
    wait_for_route("fd07::9", "eth0");
    usleep(50000); /* the kernel says since when in units of 10 ms, and 0 is also what never ends */
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "fd07::/112");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0"));
}

/* A range of this host's own (AnyIP), and a narrower one that is not: one table for the kernel. */
static void test_local_range(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip route add default via 10.9.0.2 && ip route add local 10.7.0.0/16 dev lo && "
                           "ip route add 10.7.0.0/24 via 10.8.1.2");
    assert_touches_one("10.7.0.0/25", "eth1");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.7.1.0/24");
    impairment_assert_refused(&fault, SQ_NOBODY, "10.7.1.0/24");
}

/* A throw is as no route at all, also for part of the peers, or for some of their packets. */
static void test_throw(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip route add default via 10.9.0.2 && ip rule add lookup 77 prio 100 && "
                           "ip route add default via 10.8.1.2 table 77");
    assert_touches_one("10.7.0.0/24", "eth1");
    fixture_must(lab.host, "ip route add throw 10.7.0.128/25 table 77 && "
                           "ip route add throw 10.6.0.0/16 tos 0x10 table 77 && "
                           "ip route add throw 10.5.0.0/16 table 77");
    assert_touches_both("10.7.0.0/24");
    assert_touches_one("10.7.0.0/25", "eth1");
    assert_touches_both("10.6.0.0/24");
    assert_touches_one("10.5.0.0/24", "eth0");
}

static void test_routing_domain(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "ip link add blue type vrf table 10 && ip link set blue up && "
                              "ip link set eth1 master blue") != 0) {
        print_message("not checked: this kernel has no VRFs\n");
        skip();
    }
    add_far_peer();
    fixture_must(lab.host,
                 "ip route add 10.7.0.9/32 via 10.9.0.2 && ip route add vrf blue default via 10.8.1.2");
    impairment_to(&fault, "10.7.0.9");
    assert_cut(way_to4("blue", "10.7.0.9"));
    assert_true(touches("eth0") && touches("eth1") && !touches("blue"));
    assert_cut(way_to4("10.9.0.1", "10.7.0.9"));
}

/* The sender chooses the link of a link-local address; the kernel's first route is that of one card only. */
static void test_link_local(void **state)
{
    (void)state;
    fixture_must(lab.host,
                 "ip addr add fe80::a1/64 dev eth0 nodad && ip addr add fe80::b1/64 dev eth1 nodad");
    fixture_must(lab.net, "ip addr add fe80::2/64 dev eth0 nodad && ip addr add fe80::2/64 dev eth1 nodad");
    impairment_to(&fault, "fe80::2");
    static const char *const cards[] = {"eth0", "eth1"};
    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++) {
        struct way way = way_to6(cards[i], "fe80::2");
        assert_cut(way);
    }
    fixture_must(lab.host, "ip addr add 169.254.1.1/16 dev eth0 && ip addr add 169.254.7.1/24 dev eth1");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "169.254.7.9");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && touches("eth1"));
}

static void join(int receiver, const char *group)
{
    static const char *const links[] = {"10.9.0.2", "10.8.1.2"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        struct ip_mreq membership;
        assert_int_equal(inet_pton(AF_INET, group, &membership.imr_multiaddr), 1);
        assert_int_equal(inet_pton(AF_INET, links[i], &membership.imr_interface), 1);
        assert_int_equal(setsockopt(receiver, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership),
                         0);
    }
}

/* Nor does the kernel ask a route for a group whose sender has chosen the link, or for the broadcast. */
static void test_groups(void **state)
{
    (void)state;
    static const char *const links[] = {"eth0", "eth1"};
    fixture_must(lab.host, "ip route add default via 10.9.0.2 && ip link add bridge type bridge && "
                           "ip link add in type veth peer name out && ip link set in master bridge up");
    impairment_to(&fault, "224.0.0.18");
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        struct way way = way_to4(links[i], "224.0.0.18");
        join(way.receiver, "224.0.0.18");
        assert_cut(way);
    }
    assert_false(touches("in")); /* it sends the bridge's packets alone */
    assert_touches_both("239.1.2.0/24");
    assert_touches_both("255.255.255.255");
    assert_touches_both("ff02::12");
    assert_touches_one("10.9.0.255", "eth0");
    fixture_must(lab.host, "ip link set eth1 down");
    assert_touches_one("224.0.0.18", "eth0");
}

/* Routes say by which interface packets leave; by which they come, the plan does not promise. */
static void test_other_way_in(void **state)
{
    (void)state;
    static const char note[] = "by another interface (eth1) than the routes to them leave by is not touched";
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_NOTE, note));
    impairment_init(&fault, SQ_DIRECTION_OUT, NULL);
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_false(impairment_says(&fault, SQ_LINE_NOTE, note));
}

static int uncover(void **state)
{
    (void)umount("/proc/self/net");
    return fixture_tear_down(state);
}

/* A kernel without IPv6 has no /proc/net/if_inet6 (and mostly no such kernel is at hand): it is covered. */
static void test_kernel_without_ipv6(void **state)
{
    (void)state;
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    if (mount("none", "/proc/self/net", "tmpfs", 0, NULL) != 0)
        skip();
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "2001:db8::/64");
    impairment_to(&fault, "fd09::2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0"));
    assert_true(
        impairment_says(&fault, SQ_LINE_WARNING,
                        "no route leads to 2 of the 3 ranges in 'to' (2001:db8::/64, fd09::2/128); this "
                        "host's kernel has no IPv6"));
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "fd09::2");
    impairment_assert_refused(&fault, SQ_NOBODY, "no route to fd09::2/128, and its kernel has no IPv6");
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "(fd09::2/128); this host's kernel has no IPv6"));
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_cost_routes, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_equal_cost_routes_of_ipv6, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_nexthop_objects, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_rules, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_rules_that_decide, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_link_down, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_type_of_service, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_source_prefix, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_conditions_of_nexthop_objects, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_gateway_that_does_not_answer, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_expired_route, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_local_range, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_throw, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_routing_domain, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_link_local, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_groups, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_other_way_in, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_kernel_without_ipv6, set_up, uncover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
