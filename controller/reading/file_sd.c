/* Prometheus file_sd: a list of {targets: [host:port...], labels: {...}}, as JSON or YAML. */
#include "reading/inventory_reader.h"

#include "common/cleanup.h"
#include "table/message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target {
    struct sq_node node;
    char host[SQ_HOST_NAME_MAX + 1]; /* a trailing dot beside */
    bool is_ipv6;
    bool is_repeated;
};

/* Without brackets nobody can tell where an IPv6 address ends and the port begins: fd00::1:9100 is both. */
static int fail_brackets(struct sq_node node, struct sq_error *error)
{
    return sq_node_fail(node, error, SQ_BAD_INPUT,
                        "the target '%.70s' has several colons and no brackets; expected an IPv6 address in "
                        "brackets, such as [fd00::1]:9100",
                        sq_node_text(node));
}

static int copy_host(struct sq_node node, const char *start, size_t length, struct target *target,
                     struct sq_error *error)
{
    struct in6_addr ignored;
    if (length == 0 || length >= sizeof target->host)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "the target '%.70s' has no host of 1 to %zu bytes; expected host:port",
                            sq_node_text(node), sizeof target->host - 1);
    memcpy(target->host, start, length);
    target->host[length] = '\0';
    if (target->is_ipv6 && inet_pton(AF_INET6, target->host, &ignored) != 1)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "the target '%.70s' has no IPv6 address in its brackets; expected one such as "
                            "[fd00::1]:9100",
                            sq_node_text(node));
    return 0;
}

/* The host of a target: its port is that of what Prometheus scrapes, not the agent's. */
static int read_target(struct sq_node node, struct target *target, struct sq_error *error)
{
    if (sq_node_expect(node, SQ_NODE_SCALAR, "a target", error) != 0)
        return -1;
    const char *text = sq_node_text(node);
    if (strstr(text, "://") != NULL)
        return sq_node_fail(
            node, error, SQ_BAD_INPUT,
            "the target '%.60s' is a URL, not a host; expected host:port (is this a file for the "
            "blackbox exporter?)",
            text);
    target->node = node;
    target->is_ipv6 = text[0] == '[';
    const char *start = target->is_ipv6 ? text + 1 : text;
    size_t length = strcspn(start, target->is_ipv6 ? "]" : ":");
    const char *end = start + length;
    if (target->is_ipv6 ? end[0] != ']' || (end[1] != ':' && end[1] != '\0')
                        : end[0] == ':' && strchr(end + 1, ':') != NULL)
        return fail_brackets(node, error);
    return copy_host(node, start, length, target, error);
}

static int by_host(const void *left, const void *right)
{
    const struct target *a = *(struct target *const *)left;
    const struct target *b = *(struct target *const *)right;
    int order = strcmp(a->host, b->host);
    return order != 0 ? order : a < b ? -1 : a > b;
}

/* Several targets of one group on the same host are its several exporters, not several hosts. */
static int mark_repeated(struct target *targets, size_t count, struct sq_error *error)
{
    sq_autofree struct target **sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &targets[i];
    qsort(sorted, count, sizeof *sorted, by_host);
    for (size_t i = 1; i < count; i++)
        sorted[i]->is_repeated = strcmp(sorted[i - 1]->host, sorted[i]->host) == 0;
    return 0;
}

static int add_target(struct sq_inventory_reader *reader, const struct target *target, struct sq_node labels,
                      struct sq_error *error)
{
    char agent[SQ_AGENT_URL_MAX];
    (void)snprintf(agent, sizeof agent, target->is_ipv6 ? "tls+tcp://[%s]:%d" : "tls+tcp://%s:%d",
                   target->host, SQ_DEFAULT_PORT);
    const char *name = sq_node_text(sq_node_get(labels, "squall_name"));
    const char *own_agent = sq_node_text(sq_node_get(labels, "squall_agent"));
    return sq_reader_add_host(reader, target->node, name != NULL ? name : target->host,
                              own_agent != NULL ? own_agent : agent, labels, error);
}

static void read_targets(struct sq_inventory_reader *reader, struct sq_node nodes, struct sq_node labels)
{
    struct sq_error error;
    size_t used = 0;
    sq_autofree struct target *targets = calloc(sq_node_count(nodes) + 1, sizeof *targets);
    if (targets == NULL) {
        (void)sq_problems_note(reader->problems, sq_fail(&error, SQ_SYSTEM, "out of memory"), &error);
        return;
    }
    for (size_t i = 0; i < sq_node_count(nodes); i++)
        if (sq_problems_note(reader->problems, read_target(sq_node_item(nodes, i), &targets[used], &error),
                             &error))
            used++;
    if (!sq_problems_note(reader->problems, mark_repeated(targets, used, &error), &error))
        return;
    for (size_t i = 0; i < used; i++)
        if (!targets[i].is_repeated)
            (void)sq_problems_note(reader->problems, add_target(reader, &targets[i], labels, &error), &error);
}

static int check_targets(struct sq_node group, struct sq_node targets, struct sq_error *error)
{
    if (!sq_node_is_there(targets))
        return sq_node_fail(group, error, SQ_BAD_INPUT, "'targets' is missing in a file_sd group");
    return sq_node_expect(targets, SQ_NODE_LIST, "'targets'", error);
}

static void read_group(struct sq_inventory_reader *reader, struct sq_node group)
{
    static const char *const keys[] = {"targets", "labels"};
    struct sq_error error;
    if (!sq_problems_check_keys(reader->problems, group, "a file_sd group", keys, 2) &&
        sq_node_type(group) != SQ_NODE_MAP)
        return;
    struct sq_node targets = sq_node_get(group, "targets");
    if (sq_problems_note(reader->problems, check_targets(group, targets, &error), &error))
        read_targets(reader, targets, sq_node_get(group, "labels"));
}

void sq_file_sd_read(struct sq_inventory_reader *reader, struct sq_node root)
{
    struct sq_error error;
    if (!sq_problems_note(reader->problems, sq_node_expect(root, SQ_NODE_LIST, "the file_sd file", &error),
                          &error))
        return;
    for (size_t i = 0; i < sq_node_count(root); i++)
        read_group(reader, sq_node_item(root, i));
}
