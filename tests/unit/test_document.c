/* libraries: sq_common */
#include "common/clock.h"
#include "common/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct sq_document *parse(const char *text)
{
    struct sq_document *document = NULL;
    struct sq_error error;
    if (sq_document_parse("f.yaml", text, strlen(text), &document, &error) != 0)
        fail_msg("%s", error.text);
    assert_non_null(document);
    return document;
}

static void refuse_bytes(const char *text, size_t length, const char *part)
{
    struct sq_document *document = NULL;
    struct sq_error error = {0};
    if (sq_document_parse("f.yaml", text, length, &document, &error) == 0)
        fail_msg("accepted: %s", text);
    assert_null(document);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    assert_int_equal(sq_document_parse("f.yaml", text, length, &document, NULL), -1);
}

static void refuse(const char *text, const char *part)
{
    refuse_bytes(text, strlen(text), part);
}

static void test_tree_and_places(void **state)
{
    (void)state;
    sq_autodocument struct sq_document *document = parse("# a comment\n"
                                                         "title: The shop\n"
                                                         "hosts:\n"
                                                         "- {name: web1, labels: {role: web}}\n"
                                                         "-   name: web2\n"
                                                         "empty:\n");
    struct sq_node root = sq_document_root(document);
    assert_string_equal(sq_document_name(document), "f.yaml");
    assert_int_equal(sq_node_type(root), SQ_NODE_MAP);
    assert_int_equal(sq_node_count(root), 3);
    assert_string_equal(sq_node_text(sq_node_get(root, "title")), "The shop");
    assert_string_equal(sq_node_text(sq_node_key(root, 1)), "hosts");
    struct sq_node hosts = sq_node_get(root, "hosts");
    assert_int_equal(sq_node_type(hosts), SQ_NODE_LIST);
    assert_int_equal(sq_node_count(hosts), 2);
    struct sq_node name = sq_node_get(sq_node_item(hosts, 1), "name");
    assert_string_equal(sq_node_text(name), "web2");
    assert_int_equal(sq_node_line(name), 5);
    assert_int_equal(sq_node_column(name), 11);
    struct sq_node role = sq_node_get(sq_node_get(sq_node_item(hosts, 0), "labels"), "role");
    assert_int_equal(sq_node_line(role), 4);
    assert_int_equal(sq_node_column(role), 31);
    assert_string_equal(sq_node_text(sq_node_get(root, "empty")), "");
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    sq_autodocument struct sq_document *document = parse("a: [1]\nb: x\n");
    struct sq_node root = sq_document_root(document);
    struct sq_node none = sq_node_get(root, "zzz");
    assert_false(sq_node_is_there(none));
    assert_int_equal(sq_node_type(none), SQ_NODE_NONE);
    assert_null(sq_node_text(none));
    assert_int_equal(sq_node_count(none), 0);
    assert_false(sq_node_is_there(sq_node_item(sq_node_get(root, "a"), 1)));
    assert_false(sq_node_is_there(sq_node_item(sq_node_get(root, "b"), 0)));
    assert_false(sq_node_is_there(sq_node_key(root, 2)));
    assert_false(sq_node_is_there(sq_node_value(sq_node_get(root, "a"), 0)));
    assert_false(sq_node_is_there(sq_node_get(sq_node_get(root, "a"), "x")));
    assert_false(sq_node_is_there(sq_node_get(none, "x")));
    assert_false(sq_node_is_there((struct sq_node){0}));
    assert_null(sq_node_text(sq_node_get(root, "a")));
    assert_int_equal(sq_node_count(sq_node_get(root, "b")), 0);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n\n", "# only a comment\n", "   ", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        sq_autodocument struct sq_document *document = parse(empty[i]);
        struct sq_node root = sq_document_root(document);
        assert_int_equal(sq_node_type(root), SQ_NODE_NONE);
        struct sq_error error;
        assert_int_equal(sq_node_expect(root, SQ_NODE_MAP, "the file", &error), -1);
        assert_string_equal(error.text, "f.yaml: the file is nothing; expected a map (key: value)");
    }
}

