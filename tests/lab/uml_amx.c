/*
 * Preloaded behind uml_ptrace.so, for a test: a ptrace(2) as on a processor with AMX, whose state is larger
 * than this one's and is taken whole or not at all.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define AMX_STATE_BYTES 11008 /* with AVX-512 and AMX's tiles */

typedef long ptrace_function(enum __ptrace_request request, pid_t pid, void *address, void *data);

static size_t own_bytes; /* of this processor's state */

static long get_state(ptrace_function *next, pid_t pid, struct iovec *wanted)
{
    static char state[AMX_STATE_BYTES];
    struct iovec own = {.iov_base = state, .iov_len = sizeof state};
    long result = next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &own);
    if (result != 0)
        return result;
    own_bytes = own.iov_len;
    memset(state + own_bytes, 0, sizeof state - own_bytes);
    if (wanted->iov_len > sizeof state)
        wanted->iov_len = sizeof state;
    memcpy(wanted->iov_base, state, wanted->iov_len);
    return 0;
}

static long set_state(ptrace_function *next, pid_t pid, const struct iovec *given)
{
    struct iovec own = {.iov_base = given->iov_base, .iov_len = own_bytes};
    if (given->iov_len != AMX_STATE_BYTES || own_bytes == 0) {
        errno = EFAULT;
        return -1;
    }
    return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &own);
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
    if (address == (void *)NT_X86_XSTATE && data != NULL && request == PTRACE_GETREGSET)
        return get_state(next, pid, data);
    if (address == (void *)NT_X86_XSTATE && data != NULL && request == PTRACE_SETREGSET)
        return set_state(next, pid, data);
    return next(request, pid, address, data);
}
