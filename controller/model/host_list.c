#include "model/host_list.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 /* of a number that fits into 64 bits */
#define TAIL_BYTES 24 /* " and 4294967295 more" */
#define NO_PLACE   SIZE_MAX

static int compare(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t count_digits(const char *text)
{
    size_t count = 0;
    while (isdigit((unsigned char)text[count]))
        count++;
    return count;
}

/* Where the number begins by which `next` is one more than `name`, all else equal; NO_PLACE: it is not. */
static size_t number_that_grows(const char *name, const char *next)
{
    size_t place = 0;
    while (name[place] != '\0' && name[place] == next[place])
        place++;
    while (place > 0 && isdigit((unsigned char)name[place - 1]))
        place--;
    size_t digits = count_digits(name + place);
    size_t next_digits = count_digits(next + place);
    if (digits == 0 || next_digits == 0 || digits > DIGITS_MAX || next_digits > DIGITS_MAX)
        return NO_PLACE;
    /* "08" and "09" are neighbours, "9" and "010" are not. */
    if (digits != next_digits && (name[place] == '0' || next[place] == '0'))
        return NO_PLACE;
    if (strcmp(name + place + digits, next + place + next_digits) != 0)
        return NO_PLACE;
    bool grows = strtoull(next + place, NULL, 10) == strtoull(name + place, NULL, 10) + 1;
    return grows ? place : NO_PLACE;
}

/* How many names from the first on are one range: 1 if there is none worth it. */
static uint32_t range_length(const char *const *names, uint32_t count)
{
    size_t place = count > 1 ? number_that_grows(names[0], names[1]) : NO_PLACE;
    uint32_t length = 1;
    while (place != NO_PLACE && length < count &&
           number_that_grows(names[length - 1], names[length]) == place)
        length++;
    return length >= 3 ? length : 1;
}

static void format_sorted(const char *const *names, uint32_t count, char *text, size_t size)
{
    const char *separator = "";
    for (uint32_t i = 0; i < count;) {
        uint32_t length = range_length(names + i, count - i);
        const char *last = length > 1 ? names[i + length - 1] : "";
        const char *to = length > 1 ? "\xe2\x80\xa6" : "";
        size_t needed = strlen(separator) + strlen(names[i]) + strlen(to) + strlen(last);
        size_t reserved = i + length < count ? TAIL_BYTES : 0;
        if (strlen(text) + needed + reserved >= size) {
            sq_text_append(text, size, "%s%u more", i > 0 ? " and " : "", count - i);
            return;
        }
        sq_text_append(text, size, "%s%s%s%s", separator, names[i], to, last);
        separator = ", ";
        i += length;
    }
}

void sq_host_names_format(const char *const *names, uint32_t count, char *text, size_t size)
{
    text[0] = '\0';
    sq_autofree const char **sorted = calloc((size_t)count + 1, sizeof(*sorted));
    if (sorted == NULL) {
        sq_text_append(text, size, "%u", count); /* the number is true without the names, too */
        return;
    }
    if (count > 0)
        memcpy(sorted, names, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare);
    format_sorted(sorted, count, text, size);
}

void sq_host_list_format(const char *const *names, uint32_t count, char *text, size_t size)
{
    text[0] = '\0';
    if (count == 0)
        sq_text_append(text, size, "no host");
    if (count > 1)
        sq_text_append(text, size, "%u hosts: ", count);
    size_t used = strlen(text);
    if (count > 0)
        sq_host_names_format(names, count, text + used, size - used);
}

const char *sq_host_said_of(const char *name, const char *agent, const char *text)
{
    size_t name_length = strlen(name);
    size_t agent_length = strlen(agent);
    if (strncmp(text, name, name_length) != 0)
        return text;
    const char *rest = text + name_length;
    if (strncmp(rest, " (", 2) == 0 && strncmp(rest + 2, agent, agent_length) == 0 &&
        strncmp(rest + 2 + agent_length, "): ", 3) == 0)
        return rest + 2 + agent_length + 3;
    if (strncmp(rest, ": ", 2) == 0)
        return rest + 2;
    return rest[0] == ' ' ? rest + 1 : text;
}

struct sq_host_blocks {
    uint32_t count;
    uint32_t room;
    struct sq_host_block *all;
};

struct sq_host_blocks *sq_host_blocks_new(void)
{
    return calloc(1, sizeof(struct sq_host_blocks));
}

void sq_host_blocks_free(struct sq_host_blocks *blocks)
{
    if (blocks == NULL)
        return;
    for (uint32_t i = 0; i < blocks->count; i++) {
        free(blocks->all[i].text);
        free(blocks->all[i].names);
        free(blocks->all[i].hosts);
    }
    free(blocks->all);
    free(blocks);
}

/* The block with this text, made if there is none. */
static struct sq_host_block *block_of(struct sq_host_blocks *blocks, const char *text)
{
    for (uint32_t i = 0; i < blocks->count; i++)
        if (strcmp(blocks->all[i].text, text) == 0)
            return &blocks->all[i];
    if (blocks->count == blocks->room) {
        uint32_t room = blocks->room * 2 + 8;
        struct sq_host_block *all = realloc(blocks->all, room * sizeof(*all));
        if (all == NULL)
            return NULL;
        blocks->all = all;
        blocks->room = room;
    }
    struct sq_host_block *block = &blocks->all[blocks->count];
    *block = (struct sq_host_block){.text = strdup(text)};
    if (block->text == NULL)
        return NULL;
    blocks->count++;
    return block;
}

int sq_host_blocks_add(struct sq_host_blocks *blocks, uint32_t host, const char *name, const char *text)
{
    struct sq_host_block *block = block_of(blocks, text);
    if (block == NULL)
        return -1;
    if (block->count == block->room) {
        uint32_t room = block->room * 2 + 8;
        const char **names = realloc(block->names, room * sizeof(*names));
        if (names == NULL)
            return -1;
        block->names = names;
        uint32_t *hosts = realloc(block->hosts, room * sizeof(*hosts));
        if (hosts == NULL)
            return -1;
        block->hosts = hosts;
        block->room = room;
    }
    block->hosts[block->count] = host;
    block->names[block->count++] = name;
    return 0;
}

const struct sq_host_block *sq_host_blocks_all(const struct sq_host_blocks *blocks, uint32_t *count)
{
    *count = blocks->count;
    return blocks->all;
}
