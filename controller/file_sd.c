/* Prometheus file_sd: a list of {targets: [host:port...], labels: {...}}, as JSON or YAML. */
#include "inventory_reader.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "table/message.h"

#include <stdio.h>
#include <string.h>

/* The host of a target: its port is that of what Prometheus scrapes, not the agent's. */
static int target_host(struct sq_node target, char host[SQ_NAME_MAX], bool *is_ipv6, struct sq_error *error)
{
    if (sq_node_expect(target, SQ_NODE_SCALAR, "a target", error) != 0)
        return -1;
    const char *text = sq_node_text(target);
    if (strstr(text, "://") != NULL)
        return sq_node_fail(
            target, error, SQ_BAD_INPUT,
            "the target '%.60s' is a URL, not a host; expected host:port (is this a file for the "
            "blackbox exporter?)",
            text);
    *is_ipv6 = text[0] == '[';
    const char *start = *is_ipv6 ? text + 1 : text;
    size_t length = strcspn(start, *is_ipv6 ? "]" : ":");
    if (length == 0 || length >= SQ_NAME_MAX)
        return sq_node_fail(target, error, SQ_BAD_INPUT,
                            "the target '%.70s' has no host of 1 to %d bytes; expected host:port", text,
                            SQ_NAME_MAX - 1);
    memcpy(host, start, length);
    host[length] = '\0';
    return 0;
}

static const char *label_text(struct sq_node labels, const char *name)
{
    return sq_node_text(sq_node_get(labels, name));
}

static int read_target(struct sq_inventory_reader *reader, struct sq_node target, struct sq_node labels,
                       struct sq_error *error)
{
    char host[SQ_NAME_MAX];
    bool is_ipv6;
    if (target_host(target, host, &is_ipv6, error) != 0)
        return -1;
    char agent[SQ_AGENT_URL_MAX];
    (void)snprintf(agent, sizeof agent, is_ipv6 ? "tls+tcp://[%s]:%d" : "tls+tcp://%s:%d", host,
                   SQ_DEFAULT_PORT);
    const char *name = label_text(labels, "squall_name");
    const char *own_agent = label_text(labels, "squall_agent");
    return sq_reader_add_host(reader, target, name != NULL ? name : host,
                              own_agent != NULL ? own_agent : agent, labels, error);
}

/* Several targets of one group on the same host are its several exporters, not several hosts. */
static bool is_repeated(struct sq_node targets, size_t i)
{
    char host[SQ_NAME_MAX];
    char other[SQ_NAME_MAX];
    bool is_ipv6;
    struct sq_error ignored;
    if (target_host(sq_node_item(targets, i), host, &is_ipv6, &ignored) != 0)
        return false;
    for (size_t j = 0; j < i; j++)
        if (target_host(sq_node_item(targets, j), other, &is_ipv6, &ignored) == 0 && strcmp(host, other) == 0)
            return true;
    return false;
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
    for (size_t i = 0; i < sq_node_count(targets); i++)
        if (!is_repeated(targets, i) &&
            read_target(reader, sq_node_item(targets, i), sq_node_get(group, "labels"), error) != 0)
            return -1;
    return 0;
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
