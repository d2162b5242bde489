/* What the policy protects, compared with what is on this host. */
#ifndef SQ_FAULTS_PROTECTION_H
#define SQ_FAULTS_PROTECTION_H

#include "faults/fault.h"
#include "kernel/process.h"

/*
 * Call `visit` with a sentence for each entry that means nothing here: a file that does not exist, a unit
 * that has neither file nor cgroup, an interface that is not there. It may be a slip, which looks like a
 * protection and is none. Peers and ports cannot be judged. Reads the host, once for all entries; not for the
 * revert path.
 */
void sq_protection_each_unmatched(const struct sq_protection *protection,
                                  void (*visit)(const char *sentence, void *cookie), void *cookie);

/* The same as warnings in a report: the first few, and how many more there are. */
void sq_protection_warn(const struct sq_protection *protection, struct sq_fault_report *report);

#define SQ_PROTECTED_FILES_MAX (4 * SQ_PROTECTED_MAX)

/* The files that are protected, as things. */
struct sq_protected_files {
    uint32_t count;
    struct {
        const char *path; /* in the policy */
        struct sq_process_file file;
    } entries[SQ_PROTECTED_FILES_MAX];
};

/*
 * The files that the protected paths are now, and those that they were whenever this was called before: a
 * process may still run a file that was renamed or replaced since. So it is called when the policy is read
 * too, with NULL. The paths in *files are borrowed from `protection`.
 */
void sq_protection_files(const struct sq_protection *protection, struct sq_protected_files *files);

/* The path in the policy under which a file is protected; NULL: it is not. */
const char *sq_protected_files_find(const struct sq_protected_files *files,
                                    const struct sq_process_file *file);

#endif
