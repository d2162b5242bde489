/* libraries: sq_bench sq_kernel sq_common PkgConfig::LIBBPF */
/*
 * What a packet that is no target pays: datagrams sent over veth pairs that differ only in what stands on
 * them, in turn, and the classifier alone by BPF_PROG_TEST_RUN.
 *
 *   measure_packets ROUNDS DATAGRAMS PREFIX     (so many datagrams a turn; PREFIX stands before each series)
 *
 * Samples in nanoseconds a packet: PREFIX.NAME.packet, all that sending one takes; PREFIX.NAME.cost, what
 * that is more than without anything in the same round; PREFIX.DIRECTION-NAME.run, by the kernel's own count.
 * NAME is "none", "squall-N" (a partition that is on, N peers), "squall-off" (prepared, not injected),
 * "u32-N" (clsact, a filter for each peer) and "prio-N" (prio and u32 at the root), as far as the kernel has
 * them.
 */
#include "bench.h"
#include "pair.h"

#include "common/clock.h"
#include "kernel/classifier.h"
#include "kernel/netlink.h"
#include "kernel/tc.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MAX    1000u
#define LANES_MAX    8
#define BATCH        50u
#define RUNS_MOST    100u   /* times that the programs alone are run, which vary little */
#define RUNS         100000 /* of the classifier in one BPF_PROG_TEST_RUN */
#define COMMAND_MAX  1024
#define DEADLINE_NS  (3600 * SQ_NS_PER_SECOND)
#define PORT         7000
#define RECEIVE_ROOM 4096 /* bytes: the receiver reads nothing, and soon has no room for more */

struct lane {
    char name[16];
    int sender;
    int receiver;
};

static struct pair pair;
static struct lane lanes[LANES_MAX];
static unsigned lane_count;
static const char *prefix;
static struct sq_netlink netlink;

/* Peers that nothing is sent to: 10.200.0.0 and on. */
static struct sq_cidr peers[PEERS_MAX];

static void make_peers(void)
{
    struct sq_error error;
    char text[32];
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        (void)snprintf(text, sizeof text, "10.200.%u.%u", i / 250, i % 250 + 1);
        if (sq_cidr_parse(text, &peers[i], &error) != 0)
            bench_die("%s", error.text);
    }
}

static struct lane *add_lane(const char *name, char device[IFNAMSIZ])
{
    char address[32];
    unsigned n = lane_count + 1;
    struct lane *lane = &lanes[lane_count++];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int room = RECEIVE_ROOM;
    (void)snprintf(lane->name, sizeof lane->name, "%s", name);
    (void)snprintf(device, IFNAMSIZ, "lane%u", n);
    pair_link(&pair, device, n);
    (void)snprintf(address, sizeof address, "10.9.%u.2", n);
    (void)inet_pton(AF_INET, address, &to.sin_addr);
    lane->receiver = pair_socket(pair.peer, address, PORT);
    (void)setsockopt(lane->receiver, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    (void)snprintf(address, sizeof address, "10.9.%u.1", n);
    lane->sender = pair_socket(pair.host, address, 0);
    if (connect(lane->sender, (struct sockaddr *)&to, sizeof to) != 0)
        bench_die("connect: %s", strerror(errno));
    return lane;
}

static struct sq_classifier *load(unsigned count, bool on)
{
    struct sq_error error;
    struct sq_classifier *classifier = NULL;
    struct sq_classifier_config config = {.ethernet = true, .peers = {.ranges = peers, .count = count}};
    if (sq_classifier_load(&config, &classifier, &error) != 0)
        bench_die("%s", error.text);
    sq_classifier_set_deadline(classifier, on ? sq_boot_ns() + DEADLINE_NS : 0);
    return classifier;
}

static double run_program(int program)
{
    struct {
        struct ethhdr ethernet;
        struct iphdr ip;
        struct udphdr udp;
        char data[20];
    } __attribute__((packed)) packet = {
        .ethernet = {.h_proto = htons(ETH_P_IP)},
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .tot_len = htons(sizeof packet - sizeof packet.ethernet),
               .saddr = htonl(0x0a090101),
               .daddr = htonl(0x0a090102)},
        .udp = {.source = htons(40000), .dest = htons(PORT)},
    };
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &packet, .data_size_in = sizeof packet,
                .repeat = RUNS);
    int result = bpf_prog_test_run_opts(program, &options);
    if (result != 0)
        bench_die("BPF_PROG_TEST_RUN: %s", strerror(-result));
    return (double)options.duration;
}

/* A program that does nothing: what the measurement itself takes. */
static int load_empty(void)
{
    const struct bpf_insn nothing[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nothing", "GPL", nothing, 2, NULL);
    if (program < 0)
        bench_die("cannot load a BPF program: %s", strerror(-program));
    return program;
}

static void sample(const char *name, const char *kind, double value)
{
    (void)printf("%s.%s.%s %.3f\n", prefix, name, kind, value);
}

static void run_classifiers(unsigned rounds)
{
    const struct {
        const char *in;
        const char *out;
        struct sq_classifier *classifier;
    } programs[] = {{"in-squall-1", "out-squall-1", load(1, true)},
                    {"in-squall-1000", "out-squall-1000", load(PEERS_MAX, true)},
                    {"in-squall-off", "out-squall-off", load(1, false)}};
    int empty = load_empty();
    for (unsigned round = 0; round < rounds && round < RUNS_MOST; round++) {
        sample("nothing", "run", run_program(empty));
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
            sample(programs[i].in, "run", run_program(sq_classifier_program_in(programs[i].classifier)));
            sample(programs[i].out, "run", run_program(sq_classifier_program_out(programs[i].classifier)));
        }
    }
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        sq_classifier_free(programs[i].classifier);
    (void)close(empty);
}

