/* libraries: sq_run_fixture sq_engine sq_planning */
/* What a step expects of what it kills: judged as the agents report. Played. */
#include "run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char kill_step[] = "- name: kill\n"
                                "  fault: process.kill\n"
                                "  targets: {hosts: [web1, web2]}\n"
                                "  with: {comm: nginx}\n"
                                "  expect: [{came-back-within: 1s}]\n"
                                "  duration: 5s\n";

static void test_all_come_back(void **state)
{
    (void)state;
    agents[0].back_after_ns = 300 * MS;
    agents[1].back_after_ns = 1000 * MS;
    assert_int_equal(run(kill_step, "200ms"), SQ_EXIT_COMPLETED);
    assert_non_null(strstr(ended.why, "what was expected of its faults came"));
    expect_all_clean();
}

static void test_one_stays_away(void **state)
{
    (void)state;
    agents[0].back_after_ns = 300 * MS;
    assert_int_equal(run(kill_step, "200ms"), SQ_EXIT_DEVIATED);
    expect_why("web2: what \"kill\" hit did not come back within 1s: 0 of 1 that were killed did");
    expect_all_clean();
    /* As soon as it is known, not when the step is over. */
    uint64_t after_ns = ended.clean_boot_ns[1] - ended.injected_boot_ns[1];
    assert_true(after_ns >= 2 * SQ_NS_PER_SECOND && after_ns < 2500 * MS);
}

static void test_one_comes_late(void **state)
{
    (void)state;
    agents[0].back_after_ns = 300 * MS;
    agents[1].back_after_ns = 1400 * MS;
    assert_int_equal(run(kill_step, "200ms"), SQ_EXIT_DEVIATED);
    expect_why("web2: what \"kill\" hit came back after 1.40s only, where 1s was expected");
}

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_all_come_back),
        RUN_TEST(test_one_stays_away),
        RUN_TEST(test_one_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
