#include "planning/dry_run.h"

#include "agents/company.h"
#include "agents/preview.h"
#include "common/cleanup.h"
#include "common/text.h"
#include "model/ending.h"
#include "model/host_list.h"

#include <stdlib.h>
#include <string.h>

int sq_dry_run_open(const struct sq_plan *plan, struct sq_dry_run *dry_run, struct sq_error *error)
{
    memset(dry_run, 0, sizeof(*dry_run));
    dry_run->problems = calloc((size_t)plan->host_count + 1, sizeof(*dry_run->problems));
    return dry_run->problems != NULL ? 0 : sq_fail(error, SQ_SYSTEM, "out of memory");
}

void sq_dry_run_close(struct sq_dry_run *dry_run)
{
    free(dry_run->problems);
    sq_company_close(&dry_run->company);
    memset(dry_run, 0, sizeof(*dry_run));
}

int sq_dry_run_ask(struct sq_plan *plan, struct sq_client *client, int interrupt_fd,
                   struct sq_dry_run *dry_run, struct sq_error *error)
{
    if (plan->host_count == 0)
        return 0;
    if (sq_company_open(plan->inventory, &dry_run->company, error) != 0 ||
        sq_company_ask(&dry_run->company, client, interrupt_fd, error) != 0)
        return -1;
    struct sq_error crowded = {0};
    int judged = sq_company_judge(&dry_run->company, plan, &crowded);
    int status = sq_preview(plan, client, interrupt_fd, dry_run->problems, error);
    /* A host that refuses says most of what is to be done; one that is silent says less than a limit. */
    if (judged != 0 &&
        (status == 0 || (error->code != SQ_ABORTED && sq_exit_of(error->code) != SQ_EXIT_REFUSED))) {
        *error = crowded;
        dry_run->crowded = true;
        status = -1;
    }
    return status;
}

void sq_dry_run_brief(const struct sq_dry_run *dry_run, const struct sq_plan *plan,
                      const struct sq_error *refusal, char text[SQ_ERROR_TEXT_MAX])
{
    uint32_t count = 0;
    char hosts[SQ_HOST_LIST_MAX / 2];
    sq_autofree const char **names = calloc((size_t)plan->host_count + 1, sizeof(*names));
    (void)sq_text_copy(text, SQ_ERROR_TEXT_MAX, refusal->text);
    for (uint32_t i = 0; names != NULL && i < plan->host_count; i++)
        if (dry_run->problems[i].code != SQ_OK)
            names[count++] = plan->hosts[i].host->name;
    if (count == 0 || dry_run->crowded)
        return;
    sq_host_list_format(names, count, hosts, sizeof(hosts));
    text[0] = '\0';
    sq_text_append(text, SQ_ERROR_TEXT_MAX, "%s: %s cannot take part, for what is said above",
                   sq_ending_name(sq_exit_of(refusal->code)), hosts);
}
