/* libraries: sq_bench sq_wire sq_table sq_common nng::nng */
/*
 * From the order to the first packet that feels it: a partition injected and reverted by a real squalld over
 * its Unix socket, and in turn with it the same state made and unmade with `tc`.
 *
 *   measure_switch SQUALLD DIRECTORY ROUNDS
 *
 * The peer sends numbered datagrams in a tight loop, each with its time; the first that is lost for good, or
 * that arrives again, ends the measurement. The loop has the last processor for itself, everything else has
 * the others. DIRECTORY, on a tmpfs as /run is, gets the agent's files.
 *
 * Samples in milliseconds: inject.squall, revert.squall (first packet), inject-answer.squall,
 * revert-answer.squall (the agent's answer), prepare.squall, and for tc: inject.tc (a command each),
 * inject.tc-batch (one command), revert.tc; ifb-make.tc and ifb-delete.tc are the commands that an IFB with
 * one qdisc and one redirect takes.
 */
#include "bench.h"
#include "pair.h"

#include "common/clock.h"
#include "table/params.h"
#include "wire/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER          "10.9.1.2"
#define HOST          "10.9.1.1"
#define PORT          7000
#define DATAGRAMS_MAX 1000000u
#define TIMEOUT_MS    5000
#define BEFORE        200u /* datagrams, before the order */
#define AFTER         500u /* datagrams, and */
#define AFTER_MS      5    /* of the loop, after what was ordered is done */
#define PATH_MAX_HERE 256

/* Ethernet, IPv4, from or to the peer: dropped; all else goes on to the next filter. In classic BPF, because
 * the action "drop" of tc is a module (act_gact) that a kernel may lack. */
#define BYTECODE(offset)                                                                                     \
    "'6,40 0 0 12,21 0 3 2048,32 0 0 " offset ",21 0 1 168362242,6 0 0 2,6 0 0 4294967295'"

struct filters {
    const char *in;
    const char *out;
};

static const struct filters with_drop = {
    "filter add dev eth0 ingress protocol ip u32 match ip src " PEER "/32 action drop",
    "filter add dev eth0 egress protocol ip u32 match ip dst " PEER "/32 action drop",
};
static const struct filters with_bytecode = {
    "filter add dev eth0 ingress bpf direct-action bytecode " BYTECODE("26"),
    "filter add dev eth0 egress bpf direct-action bytecode " BYTECODE("30"),
};

static struct {
    int sender;
    int receiver;
    uint32_t base; /* the first datagram's number */
    _Atomic uint32_t count;
    atomic_bool stop;
    pthread_t thread;
    uint64_t sent_ns[DATAGRAMS_MAX];
    bool arrived[DATAGRAMS_MAX];
} flow;

static uint32_t left_out;
static nng_socket agent;
static struct sq_request request;
static struct sq_reply reply;
static struct sq_id instance;
static struct sq_id experiment;

static void drain(void)
{
    uint32_t number;
    while (recv(flow.receiver, &number, sizeof number, MSG_DONTWAIT) == (ssize_t)sizeof number)
        if (number - flow.base < flow.count) /* else late, of the flow before */
            flow.arrived[number - flow.base] = true;
}

static void *send_on(void *unused)
{
    (void)unused;
    bench_use_last_processor();
    while (!atomic_load_explicit(&flow.stop, memory_order_relaxed) && flow.count < DATAGRAMS_MAX) {
        uint32_t number = flow.base + flow.count;
        flow.sent_ns[flow.count++] = bench_now_ns();
        (void)send(flow.sender, &number, sizeof number, MSG_DONTWAIT);
        drain();
    }
    return NULL;
}

static void flow_start(void)
{
    drain();
    memset(flow.arrived, 0, flow.count * sizeof flow.arrived[0]);
    flow.base += flow.count;
    flow.count = 0;
    atomic_store(&flow.stop, false);
    if (pthread_create(&flow.thread, NULL, send_on, NULL) != 0)
        bench_die("no thread");
    while (atomic_load(&flow.count) < BEFORE)
        bench_sleep_ms(1);
}

/* Also where others keep the loop from its processor for a while. */
static void flow_stop(void)
{
    uint32_t before = atomic_load(&flow.count);
    do {
        bench_sleep_ms(AFTER_MS);
    } while (atomic_load(&flow.count) - before < AFTER && atomic_load(&flow.count) < DATAGRAMS_MAX);
    atomic_store(&flow.stop, true);
    (void)pthread_join(flow.thread, NULL);
    bench_sleep_ms(1);
    drain();
    if (flow.count == DATAGRAMS_MAX)
        bench_die("more than %u datagrams before anything changed", DATAGRAMS_MAX);
}

