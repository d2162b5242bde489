#include "forms/policy.h"

#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"
#include "table/message.h"
#include "table/params.h"

#include <net/if.h>
#include <string.h>

_Static_assert(SQ_INTERFACE_NAME_MAX == IFNAMSIZ, "an interface's name");

/* A pattern that means no fault at all is a slip, and a slip must not look like a permission. */
static int read_pattern(struct sq_policy *policy, struct sq_node node, struct sq_error *error)
{
    const char *pattern = sq_node_text(node);
    if (pattern == NULL)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "an entry of 'allow' is not a text; expected a fault such as "
                            "network.partition, or a pattern such as network.*");
    bool matched = false;
    const char *names[SQ_FAULT_KIND_MAX];
    size_t name_count = 0;
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_fault_info *info = sq_fault_table[i];
        names[name_count++] = info->name;
        if (!sq_text_matches(pattern, info->name))
            continue;
        policy->allowed[info->kind] = true;
        matched = true;
    }
    if (matched)
        return 0;
    const char *nearest = sq_nearest(pattern, names, name_count);
    return sq_node_fail(node, error, SQ_BAD_INPUT, "'%.60s' matches no fault%s%s%s", pattern,
                        nearest == NULL ? "; `squalld --check` lists them" : "; did you mean '",
                        nearest == NULL ? "" : nearest, nearest == NULL ? "" : "'?");
}

static void read_allow(struct sq_policy *policy, struct sq_node root, struct sq_problems *problems)
{
    struct sq_error error;
    struct sq_node allow = sq_node_get(root, "allow");
    int result = sq_node_is_there(allow)
                     ? sq_node_expect(allow, SQ_NODE_LIST, "'allow'", &error)
                     : sq_node_fail(root, &error, SQ_BAD_INPUT,
                                    "the policy has no 'allow'; expected a list of faults, such as "
                                    "`allow: [network.*]`, or `allow: []` for none");
    if (!sq_problems_note(problems, result, &error))
        return;
    for (size_t i = 0; i < sq_node_count(allow); i++)
        (void)sq_problems_note(problems, read_pattern(policy, sq_node_item(allow, i), &error), &error);
}

static int add_process(struct sq_protection *protection, struct sq_node node, struct sq_error *error)
{
    const char *text = sq_node_text(node);
    if (text == NULL || (text[0] != '/' && strncmp(text, "unit:", 5) != 0) ||
        strlen(text) >= SQ_PATH_TEXT_MAX || strcmp(text, "unit:") == 0)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'%.60s' is no process to protect; expected an executable's absolute path, or "
                            "unit:NAME.service",
                            text == NULL ? "" : text);
    (void)sq_text_copy(protection->processes[protection->process_count++], SQ_PATH_TEXT_MAX, text);
    return 0;
}

static int add_interface(struct sq_protection *protection, struct sq_node node, struct sq_error *error)
{
    const char *text = sq_node_text(node);
    if (text == NULL || text[0] == '\0' || strlen(text) >= SQ_INTERFACE_TEXT_MAX || strchr(text, '/') != NULL)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'%.60s' is no interface's name; expected 1 to %d characters without '/'",
                            text == NULL ? "" : text, SQ_INTERFACE_TEXT_MAX - 1);
    (void)sq_text_copy(protection->interfaces[protection->interface_count++], SQ_INTERFACE_TEXT_MAX, text);
    return 0;
}

static int add_peer(struct sq_protection *protection, struct sq_node node, struct sq_error *error)
{
    const char *text = sq_node_text(node);
    if (text == NULL)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "a peer is not a text; expected an address or a range, such "
                            "as 10.0.0.53 or 10.0.0.0/24");
    if (sq_cidr_parse(text, &protection->peers[protection->peer_count], error) != 0)
        return sq_node_fail_at(node, error);
    protection->peer_count++;
    return 0;
}

static int add_port(struct sq_protection *protection, struct sq_node node, struct sq_error *error)
{
    const char *text = sq_node_text(node);
    uint64_t port = 0;
    if (text == NULL || sq_count_parse(text, UINT16_MAX, &port, NULL) != 0 || port == 0)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%.60s' is no port; expected 1 to 65535",
                            text == NULL ? "" : text);
    protection->ports[protection->port_count++] = (uint16_t)port;
    return 0;
}

typedef int add_function(struct sq_protection *protection, struct sq_node node, struct sq_error *error);

