/* libraries: sq_injector sq_ipc sq_common */
/* How long the injector listens to a front that never stops asking. */
#include "injector/front_process.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define NOW_NS (100 * SQ_NS_PER_SECOND)

static struct sq_front_process front;
static struct pollfd request_poll;
static struct pollfd reply_poll;

static int set_up(void **state)
{
    (void)state;
    memset(&front, 0, sizeof front);
    front.ipc.end = (struct sq_ipc_end){.in_fd = 3, .out_fd = 4};
    return 0;
}

static uint64_t fill(uint64_t now_ns)
{
    return sq_front_process_fill_polls(&front, now_ns, &request_poll, &reply_poll);
}

/* Whoever is not listened to is listened to again by itself: nothing else may ever happen. */
static void test_its_share_comes_back(void **state)
{
    (void)state;
    assert_int_equal(fill(NOW_NS), 0);
    assert_int_equal(request_poll.fd, 3);
    front.spent_boot_ns = NOW_NS + SQ_NS_PER_SECOND;
    uint64_t again_ns = fill(NOW_NS);
    assert_int_equal(request_poll.fd, -1);
    assert_true(again_ns > NOW_NS && again_ns < NOW_NS + SQ_NS_PER_SECOND);
    assert_int_equal(fill(again_ns - 1), again_ns);
    assert_int_equal(request_poll.fd, -1);
    assert_int_equal(fill(again_ns), 0);
    assert_int_equal(request_poll.fd, 3);
}

static void test_dead_front_is_waited_for(void **state)
{
    (void)state;
    front.ipc.end = (struct sq_ipc_end){-1, -1};
    front.spent_boot_ns = NOW_NS + SQ_NS_PER_SECOND;
    assert_int_equal(fill(NOW_NS), 0);
    assert_int_equal(request_poll.fd, -1);
    front.restart_boot_ns = NOW_NS + 7;
    assert_int_equal(fill(NOW_NS), NOW_NS + 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_its_share_comes_back, set_up),
        cmocka_unit_test_setup(test_dead_front_is_waited_for, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
