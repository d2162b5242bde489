/*
 * Who else is at work in the inventory, asked once more: when everybody has prepared, and before anybody
 * injects. Of two runs at once, the one that finished preparing last sees what the other one has prepared,
 * whatever each of them saw before; so together they never go beyond a limit that both have.
 */
#include "engine/run_state.h"

#include "agents/company.h"

void sq_run_ask_company(struct sq_run *run)
{
    struct sq_error error = {0};
    const struct sq_inventory *inventory = run->options.plan->inventory;
    if (run->host_count == 0 || !sq_company_matters(&run->experiment->limits))
        return;
    if (sq_company_open(inventory, &run->company, &error) != 0) {
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s", error.text);
        return;
    }
    for (uint32_t i = 0; i < inventory->host_count && !run->ended; i++) {
        /* On the hosts of the plan it is us: an agent takes one experiment at a time. */
        if (run->host_of[i] != UINT32_MAX)
            continue;
        sq_request_clear(&run->request);
        run->request.version = SQ_PROTOCOL_VERSION;
        run->request.verb = SQ_VERB_STATUS;
        uint64_t tag = (uint64_t)SQ_VERB_STATUS | (uint64_t)run->sequence++ << 8;
        run->company_awaited++;
        if (sq_client_send(run->options.client, i, tag, &run->request, SQ_COMPANY_TIMEOUT_NS, &error) != 0)
            sq_run_note_ending(run, SQ_EXIT_FAILED, "%s: %s", inventory->hosts[i].name, error.text);
    }
}

void sq_run_take_company(struct sq_run *run, const struct sq_answer *answer)
{
    struct sq_error error = {0};
    if (run->company_awaited == 0)
        return;
    sq_company_take(&run->company.hosts[answer->host], &run->options.id,
                    answer->failed ? NULL : &answer->reply, answer->answered_boot_ns, answer->error.text);
    run->company_awaited--;
    if (run->company_awaited == 0 && sq_company_judge(&run->company, run->options.plan, &error) != 0)
        sq_run_note_ending(run, sq_exit_of(error.code), "%s", error.text);
}
