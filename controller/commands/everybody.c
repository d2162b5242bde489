#include "commands/everybody.h"

#include "commands/inventory.h"
#include "commands/operator.h"
#include "common/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_inventory(const struct sq_options *options, struct sq_everybody *everybody,
                          struct sq_error *error)
{
    if (!options->local) {
        if (sq_command_inventory(options, false, &everybody->own_inventory, error) != 0)
            return -1;
        everybody->inventory = everybody->own_inventory;
        return 0;
    }
    if (sq_local_agent_start(&everybody->local_agent, error) != 0)
        return -1;
    everybody->inventory = sq_local_agent_inventory(everybody->local_agent);
    (void)fprintf(stderr, "squall: %s\n", sq_local_agent_note(everybody->local_agent));
    return 0;
}

int sq_everybody_open(const struct sq_options *options, struct sq_everybody *everybody,
                      struct sq_error *error)
{
    if (open_inventory(options, everybody, error) != 0)
        return -1;
    size_t count = everybody->inventory->host_count;
    everybody->hosts = calloc(count + 1, sizeof(*everybody->hosts));
    everybody->answers = calloc(count + 1, sizeof(*everybody->answers));
    if (everybody->hosts == NULL || everybody->answers == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        everybody->hosts[i] = i;
    return sq_client_open(everybody->inventory, &everybody->client, error);
}

void sq_everybody_close(struct sq_everybody *everybody)
{
    sq_client_close(everybody->client);
    sq_local_agent_stop(everybody->local_agent);
    sq_inventory_free(everybody->own_inventory);
    free(everybody->answers);
    free(everybody->hosts);
    memset(everybody, 0, sizeof(*everybody));
}

int sq_everybody_ask(struct sq_everybody *everybody, enum sq_verb verb, uint64_t timeout_ns,
                     struct sq_error *error)
{
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    request->verb = verb;
    sq_operator_name(request->operator_name);
    return sq_client_ask(everybody->client, everybody->hosts, everybody->inventory->host_count, request,
                         timeout_ns, -1, everybody->answers, error);
}
