/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* What a partition does to packets: exactly the named peers, exactly the named direction, nothing else. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/tcx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct impairment fault;

/* Datagrams that pass for the peer 2 in each direction, and that all of the neighbour 3's do. */
static void assert_passing(unsigned out4, unsigned in4, unsigned out6, unsigned in6)
{
    assert_int_equal(fixture_out4(&lab, "2"), out4);
    assert_int_equal(fixture_in4(&lab, "2"), in4);
    assert_int_equal(fixture_out6(&lab, "2"), out6);
    assert_int_equal(fixture_in6(&lab, "2"), in6);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_out6(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in6(&lab, "3"), FIXTURE_COUNT);
}

static void cut(enum sq_direction direction, unsigned out, unsigned in)
{
    char *before = fixture_tc("eth0");
    impairment_init(&fault, direction, NULL);
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    assert_passing(FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT);
    impairment_start(&fault);
    assert_passing(out, in, out, in);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 2 * (FIXTURE_COUNT - out));
    assert_int_equal(impairment_counter(&fault, "dropped-in"), 2 * (FIXTURE_COUNT - in));
    assert_true(fault.report.touched);
    impairment_stop(&fault);
    assert_passing(FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT);
    fixture_assert_tc("eth0", before);
}

static void test_both_directions(void **state)
{
    (void)state;
    cut(SQ_DIRECTION_BOTH, 0, 0);
}

static void test_out_alone(void **state)
{
    (void)state;
    cut(SQ_DIRECTION_OUT, 0, FIXTURE_COUNT);
}

static void test_in_alone(void **state)
{
    (void)state;
    cut(SQ_DIRECTION_IN, FIXTURE_COUNT, 0);
}

static void test_family_is_exact(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    assert_passing(0, 0, FIXTURE_COUNT, FIXTURE_COUNT);
    impairment_stop(&fault);
}

static void test_prepared_alone_does_nothing(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_int_equal(impairment_prepare(&fault), 0);
    assert_passing(FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&fault, "matched-out"), 0);
    assert_false(fault.report.touched);
    impairment_stop(&fault);
}

static void test_exceptions_and_protected_peers_pass(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.0/24");
    impairment_to(&fault, "fd09::/64");
    impairment_except(&fault, "10.9.0.3");
    impairment_except(&fault, "fd09::3");
    impairment_protect(&fault, "10.9.0.4/32");
    impairment_protect(&fault, "fd09::4/128");
    impairment_start(&fault);
    assert_true(impairment_says(&fault, SQ_LINE_SPARES, "10.9.0.3/32"));
    assert_true(impairment_says(&fault, SQ_LINE_SPARES, "policy: 10.9.0.4/32"));
    assert_passing(0, 0, 0, 0);
    assert_int_equal(fixture_out4(&lab, "4"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "4"), FIXTURE_COUNT);
    assert_int_equal(fixture_out6(&lab, "4"), FIXTURE_COUNT);
    assert_int_equal(fixture_in6(&lab, "4"), FIXTURE_COUNT);
    impairment_stop(&fault);
}

static void test_control_connection_survives_everything(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "0.0.0.0/0");
    impairment_to(&fault, "::/0");
    impairment_spare(&fault, "10.9.0.2", 7433);
    impairment_spare(&fault, "fd09::2", 7433);
    impairment_spare(&fault,
                     "::", 7435); /* becomes ::ffff:10.9.0.4, as a listener for both families sees it */
    const uint8_t mapped[16] = {[10] = 0xff, 0xff, 10, 9, 0, 4};
    memcpy(fault.env.spared[2].controller.address, mapped, sizeof mapped);
    impairment_start(&fault);
    assert_true(impairment_says(&fault, SQ_LINE_SPARES, "10.9.0.2/32 to TCP port 7433"));
    /* Empty neighbour tables: ARP and neighbour discovery have to pass as well. */
    fixture_must(lab.host, "ip neigh flush dev eth0 && ip -6 neigh flush dev eth0");
    fixture_must(lab.net, "ip neigh flush dev eth0 && ip -6 neigh flush dev eth0");
    assert_true(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7433));
    assert_true(fixture_tcp_works(&lab, "fd09::2", "fd09::1", 7433));
    assert_true(fixture_tcp_works(&lab, "10.9.0.4", "10.9.0.1", 7435));
    assert_false(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7434));
    assert_false(fixture_tcp_works(&lab, "10.9.0.3", "10.9.0.1", 7433));
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in6(&lab, "2"), 0);
    impairment_stop(&fault);
}

