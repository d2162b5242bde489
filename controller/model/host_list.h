/*
 * Many hosts as few words for people: their names, neighbours in one number of the name joined to a range;
 * and blocks of hosts of which the same is to be said. Pure.
 */
#ifndef SQ_MODEL_HOST_LIST_H
#define SQ_MODEL_HOST_LIST_H

#include <stddef.h>
#include <stdint.h>

#define SQ_HOST_LIST_MAX 512 /* bytes that are enough for a line or two, whatever the names */

/*
 * "web1" for one, "no host" for none, else "48 hosts: db, web1…web47": sorted with numbers as numbers, ranges
 * from three on. What does not fit into `size` bytes (64 at least, or the names alone may fill it) is counted
 * at the end: "900 hosts: a, b and 898 more".
 */
void sq_host_list_format(const char *const *names, uint32_t count, char *text, size_t size);

/* The same without the number: "db, web1…web47"; none: "". */
void sq_host_names_format(const char *const *names, uint32_t count, char *text, size_t size);

/* What an error says of the host that it begins with: "refuses: ..." of "web1 refuses: ...", "connection
 * refused" of "web1 (tls+tcp://10.77.0.11:7433): connection refused". Points into `text`. */
const char *sq_host_said_of(const char *name, const char *agent, const char *text);

struct sq_host_blocks;

/* One thing that is said, and of which hosts, in the order in which they were added. */
struct sq_host_block {
    char *text;
    uint32_t count;
    uint32_t room;
    uint32_t *hosts;    /* as they were added */
    const char **names; /* the same hosts' names, borrowed from who added them */
};

struct sq_host_blocks *sq_host_blocks_new(void);         /* NULL when out of memory */
void sq_host_blocks_free(struct sq_host_blocks *blocks); /* NULL is fine */

/* `host` is the caller's number of it, `name` is borrowed, `text` copied. Hosts with the same text come into
 * one block, blocks in the order of their first hosts. -1 when out of memory. */
int sq_host_blocks_add(struct sq_host_blocks *blocks, uint32_t host, const char *name, const char *text);

const struct sq_host_block *sq_host_blocks_all(const struct sq_host_blocks *blocks, uint32_t *count);

#endif