/*
 * Milliseconds from the order to the first datagram that was lost with all that followed, or that arrived
 * again. On a busy machine the kernel may deliver datagrams so late that order and effect cannot be told
 * apart: left out.
 */
static void sample_change(const char *series, uint64_t began_ns, uint32_t first)
{
    if (first == 0 || first == flow.count || flow.sent_ns[first] < began_ns)
        left_out++;
    else
        bench_sample(series, (double)(flow.sent_ns[first] - began_ns) / BENCH_NS_PER_MS);
}

static void sample_hit(const char *series, uint64_t began_ns)
{
    uint32_t first = flow.count;
    while (first > 0 && !flow.arrived[first - 1])
        first--;
    sample_change(series, began_ns, first);
}

static void sample_free(const char *series, uint64_t began_ns)
{
    uint32_t first = 0;
    while (first < flow.count && !flow.arrived[first])
        first++;
    sample_change(series, began_ns, first);
}

static void sample_since(const char *series, uint64_t began_ns)
{
    bench_sample(series, (double)(bench_now_ns() - began_ns) / BENCH_NS_PER_MS);
}

/* Encoded beforehand, as a controller may: what is measured begins with the order to send. Returns that time.
 */
static uint64_t ask(enum sq_verb verb)
{
    struct sq_error error;
    uint8_t *bytes = NULL;
    size_t length = 0;
    nng_msg *message = NULL;
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = verb;
    request.instance = instance;
    request.experiment = experiment;
    request.token = experiment;
    request.not_after_boot_ns = sq_boot_ns() + 10 * SQ_NS_PER_SECOND;
    request.prepared_until_boot_ns = sq_boot_ns() + 600 * SQ_NS_PER_SECOND;
    uint64_t began_ns = bench_now_ns();
    if (sq_wire_encode_request(&request, &bytes, &length, &error) != 0)
        bench_die("%s", error.text);
    if (nng_msg_alloc(&message, 0) != 0 || nng_msg_append(message, bytes, length) != 0)
        bench_die("no memory for a message");
    free(bytes);
    int code = nng_sendmsg(agent, message, 0);
    if (code == 0)
        code = nng_recvmsg(agent, &message, 0);
    if (code != 0)
        bench_die("the agent does not answer: %s", nng_strerror(code));
    if (sq_wire_decode_reply(nng_msg_body(message), nng_msg_len(message), &reply, &error) != 0)
        bench_die("%s", error.text);
    nng_msg_free(message);
    if (reply.code != SQ_OK)
        bench_die("%s: %s", sq_verb_name(verb), reply.message);
    return began_ns;
}

static void prepare(uint32_t round)
{
    struct sq_error error;
    memset(&experiment, 0, sizeof experiment);
    memcpy(&experiment, &round, sizeof round);
    memset(&request, 0, sizeof request);
    request.lease_ns = 60 * SQ_NS_PER_SECOND;
    (void)strcpy(request.title, "bench");
    request.fault_count = 1;
    request.faults[0].duration_ns = 60 * SQ_NS_PER_SECOND;
    sq_spec_init(&request.faults[0].spec, sq_fault_by_kind(SQ_NETWORK_PARTITION));
    struct sq_network_selector *selector = &request.faults[0].spec.partition.selector;
    selector->to_count = 1;
    if (sq_cidr_parse(PEER, &selector->to[0], &error) != 0)
        bench_die("%s", error.text);
    uint64_t began_ns = ask(SQ_VERB_PREPARE);
    sample_since("prepare.squall", began_ns);
    if (reply.faults[0].state != SQ_STATE_PREPARED)
        bench_die("not prepared: %s", reply.faults[0].message);
    memset(&request, 0, sizeof request);
}

static void wait_removed(void)
{
    for (int i = 0; i < 1000; i++) {
        (void)ask(SQ_VERB_STATUS);
        if (reply.faults[0].state == SQ_STATE_REVERTED)
            return;
        bench_sleep_ms(2);
    }
    bench_die("the agent does not remove what it made");
}

static void measure_squall(uint32_t round)
{
    prepare(round);
    flow_start();
    uint64_t began_ns = ask(SQ_VERB_INJECT);
    sample_since("inject-answer.squall", began_ns);
    flow_stop();
    sample_hit("inject.squall", began_ns);
    flow_start();
    began_ns = ask(SQ_VERB_REVERT);
    sample_since("revert-answer.squall", began_ns);
    flow_stop();
    sample_free("revert.squall", began_ns);
    wait_removed();
}

static void measure_tc(const char *series, const char *make)
{
    flow_start();
    uint64_t began_ns = bench_now_ns();
    bench_shell(make);
    flow_stop();
    sample_hit(series, began_ns);
    flow_start();
    began_ns = bench_now_ns();
    bench_shell("tc qdisc del dev eth0 clsact");
    flow_stop();
    sample_free("revert.tc", began_ns);
}

