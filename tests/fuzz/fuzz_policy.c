/* A host's policy: any text gives a policy within its bounds or an error with a place, never both. */
#include "injector/policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sq_policy policy;

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sq_error error = {.text = ""};
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_parse("policy", (const char *)data, size, &document, &error) != 0 ||
        sq_policy_read(&policy, document, &error) != 0) {
        require(strncmp(error.text, "policy", 6) == 0);
        return 0;
    }
    require(policy.max_duration_ns >= SQ_DURATION_MIN_NS && policy.max_duration_ns <= SQ_DURATION_MAX_NS);
    require(policy.protection.process_count <= SQ_PROTECTED_MAX);
    for (uint32_t i = 0; i < policy.protection.peer_count; i++)
        require(sq_cidr_is_valid(&policy.protection.peers[i]));
    for (uint32_t i = 0; i < policy.protection.port_count; i++)
        require(policy.protection.ports[i] != 0);
    require(!policy.allowed[SQ_FAULT_NONE]);
    return 0;
}
