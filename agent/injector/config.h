/* The agent's configuration file (DESIGN section 6), shared by the injector and main.c. */
#ifndef SQ_INJECTOR_CONFIG_H
#define SQ_INJECTOR_CONFIG_H

#include "common/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SQ_LISTEN_MAX     8
#define SQ_LISTEN_URL_MAX 128

struct sq_agent_config {
    uint32_t listen_count;
    char listen[SQ_LISTEN_MAX][SQ_LISTEN_URL_MAX]; /* ipc:///path or tls+tcp://address:port */
    char tls_certificate[PATH_MAX];
    char tls_key[PATH_MAX];
    char tls_controllers[PATH_MAX]; /* the CA that signs controllers */
    char policy[PATH_MAX];          /* default /etc/squall/policy.yaml */
    char run[PATH_MAX];             /* the undo log's directory, a tmpfs; default /run/squall */
    char state[PATH_MAX];           /* for what survives a reboot; default /var/lib/squall */
    char user[32];                  /* the front's user; default squall */
    uid_t uid;                      /* of `user`, looked up */
    gid_t gid;                      /* of `group`, or the user's own */
    char group[32];                 /* the Unix socket's group */
    mode_t socket_mode;             /* the Unix socket's mode, default 0660 */
};

/* What holds without a file, as far as undoing needs it: run and state. */
void sq_agent_config_init(struct sq_agent_config *config);

/*
 * Read and check a file: keys, URL schemes (plain tcp:// is refused), TLS files named if a TLS listener is,
 * the user known. Messages say file:line:column. On failure config->run and config->state are set all the
 * same if they could be read, else empty: they are all that undoing needs.
 */
int sq_agent_config_load(const char *path, struct sq_agent_config *config, struct sq_error *error);

/* The TCP ports of its TLS listeners, each once; how many, `most` at most. */
uint32_t sq_agent_config_ports(const struct sq_agent_config *config, uint16_t *ports, uint32_t most);

/*
 * Hand a configuration to another process of the same binary: a file in memory that nobody can change any
 * more. *fd is the caller's, close-on-exec. Receiving refuses whatever is not that.
 */
int sq_agent_config_seal(const struct sq_agent_config *config, int *fd, struct sq_error *error);
int sq_agent_config_receive(int fd, struct sq_agent_config *config, struct sq_error *error);

#endif
