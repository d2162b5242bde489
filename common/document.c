#include "document.h"

#include "cleanup.h"
#include "file.h"
#include "nearest.h"
#include "text.h"
#include "units.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAP_KEYS_MAX    1000
#define SHOWN_MAX       255
#define ANCHORS_MAX     1000
#define NODE_VISITS_MAX 4000000

struct sq_document {
    yaml_document_t yaml;
    char *name;
    const char *shown; /* its end, as much as leaves room for a message */
};

static yaml_node_t *yaml_node(struct sq_node node)
{
    if (node.document == NULL || node.index <= 0)
        return NULL;
    return yaml_document_get_node(&node.document->yaml, node.index);
}

static struct sq_node node_at(struct sq_document *document, int index)
{
    return (struct sq_node){.document = document, .index = index};
}

struct map_key {
    const char *text;
    size_t place;
};

static int compare_keys(const void *a, const void *b)
{
    const struct map_key *x = a;
    const struct map_key *y = b;
    int order = strcmp(x->text, y->text);
    if (order != 0)
        return order;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Sorted, not compared each with each: a file of large maps must not take minutes. */
static int check_map(struct sq_node map, struct sq_error *error)
{
    size_t count = sq_node_count(map);
    if (count > MAP_KEYS_MAX)
        return sq_node_fail(map, error, SQ_BAD_INPUT, "more than %d keys in one map", MAP_KEYS_MAX);
    struct map_key keys[MAP_KEYS_MAX];
    for (size_t i = 0; i < count; i++) {
        struct sq_node key = sq_node_key(map, i);
        keys[i] = (struct map_key){.text = sq_node_text(key), .place = i};
        if (keys[i].text == NULL)
            return sq_node_fail(key, error, SQ_BAD_INPUT, "a key must be a plain word");
        if (strcmp(keys[i].text, "<<") == 0)
            return sq_node_fail(key, error, SQ_BAD_INPUT,
                                "merge keys ('<<') are not supported; write the keys out that are meant");
    }
    if (count < 2)
        return 0;
    qsort(keys, count, sizeof keys[0], compare_keys);
    for (size_t i = 1; i < count; i++)
        if (strcmp(keys[i - 1].text, keys[i].text) == 0)
            return sq_node_fail(sq_node_key(map, keys[i].place), error, SQ_BAD_INPUT,
                                "the key '%.60s' stands here twice; it was first on line %zu", keys[i].text,
                                sq_node_line(sq_node_key(map, keys[i - 1].place)));
    return 0;
}

/* What a value means is decided by who reads it: a tag that says otherwise would be passed over silently. */
static int check_tag(struct sq_node node, struct sq_error *error)
{
    static const char yaml_org[] = "tag:yaml.org,2002:";
    const yaml_node_t *yaml = yaml_node(node);
    const char *tag = yaml != NULL ? (const char *)yaml->tag : NULL;
    if (tag == NULL)
        return 0;
    const char *standard = yaml->type == YAML_SCALAR_NODE     ? YAML_STR_TAG
                           : yaml->type == YAML_SEQUENCE_NODE ? YAML_SEQ_TAG
                                                              : YAML_MAP_TAG;
    if (strcmp(tag, standard) == 0)
        return 0;
    bool is_known = strncmp(tag, yaml_org, strlen(yaml_org)) == 0;
    return sq_node_fail(
        node, error, SQ_BAD_INPUT,
        "the tag '%s%.60s' is not supported: what a value means is known without; leave the tag out",
        is_known ? "!!" : "", is_known ? tag + strlen(yaml_org) : tag);
}

/* Walks what a reader would walk, so aliases count every time they are used. */
static int check_tree(struct sq_node node, int depth, int *visits, struct sq_error *error)
{
    if (depth > SQ_DOCUMENT_DEPTH_MAX || ++*visits > NODE_VISITS_MAX)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "nested too deeply or too large (an alias that contains itself?)");
    enum sq_node_type type = sq_node_type(node);
    if (check_tag(node, error) != 0)
        return -1;
    if (type == SQ_NODE_SCALAR) {
        yaml_node_t *scalar = yaml_node(node);
        if (scalar != NULL && memchr(scalar->data.scalar.value, '\0', scalar->data.scalar.length) != NULL)
            return sq_node_fail(node, error, SQ_BAD_INPUT, "a zero byte inside a value");
        return 0;
    }
    if (type == SQ_NODE_MAP && check_map(node, error) != 0)
        return -1;
    for (size_t i = 0; i < sq_node_count(node); i++) {
        struct sq_node child = type == SQ_NODE_MAP ? sq_node_value(node, i) : sq_node_item(node, i);
        if (type == SQ_NODE_MAP && check_tree(sq_node_key(node, i), depth + 1, visits, error) != 0)
            return -1;
        if (check_tree(child, depth + 1, visits, error) != 0)
            return -1;
    }
    return 0;
}

