/* Who else is at work on the hosts of an inventory: every agent is asked for its STATUS. Changes nothing. */
#ifndef SQ_AGENTS_COMPANY_H
#define SQ_AGENTS_COMPANY_H

#include "agents/client.h"
#include "common/error.h"
#include "model/company.h"

#define SQ_COMPANY_TIMEOUT_NS (2 * SQ_NS_PER_SECOND)

/*
 * Ask every host of company->inventory at once, those of no plan too, and fill company->hosts. Who does not
 * answer in time is silent, not an error. -1: interrupted by `interrupt_fd` (SQ_ABORTED; -1 for none), or no
 * memory.
 */
int sq_company_ask(struct sq_company *company, struct sq_client *client, int interrupt_fd,
                   struct sq_error *error);

#endif
