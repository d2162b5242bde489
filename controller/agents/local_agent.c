#include "agents/local_agent.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/text.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_POLICY "/etc/squall/policy.yaml"
/* Where the host has none: what ends by itself, and never whoever came by SSH (README, "On this machine
 * alone"). */
#define OWN_POLICY                                                                                           \
    "allow: [network.*, cpu.stress, memory.stress]\nmax-duration: 10m\nprotect: {ports: [22]}\n"
#define START_NS      (10 * SQ_NS_PER_SECOND)
#define STOP_NS       (60 * SQ_NS_PER_SECOND)
#define LOOK_AGAIN_NS (20 * SQ_NS_PER_MILLISECOND)
#define EXIT_NOT_RUN  127
#define LOG_BYTES_MAX 65536

struct sq_local_agent {
    pid_t keeper; /* of squalld and of the directory; 0: none */
    char directory[64];
    char program[PATH_MAX];
    char config[128];
    char note[256];
    struct sq_inventory *inventory;
};

/* ---- The keeper: a process of its own, so that squalld is stopped and the directory removed whatever ends
 * us ---- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_directory(const char *directory)
{
    (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Die, by SIGTERM, with whoever forked us; `parent` was it before the fork. */
static void follow(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        (void)raise(SIGTERM);
}

static pid_t start_squalld(const struct sq_local_agent *agent, const char *mode, const sigset_t *mask)
{
    pid_t keeper = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    follow(keeper);
    (void)execl(agent->program, "squalld", "--config", agent->config, mode, (char *)NULL);
    _exit(EXIT_NOT_RUN);
}

/* Wait for a child while SIGTERM is passed on to it. */
static int keep(pid_t pid, const sigset_t *awaited)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR))
            return status;
        int number = 0;
        if (sigwait(awaited, &number) == 0 && number == SIGTERM)
            (void)kill(pid, SIGTERM);
    }
}

static bool ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Apart from our terminal: Ctrl-C is for squall, which rolls back first and stops the agent then. */
static _Noreturn void run_keeper(const struct sq_local_agent *agent, pid_t parent)
{
    sigset_t awaited;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigemptyset(&awaited);
    (void)sigaddset(&awaited, SIGTERM);
    (void)sigaddset(&awaited, SIGCHLD);
    (void)sigprocmask(SIG_SETMASK, &awaited, NULL);
    (void)setsid();
    follow(parent);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/log", agent->directory);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log >= 0 ? log : null, STDOUT_FILENO);
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
    pid_t pid = start_squalld(agent, NULL, &none);
    int status = pid > 0 ? keep(pid, &awaited) : -1;
    bool clean = ended_well(status);
    if (pid > 0 && !clean) {
        pid = start_squalld(agent, "--recover", &none);
        clean = pid > 0 && ended_well(keep(pid, &awaited));
    }
    /* What could not be undone needs the undo log, and the parent reads the log of a start that failed. */
    if (clean && (ended_well(status) || getppid() != parent))
        remove_directory(agent->directory);
    _exit(clean ? 0 : 1);
}

/* ---- Starting ---- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

/* Beside squall, in the sbin beside its bin, in a build tree, or where the system keeps it. */
static int find_program(struct sq_local_agent *agent, struct sq_error *error)
{
    char self[PATH_MAX - 32];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    static const char *const places[] = {"/squalld", "/../sbin/squalld", "/../agent/squalld"};
    for (size_t i = 0; slash != NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(agent->program, sizeof(agent->program), "%s%s", self, places[i]);
        if (is_program(agent->program))
            return 0;
    }
    static const char *const standard[] = {"/usr/local/sbin/squalld", "/usr/sbin/squalld"};
    for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
        (void)sq_text_copy(agent->program, sizeof(agent->program), standard[i]);
        if (is_program(agent->program))
            return 0;
    }
    return sq_fail(error, SQ_BAD_INPUT,
                   "--local needs squalld: it is neither beside squall (%s) nor in /usr/sbin; install it",
                   self);
}

static int write_file(const struct sq_local_agent *agent, const char *name, const char *text,
                      struct sq_error *error)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", agent->directory, name);
    return sq_file_write(path, text, strlen(text), 0600, error);
}

/* The directory is root's; the agent's unprivileged half, which makes the socket, may only pass through it.
 */
