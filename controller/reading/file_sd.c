/* Prometheus file_sd: a list of {targets: [host:port...], labels: {...}}, as JSON or YAML. */
#include "reading/inventory_reader.h"

#include "common/cleanup.h"
#include "table/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target {
    struct sq_node node;
    char host[SQ_NAME_MAX];
    bool is_ipv6;
    bool is_repeated;
};

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
    if (length == 0 || length >= sizeof target->host)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "the target '%.70s' has no host of 1 to %d bytes; expected host:port", text,
                            SQ_NAME_MAX - 1);
    memcpy(target->host, start, length);
    target->host[length] = '\0';
    return 0;
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

static int read_targets(struct sq_inventory_reader *reader, struct sq_node nodes, struct sq_node labels,
                        struct sq_error *error)
{
    size_t count = sq_node_count(nodes);
    sq_autofree struct target *targets = calloc(count + 1, sizeof *targets);
    if (targets == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (read_target(sq_node_item(nodes, i), &targets[i], error) != 0)
            return -1;
    if (mark_repeated(targets, count, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!targets[i].is_repeated && add_target(reader, &targets[i], labels, error) != 0)
            return -1;
    return 0;
}

static int read_group(struct sq_inventory_reader *reader, struct sq_node group, struct sq_error *error)
{
    static const char *const keys[] = {"targets", "labels"};
    if (sq_node_check_keys(group, "a file_sd group", keys, 2, error) != 0)
        return -1;
    struct sq_node targets = sq_node_get(group, "targets");
    if (!sq_node_is_there(targets))
        return sq_node_fail(group, error, SQ_BAD_INPUT, "'targets' is missing in a file_sd group");
    if (sq_node_expect(targets, SQ_NODE_LIST, "'targets'", error) != 0)
        return -1;
    return read_targets(reader, targets, sq_node_get(group, "labels"), error);
}

int sq_file_sd_read(struct sq_inventory_reader *reader, struct sq_node root, struct sq_error *error)
{
    if (sq_node_expect(root, SQ_NODE_LIST, "the file_sd file", error) != 0)
        return -1;
    for (size_t i = 0; i < sq_node_count(root); i++)
        if (read_group(reader, sq_node_item(root, i), error) != 0)
            return -1;
    return 0;
}
