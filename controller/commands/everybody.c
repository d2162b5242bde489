#include "commands/everybody.h"

#include "commands/inventory.h"
#include "commands/operator.h"
#include "common/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Beside one for each host: our own, and looks at hosts that do not answer. */
#define OPEN_FILES_BESIDE 256

/* The default of 1,024 is there for programs that use select(2). */
static void allow_open_files(uint32_t host_count)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)host_count + OPEN_FILES_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed)
        return;
    (void)fprintf(stderr,
                  "squall: %u hosts take %llu open files, and %llu are allowed: some hosts will seem "
                  "unreachable; raise the hard limit (ulimit -Hn)\n",
                  host_count, (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
}

int sq_agents_open(const struct sq_inventory *inventory, struct sq_loop **loop, struct sq_names **names,
                   struct sq_client **client, struct sq_error *error)
{
    allow_open_files(inventory->host_count);
    if (sq_loop_open(loop, error) != 0 || sq_names_open(*loop, names, error) != 0)
        return -1;
    return sq_client_open(inventory, *loop, *names, client, error);
}

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
    return sq_agents_open(everybody->inventory, &everybody->loop, &everybody->names, &everybody->client,
                          error);
}

void sq_everybody_close(struct sq_everybody *everybody)
{
    sq_client_close(everybody->client);
    sq_names_close(everybody->names);
    sq_loop_close(everybody->loop);
    for (uint32_t i = 0; everybody->answers != NULL && i < everybody->inventory->host_count; i++)
        free(everybody->answers[i]);
    sq_local_agent_stop(everybody->local_agent);
    sq_inventory_free(everybody->own_inventory);
    free(everybody->answers);
    free(everybody->hosts);
    memset(everybody, 0, sizeof(*everybody));
}

struct keeping {
    struct sq_everybody *everybody;
    const uint32_t *hosts;
    bool only_good;
    bool failed;
};

static void keep(void *cookie, uint32_t i, const struct sq_answer *answer)
{
    struct keeping *keeping = cookie;
    struct sq_answer **place = &keeping->everybody->answers[keeping->hosts[i]];
    if (keeping->only_good && (answer->failed || answer->reply.code != SQ_OK))
        return;
    struct sq_answer *kept = sq_answer_keep(answer);
    if (kept == NULL) {
        keeping->failed = true;
        return;
    }
    free(*place);
    *place = kept;
}

static int ask(struct keeping *keeping, uint32_t count, enum sq_verb verb, uint64_t timeout_ns,
               struct sq_error *error)
{
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    request->verb = verb;
    sq_operator_name(request->operator_name);
    if (sq_client_ask(keeping->everybody->client, keeping->hosts, count, request, timeout_ns, -1, keep,
                      keeping, error) != 0)
        return -1;
    return keeping->failed ? sq_fail(error, SQ_SYSTEM, "out of memory for the answers") : 0;
}

int sq_everybody_ask(struct sq_everybody *everybody, enum sq_verb verb, uint64_t timeout_ns,
                     struct sq_error *error)
{
    struct keeping keeping = {.everybody = everybody, .hosts = everybody->hosts};
    return ask(&keeping, everybody->inventory->host_count, verb, timeout_ns, error);
}

int sq_everybody_ask_again(struct sq_everybody *everybody, enum sq_verb verb, uint64_t timeout_ns,
                           struct sq_error *error)
{
    uint32_t count = 0;
    sq_autofree uint32_t *hosts = calloc((size_t)everybody->inventory->host_count + 1, sizeof(*hosts));
    if (hosts == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < everybody->inventory->host_count; i++)
        if (!everybody->answers[i]->failed && everybody->answers[i]->reply.code == SQ_OK)
            hosts[count++] = i;
    struct keeping keeping = {.everybody = everybody, .hosts = hosts, .only_good = true};
    return ask(&keeping, count, verb, timeout_ns, error);
}
