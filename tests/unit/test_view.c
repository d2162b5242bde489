/* libraries: sq_commands sq_table sq_common */
#include "screen/view.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S SQ_NS_PER_SECOND

static struct sq_view_fault faults[40];
static struct sq_view_probe probes[2];
static struct sq_view view;
static char text[65536];

static void set_up_view(uint32_t fault_count)
{
    memset(faults, 0, sizeof(faults));
    for (uint32_t i = 0; i < fault_count; i++) {
        faults[i] = (struct sq_view_fault){.host = "web1",
                                           .step = "cut one web host off",
                                           .state = SQ_STATE_INJECTED,
                                           .has_left = true,
                                           .left_ns = 18 * S,
                                           .counter_count = 1};
        (void)strcpy(faults[i].counters[0].name, "dropped-in");
        faults[i].counters[0].value = 120;
    }
    probes[0] = (struct sq_view_probe){.name = "success rate",
                                       .seen = true,
                                       .within = true,
                                       .measured = true,
                                       .value = "0.995",
                                       .tolerance = ">= 0.99"};
    probes[1] = (struct sq_view_probe){.name = "f\xc3\xbcr alle",
                                       .seen = true,
                                       .measured = true,
                                       .value = "status 503 in 3ms",
                                       .tolerance = "status 200 within 500ms",
                                       .misses = 2,
                                       .allowed = 3};
    view = (struct sq_view){.title = "The shop survives",
                            .phase = "faults are in",
                            .has_left = true,
                            .left_ns = 18 * S,
                            .elapsed_ns = 14 * S,
                            .fault_count = fault_count,
                            .faults = faults,
                            .probe_count = 2,
                            .probes = probes};
}

/* Columns of the widest line, escape sequences and UTF-8 continuation bytes not counted; and the number of
 * lines. */
static uint32_t widest_line(uint32_t *lines)
{
    uint32_t widest = 0;
    uint32_t columns = 0;
    *lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\033') {
            c += strcspn(c, "m");
            continue;
        }
        if (*c == '\n') {
            (*lines)++;
            columns = 0;
        } else if (((unsigned char)*c & 0xC0) != 0x80 && ++columns > widest) {
            widest = columns;
        }
    }
    return widest;
}

static void test_never_wider_nor_higher(void **state)
{
    static const uint32_t columns[] = {1, 2, 10, 40, 80, 200};
    static const uint32_t rows[] = {1, 2, 3, 4, 10, 100};
    (void)state;
    for (size_t c = 0; c < 6; c++)
        for (size_t r = 0; r < 6; r++)
            for (int colored = 0; colored < 2; colored++) {
                uint32_t lines;
                set_up_view(40);
                sq_view_render(&view, columns[c], rows[r], colored == 1, text, sizeof(text));
                assert_true(widest_line(&lines) <= columns[c]);
                assert_true(lines <= rows[r]);
                assert_true(lines >= 1);
            }
}

static void test_wide(void **state)
{
    uint32_t lines;
    (void)state;
    set_up_view(1);
    sq_view_render(&view, 200, 50, false, text, sizeof(text));
    assert_int_equal(widest_line(&lines) > 0 ? lines : 0, 4);
    assert_string_equal(
        text, "faults are in  14.0s, 18.0s left  The shop survives\n"
              "  web1  INJECTED   18.0s  cut one web host off  dropped-in 120\n"
              "  ok   success rate  0.995  (>= 0.99)\n"
              "  MISS f\xc3\xbcr alle      status 503 in 3ms  2 of 3 misses  (status 200 within 500ms)\n");
}

static void test_narrow_keeps_what_matters(void **state)
{
    (void)state;
    set_up_view(1);
    sq_view_render(&view, 40, 50, false, text, sizeof(text));
    assert_non_null(strstr(text, "faults are in  14.0s, 18.0s left"));
    assert_non_null(strstr(text, "web1  INJECTED   18.0s"));
    assert_non_null(strstr(text, "MISS f\xc3\xbcr alle      status 503 in 3ms"));
}

static void test_says_what_is_not_shown(void **state)
{
    (void)state;
    set_up_view(40);
    sq_view_render(&view, 80, 10, false, text, sizeof(text));
    assert_non_null(strstr(text, "  and 34 more faults\n"));
    assert_non_null(strstr(text, "success rate"));
}

static void test_states(void **state)
{
    (void)state;
    set_up_view(1);
    faults[0].unreachable = true;
    probes[0].seen = false;
    probes[1].measured = false;
    sq_view_render(&view, 80, 10, false, text, sizeof(text));
    assert_non_null(strstr(text, "NO ANSWER"));
    assert_non_null(strstr(text, "...  success rate"));
    assert_non_null(strstr(text, "NONE "));
}

static void test_colors_are_closed_and_hostile_names_harmless(void **state)
{
    (void)state;
    set_up_view(1);
    faults[0].host = "a\033[2Jb\nc";
    sq_view_render(&view, 20, 10, true, text, sizeof(text));
    assert_null(strstr(text, "\033[2J"));
    assert_non_null(strstr(text, "a?[2Jb?c"));
    int open = 0;
    for (const char *c = text; (c = strchr(c, '\033')) != NULL; c++) {
        open += strncmp(c, "\033[0m", 4) == 0 ? -1 : 1;
        assert_true(open == 0 || open == 1);
    }
    assert_int_equal(open, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_wider_nor_higher),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_narrow_keeps_what_matters),
        cmocka_unit_test(test_says_what_is_not_shown),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_colors_are_closed_and_hostile_names_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
