#include "impairment.h"

#include "descriptors.h"

#include "common/clock.h"
#include "table/params.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PREPARED_WITHIN_MS 5000

static int keep_record(void *cookie, const struct sq_undo *undo, struct sq_error *error)
{
    (void)error;
    struct impairment *impairment = cookie;
    impairment->recorded[impairment->records % 2] = *undo;
    atomic_signal_fence(memory_order_seq_cst); /* whole before it counts */
    impairment->records++;
    return 0;
}

static struct sq_network_selector *selector_of(struct impairment *impairment)
{
    return (struct sq_network_selector *)(uintptr_t)sq_spec_selector(&impairment->order.spec);
}

void impairment_init(struct impairment *impairment, enum sq_direction direction, const char *interface)
{
    impairment_init_kind(impairment, SQ_NETWORK_PARTITION, direction, interface);
}

void impairment_init_kind(struct impairment *impairment, enum sq_fault_kind kind, enum sq_direction direction,
                          const char *interface)
{
    memset(impairment, 0, sizeof *impairment);
    impairment->ops = sq_fault_ops_by_kind(kind);
    impairment->order.spec.kind = kind;
    selector_of(impairment)->direction = direction;
    if (interface != NULL)
        strncpy(selector_of(impairment)->interface, interface, SQ_INTERFACE_TEXT_MAX - 1);
    impairment->env.protection = &impairment->protection;
    impairment->env.record = keep_record;
    impairment->env.cookie = impairment;
    assert_int_equal(sq_id_make(&impairment->env.experiment, NULL), 0);
}

static void parse(const char *range, struct sq_cidr *cidr)
{
    struct sq_error error;
    if (sq_cidr_parse(range, cidr, &error) != 0)
        fail_msg("%s", error.text);
}

void impairment_to(struct impairment *impairment, const char *range)
{
    parse(range, &selector_of(impairment)->to[selector_of(impairment)->to_count++]);
}

void impairment_except(struct impairment *impairment, const char *range)
{
    parse(range, &selector_of(impairment)->except[selector_of(impairment)->except_count++]);
}

void impairment_protect(struct impairment *impairment, const char *range)
{
    parse(range, &impairment->protection.peers[impairment->protection.peer_count++]);
}

void impairment_spare(struct impairment *impairment, const char *controller, uint16_t port)
{
    struct sq_spared *spared = &impairment->env.spared[impairment->env.spared_count++];
    parse(controller, &spared->controller);
    spared->agent_port = port;
}

int impairment_preview(struct impairment *impairment)
{
    memset(&impairment->report, 0, sizeof impairment->report);
    return impairment->ops->preview(&impairment->order, &impairment->env, &impairment->undo,
                                    &impairment->report, &impairment->error);
}

int impairment_begin(struct impairment *impairment)
{
    impairment->state = calloc(1, impairment->ops->state_size);
    assert_non_null(impairment->state);
    return impairment->ops->prepare(impairment->state, &impairment->order, &impairment->env,
                                    &impairment->undo, &impairment->error);
}

int impairment_await(struct impairment *impairment)
{
    int result = impairment->ops->prepared == NULL ? 1 : 0;
    for (int i = 0; i < PREPARED_WITHIN_MS && result == 0; i++) {
        result = impairment->ops->prepared(impairment->state, &impairment->undo, &impairment->error);
        if (result == 0)
            usleep(1000);
    }
    if (result == 0)
        fail_msg("not prepared within %d ms", PREPARED_WITHIN_MS);
    return result > 0 ? 0 : -1;
}

int impairment_prepare(struct impairment *impairment)
{
    return impairment_begin(impairment) == 0 ? impairment_await(impairment) : -1;
}

void impairment_inject(struct impairment *impairment, unsigned milliseconds)
{
    uint64_t deadline = sq_boot_ns() + milliseconds * SQ_NS_PER_MILLISECOND;
    assert_int_equal(
        impairment->ops->inject(impairment->state, &impairment->undo, deadline, &impairment->error), 0);
}

static void must(struct impairment *impairment, int result)
{
    if (result != 0)
        fail_msg("%s", impairment->error.text);
}

void impairment_start(struct impairment *impairment)
{
    must(impairment, impairment_preview(impairment));
    unsigned before = descriptors_open();
    must(impairment, impairment_prepare(impairment));
    impairment_inject(impairment, 60000);
    descriptors_assert_told(impairment->ops, &impairment->undo, before);
}

