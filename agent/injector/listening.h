/* Could the front listen where it is to? For `squalld --check`, which may run beside the agent itself. */
#ifndef SQ_INJECTOR_LISTENING_H
#define SQ_INJECTOR_LISTENING_H

#include "injector/config.h"

#include "common/error.h"

#include <stdint.h>

/* Of entry `i` of 'listen'. Makes nothing. Asked for before privileges are dropped. */
int sq_listening_check(const struct sq_agent_config *config, uint32_t i, struct sq_error *error);

#endif
