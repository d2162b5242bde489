/* libraries: sq_agents */
#include "agents/agent_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_clock(void **state)
{
    (void)state;
    struct sq_agent_clock clock = {0};
    sq_agent_clock_learn(&clock, 1000, 3000, 50000); /* middle 2000, so 48000 ahead, give or take 1000 */
    assert_true(clock.known);
    assert_int_equal(clock.offset_ns, 48000);
    assert_int_equal(clock.uncertainty_ns, 1000);
    sq_agent_clock_learn(&clock, 10000, 20000, 1); /* a worse one teaches nothing */
    assert_int_equal(clock.offset_ns, 48000);
    sq_agent_clock_learn(&clock, 100000, 100200, 148500); /* a better one does */
    assert_int_equal(clock.offset_ns, 48400);
    assert_int_equal(clock.uncertainty_ns, 100);
    assert_int_equal(sq_agent_clock_to_agent(&clock, 5), 48405);
    assert_int_equal(sq_agent_clock_to_ours(&clock, 48405), 5);
    assert_int_equal(sq_agent_clock_to_ours(&clock, 100), 1);
    assert_int_equal(sq_agent_clock_to_ours(&clock, 0), 0);
    assert_int_equal(sq_agent_clock_to_agent(&clock, UINT64_MAX), UINT64_MAX);
    struct sq_agent_clock behind = {0};
    sq_agent_clock_learn(&behind, 5000, 5000, 1000);
    assert_int_equal(behind.offset_ns, -4000);
    assert_int_equal(sq_agent_clock_to_agent(&behind, 6000), 2000);
    assert_int_equal(sq_agent_clock_to_ours(&behind, 2000), 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