/* Any controller's halt arrives; a service of the same port at the peer is a service like others. */
static void test_agents_own_port_is_everybodys(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "0.0.0.0/0");
    impairment_to(&fault, "::/0");
    fault.env.agent_ports[fault.env.agent_port_count++] = 7433;
    fault.env.agent_ports[fault.env.agent_port_count++] = 7434;
    impairment_start(&fault);
    assert_true(impairment_says(&fault, SQ_LINE_SPARES, "the agent's own TCP port 7433, 7434, of everybody"));
    assert_true(fixture_tcp_works(&lab, "10.9.0.3", "10.9.0.1", 7433));
    assert_true(fixture_tcp_works(&lab, "fd09::4", "fd09::1", 7434));
    assert_false(fixture_tcp_works(&lab, "10.9.0.3", "10.9.0.1", 7435));
    assert_false(fixture_tcp_works(&lab, "10.9.0.1", "10.9.0.3", 7433));
    const struct fixture_flow udp = {
        .from = "10.9.0.3", .to = "10.9.0.1", .to_port = 7433, .count = FIXTURE_COUNT};
    assert_int_equal(fixture_send(&lab, &udp), 0);
    impairment_stop(&fault);
}

static void test_protected_ports_pass_at_either_end(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    fault.protection.ports[fault.protection.port_count++] = 53;
    impairment_start(&fault);
    struct fixture_flow flow = {.from = "10.9.0.1", .to = "10.9.0.2", .to_port = 53, .count = FIXTURE_COUNT};
    assert_int_equal(fixture_send(&lab, &flow), FIXTURE_COUNT);
    flow =
        (struct fixture_flow){.from = "10.9.0.2", .to = "10.9.0.1", .from_port = 53, .count = FIXTURE_COUNT};
    assert_int_equal(fixture_send(&lab, &flow), FIXTURE_COUNT);
    flow = (struct fixture_flow){.from = "fd09::2", .to = "fd09::1", .to_port = 53, .count = FIXTURE_COUNT};
    assert_int_equal(fixture_send(&lab, &flow), FIXTURE_COUNT);
    flow.to_port = 54;
    assert_int_equal(fixture_send(&lab, &flow), 0);
    assert_passing(0, 0, 0, 0);
    impairment_stop(&fault);
}

/* Datagrams beyond the MTU: only their first fragment has ports. */
static void test_fragments(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    fault.protection.ports[fault.protection.port_count++] = 53;
    impairment_start(&fault);
    struct fixture_flow flow = {.from = "10.9.0.1", .to = "10.9.0.2", .count = 4, .size = 8000};
    assert_int_equal(fixture_send(&lab, &flow), 0);
    flow.to_port = 53;
    assert_int_equal(fixture_send(&lab, &flow), 4);
    flow = (struct fixture_flow){.from = "fd09::2", .to = "fd09::1", .count = 4, .size = 8000};
    assert_int_equal(fixture_send(&lab, &flow), 0);
    flow.to_port = 53;
    assert_int_equal(fixture_send(&lab, &flow), 4);
    impairment_stop(&fault);
}

/* Send a frame with `tags` tags of virtual LANs in its data, from 10.9.0.1 to 10.9.0.2 or back. */
static void send_tagged(int namespace, bool from_host, unsigned tags)
{
    uint8_t frame[14 + 2 * 4 + 28] = {[0] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};
    size_t length = 12;
    for (unsigned i = 0; i < tags; i++) {
        const uint8_t tag[] = {0x81, 0x00, 0x00, (uint8_t)(7 + i)};
        memcpy(frame + length, tag, sizeof tag);
        length += sizeof tag;
    }
    const uint8_t packet[] = {0x08, 0x00, 0x45, 0,  0, 28, 0, 0,    0,    0,    64,   17, 0, 0, 10,
                              9,    0,    1,    10, 9, 0,  2, 0x30, 0x39, 0x30, 0x39, 0,  8, 0, 0};
    memcpy(frame + length, packet, sizeof packet);
    frame[length + 2 + 15] = from_host ? 1 : 2;
    frame[length + 2 + 19] = from_host ? 2 : 1;
    length += sizeof packet;
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(tags > 0 ? ETH_P_8021Q : ETH_P_IP),
        .sll_ifindex = (int)if_nametoindex("eth0"),
    };
    ssize_t sent = sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof to);
    close(fd);
    assert_int_equal(setns(lab.host, CLONE_NEWNET), 0);
    assert_int_equal(sent, length);
}

