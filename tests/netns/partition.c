#include "partition.h"

#include "common/clock.h"
#include "table/params.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int count_record(void *cookie, const struct sq_undo *undo, struct sq_error *error)
{
    (void)undo;
    (void)error;
    struct partition *partition = cookie;
    partition->records++;
    return 0;
}

static struct sq_network_selector *selector_of(struct partition *partition)
{
    return (struct sq_network_selector *)(uintptr_t)sq_spec_selector(&partition->order.spec);
}

void partition_init(struct partition *partition, enum sq_direction direction, const char *interface)
{
    partition_init_kind(partition, SQ_NETWORK_PARTITION, direction, interface);
}

void partition_init_kind(struct partition *partition, enum sq_fault_kind kind, enum sq_direction direction,
                         const char *interface)
{
    memset(partition, 0, sizeof *partition);
    partition->ops = sq_fault_ops_by_kind(kind);
    partition->order.spec.kind = kind;
    selector_of(partition)->direction = direction;
    if (interface != NULL)
        strncpy(selector_of(partition)->interface, interface, SQ_INTERFACE_NAME_MAX - 1);
    partition->env.protection = &partition->protection;
    partition->env.record = count_record;
    partition->env.cookie = partition;
    assert_int_equal(sq_id_make(&partition->env.experiment, NULL), 0);
}

static void parse(const char *range, struct sq_cidr *cidr)
{
    struct sq_error error;
    if (sq_cidr_parse(range, cidr, &error) != 0)
        fail_msg("%s", error.text);
}

void partition_to(struct partition *partition, const char *range)
{
    parse(range, &selector_of(partition)->to[selector_of(partition)->to_count++]);
}

void partition_except(struct partition *partition, const char *range)
{
    parse(range, &selector_of(partition)->except[selector_of(partition)->except_count++]);
}

void partition_protect(struct partition *partition, const char *range)
{
    parse(range, &partition->protection.peers[partition->protection.peer_count++]);
}

void partition_spare(struct partition *partition, const char *controller, uint16_t port)
{
    struct sq_spared *spared = &partition->env.spared[partition->env.spared_count++];
    parse(controller, &spared->controller);
    spared->agent_port = port;
}

int partition_preview(struct partition *partition)
{
    memset(&partition->report, 0, sizeof partition->report);
    return partition->ops->preview(&partition->order, &partition->env, &partition->undo, &partition->report,
                                   &partition->error);
}

int partition_prepare(struct partition *partition)
{
    partition->state = calloc(1, partition->ops->state_size);
    assert_non_null(partition->state);
    return partition->ops->prepare(partition->state, &partition->order, &partition->env, &partition->undo,
                                   &partition->error);
}

void partition_inject(struct partition *partition, unsigned milliseconds)
{
    uint64_t deadline = sq_boot_ns() + milliseconds * SQ_NS_PER_MILLISECOND;
    assert_int_equal(partition->ops->inject(partition->state, &partition->undo, deadline, &partition->error),
                     0);
}

static void must(struct partition *partition, int result)
{
    if (result != 0)
        fail_msg("%s", partition->error.text);
}

void partition_start(struct partition *partition)
{
    must(partition, partition_preview(partition));
    must(partition, partition_prepare(partition));
    partition_inject(partition, 60000);
}

static void release(struct partition *partition)
{
    partition->ops->release(partition->state);
    free(partition->state);
    partition->state = NULL;
}

void partition_stop(struct partition *partition)
{
    must(partition, partition->ops->clean(partition->state, &partition->undo, &partition->error));
    must(partition,
         partition->ops->remove(partition->state, &partition->undo, &partition->report, &partition->error));
    release(partition);
    for (uint32_t i = 0; i < partition->report.line_count; i++)
        if (partition->report.lines[i].kind == SQ_LINE_FOREIGN)
            print_message("%s\n", partition->report.lines[i].text);
    assert_true(partition->report.proved);
}

int partition_recover(struct partition *partition)
{
    must(partition, partition->ops->clean(NULL, &partition->undo, &partition->error));
    return partition->ops->remove(NULL, &partition->undo, &partition->report, &partition->error);
}

void partition_die(struct partition *partition, unsigned lease_ms, unsigned delay_us)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char done = 1;
        if (partition_prepare(partition) != 0)
            _exit(1);
        partition_inject(partition, lease_ms);
        if (write(pipe_fds[1], &done, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char done;
    if (delay_us == 0)
        assert_int_equal(read(pipe_fds[0], &done, 1), 1);
    else
        usleep(delay_us);
    assert_int_equal(kill(child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

unsigned partition_prepare_time_us(struct partition *partition)
{
    must(partition, partition_preview(partition));
    uint64_t start_ns = sq_boot_ns();
    partition_die(partition, 60000, 0);
    uint64_t end_ns = sq_boot_ns();
    assert_int_equal(partition_recover(partition), 0);
    return (unsigned)((end_ns - start_ns) / 1000);
}

uint64_t partition_counter(struct partition *partition, const char *name)
{
    partition->ops->status(partition->state, &partition->undo, &partition->report);
    for (uint32_t i = 0; i < partition->report.counter_count; i++)
        if (strcmp(partition->report.counters[i].name, name) == 0)
            return partition->report.counters[i].value;
    fail_msg("there is no counter '%s'", name);
    return 0;
}

bool partition_says(const struct partition *partition, enum sq_line_kind kind, const char *text)
{
    for (uint32_t i = 0; i < partition->report.line_count; i++)
        if (partition->report.lines[i].kind == kind && strstr(partition->report.lines[i].text, text) != NULL)
            return true;
    return false;
}

void partition_assert_refused(struct partition *partition, enum sq_code code, const char *text)
{
    assert_int_equal(partition_preview(partition), -1);
    print_message("refused: %s\n", partition->error.text);
    assert_int_equal(partition->error.code, code);
    if (strstr(partition->error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, partition->error.text);
}
