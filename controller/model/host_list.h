/*
 * Many names of hosts as few words for people: neighbours in one number of the name are joined to a range.
 * Pure.
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

#endif
