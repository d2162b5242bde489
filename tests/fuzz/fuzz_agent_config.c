/* An agent's configuration: any text gives one within its bounds, or errors with a place; run and state
 * whole. */
#include "forms/agent_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sq_agent_config config;

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sq_error error = {.text = ""};
    sq_autoproblems struct sq_problems problems = {0};
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_parse("agent", (const char *)data, size, &document, &error) != 0)
        return 0;
    sq_agent_config_examine(document, &config, &problems);
    for (uint32_t i = 0; i < problems.count; i++)
        require(strncmp(problems.list[i]->error.text, "agent", 5) == 0);
    require(config.run[0] == '\0' || config.run[0] == '/');
    require(config.state[0] == '\0' || config.state[0] == '/');
    require(config.listen_count <= SQ_LISTEN_MAX);
    if (problems.error_count == 0)
        require(config.listen_count > 0 && config.policy[0] == '/' && (config.socket_mode & 0600) == 0600);
    return 0;
}
