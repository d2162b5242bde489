#include "agents/company.h"

#include "common/cleanup.h"

#include <stdlib.h>

int sq_company_ask(struct sq_company *company, struct sq_client *client, int interrupt_fd,
                   struct sq_error *error)
{
    uint32_t count = company->inventory->host_count;
    const struct sq_id none = {0};
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    sq_autofree uint32_t *hosts = calloc((size_t)count + 1, sizeof(*hosts));
    sq_autofree struct sq_answer *answers = calloc((size_t)count + 1, sizeof(*answers));
    if (request == NULL || hosts == NULL || answers == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        hosts[i] = i;
    request->verb = SQ_VERB_STATUS;
    if (sq_client_ask(client, hosts, count, request, SQ_COMPANY_TIMEOUT_NS, interrupt_fd, answers, error) !=
        0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        sq_company_take(&company->hosts[i], &none, answers[i].failed ? NULL : &answers[i].reply,
                        answers[i].answered_boot_ns, answers[i].error.text);
    return 0;
}
