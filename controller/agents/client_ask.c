/* For those who ask and wait: in the client's own loop. */
#include "agents/client_state.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

static void on_ready(void *cookie, uint32_t events)
{
    (void)events;
    *(bool *)cookie = true;
}

int sq_client_wait(struct sq_client *client, int interrupt_fd, uint64_t until_boot_ns, struct sq_error *error)
{
    struct sq_loop_source *answers = NULL;
    struct sq_loop_source *interrupt = NULL;
    bool answered = false;
    bool interrupted = false;
    int status =
        sq_loop_add_fd(client->loop, client->event_fd, EPOLLIN, on_ready, &answered, &answers, error);
    if (status == 0 && interrupt_fd >= 0)
        status =
            sq_loop_add_fd(client->loop, interrupt_fd, EPOLLIN, on_ready, &interrupted, &interrupt, error);
    while (status == 0 && !answered && !interrupted && sq_loop_now_boot_ns(client->loop) < until_boot_ns)
        status = sq_loop_turn(client->loop, until_boot_ns, error);
    sq_loop_remove(answers);
    sq_loop_remove(interrupt);
    if (status == 0 && interrupted)
        return sq_fail(error, SQ_ABORTED, "interrupted");
    return status;
}

/* Tags of sq_client_ask, apart from a caller's own small numbers. */
#define ASK_TAG (UINT64_C(1) << 63)

void sq_client_limit_asking(struct sq_client *client, uint64_t most_ns)
{
    client->asking_ns = most_ns;
}

/* Time is over for those that have not answered yet. */
static void give_up(const struct sq_client *client, const uint32_t *hosts, uint32_t host_count,
                    const bool *answered, struct sq_answer *answer, sq_answer_call call, void *cookie)
{
    char most[SQ_UNIT_TEXT_MAX];
    sq_duration_format(client->asking_ns, most);
    memset(answer, 0, sizeof(*answer));
    answer->failed = true;
    for (uint32_t i = 0; i < host_count; i++) {
        if (answered[i])
            continue;
        const struct sq_host *host = &client->inventory->hosts[hosts[i]];
        answer->host = hosts[i];
        (void)sq_fail(&answer->error, SQ_TIMEOUT,
                      "%s (%s): not even asked within %s, for too many before it do not answer", host->name,
                      host->agent, most);
        call(cookie, i, answer);
    }
}

int sq_client_ask(struct sq_client *client, const uint32_t *hosts, uint32_t host_count,
                  const struct sq_request *request, uint64_t timeout_ns, int interrupt_fd,
                  sq_answer_call call, void *cookie, struct sq_error *error)
{
    sq_autofree uint8_t *bytes = NULL;
    sq_autofree struct sq_answer *answer = malloc(sizeof(*answer));
    sq_autofree bool *answered = calloc(host_count + 1, sizeof(*answered));
    size_t length = 0;
    if (answer == NULL || answered == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    if (sq_client_encode(request, &bytes, &length, error) != 0)
        return -1;
    uint64_t tag = ASK_TAG | (uint64_t)(client->rounds++ & 0x7fffffff) << 32;
    for (uint32_t i = 0; i < host_count; i++)
        if (sq_client_send_bytes(client, hosts[i], tag | i, request->verb, bytes, length, timeout_ns,
                                 error) != 0)
            return -1;
    uint64_t most_ns = client->asking_ns > timeout_ns ? client->asking_ns : timeout_ns;
    uint64_t until_boot_ns = sq_ns_add(sq_loop_now_boot_ns(client->loop), most_ns);
    for (uint32_t left = host_count; left > 0;) {
        if (!sq_client_next(client, answer)) {
            if (sq_loop_now_boot_ns(client->loop) >= until_boot_ns) {
                give_up(client, hosts, host_count, answered, answer, call, cookie);
                return 0;
            }
            if (sq_client_wait(client, interrupt_fd, until_boot_ns, error) != 0)
                return sq_fail_in(error, "while waiting for %u of %u hosts", left, host_count);
            continue;
        }
        uint32_t i = (uint32_t)(answer->tag & 0xffffffff);
        if ((answer->tag & ~UINT64_C(0xffffffff)) != tag || i >= host_count)
            continue; /* of an earlier, interrupted round */
        call(cookie, i, answer);
        answered[i] = true;
        left--;
    }
    return 0;
}

struct sq_answer *sq_answer_keep(const struct sq_answer *answer)
{
    size_t bytes = offsetof(struct sq_answer, reply.faults) +
                   answer->reply.fault_count * sizeof(answer->reply.faults[0]);
    struct sq_answer *kept = malloc(bytes);
    if (kept != NULL)
        memcpy(kept, answer, bytes);
    return kept;
}
