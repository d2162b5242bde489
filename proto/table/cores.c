#include "table/cores.h"

#include "common/text.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

#define ENTRY_TEXT_MAX 24

bool sq_cores_has(const struct sq_cores *cores, uint32_t core)
{
    return core < SQ_CORES_MAX && (cores->set[core / 64] >> (core % 64) & 1) != 0;
}

static int fail_form(const char *text, struct sq_error *error)
{
    return sq_fail(error, SQ_BAD_INPUT,
                   "'%.40s' names no cores; expected all, a number of cores from 1 to %d, or a list such as "
                   "[0, 2, 5] or 0-3 of cores from 0 to %d",
                   text, SQ_CORES_MAX, SQ_CORES_MAX - 1);
}

/* "5" or "0-3". */
static int parse_range(const char *text, uint64_t *first, uint64_t *last, struct sq_error *error)
{
    char head[ENTRY_TEXT_MAX];
    const char *dash = strchr(text, '-');
    size_t length = dash == NULL ? strlen(text) : (size_t)(dash - text);
    if (length == 0 || length >= sizeof head)
        return fail_form(text, error);
    memcpy(head, text, length);
    head[length] = '\0';
    if (sq_count_parse(head, SQ_CORES_MAX - 1, first, NULL) != 0)
        return fail_form(text, error);
    *last = *first;
    if (dash != NULL && sq_count_parse(dash + 1, SQ_CORES_MAX - 1, last, NULL) != 0)
        return fail_form(text, error);
    if (*last < *first)
        return sq_fail(error, SQ_BAD_INPUT, "the range of cores '%.40s' runs backwards; expected %u-%u", text,
                       (unsigned)*last, (unsigned)*first);
    return 0;
}

int sq_cores_add(const char *text, struct sq_cores *cores, struct sq_error *error)
{
    uint64_t first;
    uint64_t last;
    if (parse_range(text, &first, &last, error) != 0)
        return -1;
    struct sq_cores list = *cores;
    if (list.mode != SQ_CORES_LIST) {
        memset(&list, 0, sizeof list);
        list.mode = SQ_CORES_LIST;
    }
    for (uint32_t core = (uint32_t)first; core <= last; core++) {
        if (sq_cores_has(&list, core))
            return sq_fail(error, SQ_BAD_INPUT, "core %u stands twice", core);
        list.set[core / 64] |= UINT64_C(1) << (core % 64);
        list.count++;
    }
    *cores = list;
    return 0;
}

static int parse_list(const char *text, struct sq_cores *cores, struct sq_error *error)
{
    struct sq_cores list = {.mode = SQ_CORES_LIST};
    const char *rest = text;
    while (rest != NULL) {
        rest += strspn(rest, " ");
        char entry[ENTRY_TEXT_MAX];
        const char *comma = strchr(rest, ',');
        size_t length = comma == NULL ? strlen(rest) : (size_t)(comma - rest);
        if (length >= sizeof entry)
            return fail_form(rest, error);
        memcpy(entry, rest, length);
        entry[length] = '\0';
        if (sq_cores_add(entry, &list, error) != 0)
            return -1;
        rest = comma == NULL ? NULL : comma + 1;
    }
    *cores = list;
    return 0;
}

int sq_cores_parse(const char *text, struct sq_cores *cores, struct sq_error *error)
{
    if (strcmp(text, "all") == 0) {
        *cores = (struct sq_cores){.mode = SQ_CORES_ALL};
        return 0;
    }
    if (strpbrk(text, "-,") != NULL)
        return parse_list(text, cores, error);
    uint64_t count;
    if (sq_count_parse(text, SQ_CORES_MAX, &count, NULL) != 0 || count == 0)
        return fail_form(text, error);
    *cores = (struct sq_cores){.mode = SQ_CORES_COUNT, .count = (uint32_t)count};
    return 0;
}

int sq_cores_check(const struct sq_cores *cores, struct sq_error *error)
{
    uint32_t in_set = 0;
    for (size_t i = 0; i < sizeof cores->set / sizeof cores->set[0]; i++)
        in_set += (uint32_t)__builtin_popcountll(cores->set[i]);
    bool is_right = false;
    switch (cores->mode) {
    case SQ_CORES_ALL:
        is_right = cores->count == 0 && in_set == 0;
        break;
    case SQ_CORES_COUNT:
        is_right = cores->count >= 1 && cores->count <= SQ_CORES_MAX && in_set == 0;
        break;
    case SQ_CORES_LIST:
        is_right = cores->count >= 1 && cores->count == in_set;
        break;
    default:
        break;
    }
    if (is_right)
        return 0;
    return sq_fail(error, SQ_BAD_INPUT, "no valid choice of cores");
}

bool sq_cores_format(const struct sq_cores *cores, char *text, size_t size)
{
    text[0] = '\0';
    if (cores->mode == SQ_CORES_ALL)
        return sq_text_copy(text, size, "all");
    if (cores->mode == SQ_CORES_COUNT) {
        sq_text_append(text, size, "%u", cores->count);
        return true;
    }
    const char *separator = "";
    for (uint32_t core = 0; core < SQ_CORES_MAX; core++) {
        if (!sq_cores_has(cores, core))
            continue;
        uint32_t last = core;
        while (sq_cores_has(cores, last + 1))
            last++;
        if (last > core || cores->count == 1)
            sq_text_append(text, size, "%s%u-%u", separator, core, last);
        else
            sq_text_append(text, size, "%s%u", separator, core);
        separator = ",";
        core = last;
    }
    return text[0] != '\0';
}

bool sq_cores_overlap(const struct sq_cores *a, const struct sq_cores *b)
{
    if (a->mode != SQ_CORES_LIST || b->mode != SQ_CORES_LIST)
        return true;
    for (size_t i = 0; i < sizeof a->set / sizeof a->set[0]; i++)
        if ((a->set[i] & b->set[i]) != 0)
            return true;
    return false;
}
