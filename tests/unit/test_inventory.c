/* libraries: sq_commands */
#include "model/inventory.h"

#include "common/file.h"
#include "reading/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TLS "tls: {certificate: op.pem, key: op.key, agents: ca.pem}\n"

static void test_yaml(void **state)
{
    (void)state;
    static const char text[] =
        "prometheus: {url: \"http://127.0.0.1:9090\"}\n" TLS "hosts:\n"
        "- {name: web1, agent: \"tls+tcp://10.77.0.11\", labels: {role: web, zone: a}}\n"
        "- {name: here, agent: \"ipc:///run/squall/agent.sock\"}\n";
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("dir/hosts.yaml", text, strlen(text), &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(inventory->path, "dir/hosts.yaml");
    assert_string_equal(inventory->prometheus_url, "http://127.0.0.1:9090");
    assert_string_equal(inventory->tls_certificate, "dir/op.pem");
    assert_string_equal(inventory->tls_agents, "dir/ca.pem");
    assert_int_equal(inventory->host_count, 2);
    assert_string_equal(inventory->hosts[0].name, "web1");
    assert_string_equal(inventory->hosts[0].agent, "tls+tcp://10.77.0.11:7433");
    assert_int_equal(inventory->hosts[0].line, 4);
    assert_string_equal(sq_host_label(&inventory->hosts[0], "zone"), "a");
    assert_null(sq_host_label(&inventory->hosts[0], "rack"));
    assert_null(sq_host_label(&inventory->hosts[1], "zone"));
}

static void expect_refused(const char *text, const char *message)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("h.yaml", text, strlen(text), &inventory, &error) == 0)
        fail_msg("accepted:\n%s", text);
    assert_null(inventory);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strncmp(error.text, message, strlen(message)) != 0)
        fail_msg("expected '%s'; got: %s", message, error.text);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", "h.yaml: the file is empty"},
        {"hosts: [", "h.yaml:2:1: not valid YAML"},
        {TLS, "h.yaml: there are no hosts"},
        {TLS "hosts: []\n", "h.yaml: there are no hosts"},
        {"prometheus: {url: 'http://a', bearer: abcdefgh}\n",
         "h.yaml:1:39: a secret does not stand in this file"},
        {"prometheus: {url: 'http://a', redirects: 1}\n", "h.yaml:1:31: unknown key 'redirects'"},
        {TLS "hosts: web1\n", "h.yaml:2:8: 'hosts' is a single value; expected a list"},
        {TLS "host: []\n", "h.yaml:2:1: unknown key 'host' in the inventory; did you mean 'hosts'?"},
        {TLS "hosts:\n- {agent: \"tls+tcp://a\"}\n", "h.yaml:3:3: 'name' is missing"},
        {TLS "hosts:\n- {name: a}\n", "h.yaml:3:3: 'agent' is missing"},
        {TLS "hosts:\n- {name: a, agnet: x}\n",
         "h.yaml:3:13: unknown key 'agnet' in a host; did you mean 'agent'?"},
        {TLS "hosts:\n- {name: ., agent: \"tls+tcp://a\"}\n", "h.yaml:3:3: '.' is no name for a host"},
        {TLS "hosts:\n- {name: a b, agent: \"tls+tcp://a\"}\n", "h.yaml:3:3: 'a b' is no name for a host"},
        {TLS "hosts:\n- {name: a, agent: \"tcp://a:7433\"}\n",
         "h.yaml:3:3: host 'a': 'tcp://a:7433': an agent is "
         "reached by mutual TLS or a Unix socket only"},
        {TLS "hosts:\n- {name: a, agent: \"ws://a:7433\"}\n",
         "h.yaml:3:3: host 'a': 'ws://a:7433': an agent is"},
        {TLS "hosts:\n- {name: a, agent: \"tls+tcp://a:99999\"}\n",
         "h.yaml:3:3: host 'a': 'tls+tcp://a:99999' has no "
         "valid port"},
        {"hosts:\n- {name: a, agent: \"tls+tcp://a\"}\n",
         "h.yaml:2:3: the agent of 'a' is reached by TLS, and there is "
         "no 'tls' section"},
        {"tls: {certificate: a}\nhosts: []\n", "h.yaml:1:6: 'key' is missing"},
        {"tls: {cert: a}\n", "h.yaml:1:7: unknown key 'cert' in 'tls'"},
        {"prometheus: {url: 127.0.0.1:9090}\n", "h.yaml:1:19: '127.0.0.1:9090' is not an HTTP URL"},
        {"prometheus: {}\n", "h.yaml:1:13: 'url' is missing"},
        {"file_sd: a.json\n", "h.yaml:1:10: 'file_sd' needs an inventory that was read from a file"},
        {TLS "hosts:\n- {name: a, agent: \"tls+tcp://a\", labels: [x]}\n", "h.yaml:3:43: 'labels' is a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(cases[i].text, cases[i].message);
}