/* libyaml tells the byte alone when the text is not even UTF-8. */
static int fail_reader(const yaml_parser_t *parser, const char *name, const char *problem,
                       struct sq_error *error)
{
    const char *content = (const char *)parser->input.string.start;
    size_t length = (size_t)(parser->input.string.end - parser->input.string.start);
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < length && i < parser->problem_offset; i++) {
        column = content[i] == '\n' ? 1 : column + 1;
        line += content[i] == '\n';
    }
    return sq_fail(error, SQ_BAD_INPUT, "%s:%zu:%zu: not UTF-8 text: %s; expected YAML or JSON in UTF-8",
                   name, line, column, problem);
}

/* Where in its line libyaml found a problem: the line's first byte, and the byte at its mark. */
static const char *find_mark(const yaml_parser_t *parser, const char **line)
{
    const char *at = (const char *)parser->input.string.start;
    const char *end = (const char *)parser->input.string.end;
    for (size_t i = 0; i < parser->problem_mark.line && at < end; i++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        at = next == NULL ? end : next + 1;
    }
    *line = at;
    /* Columns are characters: bytes that go on with one do not count. */
    for (size_t column = 0; at < end && *at != '\n'; at++) {
        if (column == parser->problem_mark.column && (*at & 0xc0) != 0x80)
            break;
        column += at + 1 < end && (at[1] & 0xc0) == 0x80 ? 0 : 1;
    }
    return at;
}

static int word_length(const char *text, const char *end)
{
    int length = 0;
    while (length < 60 && text + length < end &&
           (isalnum((unsigned char)text[length]) || text[length] == '_' || text[length] == '-'))
        length++;
    return length;
}

/* What is mostly meant where YAML gives up: libyaml's words alone tell it only to who knows its grammar. */
static void add_hint(const yaml_parser_t *parser, struct sq_error *error)
{
    const char *end = (const char *)parser->input.string.end;
    const char *line;
    const char *mark = find_mark(parser, &line);
    size_t used = strlen(error->text);
    char *text = error->text + used;
    size_t size = sizeof error->text - used;
    const char *blank = line;
    while (blank < mark && *blank == ' ')
        blank++;
    if (mark >= end)
        return;
    if (*blank == '\t')
        (void)snprintf(text, size, " (a tab stands in the indentation; YAML is indented with spaces)");
    else if (*mark == '{' && mark > line && mark[-1] == '$')
        (void)snprintf(text, size, " (inside braces or brackets a parameter is quoted: \"${%.*s}\")",
                       word_length(mark + 1, end), mark + 1);
    else if (strchr("@`%", *mark) != NULL)
        (void)snprintf(text, size, " (a value that begins with %c is quoted: \"%c...\")", *mark, *mark);
    else if (*mark == ':')
        (void)snprintf(text, size, " (a value with a colon and a space in it is quoted)");
}

static int fail_parser(const yaml_parser_t *parser, const char *name, struct sq_error *error)
{
    const char *problem = parser->problem != NULL ? parser->problem : "unreadable";
    if (parser->error == YAML_MEMORY_ERROR)
        return sq_fail(error, SQ_SYSTEM, "%s: out of memory", name);
    if (parser->error == YAML_READER_ERROR)
        return fail_reader(parser, name, problem, error);
    (void)sq_fail(error, SQ_BAD_INPUT, "%s:%zu:%zu: not valid YAML: %s%s%s", name,
                  parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem,
                  parser->context != NULL ? ", " : "", parser->context != NULL ? parser->context : "");
    if (error != NULL)
        add_hint(parser, error);
    return -1;
}

