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

static bool matches_executable(const struct sq_process_pattern *pattern, pid_t pid, bool *unreadable)
{
    char executable[PATH_MAX];
    if (sq_process_executable(pid, executable, sizeof executable) != 0) {
        *unreadable = *unreadable || errno == EACCES || errno == EPERM;
        return false;
    }
    return sq_process_executable_is(executable, pattern->selector.executable) ||
           sq_process_executable_is(executable, pattern->resolved);
}

static bool matches_command(const char *wanted, pid_t pid, bool *unreadable)
{
    char command[SQ_PROCESS_COMMAND_MAX];
    bool cut;
    if (sq_process_command(pid, command, sizeof command, &cut) != 0) {
        *unreadable = *unreadable || errno == EACCES || errno == EPERM;
        return false;
    }
    /* Of a line that was cut, the end is not known: only a pattern that takes any end can match. */
    if (cut && wanted[strlen(wanted) - 1] != '*')
        return false;
    return sq_text_matches(wanted, command);
}

bool sq_process_matches(const struct sq_process_pattern *pattern, const struct sq_process *process,
                        struct sq_process_verdict *verdict)
{
    const struct sq_process_selector *selector = &pattern->selector;
    struct sq_process_verdict found = {.executable = true, .comm = true, .command_line = true};
    if (process->is_dead)
        found = (struct sq_process_verdict){0};
    else if (selector->comm[0] != '\0')
        found.comm = strcmp(selector->comm, process->comm) == 0;
    bool look_further = !process->is_dead && (found.comm || verdict != NULL);
    if (look_further && selector->executable[0] != '\0')
        found.executable = matches_executable(pattern, process->id.pid, &found.unreadable);
    look_further = look_further && (found.executable || verdict != NULL);
    if (look_further && selector->command_line[0] != '\0')
        found.command_line = matches_command(selector->command_line, process->id.pid, &found.unreadable);
    if (verdict != NULL)
        *verdict = found;
    return found.executable && found.comm && found.command_line;
}

void sq_process_guard_init(struct sq_process_guard *guard, const struct sq_fault_env *env)
{
    memset(guard, 0, sizeof *guard);
    guard->protection = env->protection;
    guard->front_pid = env->front_pid;
    guard->own_file_known = sq_process_file(getpid(), &guard->own_file) == 0;
    for (uint32_t i = 0; env->protection != NULL && i < env->protection->process_count; i++)
        if (env->protection->processes[i][0] == '/')
            resolve(env->protection->processes[i], guard->resolved[i]);
}

/* Another life or another part of squall: the same file, or one of its programs by name. */
static bool is_squall(const struct sq_process_guard *guard, pid_t pid, const char *executable)
{
    struct sq_process_file file;
    if (guard->own_file_known && sq_process_file(pid, &file) == 0 && file.device == guard->own_file.device &&
        file.inode == guard->own_file.inode)
        return true;
    const char *slash = strrchr(executable, '/');
    const char *name = slash != NULL ? slash + 1 : executable;
    return sq_process_executable_is(name, "squalld") || sq_process_executable_is(name, "squall");
}

static bool is_protected_file(const struct sq_process_guard *guard, const char *executable, char *why,
                              size_t size)
{
    for (uint32_t i = 0; i < guard->protection->process_count; i++) {
        const char *path = guard->protection->processes[i];
        if (path[0] != '/')
            continue;
        if (sq_process_executable_is(executable, path) ||
            sq_process_executable_is(executable, guard->resolved[i])) {
            (void)snprintf(why, size, "protected by the policy (%.100s)", path);
            return true;
        }
    }
    return false;
}

static bool is_protected_unit(const struct sq_process_guard *guard, pid_t pid, char *why, size_t size)
{
    char cgroup[8192];
    bool known = false;
    for (uint32_t i = 0; i < guard->protection->process_count; i++) {
        const char *entry = guard->protection->processes[i];
        if (strncmp(entry, UNIT_PREFIX, strlen(UNIT_PREFIX)) != 0)
            continue;
        if (!known && sq_process_cgroup(pid, cgroup, sizeof cgroup) != 0) {
            (void)snprintf(why, size, "its unit cannot be read (%s), and the policy protects units",
                           strerrordesc_np(errno));
            return true;
        }
        known = true;
        if (sq_cgroup_is_in_unit(cgroup, entry + strlen(UNIT_PREFIX))) {
            (void)snprintf(why, size, "protected by the policy (%.100s)", entry);
            return true;
        }
    }
    return false;
}

bool sq_process_is_spared(const struct sq_process_guard *guard, const struct sq_process *process, char *why,
                          size_t size)
{
    pid_t pid = process->id.pid;
    const char *reason = NULL;
    char executable[PATH_MAX] = "";
    if (pid == 1)
        reason = "pid 1";
    else if (process->is_kernel_thread)
        reason = "a kernel thread";
    else if (pid == getpid() || (guard->front_pid > 0 && pid == guard->front_pid))
        reason = "squall itself";
    else if (sq_process_executable(pid, executable, sizeof executable) != 0)
        reason = errno == ESRCH ? "it has exited" : "its executable cannot be read";
    else if (is_squall(guard, pid, executable))
        reason = "squall itself";
    if (reason != NULL) {
        (void)snprintf(why, size, "%s", reason);
        return true;
    }
    if (guard->protection == NULL)
        return false;
    return is_protected_file(guard, executable, why, size) || is_protected_unit(guard, pid, why, size);
}
