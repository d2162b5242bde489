/*
 * For the tests of the front: the front in a process of its own, as an unprivileged user, with a scripted
 * injector behind it, over a Unix socket and mutual TLS; and a client. Both processes are the test program,
 * started again: nng cannot be forked.
 */
#ifndef SQ_TESTS_FRONT_FIXTURE_H
#define SQ_TESTS_FRONT_FIXTURE_H

#include "common/error.h"
#include "table/message.h"

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A sanitizer's runtime needs more memory and more system calls, and has a thread of its own. */
#define FRONT_IS_WATCHED 0
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef FRONT_IS_WATCHED
#define FRONT_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef FRONT_IS_WATCHED
#define FRONT_IS_WATCHED 1
#endif
#endif

#define FRONT_TIMEOUT_MS 3000

struct front_lab {
    char directory[64];
    char ipc_url[128];
    char ipc_path[96];
    char tls_url[128];
    uint16_t port;
    uid_t uid;
    gid_t gid;
    pid_t front;
    pid_t injector;
};
extern struct front_lab front_lab;

struct front_client {
    const char *certificate; /* name in the lab's directory; NULL: none */
    const char *host;        /* the name that the agent's certificate must bear */
};
extern const struct front_client front_operator;

/* First thing in main: never returns in a process that is to be the front or the injector. */
void front_take_role(int argument_count, char **arguments);

/* cmocka's group set-up and tear-down: certificates, front and injector. */
int front_set_up(void **state);
int front_tear_down(void **state);

void front_start(void); /* front and injector, once more after they ended */
int front_wait_for(pid_t pid);

/* Connect; `client` NULL: over the Unix socket. Returns nng's number; the socket is open in any case. */
int front_dial(const struct front_client *client, nng_socket *socket);
int front_exchange(nng_socket socket, const void *bytes, size_t length, struct sq_reply *reply,
                   struct sq_error *error);

/* Dial, ask for the status, close. */
int front_ask(const struct front_client *client, struct sq_reply *reply, struct sq_error *error);

/* The front is alive and serves this client. */
void front_assert_served(const struct front_client *client);

void front_pause_ms(long milliseconds);
int front_connect_to_socket(void);
int front_connect_to_port(void);

/* True if the other side closes within the time. */
bool front_is_closed_within(int fd, int milliseconds);

/* A number from /proc/PID/status or a thread's; of the front's in KiB. */
uint64_t front_status_number(const char *path, const char *key, int base);
uint64_t front_kib(const char *key);

/* Call for every thread of the front, with its status file; the sum of the answers. */
uint64_t front_for_each_thread(uint64_t (*call)(const char *status_path));

/* How many descriptors the front has open, 0 if this user may not look; and that connections that are over
 * take nothing with them. */
size_t front_descriptors(void);
void front_assert_descriptors_return_to(size_t count);

#endif