static int load_one(yaml_parser_t *parser, struct sq_document *document, struct sq_error *error)
{
    if (!yaml_parser_load(parser, &document->yaml))
        return fail_parser(parser, document->shown, error);
    if (yaml_document_get_root_node(&document->yaml) == NULL)
        return 0;
    yaml_document_t next;
    if (!yaml_parser_load(parser, &next))
        return fail_parser(parser, document->shown, error);
    yaml_node_t *second = yaml_document_get_root_node(&next);
    size_t line = second != NULL ? second->start_mark.line + 1 : 0;
    yaml_document_delete(&next);
    if (line != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s:%zu:1: a second YAML document; expected one", document->shown,
                       line);
    int visits = 0;
    return check_tree(sq_document_root(document), 0, &visits, error);
}

/* Counts one event of the parser; *depth is that of the lists and maps around it. */
static int check_event(const yaml_event_t *event, const char *name, int *depth, int *anchors,
                       struct sq_error *error)
{
    const yaml_char_t *anchor = NULL;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor;
    else if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor;
    else if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor;
    if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
        ++*depth;
    if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
        --*depth;
    *anchors += anchor != NULL;
    size_t line = event->start_mark.line + 1;
    size_t column = event->start_mark.column + 1;
    if (*depth > SQ_DOCUMENT_DEPTH_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s:%zu:%zu: nested more than %d levels deep", name, line, column,
                       SQ_DOCUMENT_DEPTH_MAX);
    if (*anchors > ANCHORS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s:%zu:%zu: more than %d anchors", name, line, column,
                       ANCHORS_MAX);
    return 0;
}

static void start_parser(yaml_parser_t *parser, const char *content, size_t length)
{
    /* libyaml takes a byte order mark for a column of its own, and then finds the first line indented. */
    size_t mark = length >= 3 && memcmp(content, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)content + mark, length - mark);
}

/*
 * Reads the file once as a stream, to stop early at what libyaml would chew on for minutes before it made a
 * tree: its time grows with the square of the nesting and of the number of anchors.
 */
static int check_stream(const char *name, const char *content, size_t length, struct sq_error *error)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    start_parser(&parser, content, length);
    int depth = 0;
    int anchors = 0;
    int result = 0;
    for (bool ended = false; result == 0 && !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            result = fail_parser(&parser, name, error);
            break;
        }
        result = check_event(&event, name, &depth, &anchors, error);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