static void test_json_crlf_and_bom(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"a\": {\"b\": [1, \"two\", null, true]}, \"c\": \"x\\u00e4\\n\"}",
        "a:\r\n  b:\r\n  - 1\r\n  - two\r\n  - null\r\n  - true\r\nc: \"x\\u00e4\\n\"\r\n",
        "\xef\xbb\xbf\x61:\n  b: [1, two, null, true]\nc: \"xä\\n\"\n",
        "{\n\t\"a\": {\"b\": [1, \"two\", null, true]},\n\t\"c\": \"xä\\n\"\n}\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        sq_autodocument struct sq_document *document = parse(same[i]);
        struct sq_node root = sq_document_root(document);
        struct sq_node list = sq_node_get(sq_node_get(root, "a"), "b");
        assert_int_equal(sq_node_count(list), 4);
        assert_string_equal(sq_node_text(sq_node_item(list, 0)), "1");
        assert_string_equal(sq_node_text(sq_node_item(list, 2)), "null");
        assert_string_equal(sq_node_text(sq_node_get(root, "c")), "xä\n");
    }
}

static void test_not_yaml(void **state)
{
    (void)state;
    refuse("a: [1, 2\n", "f.yaml:2:1: not valid YAML");
    refuse("a: 'x\n", "not valid YAML");
    refuse("a: b: c\n", "f.yaml:1:5: not valid YAML");
    refuse("a:\n\t- x\n", "f.yaml:2:1: not valid YAML");
    refuse("a: 1\n b: 2\n", "f.yaml:2:3: not valid YAML");
    refuse("a: *nobody\n", "f.yaml:1:4: not valid YAML: found undefined alias");
    refuse("%YAML 3.0\n---\na: 1\n", "not valid YAML");
    refuse("a: @x\n", "f.yaml:1:4: not valid YAML");
    refuse("{\"a\": 1,, }", "not valid YAML");
    refuse("a: \"\\q\"\n", "not valid YAML");
}

static void test_not_utf8(void **state)
{
    (void)state;
    refuse("a: 1\nb: \xff\n", "f.yaml:2:4: not UTF-8 text");
    refuse("a: \xc3(\n", "not UTF-8 text");
    refuse("a: \xed\xa0\x80\n", "not UTF-8 text");
    refuse("a: \x01\n", "f.yaml:1:4: not UTF-8 text: control characters are not allowed");
    static const char utf16[] = "\xff\xfe"
                                "a\0:\0 \0b\0";
    refuse_bytes(utf16, sizeof utf16, "f.yaml:1:1: not UTF-8 text");
    static const char zero[] = "a: b\0c\n";
    refuse_bytes(zero, sizeof zero - 1, "not UTF-8 text");
}

static void test_several_documents(void **state)
{
    (void)state;
    refuse("a: 1\n---\nb: 2\n", "f.yaml:3:1: a second YAML document; expected one");
    refuse("a: 1\n...\n---\nb: 2\n", "a second YAML document");
    refuse("a: 1\n---\n[", "not valid YAML");
    sq_autodocument struct sq_document *document = parse("---\na: 1\n...\n");
    assert_string_equal(sq_node_text(sq_node_get(sq_document_root(document), "a")), "1");
}

static void test_keys(void **state)
{
    (void)state;
    refuse("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands here twice; it was first on line 1");
    refuse("x: {a: 1, b: {c: 1, \"c\": 2}}\n", "f.yaml:1:21: the key 'c' stands here twice");
    refuse("? [a]\n: 1\n", "a key must be a plain word");
    refuse("? {a: b}\n: 1\n", "a key must be a plain word");
    refuse("\"a\\0b\": 1\n", "a zero byte");
    refuse("a: \"x\\0y\"\n", "f.yaml:1:4: a zero byte inside a value");
}