/* On the way out, where the sender itself pays for it. */
static void add_squall_lane(const char *name, unsigned count, bool on)
{
    char device[IFNAMSIZ];
    char reason[128] = "";
    struct sq_error error;
    (void)add_lane(name, device);
    struct sq_classifier *classifier = load(count, on);
    struct sq_tc_place place = {.ifindex = if_nametoindex(device),
                                .side = SQ_TC_OUT,
                                .preference = SQ_TC_PREFERENCE,
                                .handle = SQ_TC_HANDLE};
    if (sq_tc_make_clsact(&netlink, place.ifindex, reason, sizeof reason) != 0)
        bench_die("clsact: %s", reason);
    if (sq_tc_add_filter(&netlink, &place, "squall/bench/0", sq_classifier_program_out(classifier), &error) !=
        0)
        bench_die("%s", error.text);
}

static void tc_batch(const char *device, const char *parent, unsigned count)
{
    FILE *tc = popen("tc -batch -", "we");
    if (tc == NULL)
        bench_die("popen: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++) {
        char text[SQ_CIDR_TEXT_MAX];
        sq_cidr_format(&peers[i], text);
        (void)fprintf(tc, "filter add dev %s %s protocol ip prio 1 u32 match ip dst %s flowid 1:3\n", device,
                      parent, text);
    }
    if (pclose(tc) != 0)
        bench_die("tc made no u32 filters on %s", device);
}

static bool add_u32_lane(const char *name, const char *qdisc, const char *parent, unsigned count)
{
    char device[IFNAMSIZ];
    char command[COMMAND_MAX];
    struct lane *lane = add_lane(name, device);
    (void)snprintf(command, sizeof command, "tc qdisc add dev %s %s", device, qdisc);
    if (bench_try_shell(command) != 0) {
        (void)close(lane->sender);
        (void)close(lane->receiver);
        lane_count--;
        (void)snprintf(command, sizeof command, "ip link del %s", device);
        bench_shell(command);
        return false;
    }
    tc_batch(device, parent, count);
    return true;
}

/* Many with one system call, which is most of the price inside User-Mode Linux. */
static double send_many(const struct lane *lane, unsigned count)
{
    static char datagram[64];
    struct iovec data = {.iov_base = datagram, .iov_len = sizeof datagram};
    struct mmsghdr messages[BATCH];
    unsigned sent = 0;
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &data, .msg_iovlen = 1};
    uint64_t began_ns = bench_now_ns();
    while (sent < count) {
        int result = sendmmsg(lane->sender, messages, BATCH, 0);
        if (result <= 0)
            bench_die("send on %s: %s", lane->name, strerror(errno));
        sent += (unsigned)result;
    }
    return (double)(bench_now_ns() - began_ns) / sent;
}

/* Marsaglia, "Xorshift RNGs", 2003; always the same sequence. */
static uint32_t next_random(void)
{
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* Fisher and Yates. */
static void shuffle(unsigned *order, unsigned count)
{
    for (unsigned i = count - 1; i > 0; i--) {
        unsigned other = next_random() % (i + 1);
        unsigned kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

/*
 * In another order each round, so that no lane always follows the same one; and some datagrams go before that
 * are not timed, so that nobody pays for the caches that a thousand filters have emptied.
 */
static void measure_lanes(unsigned rounds, unsigned datagrams)
{
    double took_ns[LANES_MAX];
    unsigned order[LANES_MAX];
    for (unsigned i = 0; i < lane_count; i++)
        order[i] = i;
    for (unsigned round = 0; round < rounds; round++) {
        shuffle(order, lane_count);
        for (unsigned i = 0; i < lane_count; i++) {
            (void)send_many(&lanes[order[i]], BATCH);
            took_ns[order[i]] = send_many(&lanes[order[i]], datagrams);
        }
        for (unsigned i = 0; i < lane_count; i++) {
            sample(lanes[i].name, "packet", took_ns[i]);
            if (i > 0)
                sample(lanes[i].name, "cost", took_ns[i] - took_ns[0]);
        }
    }
}

int main(int argc, char **argv)
{
    char device[IFNAMSIZ];
    struct sq_error error;
    if (argc != 4)
        bench_die("usage: measure_packets ROUNDS DATAGRAMS PREFIX");
    unsigned rounds = (unsigned)strtoul(argv[1], NULL, 10);
    prefix = argv[3];
    make_peers();
    pair_open(&pair);
    bench_use_last_processor();
    if (sq_netlink_open(&netlink, &error) != 0)
        bench_die("%s", error.text);
    run_classifiers(rounds);
    (void)add_lane("none", device);
    add_squall_lane("squall-1", 1, true);
    add_squall_lane("squall-1000", PEERS_MAX, true);
    add_squall_lane("squall-off", 1, false);
    if (add_u32_lane("u32-1", "clsact", "egress", 1))
        (void)add_u32_lane("u32-1000", "clsact", "egress", PEERS_MAX);
    if (add_u32_lane("prio-1", "root handle 1: prio", "parent 1:", 1))
        (void)add_u32_lane("prio-1000", "root handle 1: prio", "parent 1:", PEERS_MAX);
    measure_lanes(rounds, (unsigned)strtoul(argv[2], NULL, 10));
    return 0;
}