static int parse(const char *name, const char *content, size_t length, struct sq_document **document,
                 struct sq_error *error)
{
    sq_autodocument struct sq_document *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    fresh->name = strdup(name);
    if (fresh->name == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    size_t name_length = strlen(fresh->name);
    fresh->shown = fresh->name + (name_length > SHOWN_MAX ? name_length - SHOWN_MAX : 0);
    if (check_stream(fresh->shown, content, length, error) != 0)
        return -1;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    start_parser(&parser, content, length);
    int result = load_one(&parser, fresh, error);
    yaml_parser_delete(&parser);
    if (result == 0)
        *document = sq_take(fresh);
    return result;
}

/* "\uXXXX" of a surrogate between `least` and `least` + 0x3ff, and its lower ten bits. */
static bool read_surrogate(const char *text, unsigned least, unsigned *bits)
{
    unsigned value = 0;
    if (text[0] != '\\' || text[1] != 'u')
        return false;
    for (int i = 2; i < 6; i++) {
        const char *digit =
            text[i] == '\0' ? NULL : strchr("0123456789abcdef", tolower((unsigned char)text[i]));
        if (digit == NULL)
            return false;
        value = value * 16 + (unsigned)(digit - "0123456789abcdef");
    }
    *bits = value - least;
    return value >= least && value < least + 0x400;
}

/*
 * JSON spells what is beyond U+FFFF as two halves ("\ud83d\ude00"), which YAML does not know: as "\U0001f600"
 * it does. Returns a new text of *length bytes, or NULL if there is no such pair.
 */
static char *join_surrogates(const char *content, size_t *length)
{
    char *joined = malloc(*length + 1);
    size_t used = 0;
    bool found = false;
    bool is_escaped = false; /* by the backslash before */
    for (size_t i = 0; joined != NULL && i < *length;) {
        unsigned high;
        unsigned low;
        if (!is_escaped && i + 12 <= *length && read_surrogate(content + i, 0xd800, &high) &&
            read_surrogate(content + i + 6, 0xdc00, &low)) {
            char character[11];
            (void)snprintf(character, sizeof character, "\\U%08x", 0x10000 + (high << 10) + low);
            memcpy(joined + used, character, 10);
            used += 10;
            i += 12;
            found = true;
            continue;
        }
        is_escaped = content[i] == '\\' && !is_escaped;
        joined[used++] = content[i++];
    }
    if (!found) {
        free(joined);
        return NULL;
    }
    joined[used] = '\0';
    *length = used;
    return joined;
}

int sq_document_parse(const char *name, const char *content, size_t length, struct sq_document **document,
                      struct sq_error *error)
{
    if (parse(name, content, length, document, error) == 0)
        return 0;
    /* Only what could not be read anyway: in a text without quotes the halves stand for themselves. */
    sq_autofree char *joined = join_surrogates(content, &length);
    return joined == NULL ? -1 : parse(name, joined, length, document, error);
}

int sq_document_load(const char *path, struct sq_document **document, struct sq_error *error)
{
    sq_autofree char *content = NULL;
    size_t length;
    if (sq_file_read(path, SQ_DOCUMENT_BYTES_MAX, &content, &length, error) != 0) {
        if (error != NULL)
            error->code = SQ_BAD_INPUT; /* the file that a person named is at fault, not the system */
        return -1;
    }
    return sq_document_parse(path, content, length, document, error);
}

void sq_document_free(struct sq_document *document)
{
    if (document == NULL)
        return;
    yaml_document_delete(&document->yaml);
    free(document->name);
    free(document);
}

void sq_document_cleanup(struct sq_document **document)
{
    sq_document_free(*document);
}

struct sq_node sq_document_root(struct sq_document *document)
{
    return node_at(document, yaml_document_get_root_node(&document->yaml) != NULL ? 1 : 0);
}

const char *sq_document_name(const struct sq_document *document)
{
    return document->name;
}

enum sq_node_type sq_node_type(struct sq_node node)
{
    const yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL)
        return SQ_NODE_NONE;
    switch (yaml->type) {
    case YAML_SCALAR_NODE:
        return SQ_NODE_SCALAR;
    case YAML_SEQUENCE_NODE:
        return SQ_NODE_LIST;
    case YAML_MAPPING_NODE:
        return SQ_NODE_MAP;
    default:
        return SQ_NODE_NONE;
    }
}

bool sq_node_is_there(struct sq_node node)
{
    return sq_node_type(node) != SQ_NODE_NONE;
}

size_t sq_node_line(struct sq_node node)
{
    const yaml_node_t *yaml = yaml_node(node);
    return yaml == NULL ? 1 : yaml->start_mark.line + 1;
}

size_t sq_node_column(struct sq_node node)
{
    const yaml_node_t *yaml = yaml_node(node);
    return yaml == NULL ? 1 : yaml->start_mark.column + 1;
}

const char *sq_node_text(struct sq_node node)
{
    const yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL || yaml->type != YAML_SCALAR_NODE)
        return NULL;
    return (const char *)yaml->data.scalar.value;
}

int sq_node_replace_text(struct sq_node node, const char *text, struct sq_error *error)
{
    yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL || yaml->type != YAML_SCALAR_NODE)
        return sq_fail(error, SQ_INTERNAL, "only a scalar's text can be replaced");
    char *copy = strdup(text);
    if (copy == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    /* libyaml's default allocator is malloc and free (api.c, yaml_free). */
    free(yaml->data.scalar.value);
    yaml->data.scalar.value = (yaml_char_t *)copy;
    yaml->data.scalar.length = strlen(copy);
    return 0;
}

