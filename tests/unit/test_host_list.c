/* libraries: sq_model sq_common */
#include "model/host_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TO "\xe2\x80\xa6"

static char text[SQ_HOST_LIST_MAX];

static void assert_list(const char *words, const char *expected)
{
    char copy[1000];
    const char *names[100];
    uint32_t count = 0;
    (void)snprintf(copy, sizeof(copy), "%s", words);
    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " "))
        names[count++] = name;
    sq_host_list_format(names, count, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_few(void **state)
{
    (void)state;
    assert_list("", "no host");
    assert_list("web1", "web1");
    assert_list("web2 web1", "2 hosts: web1, web2");
    assert_list("db web", "2 hosts: db, web");
}

static void test_ranges(void **state)
{
    (void)state;
    assert_list("web1 web2 web3", "3 hosts: web1" TO "web3");
    assert_list("web10 web9 web8 db web11", "5 hosts: db, web8" TO "web11");
    assert_list("web1 web2 web3 web5 web7 web8 web9", "7 hosts: web1" TO "web3, web5, web7" TO "web9");
    assert_list("a1 a2 a3 b1 b2 b3", "6 hosts: a1" TO "a3, b1" TO "b3");
}

static void test_numbers_elsewhere(void **state)
{
    (void)state;
    assert_list("web1.example.org web2.example.org web3.example.org",
                "3 hosts: web1.example.org" TO "web3.example.org");
    assert_list("10.0.0.9 10.0.0.10 10.0.0.11", "3 hosts: 10.0.0.9" TO "10.0.0.11");
    /* Two numbers that change by turns are no range. */
    assert_list("r1n1 r1n2 r2n2 r2n3", "4 hosts: r1n1, r1n2, r2n2, r2n3");
    assert_list("r1n1 r1n2 r1n3 r2n3", "4 hosts: r1n1" TO "r1n3, r2n3");
}

static void test_leading_zeros(void **state)
{
    (void)state;
    assert_list("n08 n09 n10", "3 hosts: n08" TO "n10");
    assert_list("n8 n9 n010", "3 hosts: n010, n8, n9");
    assert_list("n99999999999999999998 n99999999999999999999 n100000000000000000000",
                "3 hosts: n99999999999999999998, n99999999999999999999, n100000000000000000000");
}

static void test_bound(void **state)
{
    static char names[500][16];
    const char *list[500];
    char small[64];
    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "host%u", 2 * i + 100);
        list[i] = names[i];
    }
    sq_host_list_format(list, 500, small, sizeof(small));
    assert_string_equal(small, "500 hosts: host100, host102, host104 and 497 more");
    for (size_t size = 1; size < sizeof(text); size++) {
        sq_host_list_format(list, 500, text, size);
        assert_true(strlen(text) < size);
    }
}

static void test_what_is_said_of_a_host(void **state)
{
    (void)state;
    const char *agent = "tls+tcp://10.0.0.1:7433";
    assert_string_equal(sq_host_said_of("web1", agent, "web1 (tls+tcp://10.0.0.1:7433): refused"), "refused");
    assert_string_equal(sq_host_said_of("web1", agent, "web1 refuses: no"), "refuses: no");
    assert_string_equal(sq_host_said_of("web1", agent, "web1: no"), "no");
    assert_string_equal(sq_host_said_of("web1", agent, "web10 refuses: no"), "web10 refuses: no");
    assert_string_equal(sq_host_said_of("web1", agent, "interrupted"), "interrupted");
}

static void test_blocks(void **state)
{
    uint32_t count;
    char name[40][8];
    (void)state;
    struct sq_host_blocks *blocks = sq_host_blocks_new();
    assert_non_null(blocks);
    (void)sq_host_blocks_all(blocks, &count);
    assert_int_equal(count, 0);
    for (uint32_t i = 0; i < 40; i++) {
        char said[8];
        (void)snprintf(name[i], sizeof(name[i]), "web%u", i);
        (void)snprintf(said, sizeof(said), "%u", i % 20);
        assert_int_equal(sq_host_blocks_add(blocks, i, name[i], said), 0);
    }
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(sq_host_blocks_add(blocks, i, name[i], "7"), 0);
    const struct sq_host_block *all = sq_host_blocks_all(blocks, &count);
    assert_int_equal(count, 20);
    assert_string_equal(all[3].text, "3");
    assert_int_equal(all[3].count, 2);
    assert_string_equal(all[3].names[1], "web23");
    assert_int_equal(all[3].hosts[1], 23);
    assert_int_equal(all[7].count, 42);
    assert_string_equal(all[7].names[41], "web39");
    sq_host_blocks_free(blocks);
    sq_host_blocks_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_numbers_elsewhere),
        cmocka_unit_test(test_leading_zeros),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_what_is_said_of_a_host),
        cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
