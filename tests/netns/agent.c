#include "agent.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "faults/fault.h"
#include "table/params.h"
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 5000

char directory[64];
char config_path[128];
char url[128];
pid_t agent;
const char *agent_group;
char *tc_before;
struct sq_request request;
struct sq_reply reply;
struct sq_id instance;
uint8_t whose = 1;

void write_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Start squalld with one more argument or NULL; its output goes to `output` in the directory if that is
 * given. */
pid_t start(const char *argument, const char *output)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (output != NULL) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", directory, output);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
    }
    if (agent_group != NULL) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/cgroup.procs", agent_group);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            _exit(126);
    }
    (void)execl(SQUALLD, "squalld", "--config", config_path, argument, (char *)NULL);
    _exit(127);
}

int exit_status(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run(const char *argument)
{
    return exit_status(start(argument, "output"));
}

int run_without_admin(const char *argument)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) == 0 ? run(argument) : 127);
    return exit_status(pid);
}

static const char *output_of(const char *name)
{
    char path[128];
    static char content[8192];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    content[fread(content, 1, sizeof content - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    return content;
}

void assert_output_says(const char *name, const char *text)
{
    const char *content = output_of(name);
    if (strstr(content, text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, content);
}

void assert_output_fits(const char *name, size_t columns)
{
    for (const char *line = output_of(name); *line != '\0'; line += strspn(line, "\n")) {
        size_t length = strcspn(line, "\n");
        if (length > columns)
            fail_msg("%zu columns: %.*s", length, (int)length, line);
        line += length;
    }
}

static int exchange(nng_socket socket, const uint8_t *bytes, size_t length, struct sq_error *error)
{
    nng_msg *message = NULL;
    if (nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, TIMEOUT_MS) != 0 ||
        nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, TIMEOUT_MS) != 0 ||
        nng_dial(socket, url, NULL, 0) != 0 || nng_msg_alloc(&message, 0) != 0)
        return -1;
    if (nng_msg_append(message, bytes, length) != 0 || nng_sendmsg(socket, message, 0) != 0) {
        nng_msg_free(message);
        return -1;
    }
    if (nng_recvmsg(socket, &message, 0) != 0)
        return -1;
    int result = sq_wire_decode_reply(nng_msg_body(message), nng_msg_len(message), &reply, error);
    nng_msg_free(message);
    return result;
}

/* Send `request` and wait for the answer; false if there is none. */
bool try_ask(enum sq_verb verb, uint8_t experiment)
{
    struct sq_error error;
    sq_autofree uint8_t *bytes = NULL;
    size_t length;
    nng_socket socket;
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = verb;
    request.instance = instance;
    request.experiment = (struct sq_id){{experiment}};
    request.token = (struct sq_id){{experiment, whose}};
    request.not_after_boot_ns = sq_boot_ns() + 10 * SQ_NS_PER_SECOND;
    request.prepared_until_boot_ns = sq_boot_ns() + 600 * SQ_NS_PER_SECOND;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, &error), 0);
    assert_int_equal(nng_req0_open(&socket), 0);
    int result = exchange(socket, bytes, length, &error);
    (void)nng_close(socket);
    return result == 0;
}

enum sq_code ask(enum sq_verb verb, uint8_t experiment)
{
    assert_true(try_ask(verb, experiment));
    return reply.code;
}

void wait_until_it_serves(void)
{
    memset(&request, 0, sizeof request);
    for (int i = 0; i < 200; i++) {
        if (try_ask(SQ_VERB_HELLO, 0)) {
            instance = reply.instance;
            return;
        }
        (void)usleep(20000);
    }
    fail_msg("the agent does not serve");
}

void start_agent(void)
{
    agent = start(NULL, "agent.log");
    wait_until_it_serves();
}

pid_t front_of_agent(void)
{
    char *text = fixture_output(lab.host, "pgrep -P %d", (int)agent);
    pid_t pid = (pid_t)atoi(text);
    free(text);
    assert_true(pid > 1);
    return pid;
}

void order(uint64_t lease_ns, uint64_t duration_ns)
{
    struct sq_error error;
    memset(&request, 0, sizeof request);
    request.lease_ns = lease_ns;
    (void)strcpy(request.title, "cut off");
    request.fault_count = 1;
    struct sq_fault_order *order = &request.faults[0];
    order->duration_ns = duration_ns;
    sq_spec_init(&order->spec, sq_fault_by_kind(SQ_NETWORK_PARTITION));
    struct sq_network_selector *selector = &order->spec.partition.selector;
    selector->to_count = 2;
    assert_int_equal(sq_cidr_parse("10.9.0.2", &selector->to[0], &error), 0);
    assert_int_equal(sq_cidr_parse("fd09::2", &selector->to[1], &error), 0);
}

