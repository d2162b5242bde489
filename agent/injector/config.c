#include "config.h"

#include "common/cleanup.h"
#include "common/document.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RUN_STANDARD   "/run/squall"
#define STATE_STANDARD "/var/lib/squall"
#define TLS_SCHEME     "tls+tcp://"
#define IPC_SCHEME     "ipc://"

/* A directory's name with "/" or "/." behind it is the same directory; but making it is not the same. */
static void trim(char *path)
{
    size_t length = strlen(path);
    for (;;) {
        if (length > 1 && path[length - 1] == '/')
            length--;
        else if (length > 2 && path[length - 1] == '.' && path[length - 2] == '/')
            length--;
        else
            break;
        path[length] = '\0';
    }
}

/* Paths are taken from where the file stands, so that a folder of files can be moved as one. */
static int resolve_path(struct sq_node node, const char *text, char path[PATH_MAX], struct sq_error *error)
{
    const char *file = sq_document_name(node.document);
    const char *slash = strrchr(file, '/');
    char here[PATH_MAX] = "";
    /* nng, for one, takes no relative paths. */
    if (text[0] != '/' && file[0] != '/' && getcwd(here, sizeof here) == NULL)
        return sq_node_fail(node, error, SQ_SYSTEM, "cannot tell where %s stands", file);
    int length;
    if (text[0] == '/')
        length = snprintf(path, PATH_MAX, "%s", text);
    else
        length = snprintf(path, PATH_MAX, "%s%s%.*s/%s", here, here[0] != '\0' && slash != NULL ? "/" : "",
                          slash == NULL ? 0 : (int)(slash - file), file, text);
    if (text[0] == '\0' || length < 0 || length >= PATH_MAX)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "a path is empty or too long");
    trim(path);
    return 0;
}

static int read_path(struct sq_node map, const char *key, const char *standard, char path[PATH_MAX],
                     struct sq_error *error)
{
    const char *text = NULL;
    if (sq_map_text(map, key, false, PATH_MAX, &text, error) != 0)
        return -1;
    if (text != NULL)
        return resolve_path(sq_node_get(map, key), text, path, error);
    (void)sq_text_copy(path, PATH_MAX, standard);
    return 0;
}

/* "10.0.0.1:7433" or "[::1]:7433": an address of this host, not a name, whose meaning could change. */
static bool address_is_valid(const char *text, const char **why)
{
    char host[SQ_LISTEN_URL_MAX];
    const char *colon = strrchr(text, ':');
    *why = "expected tls+tcp://ADDRESS:PORT";
    if (colon == NULL || colon == text)
        return false;
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    struct in_addr v4;
    struct in6_addr v6;
    size_t length = strlen(host);
    bool bracketed = host[0] == '[' && host[length - 1] == ']';
    if (bracketed)
        host[length - 1] = '\0';
    *why = "expected an address of this host, such as 0.0.0.0, 10.0.0.1 or [::]";
    if (bracketed ? inet_pton(AF_INET6, host + 1, &v6) != 1 : inet_pton(AF_INET, host, &v4) != 1)
        return false;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *why = "expected a port from 1024 to 65535: what listens has no privileges";
    return colon[1] >= '1' && colon[1] <= '9' && *end == '\0' && port >= 1024 && port <= 65535;
}

static int read_tls_url(struct sq_node node, const char *text, char url[SQ_LISTEN_URL_MAX],
                        struct sq_error *error)
{
    const char *why;
    if (!address_is_valid(text + strlen(TLS_SCHEME), &why))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "cannot listen on '%s'; %s", text, why);
    (void)sq_text_copy(url, SQ_LISTEN_URL_MAX, text);
    return 0;
}

static int read_ipc_url(struct sq_node node, const char *text, char url[SQ_LISTEN_URL_MAX],
                        struct sq_error *error)
{
    static char path[PATH_MAX];
    if (resolve_path(node, text + strlen(IPC_SCHEME), path, error) != 0)
        return -1;
    const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    if (strlen(path) > most || strlen(path) + strlen(IPC_SCHEME) >= SQ_LISTEN_URL_MAX)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "the socket's path %.200s is too long; a Unix socket's has at most %zu bytes",
                            path, most);
    (void)sq_text_copy(url, SQ_LISTEN_URL_MAX, IPC_SCHEME);
    sq_text_append(url, SQ_LISTEN_URL_MAX, "%s", path);
    return 0;
}

static int read_url(struct sq_node node, char url[SQ_LISTEN_URL_MAX], struct sq_error *error)
{
    const char *text = sq_node_text(node);
    if (text == NULL || strlen(text) >= SQ_LISTEN_URL_MAX)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "an entry of 'listen' is no text of at most %d bytes; expected ipc:///PATH or "
                            "tls+tcp://ADDRESS:PORT",
                            SQ_LISTEN_URL_MAX - 1);
    if (strncmp(text, TLS_SCHEME, strlen(TLS_SCHEME)) == 0)
        return read_tls_url(node, text, url, error);
    if (strncmp(text, IPC_SCHEME, strlen(IPC_SCHEME)) == 0)
        return read_ipc_url(node, text, url, error);
    if (strncmp(text, "tcp://", 6) == 0)
        return sq_node_fail(
            node, error, SQ_BAD_INPUT,
            "'%s' is plain TCP, over which anybody who can reach the port, on loopback every local "
            "user, could order faults; expected tls+tcp:// with 'tls', or ipc:// for this host alone",
            text);
    return sq_node_fail(node, error, SQ_BAD_INPUT,
                        "'%s' is no address to listen on; expected ipc:///PATH or tls+tcp://ADDRESS:PORT",
                        text);
}

