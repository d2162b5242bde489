#include "faults/process_select.h"

#include "common/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNIT_PREFIX "unit:"

/* Without its symbolic links if it exists and fits, else as it is. */
static void resolve(const char *path, char resolved[SQ_PATH_TEXT_MAX])
{
    char real[PATH_MAX];
    if (path[0] != '/' || realpath(path, real) == NULL || !sq_text_copy(resolved, SQ_PATH_TEXT_MAX, real))
        (void)sq_text_copy(resolved, SQ_PATH_TEXT_MAX, path);
}

void sq_process_pattern_init(struct sq_process_pattern *pattern, const struct sq_process_selector *selector)
{
    memset(pattern, 0, sizeof *pattern);
    pattern->selector = *selector;
    resolve(selector->executable, pattern->resolved);
}

static bool is_denied(void)
{
    return errno == EACCES || errno == EPERM;
}

static bool matches_executable(const struct sq_process_pattern *pattern, struct sq_process_view *view,
                               bool *unreadable)
{
    if (pattern->selector.executable[0] == '\0')
        return true;
    if (!sq_process_view_has(view, SQ_PART_EXECUTABLE)) {
        *unreadable = *unreadable || is_denied();
        return false;
    }
    return sq_process_executable_is(view->executable, pattern->selector.executable) ||
           sq_process_executable_is(view->executable, pattern->resolved);
}

static bool matches_comm(const struct sq_process_pattern *pattern, struct sq_process_view *view)
{
    if (pattern->selector.comm[0] == '\0')
        return true;
    return sq_process_view_has(view, SQ_PART_COMM) && strcmp(pattern->selector.comm, view->comm) == 0;
}

static bool matches_command(const struct sq_process_pattern *pattern, struct sq_process_view *view,
                            bool *unreadable)
{
    const char *wanted = pattern->selector.command_line;
    if (wanted[0] == '\0')
        return true;
    if (!sq_process_view_has(view, SQ_PART_COMMAND)) {
        *unreadable = *unreadable || is_denied();
        return false;
    }
    /* Of a line that was cut, the end is not known: only a pattern that takes any end can match. */
    if (view->command_is_cut && wanted[strlen(wanted) - 1] != '*')
        return false;
    return sq_text_matches(wanted, view->command);
}

static bool is_alive(struct sq_process_view *view)
{
    return sq_process_view_has(view, SQ_PART_PROCESS) && !view->process.is_dead;
}

bool sq_process_matches(const struct sq_process_pattern *pattern, struct sq_process_view *view)
{
    bool unreadable = false;
    return matches_executable(pattern, view, &unreadable) && matches_comm(pattern, view) &&
           matches_command(pattern, view, &unreadable) && is_alive(view);
}

bool sq_process_judge(const struct sq_process_pattern *pattern, struct sq_process_view *view,
                      struct sq_process_verdict *verdict)
{
    *verdict = (struct sq_process_verdict){0};
    if (!is_alive(view))
        return false;
    verdict->executable = matches_executable(pattern, view, &verdict->unreadable);
    verdict->comm = matches_comm(pattern, view);
    verdict->command_line = matches_command(pattern, view, &verdict->unreadable);
    return verdict->executable && verdict->comm && verdict->command_line;
}

/* From parent to parent, as long as /proc tells of them. */
static void find_ordering(struct sq_process_guard *guard, pid_t pid)
{
    struct sq_process process;
    while (pid > 1 && guard->ordering_count < SQ_ORDERING_MAX) {
        guard->ordering[guard->ordering_count++] = pid;
        pid = sq_process_read(pid, &process) == 0 ? process.parent_pid : 0;
    }
}

void sq_process_guard_init(struct sq_process_guard *guard, const struct sq_fault_env *env)
{
    memset(guard, 0, sizeof *guard);
    guard->protection = env->protection;
    guard->front_pid = env->front_pid;
    guard->own_file_known = sq_process_file(SQ_PROC_PATH, getpid(), &guard->own_file) == 0;
    find_ordering(guard, env->requester_pid);
    if (env->protection == NULL)
        return;
    sq_protection_files(env->protection, &guard->files);
    for (uint32_t i = 0; i < env->protection->process_count; i++)
        if (env->protection->processes[i][0] == '/')
            resolve(env->protection->processes[i], guard->resolved[i]);
}

