/* libraries: sq_kernel */
/* How many packets delaying queues may hold: enough for the delay, never together more than the memory bears.
 */
#include "kernel/netem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS          UINT64_C(1000000)
#define GIB         (UINT64_C(1) << 30)
#define PACKET      UINT64_C(65536)
#define EIGHTH(gib) ((uint64_t)(gib)*GIB / 8 / PACKET)

static void test_enough_for_the_delay(void **state)
{
    (void)state;
    assert_int_equal(sq_netem_wanted(0), 1000);
    assert_int_equal(sq_netem_wanted(1 * MS), 2000);
    assert_int_equal(sq_netem_wanted(10 * MS), 11000);
    assert_int_equal(sq_netem_wanted(73 * MS), 74000);
    assert_int_equal(sq_netem_wanted(UINT64_MAX), 120001000);
}

static uint64_t held(const struct sq_netem_wish *wishes, size_t count, uint64_t most)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += wishes[i].queues * (wishes[i].packets < most ? wishes[i].packets : most);
    return sum;
}

static void test_one_fault(void **state)
{
    (void)state;
    const struct sq_netem_wish one = {1, 251000};
    const struct sq_netem_wish both = {2, 251000};
    const struct sq_netem_wish little = {2, 11000};
    assert_int_equal(sq_netem_share(&one, 1, 64 * GIB), 131072);
    assert_int_equal(sq_netem_share(&both, 1, 64 * GIB), 65536);
    assert_int_equal(sq_netem_share(&both, 1, 1 * GIB), 1024);
    assert_true(sq_netem_share(&little, 1, 64 * GIB) >= 11000);
    assert_int_equal(sq_netem_share(&one, 1, 0), 1000); /* the memory cannot be told */
    assert_int_equal(sq_netem_share(&one, 0, 64 * GIB), 0);
    assert_true(sq_netem_share(&one, 1, UINT64_MAX) >= 251000);
    assert_true(sq_netem_memory_bytes() > 16 * MS);
}

static void test_eight_faults_share_one_bound(void **state)
{
    (void)state;
    struct sq_netem_wish wishes[8];
    for (size_t i = 0; i < 8; i++)
        wishes[i] = (struct sq_netem_wish){2, 120001000};
    for (unsigned gib = 1; gib <= 1024; gib *= 2) {
        uint32_t most = sq_netem_share(wishes, 8, gib * GIB);
        assert_int_equal(most, EIGHTH(gib) / 16);
        assert_true(held(wishes, 8, most) <= EIGHTH(gib));
    }
}

/* What the mild ones do not need is the harsh one's. */
static void test_what_is_left_is_shared(void **state)
{
    (void)state;
    const struct sq_netem_wish wishes[] = {{2, 1000}, {1, 500000}, {2, 2000}, {2, 11000}};
    for (unsigned gib = 1; gib <= 1024; gib *= 2) {
        uint32_t most = sq_netem_share(wishes, 4, gib * GIB);
        uint64_t sum = held(wishes, 4, most);
        assert_true(sum <= EIGHTH(gib));
        /* All of it is used, but for what does not divide evenly, or everybody has enough. */
        assert_true(most >= 500000 || sum > EIGHTH(gib) - 7);
    }
    assert_int_equal(sq_netem_share(wishes, 4, 16 * GIB), (EIGHTH(16) - 6000) / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enough_for_the_delay),
        cmocka_unit_test(test_one_fault),
        cmocka_unit_test(test_eight_faults_share_one_bound),
        cmocka_unit_test(test_what_is_left_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
