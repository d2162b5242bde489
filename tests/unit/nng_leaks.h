/* For one program's only file: what AddressSanitizer is not to call a leak in it. */
#ifndef NNG_LEAKS_H
#define NNG_LEAKS_H

/*
 * nng's own threads go on freeing what was closed a moment ago when the program has ended already (5 of 40
 * runs on a busy machine), and a request that meets the end of its connection is lost with its memory (1 of
 * 50). What the client itself allocates never has nng on its stack.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so\n";
}

#endif
