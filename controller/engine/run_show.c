/* What a person sees while a run goes on: lines, and on a terminal the live view. */
#include "engine/run_state.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"
#include "model/probe_form.h"
#include "screen/style.h"
#include "screen/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VIEW_INTERVAL_NS (200 * SQ_NS_PER_MILLISECOND)
#define VIEW_BYTES       32768

void sq_run_say(struct sq_run *run, const char *format, ...)
{
    char text[SQ_RUN_TEXT_MAX];
    char time[SQ_TIMESTAMP_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sq_text_make_printable(text);
    sq_record_time_format(run->options.record, sq_boot_ns(), time);
    /* "2026-11-20T02:31:07.123Z": the time of day is enough here, the record has the rest. */
    sq_console_line(run->options.console, "%s%.12s%s  %s",
                    sq_style_begin(run->options.colored, SQ_STYLE_FAINT), time + 11,
                    sq_style_end(run->options.colored), text);
}

static void fill_fault(const struct sq_run *run, const struct sq_run_host *host, uint32_t fault,
                       uint64_t now_boot_ns, struct sq_view_fault *shown)
{
    const struct sq_fault_report *report = sq_run_report_of(host, fault);
    *shown = (struct sq_view_fault){
        .host = host->name,
        .step = sq_run_step_of(run, host, fault)->name,
        .unreachable = host->silent || host->unconfirmed,
    };
    if (report == NULL)
        return;
    shown->state = report->state;
    if (report->state == SQ_STATE_INJECTED && run->inject_boot_ns != 0) {
        uint64_t end_boot_ns = sq_ns_add(
            run->inject_boot_ns, sq_experiment_step_end_ns(run->experiment, host->plan->steps[fault]));
        shown->has_left = true;
        shown->left_ns = sq_ns_sub(end_boot_ns, now_boot_ns);
    }
    shown->counter_count = report->counter_count < SQ_COUNTERS_MAX ? report->counter_count : SQ_COUNTERS_MAX;
    for (uint32_t i = 0; i < shown->counter_count; i++)
        shown->counters[i] = report->counters[i];
}

static void fill_probes(const struct sq_run *run, struct sq_view_probe *shown)
{
    for (uint32_t i = 0; i < run->hypothesis->probe_count; i++) {
        const struct sq_probe *probe = &run->hypothesis->probes[i];
        const struct sq_probe_state *state = &run->watch.probes[i];
        shown[i] = (struct sq_view_probe){
            .name = probe->name,
            .seen = state->total > 0,
            .within = state->last.within,
            .measured = state->last.measured,
            .misses = state->misses,
            .allowed = run->phase == SQ_PHASE_WATCH ? probe->abort_after_misses : 0,
        };
        sq_probe_value_format(probe, &state->last, shown[i].value, sizeof(shown[i].value));
        sq_probe_tolerance_format(probe, shown[i].tolerance, sizeof(shown[i].tolerance));
    }
}

static void fill_times(const struct sq_run *run, uint64_t now_boot_ns, struct sq_view *view)
{
    uint64_t end_boot_ns = 0;
    if (run->phase == SQ_PHASE_WATCH)
        end_boot_ns = sq_ns_add(run->inject_boot_ns, sq_experiment_length_ns(run->experiment));
    else if (run->phase == SQ_PHASE_STEADY && run->hypothesis != NULL)
        end_boot_ns = sq_ns_add(run->watch.since_boot_ns, run->hypothesis->hold_before_ns);
    else if (run->phase == SQ_PHASE_RECOVER)
        end_boot_ns = sq_ns_add(run->watch.since_boot_ns, run->hypothesis->recover_within_ns);
    view->has_left = end_boot_ns != 0;
    view->left_ns = sq_ns_sub(end_boot_ns, now_boot_ns);
    view->elapsed_ns = sq_ns_sub(now_boot_ns, run->began_boot_ns);
}

static void draw(struct sq_run *run, uint64_t now_boot_ns)
{
    uint32_t columns;
    uint32_t rows;
    uint32_t fault_count = 0;
    for (uint32_t i = 0; i < run->host_count; i++)
        fault_count += run->hosts[i].plan->fault_count;
    sq_autofree struct sq_view_fault *faults = calloc(fault_count + 1, sizeof(*faults));
    sq_autofree struct sq_view_probe *probes = calloc(SQ_PROBES_MAX, sizeof(*probes));
    sq_autofree char *text = malloc(VIEW_BYTES);
    if (faults == NULL || probes == NULL || text == NULL)
        return;
    struct sq_view view = {
        .title = run->experiment->title,
        .phase = sq_run_phase_name(run->phase),
        .bad = run->ended && run->ending != SQ_EXIT_COMPLETED,
        .faults = faults,
        .probes = probes,
    };
    for (uint32_t i = 0; i < run->host_count; i++)
        for (uint32_t fault = 0; fault < run->hosts[i].plan->fault_count; fault++)
            fill_fault(run, &run->hosts[i], fault, now_boot_ns, &faults[view.fault_count++]);
    if (run->hypothesis != NULL) {
        fill_probes(run, probes);
        view.probe_count = run->hypothesis->probe_count;
    }
    fill_times(run, now_boot_ns, &view);
    sq_console_size(run->options.console, &columns, &rows);
    /* A line in the last column would wrap on some terminals, and the cursor needs a row of its own. */
    sq_view_render(&view, columns > 1 ? columns - 1 : 1, rows > 2 ? rows - 2 : 1, run->options.colored, text,
                   VIEW_BYTES);
    sq_console_view(run->options.console, text);
}

void sq_run_show(struct sq_run *run, uint64_t now_boot_ns)
{
    sq_console_flush(run->options.console);
    if (!sq_console_is_live(run->options.console) || now_boot_ns < run->next_view_boot_ns)
        return;
    run->next_view_boot_ns = now_boot_ns + VIEW_INTERVAL_NS;
    draw(run, now_boot_ns);
}
