#include "config.h"

#include "common/cleanup.h"
#include "common/document.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TLS_SCHEME "tls+tcp://"

static int try_tls_file(struct sq_node tls, const char *key, const char *path, struct sq_error *error)
{
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char byte;
    if (fd < 0 || read(fd, &byte, 1) < 0)
        return sq_node_fail(sq_node_get(tls, key), error, SQ_BAD_INPUT, "cannot read the TLS file %.300s: %s",
                            path, strerror(errno));
    return 0;
}

static int try_tls(struct sq_node root, const struct sq_agent_config *config, struct sq_error *error)
{
    struct sq_node tls = sq_node_get(root, "tls");
    if (!sq_agent_config_has_tls(config))
        return 0;
    if (try_tls_file(tls, "certificate", config->tls_certificate, error) != 0 ||
        try_tls_file(tls, "key", config->tls_key, error) != 0)
        return -1;
    return try_tls_file(tls, "controllers", config->tls_controllers, error);
}

static int look_up_user(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    const char *text = config->user;
    struct sq_node node = sq_node_get(root, "user");
    const struct passwd *user = getpwnam(text);
    if (user == NULL)
        return sq_node_fail(
            sq_node_is_there(node) ? node : root, error, SQ_BAD_INPUT,
            "there is no user '%s' on this host to run the agent's unprivileged half; make it with "
            "`systemd-sysusers`, or name another one with 'user:'",
            text);
    if (user->pw_uid == 0)
        return sq_node_fail(
            node, error, SQ_BAD_INPUT,
            "'user: %s' is root; what listens to the network must run as a user without privileges", text);
    config->uid = user->pw_uid;
    config->gid = user->pw_gid;
    return 0;
}

static int look_up_group(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    const char *text = config->group[0] == '\0' ? NULL : config->group;
    struct sq_node node = sq_node_get(root, "group");
    const struct group *group = text == NULL ? getgrgid(config->gid) : getgrnam(text);
    if (group == NULL && text != NULL)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "there is no group '%s' on this host", text);
    if (group == NULL)
        return 0;
    if (group->gr_gid == 0)
        return sq_node_fail(
            sq_node_is_there(node) ? node : root, error, SQ_BAD_INPUT,
            "the group of the Unix socket is root's; expected a group of those who may give orders");
    (void)sq_text_copy(config->group, sizeof config->group, group->gr_name);
    config->gid = group->gr_gid;
    return 0;
}

int sq_agent_config_load(const char *path, struct sq_agent_config *config, struct sq_error *error)
{
    memset(config, 0, sizeof *config);
    sq_autodocument struct sq_document *document = NULL;
    sq_autoproblems struct sq_problems problems = {0};
    if (sq_document_load(path, &document, error) != 0)
        return -1;
    sq_agent_config_examine(document, config, &problems);
    struct sq_node root = sq_document_root(document);
    if (sq_problems_first(&problems, error) != 0 || try_tls(root, config, error) != 0 ||
        look_up_user(root, config, error) != 0)
        return -1;
    return look_up_group(root, config, error);
}

uint32_t sq_agent_config_ports(const struct sq_agent_config *config, uint16_t *ports, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->listen_count && count < most; i++) {
        const char *colon = strrchr(config->listen[i], ':');
        if (strncmp(config->listen[i], TLS_SCHEME, strlen(TLS_SCHEME)) != 0 || colon == NULL)
            continue;
        uint16_t port = (uint16_t)strtoul(colon + 1, NULL, 10); /* read_url has looked at it */
        uint32_t known = 0;
        while (known < count && ports[known] != port)
            known++;
        if (known == count)
            ports[count++] = port;
    }
    return count;
}

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int sq_agent_config_seal(const struct sq_agent_config *config, int *fd, struct sq_error *error)
{
    sq_autoclose int own = memfd_create("squalld-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (own < 0 || write(own, config, sizeof *config) != (ssize_t)sizeof *config ||
        fcntl(own, F_ADD_SEALS, SEALS) != 0)
        return sq_fail_errno(error, errno, "cannot put the configuration down for the front");
    *fd = sq_take_fd(&own);
    return 0;
}

int sq_agent_config_receive(int fd, struct sq_agent_config *config, struct sq_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size != (off_t)sizeof *config ||
        fcntl(fd, F_GET_SEALS) != SEALS || pread(fd, config, sizeof *config, 0) != (ssize_t)sizeof *config ||
        config->listen_count > SQ_LISTEN_MAX)
        return sq_fail(error, SQ_INTERNAL, "what came in the place of the configuration is none");
    return 0;
}