static void release(struct impairment *impairment)
{
    impairment->ops->release(impairment->state);
    free(impairment->state);
    impairment->state = NULL;
}

/* As the injector does before it removes, with a state and without. */
static void settle(struct impairment *impairment, void *state)
{
    uint64_t until_ns = sq_boot_ns() + 10 * SQ_NS_PER_SECOND;
    uint64_t now_ns = sq_boot_ns();
    while (impairment->ops->settle != NULL && impairment->ops->settle(state, &impairment->undo) > now_ns &&
           now_ns < until_ns) {
        (void)usleep(1000);
        now_ns = sq_boot_ns();
    }
}

static void stop(struct impairment *impairment, bool waits)
{
    must(impairment, impairment->ops->clean(impairment->state, &impairment->undo, &impairment->error));
    if (waits)
        settle(impairment, impairment->state);
    must(impairment, impairment->ops->remove(impairment->state, &impairment->undo, &impairment->report,
                                             &impairment->error));
    release(impairment);
    for (uint32_t i = 0; i < impairment->report.line_count; i++)
        if (impairment->report.lines[i].kind == SQ_LINE_FOREIGN)
            print_message("%s\n", impairment->report.lines[i].text);
    assert_int_equal(impairment->report.proof, SQ_PROOF_PROVED);
}

void impairment_stop(struct impairment *impairment)
{
    stop(impairment, true);
}

void impairment_stop_at_once(struct impairment *impairment)
{
    stop(impairment, false);
}

int impairment_recover(struct impairment *impairment)
{
    must(impairment, impairment->ops->clean(NULL, &impairment->undo, &impairment->error));
    settle(impairment, NULL);
    return impairment->ops->remove(NULL, &impairment->undo, &impairment->report, &impairment->error);
}

/* With a copy of its own; only what it records is in the memory that it shares. */
static _Noreturn void prepare_and_wait(const struct impairment *impairment, unsigned lease_ms, int done_fd)
{
    static struct impairment own;
    char done = 1;
    own = *impairment; /* env.cookie goes on to mean the shared one */
    if (impairment_prepare(&own) != 0)
        _exit(1);
    impairment_inject(&own, lease_ms);
    if (write(done_fd, &done, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

void impairment_die(struct impairment *impairment, unsigned lease_ms, unsigned delay_us)
{
    int pipe_fds[2];
    unsigned records = impairment->records;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        prepare_and_wait(impairment, lease_ms, pipe_fds[1]);
    char done;
    close(pipe_fds[1]); /* a child that fails is an end of file */
    if (delay_us == 0)
        assert_int_equal(read(pipe_fds[0], &done, 1), 1);
    else
        usleep(delay_us);
    assert_int_equal(kill(child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(pipe_fds[0]);
    if (impairment->records > records)
        impairment->undo = impairment->recorded[(impairment->records - 1) % 2];
}

unsigned impairment_prepare_time_us(struct impairment *impairment)
{
    must(impairment, impairment_preview(impairment));
    uint64_t start_ns = sq_boot_ns();
    impairment_die(impairment, 60000, 0);
    uint64_t end_ns = sq_boot_ns();
    must(impairment, impairment_recover(impairment));
    return (unsigned)((end_ns - start_ns) / 1000);
}

uint64_t impairment_counter(struct impairment *impairment, const char *name)
{
    impairment->ops->status(impairment->state, &impairment->undo, &impairment->report);
    for (uint32_t i = 0; i < impairment->report.counter_count; i++)
        if (strcmp(impairment->report.counters[i].name, name) == 0)
            return impairment->report.counters[i].value;
    fail_msg("there is no counter '%s'", name);
    return 0;
}

bool impairment_says(const struct impairment *impairment, enum sq_line_kind kind, const char *text)
{
    for (uint32_t i = 0; i < impairment->report.line_count; i++)
        if (impairment->report.lines[i].kind == kind &&
            strstr(impairment->report.lines[i].text, text) != NULL)
            return true;
    return false;
}

void impairment_assert_refused(struct impairment *impairment, enum sq_code code, const char *text)
{
    assert_int_equal(impairment_preview(impairment), -1);
    print_message("refused: %s\n", impairment->error.text);
    assert_int_equal(impairment->error.code, code);
    if (strstr(impairment->error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, impairment->error.text);
}