static int make_directory(struct sq_local_agent *agent, struct sq_error *error)
{
    const char *user = "squall";
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        user = "nobody";
        entry = getpwnam(user);
    }
    if (entry == NULL)
        return sq_fail(error, SQ_UNABLE, "--local needs a user 'squall' or 'nobody' on this machine");
    (void)sq_text_copy(agent->directory, sizeof(agent->directory), "/run/squall-local.XXXXXX");
    if (mkdtemp(agent->directory) == NULL) {
        agent->directory[0] = '\0';
        return sq_fail_errno(error, errno, "cannot make a directory in /run");
    }
    if (chown(agent->directory, 0, entry->pw_gid) != 0 || chmod(agent->directory, 0710) != 0)
        return sq_fail_errno(error, errno, "cannot give %s its mode", agent->directory);
    const char *policy = HOST_POLICY;
    char own_policy[128];
    if (access(HOST_POLICY, F_OK) != 0) {
        if (write_file(agent, "policy.yaml", OWN_POLICY, error) != 0)
            return -1;
        (void)snprintf(own_policy, sizeof(own_policy), "%s/policy.yaml", agent->directory);
        policy = own_policy;
        (void)sq_text_copy(agent->note, sizeof(agent->note),
                           "an agent of our own runs on this machine; there is no policy in " HOST_POLICY
                           ", so it allows network faults but to port 22, and stress, for 10m at most, and "
                           "nothing else; a policy there takes its place");
    } else {
        (void)sq_text_copy(agent->note, sizeof(agent->note),
                           "an agent of our own runs on this machine, under the policy in " HOST_POLICY);
    }
    char config[1024];
    (void)snprintf(
        config, sizeof(config),
        "listen: [\"ipc://%s/run/agent.sock\"]\nrun: %s/run\nstate: %s/state\npolicy: %s\nuser: %s\n"
        "socket-mode: \"0600\"\n",
        agent->directory, agent->directory, agent->directory, policy, user);
    (void)snprintf(agent->config, sizeof(agent->config), "%s/agent.yaml", agent->directory);
    return write_file(agent, "agent.yaml", config, error);
}

