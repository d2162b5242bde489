#include "injector/listening.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "injector/run_directory.h"
#include "unprivileged/unprivileged.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IPC_SCHEME "ipc://"
#define TLS_SCHEME "tls+tcp://"

enum answer { FINE, NO_ACCESS, TAKEN, UNTRIED };

/* In a sticky directory a file is removed by its owner or the directory's. */
static enum answer look(const char *folder, const char *path)
{
    struct stat above;
    struct stat there;
    if (access(folder, W_OK | X_OK) != 0 || stat(folder, &above) != 0)
        return NO_ACCESS;
    if (lstat(path, &there) != 0)
        return FINE;
    bool may_remove =
        (above.st_mode & S_ISVTX) == 0 || there.st_uid == geteuid() || above.st_uid == geteuid();
    return S_ISSOCK(there.st_mode) && may_remove ? FINE : TAKEN;
}

/* As the front's user, who may see less than root does. */
static enum answer look_as_front(const struct sq_agent_config *config, const char *folder, const char *path)
{
    struct sq_error error;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        bool is_front = sq_become_unprivileged(config->uid, config->gid, "the front", &error) == 0;
        _exit((int)(is_front ? look(folder, path) : UNTRIED));
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return UNTRIED;
    return (enum answer)WEXITSTATUS(status);
}

static int check_unix(const struct sq_agent_config *config, const char *url, struct sq_error *error)
{
    char folder[PATH_MAX];
    struct stat status;
    const char *path = url + strlen(IPC_SCHEME);
    (void)sq_text_copy(folder, sizeof folder, path);
    char *slash = strrchr(folder, '/');
    slash[slash == folder ? 1 : 0] = '\0'; /* the configuration's paths are absolute */
    if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        if (strcmp(folder, config->run) == 0)
            return 0; /* squalld makes it */
        return sq_fail(error, SQ_BAD_INPUT,
                       "cannot listen on %s: the folder %s is missing; make it (root's, group %u, mode "
                       "1775), or put the socket into the folder that 'run' names, which squalld makes",
                       url, folder, (unsigned)config->gid);
    }
    switch (look_as_front(config, folder, path)) {
    case FINE:
        return 0;
    case NO_ACCESS:
        return sq_fail(error, SQ_BAD_INPUT,
                       "cannot listen on %s: user %u may make nothing in %s; give the directory to group %u "
                       "with mode 1775",
                       url, (unsigned)config->uid, folder, (unsigned)config->gid);
    case TAKEN:
        return sq_fail(error, SQ_BAD_INPUT,
                       "cannot listen on %s: what is there is no socket, or another user's; look at it, then "
                       "remove it",
                       url);
    default:
        return sq_fail(error, SQ_SYSTEM, "cannot try as user %u whether one can listen on %s",
                       (unsigned)config->uid, url);
    }
}

/* "ADDRESS:PORT" or "[ADDRESS]:PORT", as the configuration has judged it. */
static socklen_t parse_address(const char *text, struct sockaddr_storage *address)
{
    char host[SQ_LISTEN_URL_MAX];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const char *colon = strrchr(text, ':');
    uint16_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    bool is_v6 = text[0] == '[';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (is_v6 ? 2 : 0), text + is_v6);
    v4.sin_port = v6.sin6_port = port;
    if (is_v6) {
        (void)inet_pton(AF_INET6, host, &v6.sin6_addr);
        memcpy(address, &v6, sizeof v6);
        return sizeof v6;
    }
    (void)inet_pton(AF_INET, host, &v4.sin_addr);
    memcpy(address, &v4, sizeof v4);
    return sizeof v4;
}

/* Bound, not listened on, and let go at once. The port of an agent that is alive is that agent's. */
static int check_tls(const struct sq_agent_config *config, const char *url, struct sq_error *error)
{
    struct sockaddr_storage address = {0};
    const int on = 1;
    socklen_t size = parse_address(url + strlen(TLS_SCHEME), &address);
    sq_autoclose int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address, size) == 0)
        return 0;
    int number = errno;
    if (number == EADDRINUSE && sq_run_directory_is_in_use(config->run))
        return 0;
    return sq_fail(error, SQ_BAD_INPUT,
                   "cannot listen on %s: %s; expected an address and a free port of this "
                   "host",
                   url, strerrordesc_np(number));
}

int sq_listening_check(const struct sq_agent_config *config, uint32_t i, struct sq_error *error)
{
    const char *url = config->listen[i];
    if (strncmp(url, IPC_SCHEME, strlen(IPC_SCHEME)) == 0)
        return check_unix(config, url, error);
    return check_tls(config, url, error);
}
