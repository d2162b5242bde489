/* What a step expects of its fault (`expect`), judged from what an agent reports of it. Pure. */
#ifndef SQ_MODEL_EXPECTATION_H
#define SQ_MODEL_EXPECTATION_H

#include "model/experiment.h"
#include "table/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Until so long after the time that is expected the agent may need to see what started at its last moment. */
#define SQ_EXPECT_LOOK_NS SQ_NS_PER_SECOND

enum sq_expectation {
    SQ_EXPECT_NOTHING, /* the step expects nothing of its fault */
    SQ_EXPECT_OPEN,    /* it can still come */
    SQ_EXPECT_MET,
    SQ_EXPECT_MISSED,
    SQ_EXPECT_UNKNOWN /* the fault is over, and nobody can tell */
};

/*
 * `report`: of the step's fault on one host, the latest. `known_for_ns`: how long after the injection it was
 * asked for, so that everything which had happened by then is in it; 0: it was never injected. Of a fault
 * that is over the report is the last. For MISSED and UNKNOWN `why` says what happened instead, without the
 * host's name; else it is "".
 */
enum sq_expectation sq_expect_judge(const struct sq_step *step, const struct sq_fault_report *report,
                                    uint64_t known_for_ns, char *why, size_t size);

#endif