static void read_list(struct sq_protection *protection, struct sq_node map, const char *key,
                      add_function *add, struct sq_problems *problems)
{
    struct sq_error error;
    struct sq_node list = sq_node_get(map, key);
    if (!sq_node_is_there(list) ||
        !sq_problems_note(problems, sq_node_expect(list, SQ_NODE_LIST, key, &error), &error))
        return;
    size_t count = sq_node_count(list);
    if (count > SQ_PROTECTED_MAX) {
        (void)sq_node_fail(list, &error, SQ_LIMIT, "%zu entries in '%s'; at most %d are possible", count, key,
                           SQ_PROTECTED_MAX);
        sq_problems_add(problems, &error);
        return;
    }
    for (size_t i = 0; i < count; i++)
        (void)sq_problems_note(problems, add(protection, sq_node_item(list, i), &error), &error);
}

static void read_protect(struct sq_protection *protection, struct sq_node root, struct sq_problems *problems)
{
    static const char *const keys[] = {"processes", "interfaces", "peers", "ports"};
    struct sq_node protect = sq_node_get(root, "protect");
    if (!sq_node_is_there(protect))
        return;
    (void)sq_problems_check_keys(problems, protect, "'protect'", keys, sizeof keys / sizeof keys[0]);
    read_list(protection, protect, "processes", add_process, problems);
    read_list(protection, protect, "interfaces", add_interface, problems);
    read_list(protection, protect, "peers", add_peer, problems);
    read_list(protection, protect, "ports", add_port, problems);
}

static int read_max_duration(struct sq_policy *policy, struct sq_node root, struct sq_error *error)
{
    if (sq_map_duration(root, "max-duration", false, &policy->max_duration_ns, error) != 0)
        return -1;
    if (policy->max_duration_ns < SQ_DURATION_MIN_NS || policy->max_duration_ns > SQ_DURATION_MAX_NS)
        return sq_node_fail(sq_node_get(root, "max-duration"), error, SQ_BAD_INPUT,
                            "'max-duration' is out of range; expected 1ms to 24h");
    return 0;
}

static int read_memory_floor(struct sq_policy *policy, struct sq_node root, struct sq_error *error)
{
    struct sq_node floor = sq_node_get(root, "memory-floor");
    if (!sq_node_is_there(floor))
        return 0;
    if (sq_node_expect(floor, SQ_NODE_SCALAR, "'memory-floor'", error) != 0)
        return -1;
    if (sq_size_parse(sq_node_text(floor), &policy->protection.memory_floor_bytes, error) != 0)
        return sq_node_fail_at(floor, error);
    /* Zero would mean the default, and hardly anything would mean a host that cannot be reached any more. */
    if (policy->protection.memory_floor_bytes < SQ_POLICY_MEMORY_FLOOR_LEAST_BYTES)
        return sq_node_fail(floor, error, SQ_BAD_INPUT,
                            "'memory-floor' is out of range; expected 1MiB or more");
    return 0;
}

const char *const sq_policy_keys[] = {"allow", "max-duration", "memory-floor", "protect", NULL};

void sq_policy_examine(struct sq_policy *policy, struct sq_document *document, struct sq_problems *problems)
{
    struct sq_error error;
    memset(policy, 0, sizeof *policy);
    policy->max_duration_ns = SQ_POLICY_MAX_DURATION_DEFAULT_NS;
    struct sq_node root = sq_document_root(document);
    if (sq_node_type(root) == SQ_NODE_NONE) {
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s is empty, so nothing is allowed; start from %s",
                      sq_document_name(document), SQ_POLICY_EXAMPLE);
        sq_problems_add(problems, &error);
        return;
    }
    if (!sq_problems_check_keys(problems, root, "the policy", sq_policy_keys,
                                sizeof sq_policy_keys / sizeof sq_policy_keys[0] - 1) &&
        sq_node_type(root) != SQ_NODE_MAP)
        return;
    read_allow(policy, root, problems);
    (void)sq_problems_note(problems, read_max_duration(policy, root, &error), &error);
    (void)sq_problems_note(problems, read_memory_floor(policy, root, &error), &error);
    read_protect(&policy->protection, root, problems);
}

int sq_policy_read(struct sq_policy *policy, struct sq_document *document, struct sq_error *error)
{
    sq_autoproblems struct sq_problems problems = {0};
    sq_policy_examine(policy, document, &problems);
    return sq_problems_first(&problems, error);
}
