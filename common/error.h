/*
 * The one error object. Leaf code fills it and returns -1; nobody logs on the way up.
 *
 * A function that can fail takes `struct sq_error *error` last and returns 0 or -1. On -1 the
 * object holds a code, which decides the exit status and travels over the wire, and one sentence
 * for a person: what is wrong, where, what was expected, what to do. On 0 it is untouched.
 */
#ifndef SQ_COMMON_ERROR_H
#define SQ_COMMON_ERROR_H

#include <stdarg.h>

#define SQ_ERROR_TEXT_MAX 512

/* Numbers travel in sq_reply.code: append only. */
enum sq_code {
    SQ_OK = 0,
    SQ_BAD_INPUT = 1,    /* the command line, a file or a request is wrong */
    SQ_POLICY = 2,       /* the host's policy forbids it */
    SQ_CONFLICT = 3,     /* another experiment or another fault stands in the way */
    SQ_UNABLE = 4,       /* this host cannot do it: a module, a capability, a foreign filter */
    SQ_NOBODY = 5,       /* nothing matches: no host, no process, no interface */
    SQ_LIMIT = 6,        /* a limit of the experiment or of squall is exceeded */
    SQ_UNKNOWN = 7,      /* the agent knows no such experiment or fault */
    SQ_STALE = 8,        /* too late, repeated after the end, or for an earlier life of the agent */
    SQ_VERSION_GAP = 9,  /* the other side speaks another protocol version */
    SQ_UNREACHABLE = 10, /* nobody there, connection or TLS refused */
    SQ_TIMEOUT = 11,     /* no answer in time */
    SQ_NO_DATA = 12,     /* a probe could not be measured */
    SQ_NOT_STEADY = 13,  /* the steady state was measured, and is bad, before anything was injected */
    SQ_DEVIATED = 14,    /* a measured value broke its tolerance */
    SQ_ABORTED = 15,     /* a person or a stop condition ended it */
    SQ_UNCLEAN = 16,     /* something could not be undone or not be confirmed */
    SQ_SYSTEM = 17,      /* a system call failed, memory ran out, a file could not be read */
    SQ_INTERNAL = 18,    /* a defect in squall */
    SQ_VANISHED = 19,    /* what squall made was taken away, or is bypassed, by somebody else */
    SQ_CODE_MAX = 19
};

struct sq_error {
    enum sq_code code;
    char text[SQ_ERROR_TEXT_MAX];
};

/* Fill `error` (which may be NULL) and return -1. A text that is too long is cut, never overrun. */
int sq_fail(struct sq_error *error, enum sq_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with code SQ_SYSTEM and ": <strerror(number)>" after the text. */
int sq_fail_errno(struct sq_error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "text: " in front of what `error` holds and return -1: for callers that know where. */
int sq_fail_in(struct sq_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A stable lower-case word for a code ("policy", "conflict"), for records and --json. Never NULL. */
const char *sq_code_name(enum sq_code code);

#endif
