/* libraries: sq_netns_fixture sq_injector sq_faults sq_kernel sq_table sq_common */
/*
 * A halt needs no memory that the host may not have: the injector's experiments with real faults, from the
 * request to "clean", allocate nothing and touch no page for the first time.
 */
#include "fixture.h"

#include "common/clock.h"
#include "injector/experiment.h"
#include "table/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534

static unsigned allocations;

/* Sanitizers bring their own allocator. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
#define COUNTS_ALLOCATIONS 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    allocations++;
    return __libc_realloc(pointer, size);
}
#endif

static struct sq_undo_log undo_log;
static struct sq_undo_content content;
static struct sq_policy policy;
static struct sq_experiments experiments;
static struct sq_request request;
static struct sq_reply reply;
static char directory[64];

static uint64_t clock_now(void *cookie)
{
    (void)cookie;
    return sq_boot_ns();
}

static int is_able(void *cookie, const struct sq_fault_order *order, struct sq_error *error)
{
    (void)cookie;
    (void)order;
    (void)error;
    return 0;
}

static int recover(void *cookie, struct sq_error *error)
{
    (void)cookie;
    return sq_fail(error, SQ_SYSTEM, "nothing can be left");
}

static int set_up(void **state)
{
    struct sq_error error;
    (void)state;
    fixture_open(&lab);
    (void)strcpy(directory, "/tmp/squall-memory-XXXXXX");
    if (mkdtemp(directory) == NULL || sq_undo_log_open(&undo_log, directory, false, &content, &error) != 0)
        return -1;
    policy.allowed[SQ_NETWORK_PARTITION] = true;
    policy.allowed[SQ_CPU_STRESS] = true;
    policy.allowed[SQ_MEMORY_STRESS] = true;
    policy.max_duration_ns = 60 * SQ_NS_PER_SECOND;
    struct sq_experiment_world world = {.now_boot_ns = clock_now,
                                        .ops_by_kind = sq_fault_ops_by_kind,
                                        .able = is_able,
                                        .recover = recover,
                                        .log = &undo_log,
                                        .policy = &policy,
                                        .instance = {{42}},
                                        .stressor_uid = NOBODY,
                                        .stressor_gid = NOBODY};
    sq_experiments_init(&experiments, &world);
    return 0;
}

static void remove_all(void)
{
    while (sq_experiments_removal_is_due(&experiments))
        if (!sq_experiments_remove_settled(&experiments))
            (void)usleep(500);
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    sq_experiments_end(&experiments, SQ_END_SHUTDOWN);
    remove_all();
    sq_experiment_reset(experiments.current);
    sq_experiment_reset(experiments.draft);
    sq_undo_log_close(&undo_log);
    (void)snprintf(path, sizeof path, "rm -rf %s", directory);
    fixture_must(lab.host, "%s", path);
    fixture_close(&lab);
    return 0;
}

static struct sq_fault_spec *add(enum sq_fault_kind kind)
{
    struct sq_fault_order *order = &request.faults[request.fault_count];
    order->index = request.fault_count++;
    order->duration_ns = 30 * SQ_NS_PER_SECOND;
    sq_spec_init(&order->spec, sq_fault_by_kind(kind));
    return &order->spec;
}

static void ask(enum sq_verb verb)
{
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = verb;
    request.instance = experiments.world.instance;
    request.experiment = (struct sq_id){{1}};
    request.token = (struct sq_id){{1, 7}};
    request.not_after_boot_ns = sq_boot_ns() + 5 * SQ_NS_PER_SECOND;
    request.prepared_until_boot_ns = sq_boot_ns() + 60 * SQ_NS_PER_SECOND;
    if (!sq_experiments_handle(&experiments, &request, &reply))
        while (!sq_experiments_answer_prepare(&experiments, &request, &reply))
            sq_experiments_tick(&experiments);
    if (reply.code != SQ_OK)
        fail_msg("%s: %s", sq_verb_name(verb), reply.message);
}

static void test_halt_needs_no_memory(void **state)
{
    struct sq_error error;
    struct rusage before;
    struct rusage after;
    (void)state;
    request.lease_ns = 20 * SQ_NS_PER_SECOND;
    struct sq_network_selector *selector = &add(SQ_NETWORK_PARTITION)->partition.selector;
    selector->to_count = 1;
    assert_int_equal(sq_cidr_parse("10.9.0.2", &selector->to[0], &error), 0);
    struct sq_fault_spec *stress = add(SQ_CPU_STRESS);
    stress->cpu.percent = 5;
    stress->cpu.cores.mode = SQ_CORES_COUNT;
    stress->cpu.cores.count = 1;
    add(SQ_MEMORY_STRESS)->memory.bytes = UINT64_C(32) << 20;
    ask(SQ_VERB_PREPARE);
    ask(SQ_VERB_INJECT);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_true(allocations > 0);
    unsigned allocations_before = allocations;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    ask(SQ_VERB_HALT);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    unsigned allocated = allocations - allocations_before;
    print_message("a halt: %u allocations, %ld pages touched first\n", allocated,
                  after.ru_minflt - before.ru_minflt);
    for (uint32_t i = 0; i < reply.fault_count; i++)
        assert_int_not_equal(reply.faults[i].clean_boot_ns, 0);
    assert_int_equal(allocated, 0);
    assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
    assert_int_equal(after.ru_majflt - before.ru_majflt, 0);
    /* Removing allocates nothing either. */
    allocations_before = allocations;
    remove_all();
    assert_int_equal(allocations - allocations_before, 0);
    assert_int_equal(undo_log.live_count, 0);
}

int main(void)
{
    fixture_require_root();
#ifndef COUNTS_ALLOCATIONS
    printf("skipped: the sanitizer has its own allocator\n");
    return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_halt_needs_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
