#include "forms/agent_config.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define RUN_STANDARD    "/run/squall"
#define STATE_STANDARD  "/var/lib/squall"
#define POLICY_STANDARD "/etc/squall/policy.yaml"
#define TLS_SCHEME      "tls+tcp://"
#define IPC_SCHEME      "ipc://"

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

static int read_listener(struct sq_node node, struct sq_agent_config *config, struct sq_error *error)
{
    char *url = config->listen[config->listen_count];
    if (read_url(node, url, error) != 0)
        return -1;
    for (uint32_t j = 0; j < config->listen_count; j++)
        if (strcmp(url, config->listen[j]) == 0)
            return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' stands twice in 'listen'", url);
    config->listen_count++;
    return 0;
}

static int check_listen(struct sq_node root, struct sq_node listen, struct sq_error *error)
{
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
    return 0;
}

static void read_listen(struct sq_node root, struct sq_agent_config *config, struct sq_problems *problems)
{
    struct sq_error error;
    struct sq_node listen = sq_node_get(root, "listen");
    if (!sq_problems_note(problems, check_listen(root, listen, &error), &error))
        return;
    for (size_t i = 0; i < sq_node_count(listen); i++)
        (void)sq_problems_note(problems, read_listener(sq_node_item(listen, i), config, &error), &error);
}

bool sq_agent_config_has_tls(const struct sq_agent_config *config)
{
    for (uint32_t i = 0; i < config->listen_count; i++)
        if (strncmp(config->listen[i], TLS_SCHEME, strlen(TLS_SCHEME)) == 0)
            return true;
    return false;
}

static int read_tls_path(struct sq_node tls, const char *key, char path[PATH_MAX], struct sq_error *error)
{
    const char *text = NULL;
    if (sq_map_text(tls, key, true, PATH_MAX, &text, error) != 0)
        return -1;
    return resolve_path(sq_node_get(tls, key), text, path, error);
}

static void read_tls(struct sq_node root, struct sq_agent_config *config, struct sq_problems *problems)
{
    static const char *const keys[] = {"certificate", "key", "controllers"};
    struct sq_error error;
    bool needed = sq_agent_config_has_tls(config);
    struct sq_node tls = sq_node_get(root, "tls");
    if (!sq_node_is_there(tls)) {
        if (needed)
            (void)sq_problems_note(
                problems,
                sq_node_fail(sq_node_get(root, "listen"), &error, SQ_BAD_INPUT,
                             "a tls+tcp:// address needs 'tls'; expected tls: {certificate: "
                             "FILE, key: FILE, controllers: FILE}"),
                &error);
        return;
    }
    if ((!sq_problems_check_keys(problems, tls, "'tls'", keys, sizeof keys / sizeof keys[0]) &&
         sq_node_type(tls) != SQ_NODE_MAP) ||
        !needed)
        return;
    (void)sq_problems_note(problems, read_tls_path(tls, "certificate", config->tls_certificate, &error),
                           &error);
    (void)sq_problems_note(problems, read_tls_path(tls, "key", config->tls_key, &error), &error);
    (void)sq_problems_note(problems, read_tls_path(tls, "controllers", config->tls_controllers, &error),
                           &error);
}

static int read_word(struct sq_node root, const char *key, const char *standard, char *word, size_t size,
                     struct sq_error *error)
{
    const char *text = standard;
    if (sq_map_text(root, key, false, size, &text, error) != 0)
        return -1;
    (void)sq_text_copy(word, size, text);
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

const char *const sq_agent_config_keys[] = {"listen", "tls",   "policy",      "run", "state",
                                            "user",   "group", "socket-mode", NULL};

void sq_agent_config_examine(struct sq_document *document, struct sq_agent_config *config,
                             struct sq_problems *problems)
{
    struct sq_error error;
    memset(config, 0, sizeof *config);
    struct sq_node root = sq_document_root(document);
    if (sq_node_type(root) == SQ_NODE_NONE) {
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s is empty; expected at least 'listen'",
                      sq_document_name(document));
        sq_problems_add(problems, &error);
        return;
    }
    /* First what undoing needs. */
    (void)sq_problems_note(problems, read_path(root, "run", RUN_STANDARD, config->run, &error), &error);
    (void)sq_problems_note(problems, read_path(root, "state", STATE_STANDARD, config->state, &error), &error);
    if (!sq_problems_check_keys(problems, root, "the agent's configuration", sq_agent_config_keys,
                                sizeof sq_agent_config_keys / sizeof sq_agent_config_keys[0] - 1) &&
        sq_node_type(root) != SQ_NODE_MAP)
        return;
    read_listen(root, config, problems);
    read_tls(root, config, problems);
    (void)sq_problems_note(problems, read_path(root, "policy", POLICY_STANDARD, config->policy, &error),
                           &error);
    (void)sq_problems_note(
        problems, read_word(root, "user", "squall", config->user, sizeof config->user, &error), &error);
    (void)sq_problems_note(problems,
                           read_word(root, "group", "", config->group, sizeof config->group, &error), &error);
    (void)sq_problems_note(problems, read_socket_mode(root, config, &error), &error);
}
