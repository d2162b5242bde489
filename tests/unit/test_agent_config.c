/* libraries: sq_injector sq_faults sq_table sq_common */
#include "injector/config.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static struct sq_agent_config config;

static void write_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int load(const char *text, struct sq_error *error)
{
    char path[128];
    write_file("agent.yaml", text);
    (void)snprintf(path, sizeof path, "%s/agent.yaml", directory);
    return sq_agent_config_load(path, &config, error);
}

static void expect_error(const char *text, const char *place, const char *part)
{
    struct sq_error error = {.text = ""};
    if (load(text, &error) == 0)
        fail_msg("accepted: %s", text);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, place) == NULL || strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s' and '%s'", error.text, place, part);
}

static int make_directory(void **state)
{
    (void)state;
    (void)strcpy(directory, "/tmp/squall-config-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    write_file("cert.pem", "certificate");
    write_file("key.pem", "key");
    write_file("ca.pem", "ca");
    return 0;
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"agent.yaml", "cert.pem", "key.pem", "ca.pem"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    return rmdir(directory);
}

static void test_whole(void **state)
{
    struct sq_error error;
    char expected[128];
    (void)state;
    if (load("listen: ['ipc:///run/squall/agent.sock', 'tls+tcp://0.0.0.0:7433', 'tls+tcp://[::1]:7434']\n"
             "tls: {certificate: cert.pem, key: key.pem, controllers: ca.pem}\n"
             "state: state\nrun: /tmp/run\nuser: nobody\ngroup: daemon\nsocket-mode: 0600\n",
             &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(config.listen_count, 3);
    assert_string_equal(config.listen[2], "tls+tcp://[::1]:7434");
    (void)snprintf(expected, sizeof expected, "%s/cert.pem", directory);
    assert_string_equal(config.tls_certificate, expected);
    (void)snprintf(expected, sizeof expected, "%s/state", directory);
    assert_string_equal(config.state, expected);
    assert_string_equal(config.run, "/tmp/run");
    assert_string_equal(config.policy, "/etc/squall/policy.yaml");
    assert_int_equal(config.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(config.gid, 1);
    assert_int_equal(config.socket_mode, 0600);

    assert_int_equal(load("listen: ['ipc://agent.sock']\nuser: nobody\n", &error), 0);
    (void)snprintf(expected, sizeof expected, "ipc://%s/agent.sock", directory);
    assert_string_equal(config.listen[0], expected);
    assert_int_equal(config.socket_mode, 0660);
    assert_string_equal(config.run, "/run/squall");
    assert_int_equal(config.gid, getpwnam("nobody")->pw_gid);
}

#define IPC "listen: ['ipc:///run/x.sock']\n"

/* From where the file stands, also when it is named without a folder. */
static void test_paths_are_whole(void **state)
{
    (void)state;
    struct sq_error error;
    char expected[128];
    write_file("agent.yaml", "listen: ['ipc://agent.sock']\nrun: run\nuser: nobody\n");
    assert_int_equal(chdir(directory), 0);
    if (sq_agent_config_load("agent.yaml", &config, &error) != 0)
        fail_msg("%s", error.text);
    (void)snprintf(expected, sizeof expected, "ipc://%s/agent.sock", directory);
    assert_string_equal(config.listen[0], expected);
    (void)snprintf(expected, sizeof expected, "%s/run", directory);
    assert_string_equal(config.run, expected);
    assert_int_equal(chdir("/tmp"), 0);
    (void)snprintf(expected, sizeof expected, "%s/agent.yaml", directory + strlen("/tmp/"));
    if (sq_agent_config_load(expected, &config, &error) != 0)
        fail_msg("%s", error.text);
    (void)snprintf(expected, sizeof expected, "%s/run", directory);
    assert_string_equal(config.run, expected);
}

/* What the front gets is what the injector has, or nothing. */
static void test_handing_over(void **state)
{
    (void)state;
    static struct sq_agent_config received;
    struct sq_error error;
    int fd = -1;
    assert_int_equal(load("listen: ['ipc:///run/squall/agent.sock']\nuser: nobody\n", &error), 0);
    assert_int_equal(sq_agent_config_seal(&config, &fd, &error), 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    for (int i = 0; i < 2; i++) {
        memset(&received, 0, sizeof received);
        assert_int_equal(sq_agent_config_receive(fd, &received, &error), 0);
        assert_memory_equal(&received, &config, sizeof config);
    }
    (void)close(fd);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(sq_agent_config_receive(pipe_fds[0], &received, &error), -1);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

static void test_listen(void **state)
{
    (void)state;
    expect_error("user: nobody\n", ":1:1", "'listen' is missing");
    expect_error("listen: []\nuser: nobody\n", ":1:", "0 entries");
    expect_error("listen: ['tcp://127.0.0.1:7433']\nuser: nobody\n", ":1:10", "plain TCP");
    expect_error("listen: ['http://127.0.0.1:7433']\nuser: nobody\n", ":1:10", "no address to listen on");
    expect_error("listen: ['ipc:///x', 'ipc:///x']\nuser: nobody\n", ":1:", "twice");
    expect_error("listen: ['tls+tcp://web1:7433']\nuser: nobody\n", ":1:", "address of this host");
    expect_error("listen: ['tls+tcp://0.0.0.0']\nuser: nobody\n", ":1:", "ADDRESS:PORT");
    expect_error("listen: ['tls+tcp://0.0.0.0:80']\nuser: nobody\n", ":1:", "1024");
    expect_error("listen: ['tls+tcp://0.0.0.0:70000']\nuser: nobody\n", ":1:", "65535");
    expect_error("listen: ['tls+tcp://0.0.0.0:+7433']\nuser: nobody\n", ":1:", "port");
    expect_error("listen: ['tls+tcp://]:7433']\nuser: nobody\n", ":1:", "address of this host");
    expect_error("listen: ['tls+tcp://[:7433']\nuser: nobody\n", ":1:", "address of this host");
    char text[400];
    (void)snprintf(text, sizeof text, "listen: ['ipc:///%0110d']\nuser: nobody\n", 0);
    expect_error(text, ":1:", "too long");
    expect_error("listen: ['ipc://']\nuser: nobody\n", ":1:", "empty");
    expect_error("listen: {a: b}\nuser: nobody\n", ":1:", "list");
    expect_error("", "agent.yaml", "empty");
}

static void test_tls(void **state)
{
    (void)state;
    expect_error("listen: ['tls+tcp://0.0.0.0:7433']\nuser: nobody\n", ":1:", "needs 'tls'");
    expect_error(
        "listen: ['tls+tcp://0.0.0.0:7433']\nuser: nobody\ntls: {certificate: cert.pem, key: key.pem}\n",
        ":3:", "controllers");
    expect_error("listen: ['tls+tcp://0.0.0.0:7433']\nuser: nobody\n"
                 "tls: {certificate: no.pem, key: key.pem, controllers: ca.pem}\n",
                 ":3:", "no.pem: No such file");
    expect_error("listen: ['tls+tcp://0.0.0.0:7433']\nuser: nobody\n"
                 "tls: {certificate: cert.pem, key: /tmp, controllers: ca.pem}\n",
                 ":3:", "Is a directory");
    expect_error(IPC "tls: {certificates: x}\nuser: nobody\n", ":2:", "certificate");
}

static void test_rest(void **state)
{
    (void)state;
    expect_error(IPC "user: nobody-like-this\n", ":2:7", "systemd-sysusers");
    expect_error(IPC "user: root\n", ":2:7", "is root");
    expect_error(IPC "user: nobody\ngroup: no-such-group\n", ":3:8", "no group");
    expect_error(IPC "user: nobody\ngroup: root\n", ":3:8", "root");
    expect_error(IPC "user: nobody\nsocket-mode: 1777\n", ":3:14", "octal");
    expect_error(IPC "user: nobody\nsocket-mode: 0060\n", ":3:14", "octal");
    expect_error(IPC "user: nobody\nsocket-mode: rw\n", ":3:14", "octal");
    expect_error(IPC "user: nobody\npolicies: x\n", ":3:1", "policy");
    expect_error(IPC "user: nobody\nrun: ''\n", ":3:6", "empty");
    expect_error("listen: [\n", "agent.yaml:", "");
}

/* Those of the listeners that go over the network, each once. */
static void test_ports(void **state)
{
    (void)state;
    struct sq_agent_config listening = {.listen_count = 4,
                                        .listen = {"ipc:///run/agent.sock:7430", "tls+tcp://0.0.0.0:7433",
                                                   "tls+tcp://[::]:7433", "tls+tcp://10.0.0.1:65535"}};
    uint16_t ports[SQ_LISTEN_MAX];
    assert_int_equal(sq_agent_config_ports(&listening, ports, SQ_LISTEN_MAX), 2);
    assert_int_equal(ports[0], 7433);
    assert_int_equal(ports[1], 65535);
    assert_int_equal(sq_agent_config_ports(&listening, ports, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),        cmocka_unit_test(test_paths_are_whole),
        cmocka_unit_test(test_handing_over), cmocka_unit_test(test_listen),
        cmocka_unit_test(test_tls),          cmocka_unit_test(test_rest),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
