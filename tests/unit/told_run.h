/*
 * A small run that is told to observers by hand, with a clock of its own: three web hosts are cut off, one
 * probe misses twice. For tests of the record and of reports.
 */
#ifndef SQ_TESTS_TOLD_RUN_H
#define SQ_TESTS_TOLD_RUN_H

#include "common/clock.h"
#include "record/record.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TOLD_HOSTS    3
#define TOLD_MS       SQ_NS_PER_MILLISECOND
#define TOLD_BEGAN_NS (1000 * SQ_NS_PER_SECOND) /* by the boot clock */
#define TOLD_REAL_NS  (UINT64_C(1763605867) * SQ_NS_PER_SECOND + 123 * TOLD_MS + 456000)

struct told {
    struct sq_experiment experiment;
    struct sq_probe probes[2];
    struct sq_step step;
    struct sq_inventory inventory;
    struct sq_host hosts[TOLD_HOSTS];
    struct sq_plan plan;
    struct sq_plan_host plan_hosts[TOLD_HOSTS];
    struct sq_fault_report previews[TOLD_HOSTS];
    struct sq_fault_report reports[TOLD_HOSTS];
    struct sq_run_last_fault last_faults[TOLD_HOSTS];
    struct sq_run_last_host last_hosts[TOLD_HOSTS];
    struct sq_record_head head;
};

static struct told told;

static inline uint64_t told_at(uint64_t milliseconds)
{
    return TOLD_BEGAN_NS + milliseconds * TOLD_MS;
}

static inline void told_make_hypothesis(void)
{
    struct sq_hypothesis *hypothesis = &told.experiment.hypothesis;
    told.experiment.has_hypothesis = true;
    (void)strcpy(hypothesis->title, "Customers are served");
    hypothesis->probe_count = 2;
    hypothesis->probes = told.probes;
    told.probes[0] = (struct sq_probe){.name = "success rate",
                                       .kind = SQ_PROBE_PROMQL,
                                       .target = "avg(up)",
                                       .tolerance = {.kind = SQ_TOLERANCE_AT_LEAST, .low = 0.99},
                                       .every_ns = SQ_NS_PER_SECOND,
                                       .abort_after_misses = 3};
    told.probes[1] = (struct sq_probe){.name = "front page",
                                       .kind = SQ_PROBE_HTTP,
                                       .target = "http://user:secret@10.77.0.10/",
                                       .within_ns = 500 * TOLD_MS,
                                       .every_ns = SQ_NS_PER_SECOND,
                                       .abort_after_misses = 3};
}

static inline void told_make(void)
{
    memset(&told, 0, sizeof(told));
    (void)strcpy(told.experiment.title, "The shop survives the loss of its web hosts");
    told.experiment.parameter_count = 1;
    (void)strcpy(told.experiment.parameters[0].name, "victims");
    (void)strcpy(told.experiment.parameters[0].value, "3");
    told.experiment.lease_ns = 10 * SQ_NS_PER_SECOND;
    told.experiment.step_count = 1;
    told.experiment.steps = &told.step;
    told.step.spec.kind = SQ_NETWORK_PARTITION;
    told.step.duration_ns = 5 * SQ_NS_PER_SECOND;
    (void)strcpy(told.step.name, "cut off");
    told_make_hypothesis();
    told.inventory.host_count = TOLD_HOSTS;
    told.inventory.hosts = told.hosts;
    told.plan = (struct sq_plan){.experiment = &told.experiment,
                                 .inventory = &told.inventory,
                                 .host_count = TOLD_HOSTS,
                                 .hosts = told.plan_hosts};
    for (uint32_t i = 0; i < TOLD_HOSTS; i++) {
        (void)snprintf(told.hosts[i].name, sizeof(told.hosts[i].name), "web%u", i + 1);
        (void)snprintf(told.hosts[i].agent, sizeof(told.hosts[i].agent), "tls+tcp://10.77.0.1%u:7433", i + 1);
        sq_report_line(&told.previews[i], SQ_LINE_TOUCHES, "peer 10.77.0.0/24 on eth0");
        sq_report_line(&told.previews[i], SQ_LINE_WARNING, "the agent's clock is off");
        told.plan_hosts[i] = (struct sq_plan_host){
            .host = &told.hosts[i], .fault_count = 1, .report_count = 1, .reports = &told.previews[i]};
    }
    told.head = (struct sq_record_head){.began_boot_ns = TOLD_BEGAN_NS,
                                        .began_real_ns = TOLD_REAL_NS,
                                        .id = {{0xab, 0xcd, 0xef, 0x01, 0x23}},
                                        .operator_name = "ann@ops1",
                                        .prometheus_url = "http://ann:secret@10.77.0.20:9090",
                                        .experiment_path = "shop.yaml",
                                        .experiment_text = "title: T # http://ann:secret@10.77.0.10/\n",
                                        .plan = &told.plan};
}

