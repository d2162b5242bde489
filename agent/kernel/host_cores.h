/* The host's processor cores, as far as this process may use them (/sys/devices/system/cpu). Nothing is
 * allocated. */
#ifndef SQ_KERNEL_HOST_CORES_H
#define SQ_KERNEL_HOST_CORES_H

#include "common/error.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct sq_host_cores {
    cpu_set_t present; /* there is one in the machine */
    cpu_set_t online;
    cpu_set_t usable; /* online, and this process may run on it */
};

/* The content of a list such as "0-3,8". False if it is not one. */
bool sq_core_list_parse(const char *list, cpu_set_t *set);

/* The same written, cut at `size`. */
void sq_core_list_format(const cpu_set_t *set, char *text, size_t size);

int sq_host_cores_read(struct sq_host_cores *cores, struct sq_error *error);

#endif