static void test_tagged_packets(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    for (unsigned tags = 0; tags <= 2; tags++) {
        send_tagged(lab.host, true, tags);
        send_tagged(lab.net, false, tags);
        usleep(20000);
        assert_int_equal(impairment_counter(&fault, "dropped-out"), tags + 1);
        assert_int_equal(impairment_counter(&fault, "dropped-in"), tags + 1);
    }
    impairment_stop(&fault);
}

/* A device without a link layer: packets start with their IP header. */
static void test_device_without_link_layer(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "ip tuntap add dev tun0 mode tun 2>&1") != 0) {
        print_message("not checked: this kernel has no tun device\n");
        skip();
    }
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    memcpy(request.ifr_name, "tun0", 5);
    assert_true(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0);
    fixture_must(lab.host, "ip addr add 10.6.0.1/24 dev tun0 && ip link set tun0 up");
    impairment_init(&fault, SQ_DIRECTION_OUT, "tun0");
    impairment_to(&fault, "10.6.0.2");
    impairment_start(&fault);
    int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0x0a060002)}};
    for (int i = 0; i < 5; i++)
        assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    close(sender);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 5);
    impairment_stop(&fault);
    close(fd);
}

static void test_deadline_and_renewal(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_OUT, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    impairment_inject(&fault, 250);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    impairment_inject(&fault, 1000); /* a renewal is the same act */
    usleep(400000);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    usleep(700000);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    impairment_inject(&fault, 60000);
    assert_int_equal(sq_network_partition_ops.clean(fault.state, &fault.undo, &fault.error), 0);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    impairment_stop(&fault);
}

/* errno of a datagram to the peer on a socket that wants to hear of every error; 0: none. */
static int send_errno(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int on = 1;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0x0a090002)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    assert_int_equal(inet_pton(AF_INET6, "fd09::2", &v6.sin6_addr), 1);
    ssize_t sent;
    if (family == AF_INET) {
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
        sent = sendto(fd, "x", 1, 0, (struct sockaddr *)&v4, sizeof v4);
    } else {
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on), 0);
        sent = sendto(fd, "x", 1, 0, (struct sockaddr *)&v6, sizeof v6);
    }
    int number = sent == 1 ? 0 : errno;
    close(fd);
    return number;
}

static void test_sender_sees_no_error(void **state)
{
    (void)state;
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT); /* the neighbour table is filled */
    assert_int_equal(fixture_out6(&lab, "2"), FIXTURE_COUNT);
    /* What a dropping filter looks like to the sender. */
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && "
                           "tc filter add dev eth0 egress bpf bytecode '1,6 0 0 2' direct-action");
    assert_int_equal(send_errno(AF_INET), ENOBUFS);
    assert_int_equal(send_errno(AF_INET6), ENOBUFS);
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact");
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    impairment_start(&fault);
    assert_int_equal(send_errno(AF_INET), 0);
    assert_int_equal(send_errno(AF_INET6), 0);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 2);
    impairment_stop(&fault);
}

static void test_untouched_is_told(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "192.0.2.1");
    impairment_start(&fault);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 0);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 0);
    assert_false(fault.report.touched);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "touched nothing so far"));
    uint32_t lines = fault.report.line_count;
    sq_network_partition_ops.status(fault.state, &fault.undo, &fault.report);
    assert_int_equal(fault.report.line_count, lines);
    impairment_stop(&fault);
}

