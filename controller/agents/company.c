#include "agents/company.h"

#include "common/cleanup.h"

#include <stdlib.h>

static void take(void *cookie, uint32_t i, const struct sq_answer *answer)
{
    static const struct sq_id none;
    struct sq_company *company = cookie;
    sq_company_take(&company->hosts[i], &none, answer->failed ? NULL : &answer->reply,
                    answer->answered_boot_ns, answer->error.text);
}

int sq_company_ask(struct sq_company *company, struct sq_client *client, int interrupt_fd,
                   struct sq_error *error)
{
    uint32_t count = company->inventory->host_count;
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    sq_autofree uint32_t *hosts = calloc((size_t)count + 1, sizeof(*hosts));
    if (request == NULL || hosts == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        hosts[i] = i;
    request->verb = SQ_VERB_STATUS;
    return sq_client_ask(client, hosts, count, request, SQ_COMPANY_TIMEOUT_NS, interrupt_fd, take, company,
                         error);
}
