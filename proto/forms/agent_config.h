/*
 * The form of the agent's configuration file (docs/agent.md). Read here for both programs: the agent runs by
 * it, `squall validate` judges it beforehand. What only the host can tell (its users, its files) the agent
 * looks at.
 */
#ifndef SQ_FORMS_AGENT_CONFIG_H
#define SQ_FORMS_AGENT_CONFIG_H

#include "common/document.h"
#include "common/error.h"
#include "common/problems.h"

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
    uid_t uid;                      /* of `user`, looked up by the agent */
    gid_t gid;                      /* of `group`, or the user's own */
    char group[32];                 /* the Unix socket's group */
    mode_t socket_mode;             /* the Unix socket's mode, default 0660 */
};

/* What holds without a file, as far as undoing needs it: run and state. */
void sq_agent_config_init(struct sq_agent_config *config);

extern const char *const sq_agent_config_keys[]; /* of the file, and NULL */

/*
 * Tells everything that is wrong: keys, URL schemes (plain tcp:// is refused), no TLS files where there is a
 * TLS listener. uid and gid are left at 0. Whatever is wrong, run and state are set if they could be read,
 * else empty.
 */
void sq_agent_config_examine(struct sq_document *document, struct sq_agent_config *config,
                             struct sq_problems *problems);

bool sq_agent_config_has_tls(const struct sq_agent_config *config); /* does it listen on a TLS address? */

#endif
