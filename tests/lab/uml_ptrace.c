/*
 * Preloaded into linux.uml: a ptrace(2) that always writes the whole extended state.
 *
 * User-Mode Linux 6.1 saves and restores a process's floating point state in a buffer of its own size. The
 * host's PTRACE_SETREGSET of NT_X86_XSTATE demands exactly as many bytes as the processor's state has
 * (xstateregs_set of the kernel), which with AMX is four times that buffer, and so User-Mode Linux gives up
 * at its first process. What lies behind its buffer it never changes: here it is read, completed and written
 * back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define STATE_BYTES_MAX 65536

typedef long ptrace_function(enum __ptrace_request request, pid_t pid, void *address, void *data);

static long set_whole_state(ptrace_function *next, pid_t pid, const struct iovec *given)
{
    static char state[STATE_BYTES_MAX]; /* one thread of linux.uml traces */
    struct iovec whole = {.iov_base = state, .iov_len = sizeof state};
    long result = next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
    if (result != 0 || given->iov_len >= whole.iov_len)
        return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, (void *)given);
    memcpy(state, given->iov_base, given->iov_len);
    return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_function *next;
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE && data != NULL)
        return set_whole_state(next, pid, data);
    return next(request, pid, address, data);
}
