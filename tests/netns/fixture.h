/*
 * Network namespaces for tests: this process becomes a host with one interface, eth0, whose other end is in a
 * namespace of its own and has several addresses, so that a peer and its neighbours can be told apart.
 * Nothing outlives the test.
 *
 *   host  eth0  10.9.0.1/24 fd09::1/64        net  eth0  10.9.0.2 .3 .4 /24, fd09::2 ::3 ::4 /64
 *
 * Failures end the running cmocka test.
 */
#ifndef SQ_TESTS_NETNS_FIXTURE_H
#define SQ_TESTS_NETNS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

struct fixture {
    int original; /* the namespace that the test came from */
    int host;     /* where the test, and the fault, live */
    int net;      /* the other side */
};

/* Exit with 77 and a reason if namespaces cannot be made here. For main(). */
void fixture_require_root(void);

/* The same if the kernel lacks netem, or if it has it while the test is about its absence. */
void fixture_require_netem(bool wanted);
bool fixture_has_netem(void);

void fixture_open(struct fixture *fixture); /* leaves the process in `host` */
void fixture_close(struct fixture *fixture);

/* The one of this test program, and a test that begins with opening it and ends with closing it. */
extern struct fixture lab;
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define fixture_test(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)

/* A second pair of interfaces: `name` on the host with 10.8.N.1/24, the other end with 10.8.N.2. */
void fixture_add_link(struct fixture *fixture, const char *name, unsigned n);

/* Run a shell command in a namespace; its exit status. fixture_must ends the test unless it is 0. */
int fixture_run(int namespace, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fixture_must(int namespace, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a shell command prints, in a new string that the caller frees. */
char *fixture_output(int namespace, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The configuration of an interface's traffic control, without counters; the caller frees it. */
char *fixture_tc(const char *interface);

/* Assert that it is the same as `before`, which is freed. */
void fixture_assert_tc(const char *interface, char *before);

struct fixture_flow {
    const char *
        from; /* an address of the sender; its namespace follows from it: 10.9.0.1 and fd09::1 are the host */
    const char *to;
    uint16_t to_port;   /* 0: any */
    uint16_t from_port; /* 0: any */
    unsigned count;
    unsigned size; /* bytes of each datagram; 0: 64 */
};

/* A socket bound to an address, in the namespace that has it. */
int fixture_socket(const struct fixture *fixture, const char *address, uint16_t port, int type);

/* Send fresh datagrams and count those that arrive. A send that fails ends the test. */
unsigned fixture_send(const struct fixture *fixture, const struct fixture_flow *flow);

/* Both directions, v4 (suffix "2": 10.9.0.2) or v6: host to net, net to host. Counts of 20 datagrams. */
unsigned fixture_out4(const struct fixture *fixture, const char *peer);
unsigned fixture_in4(const struct fixture *fixture, const char *peer);
unsigned fixture_out6(const struct fixture *fixture, const char *peer);
unsigned fixture_in6(const struct fixture *fixture, const char *peer);
#define FIXTURE_COUNT 20u

/* Send a datagram again and again until one arrives, and no longer than `most_ns`. Returns when the last one
 * that did not arrive was sent: later than it may, that proves a fault that lasts too long, also on a machine
 * that is too busy to send in time. */
uint64_t fixture_last_lost_ns(const struct fixture *fixture, const char *from, const char *to,
                              uint64_t most_ns);

/* For what is measured in time: true if it was too long and is to be measured again, four times at most. A
 * machine that was busy is soon less so, squall would be too slow each time. `tries` begins as 0. */
bool fixture_measure_again(unsigned *tries, bool in_time);

/* A TCP connection from net to the host's `port` that carries one byte each way; false if it does not within
 * 2 s. */
bool fixture_tcp_works(const struct fixture *fixture, const char *from, const char *to, uint16_t port);

#endif
