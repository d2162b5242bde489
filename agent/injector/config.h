/* The agent's configuration as this host bears it out: forms/agent_config.h has the file's format. */
#ifndef SQ_INJECTOR_CONFIG_H
#define SQ_INJECTOR_CONFIG_H

#include "common/error.h"
#include "forms/agent_config.h"

#include <stdint.h>

/*
 * Read and check a file: its form, that the TLS files can be read if there is a TLS listener, that user and
 * group are known here. Messages say file:line:column. On failure config->run and config->state are set all
 * the same if they could be read, else empty: they are all that undoing needs.
 */
int sq_agent_config_load(const char *path, struct sq_agent_config *config, struct sq_error *error);

/* The TCP ports of its TLS listeners, each once; how many, `most` at most. */
uint32_t sq_agent_config_ports(const struct sq_agent_config *config, uint16_t *ports, uint32_t most);

/*
 * Hand a configuration to another process of the same binary: a file in memory that nobody can change any
 * more. *fd is the caller's, close-on-exec. Receiving refuses whatever is not that.
 */
int sq_agent_config_seal(const struct sq_agent_config *config, int *fd, struct sq_error *error);
int sq_agent_config_receive(int fd, struct sq_agent_config *config, struct sq_error *error);

#endif