static int read_listen(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    struct sq_node listen = sq_node_get(root, "listen");
    if (!sq_node_is_there(listen))
        return sq_node_fail(
            root, error, SQ_BAD_INPUT,
            "'listen' is missing; expected a list such as [\"ipc:///run/squall/agent.sock\"]");
    if (sq_node_expect(listen, SQ_NODE_LIST, "'listen'", error) != 0)
        return -1;
    size_t count = sq_node_count(listen);
    if (count == 0 || count > SQ_LISTEN_MAX)
        return sq_node_fail(listen, error, SQ_BAD_INPUT, "'listen' has %zu entries; expected 1 to %d", count,
                            SQ_LISTEN_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct sq_node node = sq_node_item(listen, i);
        if (read_url(node, config->listen[i], error) != 0)
            return -1;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(config->listen[i], config->listen[j]) == 0)
                return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' stands twice in 'listen'",
                                    config->listen[i]);
        config->listen_count++;
    }
    return 0;
}

static int read_tls_file(struct sq_node tls, const char *key, char path[PATH_MAX], struct sq_error *error)
{
    const char *text = NULL;
    if (sq_map_text(tls, key, true, PATH_MAX, &text, error) != 0 ||
        resolve_path(sq_node_get(tls, key), text, path, error) != 0)
        return -1;
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char byte;
    if (fd < 0 || read(fd, &byte, 1) < 0)
        return sq_node_fail(sq_node_get(tls, key), error, SQ_BAD_INPUT, "cannot read the TLS file %.300s: %s",
                            path, strerror(errno));
    return 0;
}

static int read_tls(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    static const char *const keys[] = {"certificate", "key", "controllers"};
    bool needed = false;
    for (uint32_t i = 0; i < config->listen_count; i++)
        needed = needed || strncmp(config->listen[i], TLS_SCHEME, strlen(TLS_SCHEME)) == 0;
    struct sq_node tls = sq_node_get(root, "tls");
    if (!sq_node_is_there(tls)) {
        if (!needed)
            return 0;
        return sq_node_fail(sq_node_get(root, "listen"), error, SQ_BAD_INPUT,
                            "a tls+tcp:// address needs 'tls'; expected tls: {certificate: FILE, key: FILE, "
                            "controllers: FILE}");
    }
    if (sq_node_check_keys(tls, "'tls'", keys, sizeof keys / sizeof keys[0], error) != 0)
        return -1;
    if (!needed)
        return 0;
    if (read_tls_file(tls, "certificate", config->tls_certificate, error) != 0 ||
        read_tls_file(tls, "key", config->tls_key, error) != 0)
        return -1;
    return read_tls_file(tls, "controllers", config->tls_controllers, error);
}

static int read_user(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    const char *text = "squall";
    if (sq_map_text(root, "user", false, sizeof config->user, &text, error) != 0)
        return -1;
    struct sq_node node = sq_node_get(root, "user");
    (void)sq_text_copy(config->user, sizeof config->user, text);
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

static int read_group(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    const char *text = NULL;
    if (sq_map_text(root, "group", false, sizeof config->group, &text, error) != 0)
        return -1;
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

static int read_socket_mode(struct sq_node root, struct sq_agent_config *config, struct sq_error *error)
{
    config->socket_mode = 0660;
    const char *text = NULL;
    if (sq_map_text(root, "socket-mode", false, 16, &text, error) != 0)
        return -1;
    if (text == NULL)
        return 0;
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end != '\0' || mode > 0777 || (mode & 0600) != 0600)
        return sq_node_fail(
            sq_node_get(root, "socket-mode"), error, SQ_BAD_INPUT,
            "'%s' is no mode for the socket; expected octal digits from 0600 to 0777, such as 0660", text);
    config->socket_mode = (mode_t)mode;
    return 0;
}

void sq_agent_config_init(struct sq_agent_config *config)
{
    memset(config, 0, sizeof *config);
    (void)sq_text_copy(config->run, sizeof config->run, RUN_STANDARD);
    (void)sq_text_copy(config->state, sizeof config->state, STATE_STANDARD);
}

int sq_agent_config_load(const char *path, struct sq_agent_config *config, struct sq_error *error)
{
    static const char *const keys[] = {"listen", "tls",  "policy", "run",
                                       "state",  "user", "group",  "socket-mode"};
    memset(config, 0, sizeof *config);
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_load(path, &document, error) != 0)
        return -1;
    struct sq_node root = sq_document_root(document);
    if (sq_node_type(root) == SQ_NODE_NONE)
        return sq_fail(error, SQ_BAD_INPUT, "%s is empty; expected at least 'listen'", path);
    if (read_path(root, "run", RUN_STANDARD, config->run, error) != 0 ||
        read_path(root, "state", STATE_STANDARD, config->state, error) != 0 ||
        sq_node_check_keys(root, "the agent's configuration", keys, sizeof keys / sizeof keys[0], error) !=
            0 ||
        read_listen(root, config, error) != 0 || read_tls(root, config, error) != 0 ||
        read_path(root, "policy", "/etc/squall/policy.yaml", config->policy, error) != 0 ||
        read_user(root, config, error) != 0 || read_group(root, config, error) != 0)
        return -1;
    return read_socket_mode(root, config, error);
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