static void test_the_same_host_twice(void **state)
{
    (void)state;
    expect_refused(
        TLS "hosts:\n- {name: a, agent: \"tls+tcp://10.0.0.1\"}\n- {name: b, agent: \"tls+tcp://10.0.0.2\"}\n"
            "- {name: a, agent: \"tls+tcp://10.0.0.3\"}\n",
        "h.yaml:5:3: the host 'a' stands here twice; it was first on line 3");
}

static void test_one_agent_under_two_names(void **state)
{
    (void)state;
    expect_refused(
        TLS "hosts:\n- {name: a, agent: \"tls+tcp://Web.example:7433\"}\n- {name: b, agent: "
            "\"tls+tcp://web.EXAMPLE\"}\n",
        "h.yaml:4:3: the hosts 'b' and 'a' (on line 3) have one agent, tls+tcp://web.example:7433");
    expect_refused(
        "hosts:\n- {name: a, agent: \"ipc:///run/a.sock\"}\n- {name: b, agent: \"ipc:///run//a.sock\"}\n",
        "h.yaml:3:3: the hosts 'b' and 'a' (on line 2) have one agent, ipc:///run/a.sock");
}

/* A new directory under /tmp, removed by the caller with remove_all. */
static char folder[] = "/tmp/squall-test-XXXXXX";

static void write_file(const char *name, const char *content)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(sq_file_write(path, content, strlen(content), 0600, NULL), 0);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/squall-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    write_file("op.pem", "x");
    write_file("op.key", "x");
    write_file("ca.pem", "x");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"op.pem",   "op.key",     "ca.pem", "sd.json",
                                        "sd2.yaml", "hosts.yaml", "me.yaml"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)unsetenv("SQUALL_CONTROLLER");
    return rmdir(folder);
}

static int load(const char *name, struct sq_inventory **inventory, struct sq_error *error)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return sq_inventory_load(path, inventory, error);
}

static const char file_sd[] =
    "[\n"
    "\t{\"targets\": [\"10.77.0.11:9100\", \"10.77.0.11:9113\"], \"labels\": {\"squall_name\": \"web1\", "
    "\"zone\": \"a\"}},\n"
    "\t{\"targets\": [\"web2:9100\", \"web3\"], \"labels\": {\"zone\": \"b\"}},\n"
    "\t{\"targets\": [\"[2001:db8::4]:9100\"], \"labels\": {\"squall_name\": \"web4\"}},\n"
    "\t{\"targets\": [\"web5:80\"], \"labels\": {\"squall_agent\": \"tls+tcp://10.0.0.5:1234\"}},\n"
    "\t{\"targets\": [\"web6:80\"], \"labels\": null}\n"
    "]\n";