size_t sq_node_count(struct sq_node node)
{
    const yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL)
        return 0;
    if (yaml->type == YAML_SEQUENCE_NODE)
        return (size_t)(yaml->data.sequence.items.top - yaml->data.sequence.items.start);
    if (yaml->type == YAML_MAPPING_NODE)
        return (size_t)(yaml->data.mapping.pairs.top - yaml->data.mapping.pairs.start);
    return 0;
}

struct sq_node sq_node_item(struct sq_node node, size_t i)
{
    const yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL || yaml->type != YAML_SEQUENCE_NODE || i >= sq_node_count(node))
        return node_at(node.document, 0);
    return node_at(node.document, yaml->data.sequence.items.start[i]);
}

static struct sq_node map_side(struct sq_node node, size_t i, bool key)
{
    const yaml_node_t *yaml = yaml_node(node);
    if (yaml == NULL || yaml->type != YAML_MAPPING_NODE || i >= sq_node_count(node))
        return node_at(node.document, 0);
    const yaml_node_pair_t *pair = &yaml->data.mapping.pairs.start[i];
    return node_at(node.document, key ? pair->key : pair->value);
}

struct sq_node sq_node_key(struct sq_node node, size_t i)
{
    return map_side(node, i, true);
}

struct sq_node sq_node_value(struct sq_node node, size_t i)
{
    return map_side(node, i, false);
}

struct sq_node sq_node_get(struct sq_node node, const char *key)
{
    if (sq_node_type(node) != SQ_NODE_MAP)
        return node_at(node.document, 0);
    for (size_t i = 0; i < sq_node_count(node); i++) {
        const char *text = sq_node_text(sq_node_key(node, i));
        if (text != NULL && strcmp(text, key) == 0)
            return sq_node_value(node, i);
    }
    return node_at(node.document, 0);
}

int sq_node_fail_at(struct sq_node node, struct sq_error *error)
{
    if (node.document == NULL)
        return -1;
    if (!sq_node_is_there(node))
        return sq_fail_in(error, "%s", node.document->shown);
    return sq_fail_in(error, "%s:%zu:%zu", node.document->shown, sq_node_line(node), sq_node_column(node));
}

int sq_node_fail(struct sq_node node, struct sq_error *error, enum sq_code code, const char *format, ...)
{
    char text[SQ_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)sq_fail(error, code, "%s", text);
    return sq_node_fail_at(node, error);
}

static const char *type_name(enum sq_node_type type)
{
    switch (type) {
    case SQ_NODE_SCALAR:
        return "a single value";
    case SQ_NODE_LIST:
        return "a list";
    case SQ_NODE_MAP:
        return "a map (key: value)";
    default:
        return "nothing";
    }
}

int sq_node_expect(struct sq_node node, enum sq_node_type type, const char *what, struct sq_error *error)
{
    if (sq_node_type(node) == type)
        return 0;
    return sq_node_fail(node, error, SQ_BAD_INPUT, "%s is %s; expected %s", what,
                        type_name(sq_node_type(node)), type_name(type));
}

int sq_node_check_key(struct sq_node map, size_t i, const char *what, const char *const *keys,
                      size_t key_count, struct sq_error *error)
{
    const char *key = sq_node_text(sq_node_key(map, i));
    for (size_t k = 0; k < key_count; k++)
        if (strcmp(key, keys[k]) == 0)
            return 0;
    const char *nearest = sq_nearest(key, keys, key_count);
    if (nearest != NULL)
        return sq_node_fail(sq_node_key(map, i), error, SQ_BAD_INPUT,
                            "unknown key '%.60s' in %s; did you mean '%s'?", key, what, nearest);
    sq_autostring struct sq_string list = {0};
    for (size_t k = 0; k < key_count; k++)
        sq_string_add(&list, "%s%s", k == 0 ? "" : ", ", keys[k]);
    return sq_node_fail(sq_node_key(map, i), error, SQ_BAD_INPUT,
                        "unknown key '%.60s' in %s; expected one of %s", key, what, sq_string_text(&list));
}

