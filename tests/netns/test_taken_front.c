/* libraries: sq_netns_fixture sq_injector sq_ipc sq_table sq_common */
/*
 * What a front in an attacker's hands can do to the injector: docs/taken-front.md, line by line. The injector
 * is the real one; the front that it starts is this program again, which hands its ends of the pipes to the
 * test and sleeps. And what `squalld --halt` does about an injector that hangs.
 */
#include "fixture.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "injector/injector.h"
#include "ipc/ipc.h"
#include "table/params.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SQUALLD         SQ_BINARY_DIR "/agent/squalld"
#define SOCKET_VARIABLE "SQ_TEST_FRONT_SOCKET"
#define FREEZER         "/sys/fs/cgroup/freezer"
#define UNIFIED         "/sys/fs/cgroup"
#define SECOND          SQ_NS_PER_SECOND

static char directory[64];
static char config_path[128];
static char *tc_before;
static int listener = -1;
static pid_t injector;
static char group[128]; /* the control group that it is frozen in; empty: none */
static struct sq_ipc_end front;
static struct sq_request request;
static struct sq_reply reply;
static struct sq_id instance;

/* ---- the two processes ---- */

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
};

static struct sockaddr_un socket_address(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv(SOCKET_VARIABLE);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path == NULL ? "" : path);
    return address;
}

/* Started by the injector: pass the pipes on, and be nothing but there. */
static _Noreturn void run_front(const char *argument)
{
    int fds[2];
    int ready_fd;
    int config_fd;
    const struct sockaddr_un address = socket_address();
    if (sscanf(argument, "--front=%d,%d,%d,%d", &fds[0], &fds[1], &ready_fd, &config_fd) != 4)
        _exit(2);
    int test = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    union control control = {0};
    char byte = 'r';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
    memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
    if (connect(test, (const struct sockaddr *)&address, sizeof address) != 0 ||
        sendmsg(test, &message, 0) != 1 || write(ready_fd, &byte, 1) != 1)
        _exit(3);
    (void)close(fds[0]);
    (void)close(fds[1]);
    for (;;)
        (void)pause();
}

static _Noreturn void run_injector(const char *path)
{
    static struct sq_agent_config config;
    struct sq_error error;
    const struct sq_injector_options options = {.config = &config};
    if (sq_agent_config_load(path, &config, &error) == 0 && sq_injector_run(&options, &error) == 0)
        _exit(0);
    (void)fprintf(stderr, "%s\n", error.text);
    _exit(1);
}

/* Take over the front that the injector has just started. */
static void take_front(void)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 5000), 1);
    sq_autoclose int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    union control control = {0};
    char byte;
    int fds[2];
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    assert_int_equal(recvmsg(connection, &message, MSG_CMSG_CLOEXEC), 1);
    memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
    sq_ipc_end_close(&front);
    front = (struct sq_ipc_end){.in_fd = fds[0], .out_fd = fds[1]};
}

/* ---- asking ---- */

static enum sq_code ask(enum sq_verb verb, uint8_t experiment)
{
    struct sq_error error = {0};
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = verb;
    request.instance = instance;
    request.experiment = (struct sq_id){{experiment}};
    request.token = (struct sq_id){{experiment, 1}};
    request.not_after_boot_ns = sq_boot_ns() + 10 * SECOND;
    request.prepared_until_boot_ns = sq_boot_ns() + 600 * SECOND;
    if (sq_ipc_send_request(&front, &request, &error) != 0 ||
        sq_ipc_receive_reply(&front, &reply, &error) != 1)
        fail_msg("no answer: %s", error.text);
    return reply.code;
}

static void hello(void)
{
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_HELLO, 0), SQ_OK);
    instance = reply.instance;
}

