/* Who gives the orders, for the agents' logs and the run's record. */
#ifndef SQ_COMMANDS_OPERATOR_H
#define SQ_COMMANDS_OPERATOR_H

#include "table/message.h"

/* user@host of this process; behind sudo, who called it. Claimed, not proved. */
void sq_operator_name(char name[SQ_NAME_MAX]);

#endif