static char *repeat(const char *part, size_t times, const char *end)
{
    size_t length = strlen(part);
    char *text = malloc(length * times + strlen(end) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * length, part, length);
    memcpy(text + length * times, end, strlen(end) + 1);
    return text;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * SQ_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void test_nesting(void **state)
{
    (void)state;
    char *text = repeat("[", SQ_DOCUMENT_DEPTH_MAX, "");
    char closed[2 * SQ_DOCUMENT_DEPTH_MAX + 1] = "";
    memset(closed, ']', SQ_DOCUMENT_DEPTH_MAX);
    memcpy(closed + SQ_DOCUMENT_DEPTH_MAX, closed, SQ_DOCUMENT_DEPTH_MAX);
    memset(closed, '[', SQ_DOCUMENT_DEPTH_MAX);
    sq_document_free(parse(closed));
    free(text);
    text = repeat("[", 32, "");
    refuse(text, "not valid YAML");
    free(text);
    text = repeat("[", 100, "]");
    refuse(text, "f.yaml:1:33: nested more than 32 levels deep");
    free(text);
    static const size_t depths[] = {40, 1000, 100000};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        char *open = repeat("[", depths[i], "");
        char *end = repeat("]", depths[i], "");
        text = repeat(open, 1, end);
        refuse(text, "f.yaml");
        free(text);
        free(open);
        free(end);
    }
    text = repeat("- ", 100000, "x\n");
    refuse(text, "f.yaml");
    free(text);
    text = repeat("a: {", 100000, "\n");
    refuse(text, "nested more than 32 levels deep");
    free(text);
    static char anchors[32768];
    size_t used = 0;
    for (int i = 0; i <= 1000; i++)
        used += (size_t)snprintf(anchors + used, sizeof anchors - used, "- &a%d x\n", i);
    refuse(anchors, "f.yaml:1001:3: more than 1000 anchors");
}

static void test_aliases(void **state)
{
    (void)state;
    sq_autodocument struct sq_document *document = parse("a: &x {k: v}\nb: *x\n");
    struct sq_node root = sq_document_root(document);
    assert_string_equal(sq_node_text(sq_node_get(sq_node_get(root, "b"), "k")), "v");
    refuse("a: &x [*x]\n", "nested too deeply or too large");
    refuse("&x {a: *x}\n", "nested too deeply or too large");
    refuse("&x {? *x : 1}\n", "f.yaml");

    char bomb[4096] = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 20; i++) {
        char line[128];
        (void)snprintf(line, sizeof line,
                       "l%d: &l%d [*l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d]\n", i, i,
                       i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        (void)strncat(bomb, line, sizeof bomb - strlen(bomb) - 1);
    }
    uint64_t before_ns = cpu_ns();
    refuse(bomb, "too large");
    assert_true(cpu_ns() - before_ns < 20 * SQ_NS_PER_SECOND);
}

/* Many maps of many keys: checked in a time that grows about as the file does. */
static void test_large_maps(void **state)
{
    (void)state;
    static char map[16384];
    size_t used = (size_t)snprintf(map, sizeof map, "- {");
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(map + used, sizeof map - used, "k%d: , ", i);
    (void)snprintf(map + used, sizeof map - used, "}\n");
    char *text = repeat(map, 100, "");
    uint64_t before_ns = cpu_ns();
    sq_document_free(parse(text));
    assert_true(cpu_ns() - before_ns < 20 * SQ_NS_PER_SECOND);
    free(text);
    used -= 2;
    (void)snprintf(map + used, sizeof map - used, ", one-more: }\n");
    refuse(map, "more than 1000 keys in one map");
}

