/* What `squall hosts` prints for people. */
#ifndef SQ_COMMANDS_HOSTS_TABLE_H
#define SQ_COMMANDS_HOSTS_TABLE_H

#include "commands/everybody.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

bool sq_hosts_is_there(const struct sq_answer *answer);

/* The agent's wall clock minus ours, at the middle of the exchange. */
int64_t sq_hosts_clock_offset_ns(const struct sq_answer *answer);

/* A row for all hosts that say the same, below the table what is not a plain "yes", and a closing line. -1 if
 * it could not be written. */
int sq_hosts_print(const struct sq_everybody *everybody, bool colored, FILE *stream);

#endif