static inline void tell(struct sq_observer observer, struct sq_run_event event)
{
    observer.see(observer.cookie, &event);
}

static inline void tell_phase(struct sq_observer observer, uint64_t at_ms, enum sq_run_phase phase)
{
    struct sq_run_event event = {.kind = SQ_EVENT_PHASE, .boot_ns = told_at(at_ms)};
    event.of.phase.phase = phase;
    if (phase == SQ_PHASE_WATCH)
        event.of.phase.inject_boot_ns = told_at(at_ms + 40);
    tell(observer, event);
}

static inline void tell_request(struct sq_observer observer, uint64_t at_ms, uint32_t host, enum sq_verb verb)
{
    tell(observer, (struct sq_run_event){.kind = SQ_EVENT_REQUEST,
                                         .boot_ns = told_at(at_ms),
                                         .of.request = {.host = host,
                                                        .verb = verb,
                                                        .number = 1,
                                                        .fault_mask = 1,
                                                        .for_boot_ns = told_at(at_ms + 40)}});
}

static inline void tell_state(struct sq_observer observer, uint64_t at_ms, uint32_t host,
                              enum sq_fault_state state, enum sq_end_reason reason)
{
    tell(observer, (struct sq_run_event){.kind = SQ_EVENT_FAULT,
                                         .boot_ns = told_at(at_ms),
                                         .of.fault = {.host = host,
                                                      .step = &told.step,
                                                      .state = state,
                                                      .reason = reason,
                                                      .message = "",
                                                      .report = &told.reports[host],
                                                      .since_boot_ns = told_at(at_ms)}});
}

static inline void tell_measurement(struct sq_observer observer, uint64_t at_ms, uint32_t probe,
                                    enum sq_run_phase phase, double value, const char *reason)
{
    struct sq_measurement measurement = {
        .probe = probe,
        .started_boot_ns = told_at(at_ms),
        .ended_boot_ns = told_at(at_ms + 12),
        .took_ns = 11 * TOLD_MS,
        .measured = true,
        .within = reason[0] == '\0',
        .has_value = true,
        .value = value,
    };
    (void)strcpy(measurement.reason, reason);
    tell(observer,
         (struct sq_run_event){.kind = SQ_EVENT_MEASUREMENT,
                               .boot_ns = told_at(at_ms + 12),
                               .of.measurement = {.probe = &told.probes[probe],
                                                  .measurement = &measurement,
                                                  .phase = phase,
                                                  .judged = measurement.within ? "evidence" : "miss"}});
}

static inline void tell_decision(struct sq_observer observer, uint64_t at_ms, const char *what,
                                 const char *text)
{
    struct sq_run_event event = {.kind = SQ_EVENT_DECISION, .boot_ns = told_at(at_ms)};
    event.of.decision.what = what;
    event.of.decision.text = text;
    tell(observer, event);
}