static void test_most_peers(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    for (unsigned i = 0; i + 1 < SQ_PEERS_MAX; i++) {
        char range[40];
        (void)snprintf(range, sizeof range, i % 2 == 0 ? "10.%u.%u.1" : "fd0a:%u::%u", 20 + i / 256, i % 256);
        impairment_to(&fault, range);
    }
    impairment_to(&fault, "10.9.0.2");
    uint64_t start = sq_boot_ns();
    assert_int_equal(impairment_preview(&fault), 0);
    uint64_t previewed = sq_boot_ns();
    assert_int_equal(impairment_prepare(&fault), 0);
    uint64_t prepared = sq_boot_ns();
    impairment_inject(&fault, 60000);
    uint64_t injected = sq_boot_ns();
    print_message("%u peers: preview %.0f us, prepare %.0f us, inject %.2f us\n", SQ_PEERS_MAX,
                  (double)(previewed - start) / 1e3, (double)(prepared - previewed) / 1e3,
                  (double)(injected - prepared) / 1e3);
    assert_passing(0, 0, FIXTURE_COUNT, FIXTURE_COUNT);
    impairment_stop(&fault);
}

/*
 * Two faults share one interface; whichever goes last takes the clsact with it. An experiment's faults are
 * all previewed before the first is prepared, and so neither preview sees a clsact.
 */
static void share_interface(bool first_goes_first, bool previewed_together)
{
    static struct impairment other;
    char *before = fixture_tc("eth0");
    impairment_init(&fault, SQ_DIRECTION_OUT, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_init(&other, SQ_DIRECTION_OUT, "eth0");
    other.env.slot = 1;
    impairment_to(&other, "10.9.0.4");
    if (previewed_together) {
        assert_int_equal(impairment_preview(&fault), 0);
        assert_int_equal(impairment_preview(&other), 0);
        assert_int_equal(impairment_prepare(&fault), 0);
        assert_int_equal(impairment_prepare(&other), 0);
        impairment_inject(&fault, 60000);
        impairment_inject(&other, 60000);
    } else {
        impairment_start(&fault);
        impairment_start(&other);
    }
    assert_passing(0, FIXTURE_COUNT, FIXTURE_COUNT, FIXTURE_COUNT);
    assert_int_equal(fixture_out4(&lab, "4"), 0);
    impairment_stop(first_goes_first ? &fault : &other);
    assert_int_equal(fixture_out4(&lab, "2"), first_goes_first ? FIXTURE_COUNT : 0);
    assert_int_equal(fixture_out4(&lab, "4"), first_goes_first ? 0 : FIXTURE_COUNT);
    impairment_stop(first_goes_first ? &other : &fault);
    fixture_assert_tc("eth0", before);
}

static void test_two_faults_on_one_interface(void **state)
{
    (void)state;
    share_interface(true, false);
    share_interface(false, false);
    share_interface(true, true);
    share_interface(false, true);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        fixture_test(test_both_directions),
        fixture_test(test_out_alone),
        fixture_test(test_in_alone),
        fixture_test(test_family_is_exact),
        fixture_test(test_prepared_alone_does_nothing),
        fixture_test(test_exceptions_and_protected_peers_pass),
        fixture_test(test_control_connection_survives_everything),
        fixture_test(test_agents_own_port_is_everybodys),
        fixture_test(test_protected_ports_pass_at_either_end),
        fixture_test(test_fragments),
        fixture_test(test_tagged_packets),
        fixture_test(test_device_without_link_layer),
        fixture_test(test_deadline_and_renewal),
        fixture_test(test_sender_sees_no_error),
        fixture_test(test_untouched_is_told),
        fixture_test(test_most_peers),
        fixture_test(test_two_faults_on_one_interface),
    };
    /* The same program; what its attachment has to do with. */
    const struct CMUnitTest on_tcx[] = {
        fixture_test(test_both_directions),
        fixture_test(test_prepared_alone_does_nothing),
        fixture_test(test_protected_ports_pass_at_either_end),
        fixture_test(test_tagged_packets),
        fixture_test(test_device_without_link_layer),
        fixture_test(test_deadline_and_renewal),
        fixture_test(test_sender_sees_no_error),
        fixture_test(test_most_peers),
        fixture_test(test_two_faults_on_one_interface),
    };
    int failures = cmocka_run_group_tests_name("clsact", tests, NULL, NULL);
    sq_tcx_try();
    if (sq_tcx_is_used())
        failures += cmocka_run_group_tests_name("tcx", on_tcx, NULL, NULL);
    else
        print_message("on tcx: not checked, this kernel has none\n");
    return failures;
}
