#include "policy.h"

#include "common/file.h"
#include "common/text.h"
#include "common/units.h"
#include "faults/protection.h"

#include <string.h>
#include <unistd.h>

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
