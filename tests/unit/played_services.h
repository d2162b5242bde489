/* Services that a hypothesis is measured against, second by second of a clock that is a number. Included by
 * each test of the machine; include model/hypothesis.h and the like before it. */
#ifndef SQ_TESTS_PLAYED_SERVICES_H
#define SQ_TESTS_PLAYED_SERVICES_H

#include "common/clock.h"
#include "model/evidence.h"
#include "model/hypothesis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S  SQ_NS_PER_SECOND
#define MS SQ_NS_PER_MILLISECOND
#define T0 (1000 * S)

enum sample { GOOD, BAD, NONE };

static struct sq_hypothesis hypothesis;
static struct sq_watch watch;

static void set_up(uint32_t probes)
{
    static struct sq_probe room[2];
    sq_watch_free(&watch);
    memset(&hypothesis, 0, sizeof(hypothesis));
    memset(room, 0, sizeof(room));
    hypothesis.probes = room;
    hypothesis.probe_count = probes;
    for (uint32_t i = 0; i < probes; i++) {
        (void)strcpy(hypothesis.probes[i].name, i == 0 ? "first" : "second");
        hypothesis.probes[i].kind = SQ_PROBE_HTTP;
        hypothesis.probes[i].every_ns = S;
        hypothesis.probes[i].timeout_ns = S;
        hypothesis.probes[i].abort_after_misses = 3;
    }
    hypothesis.recover_within_ns = 30 * S;
    assert_int_equal(sq_watch_init(&watch, &hypothesis, NULL), 0);
}

static void begin_steps(const struct sq_span *spans, uint32_t count)
{
    if (watch.phase == SQ_HYPOTHESIS_DURING) {
        sq_watch_free(&watch);
        assert_int_equal(sq_watch_init(&watch, &hypothesis, NULL), 0);
    }
    assert_int_equal(sq_watch_begin_during(&watch, spans, count, 0, T0, NULL), 0);
}

/* One step, "cut", from T0 on. */
static void begin_step(uint64_t length_ns)
{
    const struct sq_span span = {.name = "cut", .begin_boot_ns = T0, .end_boot_ns = T0 + length_ns};
    begin_steps(&span, 1);
}

static struct sq_measurement sample(uint32_t probe, uint64_t at_boot_ns, enum sample what)
{
    struct sq_measurement measurement = {
        .probe = probe,
        .started_boot_ns = at_boot_ns,
        .ended_boot_ns = at_boot_ns + 10 * MS,
        .measured = what != NONE,
        .within = what == GOOD,
        .has_value = what != NONE,
    };
    (void)strcpy(measurement.reason, what == GOOD  ? ""
                                     : what == BAD ? "0.5 where >= 1 is tolerated"
                                                   : "no data");
    return measurement;
}

static enum sq_verdict take(uint32_t probe, uint64_t at_boot_ns, enum sample what)
{
    struct sq_measurement measurement = sample(probe, at_boot_ns, what);
    return sq_watch_take(&watch, &measurement);
}

/* What the service of a probe does, until when. */
struct service {
    uint64_t until_boot_ns;
    enum sample what;
    uint64_t takes_ns;
};

/* One that is under way. */
struct flight {
    bool is_used;
    struct sq_measurement measurement;
};
static struct flight flights[64];
static uint32_t measured[8];

static void fly(uint32_t probe, uint64_t now_boot_ns, const struct service *service)
{
    while (service->until_boot_ns <= now_boot_ns)
        service++;
    for (size_t i = 0; i < 64; i++)
        if (!flights[i].is_used) {
            flights[i].is_used = true;
            flights[i].measurement = sample(probe, now_boot_ns, service->what);
            flights[i].measurement.ended_boot_ns = now_boot_ns + service->takes_ns;
            measured[probe]++;
            return;
        }
    fail_msg("too many are under way");
}

/* The loop that the engine is: what is due is begun, what is answered is taken, until the verdict or `until`.
 * Returns when that was. Every probe has the same service. */
static uint64_t play(uint64_t from_boot_ns, uint64_t until_boot_ns, const struct service *service,
                     enum sq_hypothesis_phase phase)
{
    uint64_t now_boot_ns = from_boot_ns;
    uint32_t due;
    for (uint32_t turns = 0; now_boot_ns < until_boot_ns; turns++) {
        assert_true(turns < 100000); /* it never spins */
        uint64_t next_boot_ns = until_boot_ns;
        for (size_t i = 0; i < 64; i++)
            if (flights[i].is_used && flights[i].measurement.ended_boot_ns <= now_boot_ns) {
                flights[i].is_used = false;
                (void)sq_watch_take(&watch, &flights[i].measurement);
            }
        while (sq_watch_due(&watch, now_boot_ns, &due))
            fly(due, now_boot_ns, service);
        (void)sq_watch_check(&watch, now_boot_ns);
        if (watch.verdicts[phase] != SQ_VERDICT_OPEN)
            return now_boot_ns;
        for (size_t i = 0; i < 64; i++)
            if (flights[i].is_used && flights[i].measurement.ended_boot_ns < next_boot_ns)
                next_boot_ns = flights[i].measurement.ended_boot_ns;
        uint64_t due_boot_ns = sq_watch_next_boot_ns(&watch);
        next_boot_ns = due_boot_ns < next_boot_ns ? due_boot_ns : next_boot_ns;
        now_boot_ns = next_boot_ns > now_boot_ns ? next_boot_ns : now_boot_ns + MS;
    }
    return now_boot_ns;
}

static void play_anew(void)
{
    memset(flights, 0, sizeof(flights));
    memset(measured, 0, sizeof(measured));
}

static enum sq_verdict during(uint64_t length_ns, const struct service *service)
{
    play_anew();
    begin_step(length_ns);
    (void)play(T0, T0 + length_ns + 100 * S, service, SQ_HYPOTHESIS_DURING);
    return watch.verdicts[SQ_HYPOTHESIS_DURING];
}

static void expect_explained(enum sq_hypothesis_phase phase, const char *text)
{
    if (strstr(sq_watch_explain(&watch, phase), text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, sq_watch_explain(&watch, phase));
}

static const struct service always_good[] = {{UINT64_MAX, GOOD, 10 * MS}};

#endif
