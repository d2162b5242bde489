/* libraries: sq_kernel sq_common */
#include "kernel/host_cores.h"
#include "kernel/host_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What the kernel tells of the host's cores and memory. */

static void test_core_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int count;
        const char *written;
    } cases[] = {
        {"0-3\n", 4, "0-3"},       {"0", 1, "0"},   {"0,2-3,1023\n", 4, "0,2-3,1023"}, {"\n", 0, ""},
        {"0-1,3-4", 4, "0-1,3-4"}, {"7-7", 1, "7"},
    };
    cpu_set_t set;
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(sq_core_list_parse(cases[i].list, &set));
        assert_int_equal(CPU_COUNT(&set), cases[i].count);
        sq_core_list_format(&set, text, sizeof text);
        assert_string_equal(text, cases[i].written);
    }
    static const char *const wrong[] = {
        "1024", "0-1024", "3-1", "a", "-1", "0-", "1;2", "0 1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(sq_core_list_parse(wrong[i], &set));
    /* Cut, never overrun. */
    assert_true(sq_core_list_parse("0,2,4,6,8,10", &set));
    sq_core_list_format(&set, text, 5);
    assert_string_equal(text, "0,2,");
}

static void test_cores_of_this_host(void **state)
{
    (void)state;
    struct sq_host_cores cores;
    struct sq_error error;
    if (sq_host_cores_read(&cores, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(CPU_COUNT(&cores.online), sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(CPU_COUNT(&cores.usable) >= 1);
    assert_true(CPU_COUNT(&cores.present) >= CPU_COUNT(&cores.online));
}

static void test_meminfo(void **state)
{
    (void)state;
    struct sq_host_memory memory;
    assert_true(sq_host_memory_parse("MemTotal:       24684092 kB\nMemFree:        23117620 kB\n"
                                     "MemAvailable:   23951648 kB\nSwapTotal:          1024 kB\n",
                                     &memory));
    assert_true(memory.total_bytes == 24684092ull * 1024);
    assert_true(memory.available_bytes == 23951648ull * 1024);
    assert_true(memory.swap_total_bytes == 1024ull * 1024);
    assert_true(sq_host_memory_parse("MemTotal: 4 kB\nMemAvailable: 0 kB\n", &memory));
    assert_int_equal(memory.swap_total_bytes, 0);
    static const char *const wrong[] = {
        "",
        "MemTotal: 4 kB\n",
        "MemAvailable: 4 kB\n",
        "MemTotal: 4 MB\nMemAvailable: 4 kB\n",
        "MemTotal: x kB\nMemAvailable: 4 kB\n",
        "XMemTotal: 4 kB\nMemAvailable: 4 kB\n",
        "MemTotal: 99999999999999999999 kB\nMemAvailable: 4 kB\n",
        "MemTotal: 18014398509481985 kB\nMemAvailable: 4 kB\n", /* of which the bytes do not fit 64 bits */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(sq_host_memory_parse(wrong[i], &memory));
}

static void test_memory_of_this_host(void **state)
{
    (void)state;
    struct sq_host_memory memory;
    struct sq_error error;
    if (sq_host_memory_read(&memory, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(memory.available_bytes > 0 && memory.available_bytes <= memory.total_bytes);
    assert_true(sq_process_resident_bytes(getpid()) > 4096);
    assert_int_equal(sq_process_resident_bytes(0x7fffffff), 0);
    assert_true(sq_cgroup_memory_left_bytes() > 0);
    assert_true(sq_cgroup_cpu_quota() >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_lists),
        cmocka_unit_test(test_cores_of_this_host),
        cmocka_unit_test(test_meminfo),
        cmocka_unit_test(test_memory_of_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