/* From the beginning until faults are in and one probe has missed. */
static inline void tell_beginning(struct sq_observer observer)
{
    tell(observer, (struct sq_run_event){.kind = SQ_EVENT_BEGIN,
                                         .boot_ns = told_at(1),
                                         .of.begin = {.plan = &told.plan, .id = told.head.id}});
    tell_phase(observer, 1, SQ_PHASE_HELLO);
    tell_phase(observer, 10, SQ_PHASE_PREPARE);
    for (uint32_t i = 0; i < TOLD_HOSTS; i++)
        tell_request(observer, 11, i, SQ_VERB_PREPARE);
    for (uint32_t i = 0; i < TOLD_HOSTS; i++)
        tell_state(observer, 20 + i, i, SQ_STATE_PREPARED, SQ_END_NONE);
    tell_phase(observer, 30, SQ_PHASE_STEADY);
    tell_measurement(observer, 31, 0, SQ_PHASE_STEADY, 1, "");
    tell_measurement(observer, 31, 1, SQ_PHASE_STEADY, 200, "");
    tell_phase(observer, 1000, SQ_PHASE_WATCH);
    for (uint32_t i = 0; i < TOLD_HOSTS; i++)
        tell_request(observer, 1000, i, SQ_VERB_INJECT);
    for (uint32_t i = 0; i < TOLD_HOSTS; i++)
        tell_state(observer, 1040 + i, i, SQ_STATE_INJECTED, SQ_END_NONE);
    tell_measurement(observer, 2000, 0, SQ_PHASE_WATCH, 0.93, "0.93 where >= 0.99 was expected");
    tell_measurement(observer, 2000, 1, SQ_PHASE_WATCH, 200, "");
}

static inline void tell_ending(struct sq_observer observer, uint64_t at_ms, enum sq_exit ending,
                               const char *why)
{
    for (uint32_t i = 0; i < TOLD_HOSTS; i++) {
        struct sq_fault_report *report = &told.reports[i];
        *report = (struct sq_fault_report){.kind = SQ_NETWORK_PARTITION,
                                           .state = SQ_STATE_REVERTED,
                                           .end_reason = SQ_END_DURATION,
                                           .proof = SQ_PROOF_PROVED,
                                           .touched = true};
        sq_report_count(report, "dropped-out", 10 + i);
        sq_report_line(report, SQ_LINE_WARNING, "the agent's clock is off");
        told.last_faults[i] = (struct sq_run_last_fault){.step = &told.step,
                                                         .report = report,
                                                         .prepared_boot_ns = told_at(20 + i),
                                                         .injected_boot_ns = told_at(1040 + i),
                                                         .clean_boot_ns = told_at(6040 + i),
                                                         .removed_boot_ns = told_at(6050 + i)};
        told.last_hosts[i] = (struct sq_run_last_host){.host = i,
                                                       .round_trip_ns = 300000,
                                                       .ordered = true,
                                                       .clean_boot_ns = told_at(6040 + i),
                                                       .removed_boot_ns = told_at(6050 + i),
                                                       .problem = "",
                                                       .fault_count = 1,
                                                       .faults = &told.last_faults[i]};
    }
    tell(observer, (struct sq_run_event){.kind = SQ_EVENT_ENDING,
                                         .boot_ns = told_at(at_ms),
                                         .of.ending = {.ending = ending,
                                                       .why = why,
                                                       .had_ended_because = "",
                                                       .verified = true,
                                                       .recovery_checked = true,
                                                       .recovered = true,
                                                       .not_recovered_because = "",
                                                       .host_count = TOLD_HOSTS,
                                                       .hosts = told.last_hosts}});
}

/* All of it, completed. */
static inline void tell_run(struct sq_observer observer)
{
    tell_beginning(observer);
    tell_measurement(observer, 3000, 0, SQ_PHASE_WATCH, 0.985, "0.985 where >= 0.99 was expected");
    tell_measurement(observer, 4000, 0, SQ_PHASE_WATCH, 1, "");
    tell_decision(observer, 6060, "completed", "the method ran to its end");
    tell_phase(observer, 6060, SQ_PHASE_REVERT);
    tell_phase(observer, 6100, SQ_PHASE_RECOVER);
    tell_measurement(observer, 6101, 0, SQ_PHASE_RECOVER, 1, "");
    tell_decision(observer, 6120, "recovered", "the hypothesis held again");
    tell_phase(observer, 6121, SQ_PHASE_DONE);
    tell_ending(observer, 6122, SQ_EXIT_COMPLETED, "the hypothesis held before, during and after");
}

#endif
