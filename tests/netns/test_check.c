/* libraries: sq_netns_fixture sq_common */
/* `squalld --check` as a gate, and certificates that are exchanged without a restart: the real squalld. */
#include "fixture.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SQUALLD SQ_BINARY_DIR "/agent/squalld"

static char directory[64];
static char output[16384];

/* A shell command in the directory, with $certificates for the lab's script; its status, and what it said in
 * `output`. */
static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...)
{
    char command[1024];
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    (void)snprintf(line, sizeof line,
                   "cd %s && export squalld=%s certificates='%s/tests/lab/certificates.sh .' && { %s; } 2>&1",
                   directory, SQUALLD, SQ_SOURCE_DIR, command);
    FILE *stream = popen(line, "re"); /* NOLINT(cert-env33-c): a command of our own */
    assert_non_null(stream);
    size_t length = fread(output, 1, sizeof output - 1, stream);
    output[length] = '\0';
    int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void must(int status)
{
    if (status != 0)
        fail_msg("status %d: %s", status, output);
}

static void gate_says(int status, const char *text)
{
    int got = shell("$squalld --check --config agent.yaml");
    if (got != status || strstr(output, text) == NULL)
        fail_msg("status %d, expected %d, and '%s' in:\n%s", got, status, text, output);
}

static int make_all(void **state)
{
    (void)state;
    (void)strcpy(directory, "/tmp/squall-check-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    return shell("chmod 755 . && $certificates agent web1 127.0.0.1 && $certificates agent web2 127.0.0.1 && "
                 "$certificates expired-agent old 127.0.0.1 && mkdir -m 755 run && mount -t tmpfs -o "
                 "mode=755 tmpfs run");
}

static int remove_all(void **state)
{
    (void)state;
    return shell("umount run; rm -rf %s", directory);
}

/* Everything as it should be. */
static int begin(void **state)
{
    (void)state;
    return shell(
        "cp web1.pem agent.pem && cp web1.key agent.key && cp controllers-ca.pem ca.pem && rm -rf run/* && "
        "printf 'allow: [network.partition, process.kill]\n' >policy.yaml && chmod 644 policy.yaml && "
        "printf 'listen: [\"tls+tcp://127.0.0.1:7433\"]\ntls: {certificate: agent.pem, key: agent.key, "
        "controllers: ca.pem}\npolicy: policy.yaml\nrun: run\nstate: state\nuser: nobody\n' >agent.yaml");
}

static void test_good(void **state)
{
    (void)state;
    gate_says(0, "certificates: good until ");
    must(shell("$squalld --check --json --config agent.yaml"));
    assert_non_null(strstr(output, "\"ok\": true, \"problems\": []"));
    must(shell("test -z \"$(ls -A run)\" && test ! -e state")); /* it looked and made nothing */
}

static void test_policy(void **state)
{
    (void)state;
    must(shell("rm policy.yaml"));
    gate_says(2, "there is no policy file");
    must(shell("echo 'alow: []' >policy.yaml"));
    gate_says(2, "did you mean 'allow'");
    must(shell("echo 'allow: []' >policy.yaml && chmod 666 policy.yaml"));
    gate_says(2, "policy.yaml can be written by everybody");
    must(shell("rm policy.yaml && mkfifo policy.yaml"));
    gate_says(2, "policy.yaml is no plain file");
    must(shell("rm policy.yaml"));
    must(shell("! $squalld --check --json --config agent.yaml"));
    assert_non_null(strstr(output, "\"ok\": false"));
}

/* What the policy allows and this kernel cannot do; on one that has netem there is no such fault. */
static void test_unable(void **state)
{
    (void)state;
    must(shell("echo 'allow: [network.latency]' >policy.yaml"));
    must(shell("$squalld --check --config agent.yaml | grep network.latency >latency || true"));
    int status = shell("$squalld --check --config agent.yaml");
    bool is_able = shell("grep -q 'NOT possible' latency") != 0;
    assert_int_equal(status, is_able ? 0 : 4);
}

static void test_certificates(void **state)
{
    (void)state;
    must(shell("cp web2.key agent.key"));
    gate_says(2, "does not fit");
    must(shell("cp web1.key agent.key && chmod 606 agent.key"));
    gate_says(2, "agent.key can be written by everybody");
    must(shell("chmod 600 agent.key && cp web1.key ca.pem"));
    gate_says(2, "ca.pem: expected certificates of the authorities");
    must(shell("cp old.pem agent.pem && cp old.key agent.key && cp controllers-ca.pem ca.pem"));
    gate_says(2, "agent.pem ended at ");
    must(shell("cp web1.pem agent.pem && cp web1.key agent.key && cp agents-ca.pem ca.pem"));
    gate_says(2, "both roles");
    /* That one is refused at start as well. */
    assert_int_equal(shell("timeout 5 $squalld --config agent.yaml"), 2);
    assert_non_null(strstr(output, "both roles"));
    must(shell("rm ca.pem"));
    gate_says(2, "agent.yaml:2:");
}

static void test_run_directory(void **state)
{
    (void)state;
    must(shell("mkdir -m 700 run/squalld && chown nobody run/squalld"));
    gate_says(4, "somebody else may have made it");
    must(shell("chown root run/squalld && printf 'what is this, and who wrote it?' >run/squalld/undo.log && "
               "chmod 600 run/squalld/undo.log"));
    gate_says(6, "the undo log is damaged at byte 0");
    assert_int_equal(shell("timeout 5 $squalld --config agent.yaml"), 6);
    assert_int_equal(shell("$squalld --recover --config agent.yaml"), 6);
    must(shell("grep -q 'who wrote it' run/squalld/undo.log")); /* nothing was reset */
}

/* The log on disk is damaged, and the one of this boot is not: the way out is the same, and leads out. */
static void test_damaged_durable_log(void **state)
{
    (void)state;
    must(shell(
        "mkdir -p -m 700 state && head -c 4096 /dev/urandom >state/undo.log && chmod 600 state/undo.log"));
    gate_says(6, "the undo log is damaged");
    assert_int_equal(shell("$squalld --recover --config agent.yaml"), 6);
    must(shell("$squalld --recover --sweep --config agent.yaml"));
    assert_non_null(strstr(output, "state/undo.log cannot be read"));
    gate_says(0, "allowed");
    must(shell("$squalld --recover --config agent.yaml && rm -r state"));
}

static pid_t start_agent(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (chdir(directory) == 0) {
            int fd = open("agent.log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
            (void)dup2(fd, STDERR_FILENO);
            (void)execl(SQUALLD, "squalld", "--config", "agent.yaml", (char *)NULL);
        }
        _exit(127);
    }
    must(shell("for i in $(seq 100); do grep -q 'listening on' agent.log && exit 0; sleep 0.05; done; cat "
               "agent.log; exit 1"));
    return pid;
}

/* Started with its three first files closed, it does not take their numbers for its log and its lock. */
static void test_closed_files(void **state)
{
    (void)state;
    must(shell("$squalld --recover --config agent.yaml <&- >&- 2>&-"));
    must(shell("{ $squalld --config agent.yaml <&- >&- 2>&- & } && for i in $(seq 100); do ss -Hltn sport = "
               ":7433 | grep -q 7433 && break; sleep 0.05; done; pid=$(cat run/squalld/squalld.lock) && "
               "readlink /proc/$pid/fd/[012] | uniq -c | grep -q '3 /dev/null' && $squalld --halt --config "
               "agent.yaml && kill $pid && while test -e /proc/$pid; do sleep 0.05; done"));
    assert_non_null(strstr(output, "nothing was injected on this host"));
    gate_says(0, "allowed");
}

/* What the front could not listen on, it says before the front finds out; an agent that does is no problem.
 */
static void test_listening(void **state)
{
    (void)state;
    must(shell("cp agent.yaml good.yaml && mkdir -p folder && chmod 755 folder"));
    must(shell("sed -i 's|^listen:.*|listen: [\"ipc://nope/agent.sock\"]|' agent.yaml"));
    gate_says(2, "nope is missing");
    must(shell("sed -i 's|nope|folder|' agent.yaml"));
    gate_says(2, "may make nothing in ");
    assert_int_equal(shell("timeout 5 $squalld --config agent.yaml"), 4);
    must(shell("chgrp nogroup folder && chmod 1775 folder"));
    gate_says(0, "allowed");
    must(shell("touch folder/agent.sock"));
    gate_says(2, "is no socket, or another user's");
    must(shell("rm -r folder && sed 's|127.0.0.1|192.0.2.77|' good.yaml >agent.yaml"));
    gate_says(2, "Cannot assign requested address");
    must(shell("cp good.yaml agent.yaml"));
    pid_t agent = start_agent();
    gate_says(0, "allowed");
    must(shell("sed 's|^run: run|run: run/other|' good.yaml >agent.yaml"));
    gate_says(2, "Address already in use");
    assert_int_equal(kill(agent, SIGTERM), 0);
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    gate_says(0, "allowed");
}

/* A boot has taken `run` away, and the log on disk still stands. */
static void test_damaged_durable_log_after_a_boot(void **state)
{
    (void)state;
    must(shell("$squalld --recover --config agent.yaml && $squalld --recover --sweep --config agent.yaml"));
    must(shell("sed -i 's|^run: run|run: run/gone/squall|' agent.yaml"));
    must(shell("$squalld --recover --config agent.yaml && test ! -e run/gone"));
    assert_non_null(strstr(output, "nothing to undo: there is no "));
    must(shell(
        "mkdir -p -m 700 state && head -c 4096 /dev/urandom >state/undo.log && chmod 600 state/undo.log"));
    assert_int_equal(shell("$squalld --recover --config agent.yaml"), 6);
    assert_int_equal(shell("rm -r run/gone && $squalld --halt --config agent.yaml"), 6);
    must(shell("rm -r run/gone && $squalld --recover --sweep --config agent.yaml"));
    assert_non_null(strstr(output, "state/undo.log cannot be read"));
    gate_says(0, "allowed");
    must(shell("rm -r state"));
}

/* The same directory, however it is written: the front may use it. */
static void test_slashes(void **state)
{
    (void)state;
    must(shell("sed -i 's|^run: run|run: run/sub/.//|; s|^listen:.*|listen: [\"ipc://run/sub/agent.sock\"]|' "
               "agent.yaml"));
    pid_t agent = start_agent();
    assert_int_equal(kill(agent, SIGTERM), 0);
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_int_equal(status, 0);
}

/* Halting must not depend on a file; an agent that is found by the default directories is halted. */
static void test_halt_without_configuration(void **state)
{
    (void)state;
    must(shell("mount -t tmpfs tmpfs /run && { [ ! -e /etc/squall ] || mount -t tmpfs tmpfs /etc/squall; }"));
    must(shell("$squalld --halt"));
    assert_non_null(strstr(output, "warning: "));
    assert_non_null(strstr(output, "/etc/squall/agent.yaml"));
    assert_non_null(strstr(output, "nothing to undo"));
    must(shell("sed -i 's|^run: run|run: /run/squall|' agent.yaml"));
    pid_t agent = start_agent();
    must(shell("$squalld --halt"));
    assert_non_null(strstr(output, "nothing was injected on this host"));
    assert_int_equal(kill(agent, SIGTERM), 0);
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    must(shell("umount /run && { ! mountpoint -q /etc/squall || umount /etc/squall; }"));
}

#define SERIAL                                                                                               \
    "openssl s_client -connect 127.0.0.1:7433 </dev/null 2>/dev/null | openssl x509 -noout -subject"

/* New files are used from SIGHUP on; files that cannot serve change nothing; the policy alone disturbs
 * nobody. */
static void test_reload(void **state)
{
    (void)state;
    pid_t agent = start_agent();
    must(shell(SERIAL));
    assert_non_null(strstr(output, "web1"));
    must(shell("pgrep -P %d >front", (int)agent));
    must(shell("kill -HUP %d && sleep 0.3 && pgrep -P %d | diff front -", (int)agent, (int)agent));
    must(shell("cp web2.pem agent.pem && kill -HUP %d && for i in $(seq 50); do grep -q 'does not fit' "
               "agent.log && break; "
               "sleep 0.05; done; pgrep -P %d | diff front - && " SERIAL,
               (int)agent, (int)agent));
    assert_non_null(strstr(output, "web1"));
    must(shell("cp web2.key agent.key && kill -HUP %d && for i in $(seq 100); do " SERIAL
               " | grep web2 && exit 0; sleep 0.05; "
               "done; cat agent.log; exit 1",
               (int)agent));
    must(shell("cp old.pem agent.pem && cp old.key agent.key && kill -HUP %d && for i in $(seq 50); do grep "
               "-q 'ended at' "
               "agent.log && break; sleep 0.05; done; grep -q 'old.pem ended at\\|agent.pem ended at' "
               "agent.log && " SERIAL,
               (int)agent));
    assert_non_null(strstr(output, "web2"));
    assert_int_equal(kill(agent, SIGTERM), 0);
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_int_equal(status, 0);
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

int main(void)
{
    fixture_require_root();
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        system("mount --make-rprivate / && ip link set lo up") != 0)
        return 77;
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_policy),
        TEST(test_unable),
        TEST(test_certificates),
        TEST(test_run_directory),
        TEST(test_damaged_durable_log),
        TEST(test_damaged_durable_log_after_a_boot),
        TEST(test_listening),
        TEST(test_slashes),
        TEST(test_closed_files),
        TEST(test_halt_without_configuration),
        TEST(test_reload),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