/* One host: this machine, with the label local: "true". */
static int make_inventory(struct sq_local_agent *agent, struct sq_error *error)
{
    struct sq_inventory *inventory = calloc(1, sizeof(*inventory));
    struct sq_host *host = calloc(1, sizeof(*host));
    struct sq_setting *label = calloc(1, sizeof(*label));
    if (inventory == NULL || host == NULL || label == NULL) {
        free(inventory);
        free(host);
        free(label);
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    char name[SQ_NAME_MAX] = "";
    if (gethostname(name, sizeof(name) - 1) != 0 || !sq_host_name_is_valid(name))
        (void)sq_text_copy(name, sizeof(name), "localhost");
    (void)sq_text_copy(host->name, sizeof(host->name), name);
    (void)snprintf(host->agent, sizeof(host->agent), "ipc://%s/run/agent.sock", agent->directory);
    (void)sq_text_copy(label->name, sizeof(label->name), "local");
    (void)sq_text_copy(label->value, sizeof(label->value), "true");
    host->labels = label;
    host->label_count = 1;
    (void)sq_text_copy(inventory->path, sizeof(inventory->path), SQ_INVENTORY_LOCAL);
    inventory->hosts = host;
    inventory->host_count = 1;
    agent->inventory = inventory;
    return 0;
}

static bool answers(const struct sq_local_agent *agent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/agent.sock", agent->directory);
    sq_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Waits for the keeper, or for a socket that answers. */
struct watch {
    struct sq_local_agent *agent;
    struct sq_loop *loop;
    struct sq_loop_source *child;
    struct sq_loop_source *timer; /* NULL: nobody looks whether it answers */
    bool answers;
    bool ended; /* with `status` */
    int status;
};

static void on_ended(void *cookie, int wait_status)
{
    struct watch *watch = cookie;
    watch->ended = true;
    watch->status = wait_status;
    watch->agent->keeper = 0;
}

static void on_look(void *cookie)
{
    struct watch *watch = cookie;
    watch->answers = answers(watch->agent);
    sq_loop_arm(watch->timer, sq_ns_add(sq_loop_now_boot_ns(watch->loop), LOOK_AGAIN_NS));
}

/* Until it ended, answers if that is looked for, or `patience_ns` are over. -1: cannot wait. */
static int watch_keeper(struct sq_local_agent *agent, bool look, uint64_t patience_ns, struct watch *watch,
                        struct sq_error *error)
{
    *watch = (struct watch){.agent = agent};
    int status = sq_loop_open(&watch->loop, error);
    if (status == 0)
        status = sq_loop_add_child(watch->loop, agent->keeper, on_ended, watch, &watch->child, error);
    if (status == 0 && look)
        status = sq_loop_add_timer(watch->loop, on_look, watch, &watch->timer, error);
    if (status == 0 && look)
        sq_loop_arm(watch->timer, 1);
    uint64_t until_boot_ns = sq_ns_add(sq_boot_ns(), patience_ns);
    while (status == 0 && !watch->ended && !watch->answers && sq_boot_ns() < until_boot_ns)
        status = sq_loop_turn(watch->loop, until_boot_ns, error);
    sq_loop_close(watch->loop);
    return status;
}

/* The end of what squalld logged, for the message of a start that failed. */
static int fail_start(const struct sq_local_agent *agent, struct sq_error *error)
{
    char path[128];
    sq_autofree char *log = NULL;
    size_t length = 0;
    (void)snprintf(path, sizeof(path), "%s/log", agent->directory);
    if (sq_file_read(path, LOG_BYTES_MAX, &log, &length, NULL) != 0 || length == 0)
        return sq_fail(error, SQ_SYSTEM, "the agent of --local (%s) did not start", agent->program);
    while (length > 0 && log[length - 1] == '\n')
        log[--length] = '\0';
    const char *last = strrchr(log, '\n');
    return sq_fail(error, SQ_SYSTEM, "the agent of --local (%s) did not start: %s", agent->program,
                   last != NULL ? last + 1 : log);
}

static int wait_until_it_answers(struct sq_local_agent *agent, struct sq_error *error)
{
    struct watch watch;
    if (watch_keeper(agent, true, START_NS, &watch, error) != 0)
        return -1;
    return watch.answers && !watch.ended ? 0 : fail_start(agent, error);
}

int sq_local_agent_start(struct sq_local_agent **result, struct sq_error *error)
{
    if (geteuid() != 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "--local starts an agent on this machine, which needs root: use sudo");
    struct sq_local_agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    int status = -1;
    if (find_program(agent, error) == 0 && make_directory(agent, error) == 0 &&
        make_inventory(agent, error) == 0) {
        pid_t parent = getpid();
        (void)fflush(NULL);
        agent->keeper = fork();
        if (agent->keeper == 0)
            run_keeper(agent, parent);
        if (agent->keeper < 0) {
            agent->keeper = 0;
            (void)sq_fail_errno(error, errno, "cannot start a process");
        } else {
            status = wait_until_it_answers(agent, error);
        }
    }
    if (status != 0) {
        sq_local_agent_stop(agent);
        return -1;
    }
    *result = agent;
    return 0;
}

void sq_local_agent_stop(struct sq_local_agent *agent)
{
    if (agent == NULL)
        return;
    bool removed = agent->directory[0] == '\0';
    bool left = false;
    if (agent->keeper > 0) {
        struct watch watch;
        (void)kill(agent->keeper, SIGTERM);
        if (watch_keeper(agent, false, STOP_NS, &watch, NULL) != 0 || !watch.ended ||
            !ended_well(watch.status)) {
            removed = true; /* kept on purpose */
            left = true;
        }
    }
    if (!removed)
        remove_directory(agent->directory);
    else if (left)
        (void)fprintf(
            stderr,
            "squall: the agent of --local left something behind: see %s/log, and finish with %s --config %s "
            "--recover\n",
            agent->directory, agent->program, agent->config);
    sq_inventory_free(agent->inventory);
    free(agent);
}

void sq_local_agent_cleanup(struct sq_local_agent **agent)
{
    sq_local_agent_stop(*agent);
}

const struct sq_inventory *sq_local_agent_inventory(const struct sq_local_agent *agent)
{
    return agent->inventory;
}

const char *sq_local_agent_note(const struct sq_local_agent *agent)
{
    return agent->note;
}
