#include "model/ending.h"

const char *sq_ending_name(enum sq_exit ending)
{
    static const char *const names[] = {"completed", "deviated", "wrong",  "refused",
                                        "failed",    "aborted",  "unclean"};
    return names[ending];
}

enum sq_exit sq_exit_of(enum sq_code code)
{
    switch (code) {
    case SQ_OK:
        return SQ_EXIT_COMPLETED;
    case SQ_DEVIATED:
        return SQ_EXIT_DEVIATED;
    case SQ_BAD_INPUT:
        return SQ_EXIT_WRONG;
    case SQ_POLICY:
    case SQ_CONFLICT:
    case SQ_UNABLE:
    case SQ_NOBODY:
    case SQ_LIMIT:
    case SQ_NOT_STEADY:
        return SQ_EXIT_REFUSED;
    case SQ_UNKNOWN:
    case SQ_STALE:
    case SQ_VERSION_GAP:
    case SQ_UNREACHABLE:
    case SQ_TIMEOUT:
    case SQ_NO_DATA:
    case SQ_SYSTEM:
    case SQ_INTERNAL:
    case SQ_VANISHED:
        return SQ_EXIT_FAILED;
    case SQ_ABORTED:
        return SQ_EXIT_ABORTED;
    case SQ_UNCLEAN:
        return SQ_EXIT_UNCLEAN;
    }
    return SQ_EXIT_FAILED;
}