static void test_messages(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autodocument struct sq_document *document = parse("title: x\nmetod: []\nlist: [1]\n");
    struct sq_node root = sq_document_root(document);
    static const char *const keys[] = {"title", "method", "list"};
    assert_int_equal(sq_node_check_keys(root, "the experiment", keys, 3, &error), -1);
    assert_string_equal(error.text,
                        "f.yaml:2:1: unknown key 'metod' in the experiment; did you mean 'method'?");
    static const char *const far[] = {"title", "zebra", "list"};
    assert_int_equal(sq_node_check_keys(root, "the experiment", far, 3, &error), -1);
    assert_string_equal(
        error.text, "f.yaml:2:1: unknown key 'metod' in the experiment; expected one of title, zebra, list");
    static const char *const all[] = {"list", "metod", "title"};
    assert_int_equal(sq_node_check_keys(root, "the experiment", all, 3, &error), 0);
    assert_int_equal(sq_node_check_keys(sq_node_get(root, "list"), "'list'", all, 3, &error), -1);
    assert_string_equal(error.text, "f.yaml:3:7: 'list' is a list; expected a map (key: value)");
    assert_int_equal(sq_node_fail(root, &error, SQ_LIMIT, "%d too many", 3), -1);
    assert_string_equal(error.text, "f.yaml:1:1: 3 too many");
    assert_int_equal(error.code, SQ_LIMIT);
    (void)sq_fail(&error, SQ_BAD_INPUT, "what");
    assert_int_equal(sq_node_fail_at(sq_node_get(root, "none"), &error), -1);
    assert_string_equal(error.text, "f.yaml: what");
}

/* What libyaml says tells little to who does not know its grammar. */
static void test_hints(void **state)
{
    (void)state;
    refuse(
        "a: {count: ${victims}}\n",
        "f.yaml:1:13: not valid YAML: did not find expected ',' or '}', while parsing a flow mapping (inside "
        "braces or brackets a parameter is quoted: \"${victims}\")");
    refuse("a: {\xc3\xa4: [${x}]}\n", "a parameter is quoted: \"${x}\"");
    refuse("a:\n\t- b\n", "f.yaml:2:1: not valid YAML: ");
    refuse("a:\n\t- b\n", "(a tab stands in the indentation; YAML is indented with spaces)");
    refuse("a:\n- b: 1\n \tc: 2\n", "(a tab stands in the indentation; YAML is indented with spaces)");
    refuse("a: @b\n", "(a value that begins with @ is quoted: \"@...\")");
    refuse("a: b: c\n", "(a value with a colon and a space in it is quoted)");
    refuse("a: &x {b: c}\nd:\n  <<: *x\n",
           "f.yaml:3:3: merge keys ('<<') are not supported; write the keys out that are meant");
    refuse("a: !!int x\n", "f.yaml:1:4: the tag '!!int' is not supported");
    refuse("a: !mine {b: c}\n", "f.yaml:1:4: the tag '!mine' is not supported");
    sq_document_free(parse("a: !!str 5\n"));
    sq_document_free(parse("{\n\t\"a\":\t[\n\t1]\n}\n"));
}

/* JSON's halves of a character beyond U+FFFF. */
static void test_surrogates(void **state)
{
    (void)state;
    sq_autodocument struct sq_document *document =
        parse("{\"a\": \"\\ud83d\\ude00!\", \"b\": \"\\\\ud83d\\\\ude00\", \"c\": \"\\uD83D\\uDE00\"}");
    struct sq_node root = sq_document_root(document);
    assert_string_equal(sq_node_text(sq_node_get(root, "a")), "\xf0\x9f\x98\x80!");
    assert_string_equal(sq_node_text(sq_node_get(root, "b")), "\\ud83d\\ude00");
    assert_string_equal(sq_node_text(sq_node_get(root, "c")), "\xf0\x9f\x98\x80");
    sq_autodocument struct sq_document *plain = parse("a: \\ud83d\\ude00\n");
    assert_string_equal(sq_node_text(sq_node_get(sq_document_root(plain), "a")), "\\ud83d\\ude00");
    refuse("{\"a\": \"\\ud83d\"}", "f.yaml:1:");
    refuse("{\"a\": \"\\ud83d\\ude0\"}", "f.yaml:1:");
    refuse("{\"a\": \"\\ude00\\ud83d\"}", "f.yaml:1:");
}

static void test_a_long_name_keeps_the_place(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'd', sizeof name - 1);
    memcpy(name, "/x/", 3);
    memcpy(name + sizeof name - 6, ".yaml", 6);
    struct sq_document *document = NULL;
    struct sq_error error;
    assert_int_equal(sq_document_parse(name, "a: 1\na: 2\n", 10, &document, &error), -1);
    assert_non_null(strstr(error.text, ".yaml:2:1: the key 'a' stands here twice"));
}

