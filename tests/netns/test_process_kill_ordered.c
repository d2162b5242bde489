/* libraries: sq_netns_fixture sq_table sq_common */
/*
 * The real programs, ordered by a shell whose own command line matches what is to be killed. In pid and mount
 * namespaces of the test's own, so that nobody else's process can match.
 */
#include "kill.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SQUALL  SQ_BINARY_DIR "/controller/squall"
#define SQUALLD SQ_BINARY_DIR "/agent/squalld"
#define MARK    "sq-ordered-mark"
#define OUTPUT  VICTIM_DIRECTORY "/output"

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_output_says(const char *text)
{
    static char content[16384];
    FILE *file = fopen(OUTPUT, "re");
    assert_non_null(file);
    content[fread(content, 1, sizeof content - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    if (strstr(content, text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, content);
}

static void write_experiment(const char *label)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "title: who ordered it\nmethod:\n- name: kill by the command line\n  fault: process.kill\n"
                   "  targets: {labels: {%s: \"true\"}}\n  with: {command-line: '*" MARK
                   "*'}\n  duration: 1s\n",
                   label);
    write_file(VICTIM_DIRECTORY "/experiment.yaml", text);
}

/* Run squall below a shell that the pattern matches: the shell has to see its end, with this exit status, and
 * this in its output; the victim dies if that is 0. */
static void run_below_a_shell(const char *arguments, int expected, const char *said)
{
    char command[512];
    pid_t victim = victim_start(VICTIM_WEB, (const char *const[]){MARK, "1000", NULL});
    (void)snprintf(command, sizeof command,
                   SQUALL " run --yes %s " VICTIM_DIRECTORY "/experiment.yaml >" OUTPUT
                          " 2>&1; status=$?; echo \"still here: $status\" >>" OUTPUT "; : " MARK,
                   arguments);
    pid_t shell = victim_start("/bin/sh", (const char *const[]){"sh", "-c", command, NULL});
    int status = 0;
    assert_int_equal(waitpid(shell, &status, 0), shell);
    assert_true(WIFEXITED(status));
    (void)snprintf(command, sizeof command, "still here: %d", expected);
    assert_output_says(command);
    assert_output_says(said);
    assert_int_equal(victim_is_alive(victim), expected != 0);
}

static void test_local(void **state)
{
    (void)state;
    write_experiment("local");
    write_file("/etc/squall/policy.yaml", "allow: [process.kill]\n");
    run_below_a_shell("--local", 0, "it ordered this");
}

/* Where the host has no policy, nothing is allowed that does not end by itself. */
static void test_local_without_a_policy(void **state)
{
    (void)state;
    write_experiment("local");
    (void)unlink("/etc/squall/policy.yaml");
    run_below_a_shell("--local", 3, "does not allow process.kill");
    assert_output_says("there is no policy in /etc/squall/policy.yaml");
}

static pid_t start_agent(void)
{
    write_file(VICTIM_DIRECTORY "/agent.yaml",
               "listen: ['ipc:///run/squall/agent.sock']\npolicy: policy.yaml\nuser: nobody\n");
    write_file(VICTIM_DIRECTORY "/policy.yaml", "allow: ['*']\n");
    write_file(VICTIM_DIRECTORY "/hosts.yaml",
               "hosts:\n- {name: here, agent: 'ipc:///run/squall/agent.sock', labels: {here: \"true\"}}\n");
    pid_t agent = victim_start(
        SQUALLD, (const char *const[]){"squalld", "--config", VICTIM_DIRECTORY "/agent.yaml", NULL});
    for (int i = 0; i < 500 && access("/run/squall/agent.sock", F_OK) != 0; i++)
        kill_pause(10);
    return agent;
}

static void test_by_the_socket(void **state)
{
    (void)state;
    pid_t agent = start_agent();
    write_experiment("here");
    run_below_a_shell("--hosts " VICTIM_DIRECTORY "/hosts.yaml", 0, "it ordered this");
    (void)kill(agent, SIGTERM);
    int status = 0;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int run_all(void)
{
    /* What the host has of squall is not the test's. */
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0 ||
        system("mkdir -p /run/etc/squall && cp /etc/passwd /etc/group /etc/nsswitch.conf /run/etc/") != 0 ||
        mount("/run/etc", "/etc", NULL, MS_BIND, NULL) != 0) {
        perror("cannot make the test's own /run and /etc");
        return 1;
    }
    const struct CMUnitTest tests[] = {KILL_TEST(test_local), KILL_TEST(test_local_without_a_policy),
                                       KILL_TEST(test_by_the_socket)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
