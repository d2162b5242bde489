/*
 * Which of a host's processor cores a fault means: all of them, how many, or which ones by number. Plain
 * data; the numbers are those of /proc/cpuinfo. Whether the host has them, only the host can tell.
 *
 * As text: "all", "2" (how many), "0-3,6" (which). A single core as text is "5-5", so that it is not taken
 * for a number of cores; in a YAML list it is just its number, as in [5].
 */
#ifndef SQ_TABLE_CORES_H
#define SQ_TABLE_CORES_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_CORES_MAX      1024 /* CPU_SETSIZE of <sched.h> */
#define SQ_CORES_TEXT_MAX 2560 /* every other core of them, with commas */

enum sq_cores_mode { SQ_CORES_ALL = 1, SQ_CORES_COUNT = 2, SQ_CORES_LIST = 3 };

struct sq_cores {
    uint32_t mode;                   /* enum sq_cores_mode */
    uint32_t count;                  /* COUNT: how many; LIST: how many are in the set; ALL: 0 */
    uint64_t set[SQ_CORES_MAX / 64]; /* LIST: bit i of the whole is core i */
};

/* The text form above. SQ_BAD_INPUT with what was expected; `cores` is then unchanged. */
int sq_cores_parse(const char *text, struct sq_cores *cores, struct sq_error *error);

/* One entry of a list, "5" or "0-3", into the set. What is no list becomes one. A core twice is refused. */
int sq_cores_add(const char *text, struct sq_cores *cores, struct sq_error *error);

/* That it is one of the three forms and nothing else is set, whatever came over the wire. */
int sq_cores_check(const struct sq_cores *cores, struct sq_error *error);

/* What sq_cores_parse reads back; false if there is nothing to write. SQ_CORES_TEXT_MAX bytes are enough. */
bool sq_cores_format(const struct sq_cores *cores, char *text, size_t size);

bool sq_cores_has(const struct sq_cores *cores, uint32_t core); /* of a LIST */

/* May the two mean a common core? Without the host at hand, only two lists can be told apart. */
bool sq_cores_overlap(const struct sq_cores *a, const struct sq_cores *b);

#endif