static void test_scalars(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autodocument struct sq_document *document =
        parse("name: web1\nevery: 1s\ncount: 3\nempty: ''\nbad: x\nlist: []\nlong: 12345678\n");
    struct sq_node root = sq_document_root(document);
    const char *text = "kept";
    uint64_t number = 42;
    assert_int_equal(sq_map_text(root, "name", true, 5, &text, &error), 0);
    assert_string_equal(text, "web1");
    assert_int_equal(sq_map_duration(root, "every", true, &number, &error), 0);
    assert_int_equal(number, SQ_NS_PER_SECOND);
    assert_int_equal(sq_map_count(root, "count", true, 3, &number, &error), 0);
    assert_int_equal(number, 3);
    text = "kept";
    assert_int_equal(sq_map_text(root, "none", false, 5, &text, &error), 0);
    assert_int_equal(sq_map_count(root, "none", false, 5, &number, &error), 0);
    assert_int_equal(sq_map_duration(root, "none", false, &number, &error), 0);
    assert_string_equal(text, "kept");
    assert_int_equal(number, 3);

    assert_int_equal(sq_map_text(root, "none", true, 5, &text, &error), -1);
    assert_string_equal(error.text, "f.yaml:1:1: 'none' is missing");
    assert_int_equal(sq_map_text(root, "empty", true, 5, &text, &error), -1);
    assert_string_equal(error.text, "f.yaml:4:8: 'empty' is empty");
    assert_int_equal(sq_map_text(root, "long", false, 8, &text, &error), -1);
    assert_string_equal(error.text, "f.yaml:7:7: 'long' is longer than 7 bytes");
    assert_int_equal(sq_map_text(root, "list", false, 8, &text, &error), -1);
    assert_string_equal(error.text, "f.yaml:6:7: 'list' is a list; expected a single value");
    assert_int_equal(sq_map_duration(root, "bad", false, &number, &error), -1);
    assert_non_null(strstr(error.text, "f.yaml:5:6: 'x' is not a duration"));
    assert_int_equal(sq_map_count(root, "count", false, 2, &number, &error), -1);
    assert_string_equal(error.text, "f.yaml:3:8: '3' is out of range; expected 0 to 2");
    assert_string_equal(text, "kept");
    assert_int_equal(number, 3);
}

static void test_replace_text(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autodocument struct sq_document *document = parse("a: ${x}\nb: []\n");
    struct sq_node root = sq_document_root(document);
    assert_int_equal(sq_node_replace_text(sq_node_get(root, "a"), "another, longer text", &error), 0);
    assert_string_equal(sq_node_text(sq_node_get(root, "a")), "another, longer text");
    assert_int_equal(sq_node_replace_text(sq_node_get(root, "b"), "x", &error), -1);
    assert_int_equal(sq_node_replace_text(sq_node_get(root, "c"), "x", &error), -1);
    assert_int_equal(error.code, SQ_INTERNAL);
}

static void test_files(void **state)
{
    (void)state;
    struct sq_document *document = NULL;
    struct sq_error error = {0};
    assert_int_equal(sq_document_load("/nonexistent/f.yaml", &document, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "/nonexistent/f.yaml"));
    assert_int_equal(sq_document_load("/tmp", &document, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(sq_document_load("/dev/zero", &document, &error), -1);
    assert_non_null(strstr(error.text, "larger than"));
    assert_null(document);

    char path[] = "/tmp/sq-document-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: 1\n", 5), 5);
    (void)close(fd);
    int result = sq_document_load(path, &document, &error);
    (void)unlink(path);
    assert_int_equal(result, 0);
    assert_string_equal(sq_document_name(document), path);
    sq_document_free(document);
    sq_document_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_places),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_json_crlf_and_bom),
        cmocka_unit_test(test_not_yaml),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_several_documents),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_large_maps),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_surrogates),
        cmocka_unit_test(test_a_long_name_keeps_the_place),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_replace_text),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