static bool is_ordering(const struct sq_process_guard *guard, pid_t pid)
{
    for (uint32_t i = 0; i < guard->ordering_count; i++)
        if (guard->ordering[i] == pid)
            return true;
    return false;
}

/* Another life or another part of squall: the same file, or one of its programs by name. */
static bool is_squall(const struct sq_process_guard *guard, struct sq_process_view *view)
{
    if (guard->own_file_known && sq_process_view_has(view, SQ_PART_FILE) &&
        sq_process_file_is(&view->file, &guard->own_file))
        return true;
    const char *slash = strrchr(view->executable, '/');
    const char *name = slash != NULL ? slash + 1 : view->executable;
    return sq_process_executable_is(name, "squalld") || sq_process_executable_is(name, "squall");
}

/* By its path, also where that is another file by now, or as the same file by another path. */
static bool is_protected_file(const struct sq_process_guard *guard, struct sq_process_view *view, char *why,
                              size_t size)
{
    for (uint32_t i = 0; i < guard->protection->process_count; i++) {
        const char *path = guard->protection->processes[i];
        if (path[0] != '/')
            continue;
        if (sq_process_executable_is(view->executable, path) ||
            sq_process_executable_is(view->executable, guard->resolved[i])) {
            (void)snprintf(why, size, "protected by the policy (%.100s)", path);
            return true;
        }
    }
    if (guard->files.count == 0)
        return false;
    if (!sq_process_view_has(view, SQ_PART_FILE)) {
        (void)snprintf(why, size, "its file cannot be looked at, and the policy protects files");
        return true;
    }
    const char *path = sq_protected_files_find(&guard->files, &view->file);
    if (path == NULL)
        return false;
    (void)snprintf(why, size, "protected by the policy (it runs the file %.90s)", path);
    return true;
}

static bool is_protected_unit(const struct sq_process_guard *guard, struct sq_process_view *view, char *why,
                              size_t size)
{
    for (uint32_t i = 0; i < guard->protection->process_count; i++) {
        const char *entry = guard->protection->processes[i];
        if (strncmp(entry, UNIT_PREFIX, strlen(UNIT_PREFIX)) != 0)
            continue;
        if (!sq_process_view_has(view, SQ_PART_CGROUP)) {
            (void)snprintf(why, size, "its unit cannot be read (%s), and the policy protects units",
                           strerrordesc_np(errno));
            return true;
        }
        if (sq_cgroup_is_in_unit(view->cgroup, entry + strlen(UNIT_PREFIX))) {
            (void)snprintf(why, size, "protected by the policy (%.100s)", entry);
            return true;
        }
    }
    return false;
}

/* What squall spares by itself; NULL: nothing of that. */
static const char *own_reason(const struct sq_process_guard *guard, struct sq_process_view *view)
{
    if (view->pid == 1)
        return "pid 1";
    if (view->pid == getpid() || (guard->front_pid > 0 && view->pid == guard->front_pid))
        return "squall itself";
    if (is_ordering(guard, view->pid))
        return "it ordered this";
    if (!sq_process_view_has(view, SQ_PART_EXECUTABLE)) {
        if (errno == ESRCH)
            return "it has exited";
        bool is_known = sq_process_view_has(view, SQ_PART_PROCESS);
        return is_known && view->process.is_kernel_thread ? "a kernel thread"
                                                          : "its executable cannot be read";
    }
    return is_squall(guard, view) ? "squall itself" : NULL;
}

bool sq_process_is_spared(const struct sq_process_guard *guard, struct sq_process_view *view, char *why,
                          size_t size)
{
    const char *reason = own_reason(guard, view);
    if (reason != NULL) {
        (void)snprintf(why, size, "%s", reason);
        return true;
    }
    if (guard->protection == NULL)
        return false;
    return is_protected_file(guard, view, why, size) || is_protected_unit(guard, view, why, size);
}
