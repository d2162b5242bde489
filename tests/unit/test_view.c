/* libraries: sq_commands sq_table sq_common */
#include "screen/view.h"
#include "screen/width.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S     SQ_NS_PER_SECOND
#define FULL  "\xe2\xa3\xbf" /* all eight dots */
#define RIGHT "\xe2\xa2\xb8" /* the right four */

static struct sq_view_fault faults[40];
static struct sq_view_probe probes[2];
static struct sq_view view;
static char text[65536];

static void set_up_view(uint32_t fault_count)
{
    memset(faults, 0, sizeof(faults));
    for (uint32_t i = 0; i < fault_count; i++) {
        static char hosts[40][16];
        (void)snprintf(hosts[i], sizeof(hosts[i]), "web%u", i + 1);
        faults[i] = (struct sq_view_fault){.host = hosts[i],
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
    sq_curve_add(&probes[0].curve, 1000 * S, 0.005, false);
    sq_curve_add(&probes[1].curve, 1000 * S, 0.4, true);
    view = (struct sq_view){.title = "The shop survives",
                            .phase = "faults are in",
                            .elapsed_ns = 14 * S,
                            .length_ns = 32 * S,
                            .until = "03:55:33",
                            .now_boot_ns = 1000 * S,
                            .fault_count = fault_count,
                            .faults = faults,
                            .probe_count = 2,
                            .probes = probes};
}

/* Columns of the widest line, and the number of lines. */
static uint32_t widest_line(uint32_t *lines)
{
    static char copy[sizeof(text)];
    uint32_t widest = 0;
    *lines = 0;
    memcpy(copy, text, sizeof(copy));
    for (char *line = strtok(copy, "\n"); line != NULL; line = strtok(NULL, "\n"), (*lines)++)
        if (sq_width(line) > widest)
            widest = sq_width(line);
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
                view.colored = colored == 1;
                sq_view_render(&view, columns[c], rows[r], text, sizeof(text));
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
    sq_view_render(&view, 200, 50, text, sizeof(text));
    assert_int_equal(widest_line(&lines) > 0 ? lines : 0, 4);
    assert_string_equal(
        text, "faults are in  [#########-----------]  14.0s of 32.0s, until 03:55:33  The shop survives\n"
              "  web1  INJECTED   18.0s  cut one web host off  dropped-in 120\n"
              "  ok   success rate  0.995                            ^  (>= 0.99)\n"
              "  MISS f\xc3\xbcr alle      status 503 in 3ms                _  2 of 3 misses  (status 200 "
              "within "
              "500ms)\n");
    view.utf8 = true;
    sq_view_render(&view, 200, 50, text, sizeof(text));
    assert_non_null(strstr(text, "faults are in  " FULL FULL));
    assert_non_null(strstr(text, RIGHT "  (>= 0.99)"));
}

/* Lines are broken at words, and go on indented. */
static void test_narrow_breaks_at_words(void **state)
{
    (void)state;
    set_up_view(1);
    sq_view_render(&view, 40, 50, text, sizeof(text));
    assert_string_equal(text, "faults are in  [####------]  14.0s of\n"
                              "    32.0s, until 03:55:33  The shop\n"
                              "    survives\n"
                              "  web1  INJECTED   18.0s  cut one web\n"
                              "    host off  dropped-in 120\n"
                              "  ok   success rate  0.995  (>= 0.99)\n"
                              "  MISS f\xc3\xbcr alle      status 503 in 3ms\n"
                              "    2 of 3 misses  (status 200 within\n"
                              "    500ms)\n");
    /* No room for that: what stands first in each line. */
    sq_view_render(&view, 40, 5, text, sizeof(text));
    assert_string_equal(text, "faults are in  [####------]  14.0s of 32\n"
                              "  web1  INJECTED   18.0s  cut one web ho\n"
                              "  ok   success rate  0.995  (>= 0.99)\n"
                              "  MISS f\xc3\xbcr alle      status 503 in 3ms  \n");
}

#define KANJI "\xe6\x97\xa5\xe6\x9c\xac"
#define EMOJI "\xf0\x9f\x8c\xaa\xef\xb8\x8f"

/* Two columns a character: neither wider than the terminal, nor out of line. */
static void test_wide_characters(void **state)
{
    (void)state;
    for (uint32_t columns = 1; columns < 100; columns++)
        for (uint32_t rows = 1; rows < 14; rows++) {
            uint32_t lines;
            set_up_view(2);
            view.utf8 = columns % 2 == 0;
            view.colored = rows % 2 == 0;
            view.title = EMOJI " " KANJI KANJI KANJI KANJI KANJI KANJI " " EMOJI;
            faults[0].step = KANJI KANJI;
            probes[0].name = KANJI EMOJI;
            sq_view_render(&view, columns, rows, text, sizeof(text));
            assert_true(widest_line(&lines) <= (columns > 1 ? columns : 2));
            assert_true(lines <= rows);
        }
    set_up_view(2);
    faults[0].host = KANJI;
    probes[0].name = KANJI EMOJI "s";
    sq_view_render(&view, 120, 50, text, sizeof(text));
    assert_non_null(strstr(text, "  " KANJI "  INJECTED"));
    assert_non_null(strstr(text, "  web2  INJECTED"));
    assert_non_null(strstr(text, "  ok   " KANJI EMOJI "s   0.995"));
    assert_non_null(strstr(text, "  MISS f\xc3\xbcr alle  status"));
}

static void test_hosts_share_lines_where_there_are_many(void **state)
{
    (void)state;
    set_up_view(40);
    faults[39].state = SQ_STATE_REVERTED;
    faults[39].has_left = false;
    sq_view_render(&view, 100, 10, text, sizeof(text));
    assert_non_null(strstr(text, "  39 hosts: web1\xe2\x80\xa6web39"));
    assert_non_null(strstr(text, "INJECTED   18.0s  cut one web host off  dropped-in 4680\n"));
    assert_non_null(strstr(text, "  web40  "));
    assert_non_null(strstr(text, "success rate"));
}

static void test_says_what_is_not_shown(void **state)
{
    static char names[40][8];
    static struct sq_view_probe many[200];
    (void)state;
    set_up_view(40);
    for (uint32_t i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "step%u", i);
        faults[i].step = names[i];
    }
    sq_view_render(&view, 80, 10, text, sizeof(text));
    assert_non_null(strstr(text, "  and 34 more faults\n"));
    assert_non_null(strstr(text, "success rate"));
    /* Of many probes those that miss come first. */
    for (uint32_t i = 0; i < 200; i++)
        many[i] = probes[i == 150 ? 1 : 0];
    view.probes = many;
    view.probe_count = 200;
    sq_view_render(&view, 80, 10, text, sizeof(text));
    assert_non_null(strstr(text, "MISS f\xc3\xbcr alle"));
    assert_non_null(strstr(text, "  and 193 more probes\n"));
}

static void test_states(void **state)
{
    (void)state;
    set_up_view(1);
    faults[0].unreachable = true;
    probes[0].seen = false;
    probes[1].measured = false;
    sq_view_render(&view, 80, 10, text, sizeof(text));
    assert_non_null(strstr(text, "NO ANSWER"));
    assert_non_null(strstr(text, "...  success rate"));
    assert_non_null(strstr(text, "NONE "));
}

static void test_colors_are_closed_and_hostile_names_harmless(void **state)
{
    (void)state;
    set_up_view(1);
    faults[0].host = "a\033[2Jb\nc";
    sq_view_render(&view, 20, 10, text, sizeof(text));
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
        cmocka_unit_test(test_narrow_breaks_at_words),
        cmocka_unit_test(test_wide_characters),
        cmocka_unit_test(test_hosts_share_lines_where_there_are_many),
        cmocka_unit_test(test_says_what_is_not_shown),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_colors_are_closed_and_hostile_names_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