static void check_file_sd(const struct sq_inventory *inventory, uint32_t first)
{
    static const char *const names[] = {"web1", "web2", "web3", "web4", "web5", "web6"};
    static const char *const agents[] = {"tls+tcp://10.77.0.11:7433", "tls+tcp://web2:7433",
                                         "tls+tcp://web3:7433",       "tls+tcp://[2001:db8::4]:7433",
                                         "tls+tcp://10.0.0.5:1234",   "tls+tcp://web6:7433"};
    assert_int_equal(inventory->host_count, first + 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_string_equal(inventory->hosts[first + i].name, names[i]);
        assert_string_equal(inventory->hosts[first + i].agent, agents[i]);
    }
    assert_string_equal(sq_host_label(&inventory->hosts[first + 2], "zone"), "b");
    assert_int_equal(inventory->hosts[first + 5].label_count, 0);
}

static void test_bare_file_sd(void **state)
{
    (void)state;
    char path[256];
    write_file("sd.json", file_sd);
    write_file(
        "me.yaml",
        TLS "prometheus: {url: 'http://p:9090/base', headers: {X-Scope-OrgID: a}, basic: {user: u, password: "
            "{file: pw}}, ca: /ca.pem}\n");
    (void)snprintf(path, sizeof path, "%s/me.yaml", folder);
    assert_int_equal(setenv("SQUALL_CONTROLLER", path, 1), 0);
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (load("sd.json", &inventory, &error) != 0)
        fail_msg("%s", error.text);
    check_file_sd(inventory, 0);
    assert_string_equal(inventory->prometheus_url, "http://p:9090/base");
    const struct sq_access *access = inventory->prometheus_access;
    assert_string_equal(access->headers[0], "X-Scope-OrgID: a");
    assert_string_equal(access->ca, "/ca.pem");
    (void)snprintf(path, sizeof path, "%s/pw", folder);
    assert_string_equal(access->password.file, path);
    (void)snprintf(path, sizeof path, "%s/op.key", folder);
    assert_string_equal(inventory->tls_key, path);
}

