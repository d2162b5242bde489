#include "kernel/links.h"

#include "kernel/links_read.h"

#include "common/cleanup.h"
#include "common/nearest.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 256 /* that a mistyped name is compared with */

static int compare_index(const void *a, const void *b)
{
    uint32_t first = ((const struct sq_links_entry *)a)->link.ifindex;
    uint32_t second = ((const struct sq_links_entry *)b)->link.ifindex;
    return first < second ? -1 : first > second;
}

static int compare_edge(const void *a, const void *b)
{
    const struct sq_links_edge *first = a;
    const struct sq_links_edge *second = b;
    if (first->upper != second->upper)
        return first->upper < second->upper ? -1 : 1;
    return first->lower < second->lower ? -1 : first->lower > second->lower;
}

static int append_edge(struct sq_links *links, uint32_t upper, uint32_t lower)
{
    if (links->edge_count == links->edge_room) {
        size_t room = links->edge_room == 0 ? 64 : links->edge_room * 2;
        struct sq_links_edge *edges = realloc(links->edges, room * sizeof *edges);
        if (edges == NULL)
            return -1;
        links->edges = edges;
        links->edge_room = room;
    }
    links->edges[links->edge_count++] = (struct sq_links_edge){.upper = upper, .lower = lower};
    return 0;
}

void sq_links_sort_edges(struct sq_links *links)
{
    if (links->edge_count > 0)
        qsort(links->edges, links->edge_count, sizeof links->edges[0], compare_edge);
}

static int find_edges(struct sq_links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        const struct sq_links_entry *entry = &links->entries[i];
        if (entry->made_on != 0 && append_edge(links, entry->link.ifindex, entry->made_on) != 0)
            return -1;
        if (entry->master != 0 && append_edge(links, entry->master, entry->link.ifindex) != 0)
            return -1;
    }
    sq_links_sort_edges(links);
    return 0;
}

int sq_links_read(struct sq_netlink *netlink, struct sq_links *links, struct sq_error *error)
{
    int result = sq_links_dump(netlink, links);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot list the network interfaces");
    if (links->count > 0)
        qsort(links->entries, links->count, sizeof links->entries[0], compare_index);
    return find_edges(links) == 0 ? 0 : sq_fail_errno(error, ENOMEM, "cannot list the network interfaces");
}

void sq_links_free(struct sq_links *links)
{
    free(links->entries);
    free(links->aliases);
    free(links->edges);
    *links = (struct sq_links){0};
}

const struct sq_links_entry *sq_links_by_index(const struct sq_links *links, uint32_t ifindex)
{
    const struct sq_links_entry key = {.link = {.ifindex = ifindex}};
    return links->count == 0
               ? NULL
               : bsearch(&key, links->entries, links->count, sizeof links->entries[0], compare_index);
}

const struct sq_links_entry *sq_links_by_name(const struct sq_links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++)
        if (strcmp(links->entries[i].link.name, name) == 0)
            return &links->entries[i];
    for (size_t i = 0; i < links->alias_count; i++)
        if (strcmp(links->aliases[i].name, name) == 0)
            return sq_links_by_index(links, links->aliases[i].ifindex);
    return NULL;
}

int sq_links_find(const struct sq_links *links, const char *name, const struct sq_links_entry **entry,
                  struct sq_error *error)
{
    *entry = sq_links_by_name(links, name);
    if (*entry != NULL)
        return 0;
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < links->count && count < NAMES_MAX; i++)
        names[count++] = links->entries[i].link.name;
    for (size_t i = 0; i < links->alias_count && count < NAMES_MAX; i++)
        names[count++] = links->aliases[i].name;
    const char *nearest = sq_nearest(name, names, count);
    if (nearest != NULL)
        return sq_fail(error, SQ_NOBODY, "this host has no network interface '%s'; did you mean '%s'?", name,
                       nearest);
    return sq_fail(error, SQ_NOBODY, "this host has no network interface '%s'; 'ip link' lists those it has",
                   name);
}

int sq_links_add_edge(struct sq_links *links, uint32_t upper, uint32_t lower, struct sq_error *error)
{
    return append_edge(links, upper, lower) == 0
               ? 0
               : sq_fail_errno(error, ENOMEM, "cannot follow the network interfaces");
}

static size_t position_of(const struct sq_links *links, const struct sq_links_entry *entry)
{
    return (size_t)(entry - links->entries);
}

/* The first of an interface's edges, or the end. */
static size_t first_edge(const struct sq_links *links, uint32_t upper)
{
    size_t low = 0;
    size_t high = links->edge_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (links->edges[middle].upper < upper)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int sq_links_mark_below(const struct sq_links *links, uint32_t ifindex, uint8_t *below,
                        struct sq_error *error)
{
    const struct sq_links_entry *start = sq_links_by_index(links, ifindex);
    if (start == NULL || below[position_of(links, start)] != 0)
        return 0;
    sq_autofree size_t *waiting = calloc(links->count, sizeof *waiting);
    if (waiting == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot follow the network interfaces");
    size_t count = 0;
    waiting[count++] = position_of(links, start);
    below[waiting[0]] = 1;
    while (count > 0) {
        uint32_t upper = links->entries[waiting[--count]].link.ifindex;
        for (size_t i = first_edge(links, upper); i < links->edge_count && links->edges[i].upper == upper;
             i++) {
            const struct sq_links_entry *lower = sq_links_by_index(links, links->edges[i].lower);
            if (lower == NULL || below[position_of(links, lower)] != 0)
                continue;
            below[position_of(links, lower)] = 1;
            waiting[count++] = position_of(links, lower); /* each at most once: there is room */
        }
    }
    return 0;
}

int sq_links_carries(const struct sq_links *links, uint32_t lower, uint32_t upper, struct sq_error *error)
{
    const struct sq_links_entry *entry = sq_links_by_index(links, lower);
    if (entry == NULL)
        return 0;
    sq_autofree uint8_t *below = calloc(links->count, sizeof *below);
    if (below == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot follow the network interfaces");
    if (sq_links_mark_below(links, upper, below, error) != 0)
        return -1;
    return below[position_of(links, entry)];
}