/* The arrangement that latency takes: nothing is lost by it, so the commands themselves are timed. */
static void measure_ifb(const char *qdisc)
{
    char make[1024];
    (void)snprintf(make, sizeof make,
                   "ip link add ifb0 type ifb && ip link set ifb0 up && tc qdisc add dev ifb0 root %s && "
                   "tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress protocol ip u32 "
                   "match ip dst " PEER "/32 action mirred egress redirect dev ifb0",
                   qdisc);
    uint64_t began_ns = bench_now_ns();
    bench_shell(make);
    sample_since("ifb-make.tc", began_ns);
    began_ns = bench_now_ns();
    bench_shell("tc qdisc del dev eth0 clsact && ip link del ifb0");
    sample_since("ifb-delete.tc", began_ns);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[PATH_MAX_HERE];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        bench_die("%s: %s", path, strerror(errno));
}

static pid_t start_agent(const char *squalld, const char *directory)
{
    char path[PATH_MAX_HERE];
    write_file(directory, "agent.yaml",
               "listen: ['ipc://run/agent.sock']\npolicy: policy.yaml\nrun: run\nuser: nobody\n");
    write_file(directory, "policy.yaml", "allow: [network.partition]\nmax-duration: 2m\n");
    (void)snprintf(path, sizeof path, "%s/agent.yaml", directory);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(squalld, "squalld", "--config", path, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void connect_agent(const char *directory)
{
    char url[PATH_MAX_HERE];
    (void)snprintf(url, sizeof url, "ipc://%s/run/agent.sock", directory);
    if (nng_req0_open(&agent) != 0 || nng_socket_set_ms(agent, NNG_OPT_RECVTIMEO, TIMEOUT_MS) != 0 ||
        nng_socket_set_ms(agent, NNG_OPT_SENDTIMEO, TIMEOUT_MS) != 0)
        bench_die("no socket");
    int code = NNG_ECONNREFUSED;
    for (int i = 0; i < 200 && code != 0; i++) {
        code = nng_dial(agent, url, NULL, 0);
        if (code != 0)
            bench_sleep_ms(20);
    }
    if (code != 0)
        bench_die("%s: %s", url, nng_strerror(code));
    (void)ask(SQ_VERB_HELLO);
    instance = reply.instance;
}

static void open_flow(const struct pair *pair)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    flow.receiver = pair_socket(pair->host, HOST, PORT);
    flow.sender = pair_socket(pair->peer, PEER, 0);
    (void)inet_pton(AF_INET, HOST, &to.sin_addr);
    if (connect(flow.sender, (struct sockaddr *)&to, sizeof to) != 0)
        bench_die("connect: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    struct pair pair;
    if (argc != 4)
        bench_die("usage: measure_switch SQUALLD DIRECTORY ROUNDS");
    uint32_t rounds = (uint32_t)strtoul(argv[3], NULL, 10);
    bench_leave_last_processor();
    pair_open(&pair);
    pair_link(&pair, "eth0", 1);
    open_flow(&pair);

    bench_shell("tc qdisc add dev eth0 clsact");
    char command[1024];
    (void)snprintf(command, sizeof command, "tc %s", with_drop.in);
    const struct filters *filters = bench_try_shell(command) == 0 ? &with_drop : &with_bytecode;
    bench_shell("tc qdisc del dev eth0 clsact");
    bench_shell("ip link add ifb1 type ifb");
    bool netem = bench_try_shell("tc qdisc add dev ifb1 root netem delay 100ms") == 0;
    bench_shell("ip link del ifb1");

    pid_t agent_pid = start_agent(argv[1], argv[2]);
    connect_agent(argv[2]);
    char batch[1024];
    (void)snprintf(command, sizeof command, "tc qdisc add dev eth0 clsact && tc %s && tc %s", filters->in,
                   filters->out);
    (void)snprintf(batch, sizeof batch, "tc -batch - <<'END'\nqdisc add dev eth0 clsact\n%s\n%s\nEND",
                   filters->in, filters->out);
    for (uint32_t round = 1; round <= rounds; round++) {
        measure_squall(round);
        measure_tc("inject.tc", command);
        measure_tc("inject.tc-batch", batch);
        measure_ifb(netem ? "netem delay 100ms" : "tbf rate 1gbit burst 1mb latency 100ms");
    }
    (void)nng_close(agent);
    (void)kill(agent_pid, SIGTERM);
    (void)waitpid(agent_pid, NULL, 0);
    if (left_out > rounds)
        bench_die("%u of %u measurements were not clear: is this machine overloaded?", left_out, 6 * rounds);
    return 0;
}