static void test_file_sd_beside_hosts(void **state)
{
    (void)state;
    write_file("sd.json", file_sd);
    write_file("sd2.yaml", "- targets: ['web7:9100']\n  labels: {zone: z}\n");
    write_file("hosts.yaml",
               TLS "hosts:\n- {name: db1, agent: 'tls+tcp://db1'}\nfile_sd: [sd.json, sd2.yaml]\n");
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (load("hosts.yaml", &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(inventory->host_count, 8);
    inventory->host_count = 7;
    check_file_sd(inventory, 1);
    inventory->host_count = 8;
    assert_string_equal(inventory->hosts[7].name, "web7");
}

static void expect_load_refused(const char *name, const char *message)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    assert_int_equal(load(name, &inventory, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, message) == NULL)
        fail_msg("expected '%s' in: %s", message, error.text);
}

static void test_files_refused(void **state)
{
    (void)state;
    write_file("hosts.yaml", "tls: {certificate: op.pem, key: gone.key, agents: ca.pem}\nhosts: []\n");
    expect_load_refused("hosts.yaml", "hosts.yaml:1:33: 'key' names /tmp/squall-test-");
    expect_load_refused("nothing.yaml", "nothing.yaml: No such file or directory");
    write_file("hosts.yaml", TLS "hosts:\n- {name: web1, agent: 'tls+tcp://10.9.9.9'}\nfile_sd: sd.json\n");
    write_file("sd.json", file_sd);
    expect_load_refused("hosts.yaml",
                        "sd.json:2:15: the host 'web1' stands here twice; it was first at /tmp/");
    write_file("hosts.yaml", TLS "file_sd: [gone.json]\n");
    expect_load_refused("hosts.yaml", "hosts.yaml:2:11: cannot open /tmp/squall-test-");
    write_file("sd.json", "[{\"targets\": [\"http://10.77.0.10/\"]}]");
    expect_load_refused("sd.json", "sd.json:1:15: the target 'http://10.77.0.10/' is a URL");
    write_file("sd.json", "[{\"target\": []}]");
    expect_load_refused("sd.json",
                        "sd.json:1:3: unknown key 'target' in a file_sd group; did you mean 'targets'?");
    write_file("sd.json", "[{\"targets\": [\":9100\"]}]");
    expect_load_refused("sd.json", "sd.json:1:15: the target ':9100' has no host");
    write_file("sd.json", "[{\"targets\": [\"a:1\", \"b:1\"], \"labels\": {\"squall_name\": \"x\"}}]");
    expect_load_refused("sd.json", "the host 'x' stands here twice");
    assert_int_equal(setenv("SQUALL_CONTROLLER", "/nonexistent/me.yaml", 1), 0);
    write_file("sd.json", "[{\"targets\": [\"a:1\"]}]");
    expect_load_refused("sd.json", "/nonexistent/me.yaml: No such file or directory");
    write_file("me.yaml", "prometheus: {url: 'http://p'}\n");
    char path[256];
    (void)snprintf(path, sizeof path, "%s/me.yaml", folder);
    assert_int_equal(setenv("SQUALL_CONTROLLER", path, 1), 0);
    expect_load_refused("sd.json",
                        "there is no 'tls' section; expected tls: {certificate: FILE, key: FILE, agents: "
                        "FILE} in /etc/squall/controller.yaml");
}

static void test_ten_thousand_hosts(void **state)
{
    (void)state;
    size_t size = 2000000;
    char *text = malloc(size);
    size_t used = (size_t)snprintf(text, size, TLS "hosts:\n");
    for (int i = 0; i < 10000; i++)
        used += (size_t)snprintf(text + used, size - used, "- {name: h%d, agent: \"tls+tcp://10.%d.%d.1\"}\n",
                                 i, i / 250, i % 250);
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("h.yaml", text, used, &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(inventory->host_count, 10000);
    assert_string_equal(inventory->hosts[9999].name, "h9999");
    used = (size_t)snprintf(text, size, "[{\"labels\": {\"a\": \"b\"}, \"targets\": [");
    for (int i = 0; i < 20000; i++)
        used += (size_t)snprintf(text + used, size - used, "%s\"h%d:%d\"", i == 0 ? "" : ", ", i / 2,
                                 9100 + i % 2);
    used += (size_t)snprintf(text + used, size - used, "]}]");
    sq_autoinventory struct sq_inventory *file_sd_inventory = NULL;
    assert_int_equal(sq_inventory_parse("sd.json", text, used, &file_sd_inventory, &error), -1);
    assert_non_null(strstr(error.text, "there is no 'tls' section"));
    free(text);
}

/* Everything that is wrong with it, each at its place. */
static void test_all_problems(void **state)
{
    (void)state;
    static char text[] = "tls: {certificate: /nonexistent/a, kye: b}\n"
                         "prometheus: {url: 'ftp://p'}\n"
                         "hosts:\n"
                         "- {name: 'a b', agent: 'ipc:///run/a'}\n"
                         "- {name: c, agent: 'tcp://c'}\n"
                         "- {name: d, agent: 'ipc:///run/d', labels: [x]}\n"
                         "- {name: e, agent: 'ipc:///run/e'}\n"
                         "- {name: e, agent: 'ipc:///run/e2'}\n"
                         "- {name: f, agent: 'ipc:///run/e'}\n"
                         "host: []\n";
    static const char *const places[] = {":1:6: 'key' is missing",
                                         ":1:6: 'agents' is missing",
                                         ":1:20: 'certificate' names /nonexistent/a",
                                         ":1:36: unknown key 'kye' in 'tls'",
                                         ":2:19: 'ftp://p' is not",
                                         ":4:3: 'a b' is no name",
                                         ":5:3: host 'c': 'tcp://c'",
                                         ":6:44: 'labels' is a list",
                                         ":8:3: the host 'e' stands here twice",
                                         ":9:3: the hosts 'f' and 'e'",
                                         ":10:1: unknown key 'host'"};
    static char name[] = "h.yaml";
    struct sq_input input = {.path = name, .text = text, .length = sizeof text - 1};
    sq_autoinventory struct sq_inventory *inventory = NULL;
    sq_autoproblems struct sq_problems problems = {0};
    assert_int_equal(sq_inventory_examine(&input, &inventory, &problems), -1);
    sq_problems_sort(&problems);
    for (uint32_t i = 0; i < problems.count && i < sizeof places / sizeof places[0]; i++)
        if (strstr(problems.list[i]->error.text, places[i]) == NULL)
            fail_msg("expected '%s' in: %s", places[i], problems.list[i]->error.text);
    assert_int_equal(problems.count, sizeof places / sizeof places[0]);
}

static void test_ipv6_targets(void **state)
{
    (void)state;
    static const char *const wrong[] = {"fd00::1", "fd00::1:9100", "::1", "[fd00::1", "[fd00::1]9100"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "[{\"targets\": [\"%s\"]}]", wrong[i]);
        expect_refused(text, "h.yaml:1:15: the target '");
    }
    expect_refused("[{\"targets\": [\"fd00::1:9100\", \"fd00::2:9100\"]}]",
                   "h.yaml:1:15: the target 'fd00::1:9100' has several colons and no brackets");
    expect_refused("[{\"targets\": [\"[web1]:9100\"]}]",
                   "h.yaml:1:15: the target '[web1]:9100' has no IPv6 address in its brackets");
    /* No address is a name that a certificate could carry. */
    expect_refused("[{\"targets\": [\"[fd00::1]:9100\"]}]", "h.yaml:1:15: 'fd00::1' is no name for a host");
    write_file("sd.json", "[{\"targets\": [\"[fd00::1]:9100\"], \"labels\": {\"squall_name\": \"web1\"}}]");
    write_file("hosts.yaml", TLS "file_sd: [sd.json]\n");
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (load("hosts.yaml", &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(inventory->hosts[0].name, "web1");
    assert_string_equal(inventory->hosts[0].agent, "tls+tcp://[fd00::1]:7433");
}

static void test_long_names(void **state)
{
    (void)state;
    char name[260] = "";
    while (strlen(name) < 250)
        strcat(name, "abcdefghi.");
    strcat(name, "xyz");
    assert_int_equal(strlen(name), 253);
    char text[1200];
    (void)snprintf(text, sizeof text, TLS "hosts:\n- {name: %s, agent: \"tls+tcp://%s.:7433\"}\n", name,
                   name);
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("h.yaml", text, strlen(text), &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(inventory->hosts[0].name, name);
    assert_int_equal(strlen(inventory->hosts[0].agent), strlen("tls+tcp://:7433") + 254);
    (void)snprintf(text, sizeof text, TLS "hosts:\n- {name: a, agent: \"tls+tcp://%sw:7433\"}\n", name);
    expect_refused(text, "h.yaml:3:3: host 'a': 'tls+tcp://abcdefghi.");
    (void)snprintf(text, sizeof text, TLS "hosts:\n- {name: %sw, agent: \"tls+tcp://a\"}\n", name);
    expect_refused(text, "h.yaml:3:3: 'abcdefghi.");
}

/* The same host with and without the dot is one host. */
static void test_a_trailing_dot(void **state)
{
    (void)state;
    static const char text[] = TLS "hosts:\n- {name: Web1.example., agent: \"tls+tcp://web1.example.\"}\n";
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("h.yaml", text, strlen(text), &inventory, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(inventory->hosts[0].name, "Web1.example");
    assert_string_equal(inventory->hosts[0].agent, "tls+tcp://web1.example.:7433");
    expect_refused("[{\"targets\": [\"web1.:1\"]}, {\"targets\": [\"web1:2\"]}]",
                   "h.yaml:1:41: the host 'web1' stands here twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_the_same_host_twice),
        cmocka_unit_test(test_one_agent_under_two_names),
        cmocka_unit_test_setup_teardown(test_bare_file_sd, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_file_sd_beside_hosts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_files_refused, make_folder, remove_folder),
        cmocka_unit_test(test_ten_thousand_hosts),
        cmocka_unit_test(test_all_problems),
        cmocka_unit_test_setup_teardown(test_ipv6_targets, make_folder, remove_folder),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_a_trailing_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
