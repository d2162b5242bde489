#include "policy.h"

#include "common/file.h"
#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"
#include "faults/protection.h"

#include <net/if.h>
#include <string.h>
#include <unistd.h>

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

static int read_allow(struct sq_policy *policy, struct sq_node root, struct sq_error *error)
{
    struct sq_node allow = sq_node_get(root, "allow");
    if (!sq_node_is_there(allow))
        return sq_node_fail(root, error, SQ_BAD_INPUT,
                            "the policy has no 'allow'; expected a list of faults, such as "
                            "`allow: [network.*]`, or `allow: []` for none");
    if (sq_node_expect(allow, SQ_NODE_LIST, "'allow'", error) != 0)
        return -1;
    for (size_t i = 0; i < sq_node_count(allow); i++)
        if (read_pattern(policy, sq_node_item(allow, i), error) != 0)
            return -1;
    return 0;
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

static int read_list(struct sq_protection *protection, struct sq_node map, const char *key, add_function *add,
                     struct sq_error *error)
{
    struct sq_node list = sq_node_get(map, key);
    if (!sq_node_is_there(list))
        return 0;
    if (sq_node_expect(list, SQ_NODE_LIST, key, error) != 0)
        return -1;
    if (sq_node_count(list) > SQ_PROTECTED_MAX)
        return sq_node_fail(list, error, SQ_LIMIT, "%zu entries in '%s'; at most %d are possible",
                            sq_node_count(list), key, SQ_PROTECTED_MAX);
    for (size_t i = 0; i < sq_node_count(list); i++)
        if (add(protection, sq_node_item(list, i), error) != 0)
            return -1;
    return 0;
}

static int read_protect(struct sq_protection *protection, struct sq_node root, struct sq_error *error)
{
    static const char *const keys[] = {"processes", "interfaces", "peers", "ports"};
    struct sq_node protect = sq_node_get(root, "protect");
    if (!sq_node_is_there(protect))
        return 0;
    if (sq_node_check_keys(protect, "'protect'", keys, sizeof keys / sizeof keys[0], error) != 0 ||
        read_list(protection, protect, "processes", add_process, error) != 0 ||
        read_list(protection, protect, "interfaces", add_interface, error) != 0 ||
        read_list(protection, protect, "peers", add_peer, error) != 0 ||
        read_list(protection, protect, "ports", add_port, error) != 0)
        return -1;
    return 0;
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

int sq_policy_read(struct sq_policy *policy, struct sq_document *document, struct sq_error *error)
{
    static const char *const keys[] = {"allow", "max-duration", "memory-floor", "protect"};
    memset(policy, 0, sizeof *policy);
    policy->max_duration_ns = SQ_POLICY_MAX_DURATION_DEFAULT_NS;
    struct sq_node root = sq_document_root(document);
    if (sq_node_type(root) == SQ_NODE_NONE)
        return sq_fail(error, SQ_BAD_INPUT, "%s is empty, so nothing is allowed; start from %s",
                       sq_document_name(document), SQ_POLICY_EXAMPLE);
    if (sq_node_check_keys(root, "the policy", keys, sizeof keys / sizeof keys[0], error) != 0 ||
        read_allow(policy, root, error) != 0 || read_max_duration(policy, root, error) != 0 ||
        read_memory_floor(policy, root, error) != 0)
        return -1;
    return read_protect(&policy->protection, root, error);
}

/* Nothing is allowed, and this is why. What is protected stays protected: nothing can be injected anyway. */
static void forbid_all(struct sq_policy *policy, const char *problem)
{
    memset(policy, 0, sizeof *policy);
    (void)sq_text_copy(policy->problem, sizeof policy->problem, problem);
}

void sq_policy_load(struct sq_policy *policy, const char *path)
{
    struct sq_error error;
    if (access(path, F_OK) != 0) {
        (void)sq_fail(&error, SQ_POLICY,
                      "there is no policy file %.200s, so nothing may be injected here; start from %s", path,
                      SQ_POLICY_EXAMPLE);
        forbid_all(policy, error.text);
    } else {
        sq_autodocument struct sq_document *document = NULL;
        if (sq_file_check_trusted(path, &error) != 0 || sq_document_load(path, &document, &error) != 0 ||
            sq_policy_read(policy, document, &error) != 0) {
            (void)sq_fail_in(&error, "the policy cannot be used, so nothing may be injected here");
            forbid_all(policy, error.text);
        }
    }
    (void)sq_text_copy(policy->path, sizeof policy->path, path);
    /* Processes that run these files are protected also after the files were replaced. */
    sq_protection_files(&policy->protection, NULL);
}

int sq_policy_permits_kind(const struct sq_policy *policy, enum sq_fault_kind kind, struct sq_error *error)
{
    if (policy->problem[0] != '\0')
        return sq_fail(error, SQ_POLICY, "%s", policy->problem);
    const struct sq_fault_info *info = sq_fault_by_kind(kind);
    if (info != NULL && policy->allowed[kind])
        return 0;
    return sq_fail(error, SQ_POLICY, "the policy %.200s does not allow %s; its 'allow' would have to name it",
                   policy->path, info == NULL ? "this fault" : info->name);
}

int sq_policy_permits(const struct sq_policy *policy, const struct sq_fault_order *order,
                      struct sq_error *error)
{
    if (sq_policy_permits_kind(policy, order->spec.kind, error) != 0)
        return -1;
    if (order->duration_ns <= policy->max_duration_ns)
        return 0;
    char asked[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    sq_duration_format(order->duration_ns, asked);
    sq_duration_format(policy->max_duration_ns, most);
    return sq_fail(error, SQ_POLICY, "a duration of %s; the policy %.200s allows at most %s ('max-duration')",
                   asked, policy->path, most);
}
