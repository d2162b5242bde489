/* systemd's units, as far as names go. Asks the files and the cgroups, never systemd. */
#ifndef SQ_KERNEL_UNIT_H
#define SQ_KERNEL_UNIT_H

#include <stdbool.h>
#include <stddef.h>

/* A unit to be looked for: a name with or without its ".service", which may hold '*'. */
struct sq_unit_query {
    const char *unit;
    bool is_known;
};

/*
 * Is `name`, such as "postgresql.service", the unit that `unit` means?
 */
bool sq_unit_matches(const char *unit, const char *name);

/*
 * Which of the units have a unit file or a cgroup on this host? An instance (getty@tty1.service) is known by
 * its template too. `root` stands before every path that is looked at: "" for this host. One pass for all of
 * them, bounded: on a host with too many cgroups to look at, what has no file counts as known. Reads
 * directories and allocates; not for the revert path.
 */
void sq_units_look(const char *root, struct sq_unit_query *queries, size_t count);

#endif