int sq_node_check_keys(struct sq_node map, const char *what, const char *const *keys, size_t key_count,
                       struct sq_error *error)
{
    if (sq_node_expect(map, SQ_NODE_MAP, what, error) != 0)
        return -1;
    for (size_t i = 0; i < sq_node_count(map); i++)
        if (sq_node_check_key(map, i, what, keys, key_count, error) != 0)
            return -1;
    return 0;
}

/* Finds the scalar; *found tells whether it is there. */
static int map_scalar(struct sq_node map, const char *key, bool required, struct sq_node *value, bool *found,
                      struct sq_error *error)
{
    *value = sq_node_get(map, key);
    *found = sq_node_is_there(*value);
    if (!*found)
        return required ? sq_node_fail(map, error, SQ_BAD_INPUT, "'%s' is missing", key) : 0;
    char what[80];
    (void)snprintf(what, sizeof what, "'%s'", key);
    return sq_node_expect(*value, SQ_NODE_SCALAR, what, error);
}

int sq_map_text(struct sq_node map, const char *key, bool required, size_t most_bytes, const char **value,
                struct sq_error *error)
{
    struct sq_node node;
    bool found;
    if (map_scalar(map, key, required, &node, &found, error) != 0)
        return -1;
    if (!found)
        return 0;
    const char *text = sq_node_text(node);
    if (strlen(text) >= most_bytes)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is longer than %zu bytes", key, most_bytes - 1);
    if (required && text[0] == '\0')
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is empty", key);
    *value = text;
    return 0;
}

int sq_map_line(struct sq_node map, const char *key, bool required, size_t most_bytes, const char **value,
                struct sq_error *error)
{
    const char *text = NULL;
    if (sq_map_text(map, key, required, most_bytes, &text, error) != 0)
        return -1;
    if (text == NULL)
        return 0;
    if (!sq_text_is_printable(text))
        return sq_node_fail(
            sq_node_get(map, key), error, SQ_BAD_INPUT,
            "'%s' has a line break, an escape sequence or another control character; expected "
            "one line of plain text",
            key);
    *value = text;
    return 0;
}

int sq_map_duration(struct sq_node map, const char *key, bool required, uint64_t *duration_ns,
                    struct sq_error *error)
{
    struct sq_node node;
    bool found;
    if (map_scalar(map, key, required, &node, &found, error) != 0)
        return -1;
    if (found && sq_duration_parse(sq_node_text(node), duration_ns, error) != 0)
        return sq_node_fail_at(node, error);
    return 0;
}

int sq_map_count(struct sq_node map, const char *key, bool required, uint64_t most, uint64_t *value,
                 struct sq_error *error)
{
    struct sq_node node;
    bool found;
    if (map_scalar(map, key, required, &node, &found, error) != 0)
        return -1;
    if (found && sq_count_parse(sq_node_text(node), most, value, error) != 0)
        return sq_node_fail_at(node, error);
    return 0;
}

size_t sq_one_or_list_count(struct sq_node node)
{
    return sq_node_type(node) == SQ_NODE_LIST ? sq_node_count(node) : sq_node_is_there(node) ? 1 : 0;
}

struct sq_node sq_one_or_list_item(struct sq_node node, size_t i)
{
    return sq_node_type(node) == SQ_NODE_LIST ? sq_node_item(node, i) : node;
}

int sq_read_bounded_duration(struct sq_node map, const char *key, uint64_t least_ns, uint64_t most_ns,
                             uint64_t *value_ns, struct sq_error *error)
{
    uint64_t duration_ns = *value_ns;
    struct sq_node node = sq_node_get(map, key);
    if (sq_map_duration(map, key, false, &duration_ns, error) != 0)
        return -1;
    if (sq_node_is_there(node) && (duration_ns < least_ns || duration_ns > most_ns)) {
        char least[SQ_UNIT_TEXT_MAX];
        char most[SQ_UNIT_TEXT_MAX];
        sq_duration_format(least_ns, least);
        sq_duration_format(most_ns, most);
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is out of range; expected %s to %s", key, least,
                            most);
    }
    *value_ns = duration_ns;
    return 0;
}