static void order(enum sq_fault_kind kind)
{
    struct sq_error error;
    struct sq_fault_order *added = &request.faults[request.fault_count];
    added->index = request.fault_count++;
    added->duration_ns = 60 * SECOND;
    sq_spec_init(&added->spec, sq_fault_by_kind(kind));
    if (kind == SQ_CPU_STRESS)
        added->spec.cpu.percent = 5;
    if (kind == SQ_NETWORK_PARTITION) {
        struct sq_network_selector *selector = &added->spec.partition.selector;
        selector->to_count = 1;
        assert_int_equal(sq_cidr_parse("10.9.0.2", &selector->to[0], &error), 0);
    }
}

static void inject(uint64_t lease_ns)
{
    request.lease_ns = lease_ns;
    (void)strcpy(request.title, "taken");
    if (ask(SQ_VERB_PREPARE, 1) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    memset(&request, 0, sizeof request);
    if (ask(SQ_VERB_INJECT, 1) != SQ_OK)
        fail_msg("inject: %s", reply.message);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
}

static void cut(uint64_t lease_ns)
{
    hello();
    order(SQ_NETWORK_PARTITION);
    inject(lease_ns);
}

static void assert_passes(void)
{
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
}

/* `squalld --halt`: its exit status, and in *milliseconds how long it took. */
static int halt(uint64_t *milliseconds)
{
    uint64_t start_ns = sq_boot_ns();
    int status =
        fixture_run(lab.host, "'%s' --config '%s' --halt >'%s/output' 2>&1", SQUALLD, config_path, directory);
    *milliseconds = (sq_boot_ns() - start_ns) / SQ_NS_PER_MILLISECOND;
    return status;
}

static void assert_halt_works(void)
{
    uint64_t milliseconds;
    assert_int_equal(halt(&milliseconds), 0);
    fixture_must(lab.host, "grep -q 'REVERTED (halted)' '%s/output'", directory);
    assert_true(milliseconds < 1000);
    assert_passes();
}

/* ---- set-up ---- */

static void write_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    sq_autofile FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    tc_before = fixture_tc("eth0");
    (void)strcpy(directory, "/tmp/squall-taken-XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(mount("squall-test", directory, "tmpfs", 0, "mode=0755"), 0);
    (void)snprintf(config_path, sizeof config_path, "%s/agent.yaml", directory);
    write_file("agent.yaml",
               "listen: ['ipc://run/agent.sock']\npolicy: policy.yaml\nrun: run\nuser: nobody\n");
    write_file("policy.yaml", "allow: [network.partition, cpu.stress]\nmax-duration: 2m\n");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/front.sock", directory);
    assert_int_equal(setenv(SOCKET_VARIABLE, path, 1), 0);
    const struct sockaddr_un address = socket_address();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
    front = (struct sq_ipc_end){-1, -1};
    instance = (struct sq_id){{0}};
    injector = fork();
    if (injector == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/proc/self/exe", "injector", "--injector", config_path, (char *)NULL);
        _exit(127);
    }
    take_front();
    (void)alarm(60); /* nothing here may wait for ever */
    return 0;
}

/* Also one that is frozen. */
static void end_injector(void)
{
    if (group[0] != '\0')
        (void)fixture_run(lab.host,
                          "cd '%s' && for f in 'freezer.state THAWED' 'cgroup.freeze 0'; do set -- $f; "
                          "[ ! -e $1 ] || echo $2 >$1; done",
                          group);
    (void)kill(injector, SIGKILL);
    (void)waitpid(injector, NULL, 0);
    injector = 0;
    if (group[0] != '\0')
        (void)rmdir(group);
    group[0] = '\0';
}

static int tear_down(void **state)
{
    (void)state;
    if (injector > 0) {
        end_injector();
        (void)fixture_run(lab.host, "'%s' --config '%s' --recover >/dev/null", SQUALLD, config_path);
    }
    sq_ipc_end_close(&front);
    (void)close(listener);
    (void)umount2(directory, MNT_DETACH);
    (void)rmdir(directory);
    fixture_assert_tc("eth0", tc_before);
    fixture_close(&lab);
    return 0;
}

/* ---- what it cannot do ---- */

static void test_it_can_pass_no_descriptors(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(fstat(front.in_fd, &status), 0);
    assert_true(S_ISFIFO(status.st_mode));
    assert_int_equal(fstat(front.out_fd, &status), 0);
    assert_true(S_ISFIFO(status.st_mode));
    /* And nothing else than the two pipes leads there. */
    hello();
}

static void test_half_a_request_delays_nothing(void **state)
{
    (void)state;
    cut(60 * SECOND);
    const uint32_t length = sizeof request;
    assert_int_equal(write(front.out_fd, &length, sizeof length), sizeof length);
    assert_int_equal(write(front.out_fd, &request, 1000), 1000);
    assert_halt_works();
}

/* An injector that waited until its answer is taken would stand still here. */
static void test_untaken_answers_end_it(void **state)
{
    (void)state;
    struct sq_error error;
    cut(60 * SECOND);
    request.verb = SQ_VERB_STATUS;
    for (int i = 0; i < 3; i++)
        (void)sq_ipc_send_request(&front, &request, &error);
    take_front();
    assert_halt_works();
}

/* Leases, halts and everything else in time, and no more answers than its share. */
static void test_flood_delays_nothing(void **state)
{
    (void)state;
    cut(SECOND / 2);
    uint64_t lease_ns = reply.lease_boot_ns;
    uint64_t start_ns = sq_boot_ns();
    unsigned answers = 0;
    uint64_t flooded_ns = 0;
    /* On a busy machine for longer: both get less of it. */
    for (; flooded_ns < SECOND || (answers <= 100 && flooded_ns < 5 * SECOND); answers++) {
        assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
        flooded_ns = sq_boot_ns() - start_ns;
    }
    assert_true(answers > 100);
    assert_true(answers <= 320 * flooded_ns / SECOND);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    /* Who waits for a flood to end is half a second late. */
    assert_true(reply.faults[0].clean_boot_ns < lease_ns + 300 * SQ_NS_PER_MILLISECOND);

    pid_t flood = fork();
    if (flood == 0)
        for (;;)
            (void)ask(SQ_VERB_HELLO, 0);
    uint64_t milliseconds;
    assert_int_equal(halt(&milliseconds), 0);
    assert_true(milliseconds < 1000);
    (void)kill(flood, SIGKILL);
    (void)waitpid(flood, NULL, 0);
}

static void test_what_is_no_request_ends_it(void **state)
{
    (void)state;
    cut(60 * SECOND);
    const uint32_t lengths[] = {0, 1, UINT32_MAX, sizeof request + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(write(front.out_fd, &lengths[i], sizeof lengths[i]), sizeof lengths[i]);
        take_front();
        if (i == 0)
            assert_int_equal(fixture_out4(&lab, "2"), 0);
    }
    assert_halt_works();
}

static void test_silent_front_is_replaced(void **state)
{
    (void)state;
    sq_ipc_end_close(&front);
    take_front();
    hello();
}

static void test_policy_binds_it(void **state)
{
    (void)state;
    hello();
    order(SQ_PROCESS_KILL);
    (void)strcpy(request.faults[0].spec.kill.selector.executable, "/bin/sleep");
    request.lease_ns = SECOND;
    assert_int_not_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    request.fault_count = SQ_FAULTS_MAX;
    memset(request.faults, 0xff, sizeof request.faults);
    assert_int_equal(ask(SQ_VERB_PREPARE, 2), SQ_BAD_INPUT);
}

/* ---- an injector that hangs ---- */

/* The injector's children but for the front. */
static char *stressors(void)
{
    return fixture_output(lab.host, "pgrep -P %d | tail -n +2 | tr '\\n' ' '", (int)injector);
}

static void assert_all_ended(const char *pids)
{
    fixture_must(lab.host,
                 "for p in %s; do ! grep -q 'State:.[^ZX]' /proc/$p/status 2>/dev/null || exit 1; done",
                 pids);
}

static void test_halt_ends_an_injector_that_hangs(void **state)
{
    (void)state;
    hello();
    order(SQ_NETWORK_PARTITION);
    order(SQ_CPU_STRESS);
    inject(60 * SECOND);
    sq_autofree char *pids = stressors();
    assert_true(strlen(pids) > 1);
    assert_int_equal(kill(injector, SIGSTOP), 0);
    uint64_t milliseconds;
    assert_int_equal(halt(&milliseconds), 0);
    assert_true(milliseconds >= 2000 && milliseconds < 3000);
    fixture_must(lab.host, "grep -q 'does not answer; ending it' '%s/output'", directory);
    assert_passes();
    assert_all_ended(pids);
    int status;
    assert_int_equal(waitpid(injector, &status, 0), injector);
    assert_true(WIFSIGNALED(status));
    injector = 0;
}

/* In a group of its own below `root`: "group/file" is made to hold `value`. */
static void freeze(const char *root, const char *tasks, const char *file, const char *value)
{
    (void)snprintf(group, sizeof group, "%s/sq-taken-%d", root, (int)injector);
    fixture_must(lab.host, "mkdir '%s' && echo %d >'%s/%s' && echo %s >'%s/%s'", group, (int)injector, group,
                 tasks, value, group, file);
}

static void test_halt_ends_a_frozen_injector(void **state)
{
    (void)state;
    bool beside_v1 = access(UNIFIED "/unified/cgroup.procs", W_OK) == 0;
    if (!beside_v1 && access(UNIFIED "/cgroup.procs", W_OK) != 0) {
        print_message("not checked: no control groups of version 2 here\n");
        skip();
    }
    cut(60 * SECOND);
    freeze(beside_v1 ? UNIFIED "/unified" : UNIFIED, "cgroup.procs", "cgroup.freeze", "1");
    uint64_t milliseconds;
    assert_int_equal(halt(&milliseconds), 0);
    assert_true(milliseconds >= 2000 && milliseconds < 3000);
    assert_passes();
}

/* The freezer of cgroup v1 keeps even SIGKILL waiting. */
static void test_halt_cleans_beside_an_injector_that_cannot_end(void **state)
{
    (void)state;
    if (access(FREEZER "/tasks", W_OK) != 0) {
        print_message("not checked: no freezer of cgroup v1 here\n");
        skip();
    }
    cut(60 * SECOND);
    freeze(FREEZER, "tasks", "freezer.state", "FROZEN");
    uint64_t milliseconds;
    assert_int_equal(halt(&milliseconds), 6);
    assert_true(milliseconds < 3000);
    fixture_must(lab.host, "grep -q 'clean: fault 0' '%s/output'", directory);
    assert_passes();
    end_injector();
    fixture_must(lab.host, "'%s' --config '%s' --recover", SQUALLD, config_path);
}

int main(int argument_count, char **arguments)
{
    if (argument_count > 1 && strncmp(arguments[1], "--front=", 8) == 0)
        run_front(arguments[1]);
    if (argument_count == 3 && strcmp(arguments[1], "--injector") == 0)
        run_injector(arguments[2]);
    fixture_require_root();
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("skipped: no mount namespace can be made here\n");
        return 77;
    }
    (void)signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_it_can_pass_no_descriptors),
        TEST(test_half_a_request_delays_nothing),
        TEST(test_untaken_answers_end_it),
        TEST(test_flood_delays_nothing),
        TEST(test_what_is_no_request_ends_it),
        TEST(test_silent_front_is_replaced),
        TEST(test_policy_binds_it),
        TEST(test_halt_ends_an_injector_that_hangs),
        TEST(test_halt_ends_a_frozen_injector),
        TEST(test_halt_cleans_beside_an_injector_that_cannot_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