void order_stress_too(void)
{
    struct sq_fault_order *stress = &request.faults[request.fault_count++];
    stress->index = request.fault_count - 1;
    stress->duration_ns = 60 * SQ_NS_PER_SECOND;
    sq_spec_init(&stress->spec, sq_fault_by_kind(SQ_CPU_STRESS));
    stress->spec.cpu.percent = 5;
    stress->spec.cpu.cores.mode = SQ_CORES_COUNT;
    stress->spec.cpu.cores.count = 1;
}

void prepare(uint8_t experiment, uint64_t lease_ns, uint64_t duration_ns)
{
    order(lease_ns, duration_ns);
    if (ask(SQ_VERB_PREPARE, experiment) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    assert_int_equal(reply.faults[0].state, SQ_STATE_PREPARED);
    memset(&request, 0, sizeof request);
}

void assert_cut(void)
{
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in6(&lab, "2"), 0);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
}

/* To be asked after the removal: taking a clsact away stops the whole device for some 0.3 ms (qdisc_graft).
 */
void assert_passes(void)
{
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_in6(&lab, "2"), FIXTURE_COUNT);
}

void cut(uint8_t experiment, uint64_t lease_ns)
{
    prepare(experiment, lease_ns, 60 * SQ_NS_PER_SECOND);
    if (ask(SQ_VERB_INJECT, experiment) != SQ_OK)
        fail_msg("inject: %s", reply.message);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_cut();
}

void expect_removed(uint8_t experiment, enum sq_end_reason reason)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(SQ_VERB_STATUS, experiment), SQ_OK);
        if (reply.faults[0].state == SQ_STATE_REVERTED)
            break;
        (void)usleep(10000);
    }
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[0].end_reason, reason);
    assert_int_equal(reply.faults[0].proof, SQ_PROOF_PROVED);
    assert_true(reply.faults[0].clean_boot_ns <= reply.faults[0].removed_boot_ns);
}

int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    tc_before = fixture_tc("eth0");
    (void)strcpy(directory, "/tmp/squall-agent-XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(mount("squall-test", directory, "tmpfs", 0, "mode=0755"), 0);
    (void)snprintf(config_path, sizeof config_path, "%s/agent.yaml", directory);
    (void)snprintf(url, sizeof url, "ipc://%s/run/agent.sock", directory);
    write_file("agent.yaml",
               "listen: ['ipc://run/agent.sock']\npolicy: policy.yaml\nrun: run\nuser: nobody\n");
    write_file("policy.yaml", "allow: [network.partition]\nmax-duration: 2m\n");
    agent = 0;
    return 0;
}

/* A process that cannot die: not even SIGKILL ends what version 1 of the freezer holds. */
static char freezer[64];

static bool write_control(const char *file, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", freezer, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return written;
}

bool freeze(const char *pid)
{
    /* Not by our pid, which others have in pid namespaces of theirs. */
    (void)strcpy(freezer, "/sys/fs/cgroup/freezer/squall-test-XXXXXX");
    if (mkdtemp(freezer) != NULL && write_control("cgroup.procs", pid) &&
        write_control("freezer.state", "FROZEN"))
        return true;
    (void)rmdir(freezer);
    freezer[0] = '\0';
    return false;
}

bool freeze_too(const char *pid)
{
    return write_control("cgroup.procs", pid);
}

void thaw(void)
{
    if (freezer[0] == '\0')
        return;
    (void)write_control("freezer.state", "THAWED");
    for (int i = 0; i < 200 && rmdir(freezer) != 0 && errno == EBUSY; i++)
        (void)usleep(10000);
    freezer[0] = '\0';
}

int tear_down(void **state)
{
    (void)state;
    thaw();
    if (agent > 0) {
        (void)kill(agent, SIGKILL);
        (void)waitpid(agent, NULL, 0);
    }
    (void)umount2(directory, MNT_DETACH);
    (void)rmdir(directory);
    fixture_assert_tc("eth0", tc_before);
    fixture_close(&lab);
    return 0;
}
