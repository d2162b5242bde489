/* The endings: what an exit status says, and which one an error means. Pure. */
#ifndef SQ_MODEL_ENDING_H
#define SQ_MODEL_ENDING_H

#include "common/error.h"

/* How a verb ends, as exit statuses; docs/running.md tells them for people. */
enum sq_exit {
    SQ_EXIT_COMPLETED = 0,
    SQ_EXIT_DEVIATED = 1,
    SQ_EXIT_WRONG = 2,
    SQ_EXIT_REFUSED = 3,
    SQ_EXIT_FAILED = 4,
    SQ_EXIT_ABORTED = 5,
    SQ_EXIT_UNCLEAN = 6
};

/* "completed", "deviated", ...; "wrong" for a bad command line. */
const char *sq_ending_name(enum sq_exit ending);

/* The exit status that an error means. */
enum sq_exit sq_exit_of(enum sq_code code);

#endif
