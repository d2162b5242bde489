/* A request to an agent: begun, told and sent. */
#include "engine/run_state.h"

struct sq_request *sq_run_begin_request(struct sq_run *run, const struct sq_run_host *host, enum sq_verb verb)
{
    sq_request_clear(&run->request);
    run->request.version = SQ_PROTOCOL_VERSION;
    run->request.verb = verb;
    run->request.experiment = run->options.id;
    run->request.instance = host->instance;
    run->request.token = host->token;
    return &run->request;
}

void sq_run_send_request(struct sq_run *run, struct sq_run_host *host, uint32_t fault, uint64_t timeout_ns)
{
    struct sq_error error = {0};
    const struct sq_request *request = &run->request;
    uint32_t number = run->sequence++;
    uint64_t tag = sq_run_tag(request->verb, number, fault);
    if (request->verb != SQ_VERB_RENEW)
        sq_run_tell_request(run, host, number);
    if (sq_client_send(run->options.client, host->index, tag, request, timeout_ns, &error) != 0)
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s: %s", host->name, error.text);
}
