#include "problems.h"

#include "text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ":LINE:COLUMN: " at `text`? Returns what is behind it, else NULL. */
static const char *read_place(const char *text, size_t *line, size_t *column)
{
    char *end;
    if (text[0] != ':' || !isdigit((unsigned char)text[1]))
        return NULL;
    *line = strtoul(text + 1, &end, 10);
    if (end[0] != ':' || !isdigit((unsigned char)end[1]))
        return NULL;
    *column = strtoul(end + 1, &end, 10);
    return end[0] == ':' && end[1] == ' ' ? end + 2 : NULL;
}

/* Finds the place in front of the message; without one the text is the message. */
static void find_place(struct sq_problem *problem)
{
    const char *text = problem->error.text;
    problem->message = text;
    for (const char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        const char *message = read_place(colon, &problem->line, &problem->column);
        if (message == NULL)
            continue;
        problem->file_length = (size_t)(colon - text);
        problem->message = message;
        return;
    }
    problem->line = 0;
    problem->column = 0;
}

static bool make_room(struct sq_problems *problems)
{
    if (problems->count >= SQ_PROBLEMS_MAX)
        return false;
    if (problems->count < problems->capacity)
        return true;
    uint32_t capacity = problems->capacity * 2 + 8;
    struct sq_problem **list = realloc(problems->list, capacity * sizeof(struct sq_problem *));
    if (list == NULL)
        return false;
    problems->list = list;
    problems->capacity = capacity;
    return true;
}

static void add(struct sq_problems *problems, const struct sq_error *error, bool is_warning)
{
    problems->error_count += is_warning ? 0 : 1;
    struct sq_problem *problem = make_room(problems) ? calloc(1, sizeof(*problem)) : NULL;
    if (problem == NULL) {
        problems->dropped++;
        return;
    }
    problem->error = *error;
    problem->is_warning = is_warning;
    /* Messages quote the file, which may hold escape sequences. */
    sq_text_make_printable(problem->error.text);
    find_place(problem);
    problems->list[problems->count++] = problem;
}

void sq_problems_add(struct sq_problems *problems, const struct sq_error *error)
{
    add(problems, error, false);
}

void sq_problems_warn(struct sq_problems *problems, const struct sq_error *error)
{
    add(problems, error, true);
}

bool sq_problems_note(struct sq_problems *problems, int result, const struct sq_error *error)
{
    if (result != 0)
        add(problems, error, false);
    return result == 0;
}

bool sq_problems_check_keys(struct sq_problems *problems, struct sq_node map, const char *what,
                            const char *const *keys, size_t key_count)
{
    struct sq_error error;
    if (!sq_problems_note(problems, sq_node_expect(map, SQ_NODE_MAP, what, &error), &error))
        return false;
    bool all_known = true;
    for (size_t i = 0; i < sq_node_count(map); i++)
        all_known =
            sq_problems_note(problems, sq_node_check_key(map, i, what, keys, key_count, &error), &error) &&
            all_known;
    return all_known;
}

static int compare_places(const struct sq_problem *a, const struct sq_problem *b)
{
    size_t common = a->file_length < b->file_length ? a->file_length : b->file_length;
    int order = memcmp(a->error.text, b->error.text, common);
    if (a->line == 0 || b->line == 0)
        return (a->line != 0) - (b->line != 0);
    if (order != 0 || a->file_length != b->file_length)
        return order != 0 ? order : a->file_length < b->file_length ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->column < b->column ? -1 : a->column > b->column;
}

void sq_problems_sort(struct sq_problems *problems)
{
    /* By insertion: few, mostly in order, and what stands at one place keeps its order. */
    for (uint32_t i = 1; i < problems->count; i++) {
        struct sq_problem *moved = problems->list[i];
        uint32_t j = i;
        for (; j > 0 && compare_places(problems->list[j - 1], moved) > 0; j--)
            problems->list[j] = problems->list[j - 1];
        problems->list[j] = moved;
    }
}

int sq_problems_first(const struct sq_problems *problems, struct sq_error *error)
{
    for (uint32_t i = 0; i < problems->count; i++)
        if (!problems->list[i]->is_warning)
            return sq_fail(error, problems->list[i]->error.code, "%s", problems->list[i]->error.text);
    return problems->error_count == 0 ? 0 : sq_fail(error, SQ_SYSTEM, "out of memory");
}

void sq_problems_free(struct sq_problems *problems)
{
    for (uint32_t i = 0; i < problems->count; i++)
        free(problems->list[i]);
    free(problems->list);
    *problems = (struct sq_problems){0};
}
