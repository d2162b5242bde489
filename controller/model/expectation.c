#include "model/expectation.h"

#include "common/text.h"
#include "common/units.h"

#include <string.h>

/* The counters of process.kill, docs/faults/process.kill.md. False: it is missing. */
static bool find_counter(const struct sq_fault_report *report, const char *name, uint64_t *value)
{
    for (uint32_t i = 0; i < report->counter_count; i++)
        if (strcmp(report->counters[i].name, name) == 0) {
            *value = report->counters[i].value;
            return true;
        }
    return false;
}

/* Whoever starts and dies again and again came back each time, and does not run. Only the last look is
 * judged: in between, a service may well be between two starts. */
static bool runs_in_the_end(const struct sq_fault_report *report, uint64_t signalled, const char *within,
                            char *why, size_t size)
{
    uint64_t running = 0;
    bool over = report->state == SQ_STATE_REVERTED || report->state == SQ_STATE_FAILED;
    if (!over || !find_counter(report, "matching-now", &running) || running >= signalled)
        return true;
    sq_text_append(why, size, "came back within %s and did not stay: %llu of %llu ran when last looked at",
                   within, (unsigned long long)running, (unsigned long long)signalled);
    return false;
}

static enum sq_expectation judge_return(const struct sq_step *step, const struct sq_fault_report *report,
                                        uint64_t known_for_ns, char *why, size_t size)
{
    uint64_t signalled = 0;
    uint64_t killed = 0;
    uint64_t came_back = 0;
    uint64_t after_ms = 0;
    uint64_t within_ns = step->came_back_within_ns;
    bool over = report->state == SQ_STATE_REVERTED || report->state == SQ_STATE_FAILED;
    bool knows_time = find_counter(report, "back-after-ms", &after_ms);
    char within[SQ_UNIT_TEXT_MAX];
    char after[SQ_UNIT_TEXT_MAX];
    sq_duration_format(within_ns, within);
    (void)find_counter(report, "signalled", &signalled);
    (void)find_counter(report, "killed", &killed);
    (void)find_counter(report, "came-back", &came_back);
    bool all_back = signalled > 0 && came_back >= signalled;
    if (all_back && (knows_time ? after_ms * SQ_NS_PER_MILLISECOND <= within_ns : known_for_ns <= within_ns))
        return runs_in_the_end(report, signalled, within, why, size) ? SQ_EXPECT_MET : SQ_EXPECT_MISSED;
    if (all_back && knows_time) {
        sq_duration_format_rounded(after_ms * SQ_NS_PER_MILLISECOND, after);
        sq_text_append(why, size, "came back after %s only, where %s was expected", after, within);
        return SQ_EXPECT_MISSED;
    }
    if (known_for_ns < within_ns + SQ_EXPECT_LOOK_NS && !over)
        return SQ_EXPECT_OPEN;
    if (all_back || signalled == 0 || known_for_ns < within_ns) {
        sq_text_append(why, size, "nobody knows whether it came back within %s: %s", within,
                       all_back         ? "its agent does not tell when it did"
                       : signalled == 0 ? "nothing got the signal"
                                        : "it was not watched that long");
        return SQ_EXPECT_UNKNOWN;
    }
    if (killed < signalled)
        sq_text_append(why, size,
                       "did not come back within %s: %llu of %llu still run in spite of the signal", within,
                       (unsigned long long)(signalled - killed), (unsigned long long)signalled);
    else
        sq_text_append(why, size, "did not come back within %s: %llu of %llu that were killed did", within,
                       (unsigned long long)came_back, (unsigned long long)killed);
    return SQ_EXPECT_MISSED;
}

enum sq_expectation sq_expect_judge(const struct sq_step *step, const struct sq_fault_report *report,
                                    uint64_t known_for_ns, char *why, size_t size)
{
    why[0] = '\0';
    if (step->came_back_within_ns == 0)
        return SQ_EXPECT_NOTHING;
    return judge_return(step, report, known_for_ns, why, size);
}
