/*
 * So many processes that sleep, for as long as this one lives: crowd COUNT. They share one memory, so that
 * ten thousand of them take half a second and no gigabyte. Says "ready" when they are there. SIGUSR1 does
 * nothing to any of them.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_BYTES 1024
#define COUNT_MAX   50000

/* Shares everything with its siblings, so it keeps to system calls. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static int doze(void *nothing)
{
    (void)nothing;
    (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
    for (;;)
        (void)syscall(SYS_ppoll, NULL, 0L, NULL, NULL, 0L);
    return 0;
}

int main(int argc, char **argv)
{
    long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (count <= 0 || count > COUNT_MAX)
        return 2;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGUSR1, SIG_IGN);
    char *stacks =
        mmap(NULL, (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stacks == MAP_FAILED)
        return 1;
    for (long i = 0; i < count; i++) {
        if (clone(doze, stacks + (size_t)(i + 1) * STACK_BYTES, CLONE_VM | SIGCHLD, NULL) < 0) {
            (void)printf("only %ld processes can be made: %s\n", i, strerror(errno));
            return 1;
        }
    }
    (void)puts("ready");
    (void)fflush(stdout);
    (void)pause();
    return 0;
}
