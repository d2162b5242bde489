#include "screen/run_screen.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/host_list.h"
#include "model/probe_form.h"
#include "screen/local_time.h"
#include "screen/style.h"
#include "screen/view.h"
#include "screen/width.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_INTERVAL_NS (200 * SQ_NS_PER_MILLISECOND)
#define PROGRESS_NS      (5 * SQ_NS_PER_SECOND) /* between two lines on how it stands, where there is no view */
#define PROGRESS_PROBES  4                      /* in one of them */
#define CROWD_NS         (100 * SQ_NS_PER_MILLISECOND) /* what happens to several hosts meanwhile is said once */
#define VIEW_BYTES       32768
#define LINE_BYTES       1024

struct sq_run_screen {
    struct sq_run_screen_options options;
    struct sq_loop_source *writable;
    struct sq_loop_source *timer; /* to draw again, or to say that nobody reads */
    bool told;                    /* that nobody reads */
    struct sq_host_blocks *crowd; /* what has happened to faults and is not yet said; NULL: nothing */
    uint64_t crowd_boot_ns;       /* since when */
    struct sq_loop_source *crowd_timer;
    const struct sq_plan *plan;
    uint64_t real_minus_boot_ns;
    bool utf8;
    enum sq_run_phase phase;
    uint64_t phase_boot_ns;    /* since when */
    uint64_t progress_boot_ns; /* when the next line on how it stands is due */
    uint64_t until_boot_ns;
    uint64_t inject_boot_ns;
    bool bad;
    bool over;
    uint32_t probe_count;
    struct sq_view_probe *probes;
    uint32_t fault_count;
    struct sq_view_fault *faults; /* of all hosts, one after the other */
    uint32_t *first_fault;        /* of each host */
    char *text;                   /* VIEW_BYTES of it */
};

/* Where lines are broken, they go on below where their text begins. */
static void put_line(struct sq_run_screen *screen, const char *time, const char *text)
{
    struct sq_console *console = screen->options.console;
    const char *begin = sq_style_begin(screen->options.colored, SQ_STYLE_FAINT);
    const char *end = sq_style_end(screen->options.colored);
    uint32_t indent = (uint32_t)strlen(time) + 2;
    uint32_t columns;
    uint32_t rows;
    size_t next = strlen(text);
    size_t length = next;
    sq_console_size(console, &columns, &rows);
    bool breaks = sq_console_is_live(console) && columns > 2 * indent;
    if (breaks)
        length = sq_width_line(text, columns - indent, &next);
    sq_console_line(console, "%s%s%s  %.*s", begin, time, end, (int)length, text);
    for (text += next; *text != '\0'; text += next) {
        length = sq_width_line(text, columns - indent, &next);
        sq_console_line(console, "%*s%.*s", (int)indent, "", (int)length, text);
    }
}

static void say_crowd(struct sq_run_screen *screen);
static void say(struct sq_run_screen *screen, uint64_t boot_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct sq_run_screen *screen, uint64_t boot_ns, const char *format, ...)
{
    char text[LINE_BYTES];
    char time[SQ_LOCAL_TIME_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sq_text_make_printable(text);
    say_crowd(screen);
    sq_local_time_format(boot_ns + screen->real_minus_boot_ns, time);
    put_line(screen, time, text);
}

/* What happened to many hosts at once, in a line for all of them. */
static void say_crowd(struct sq_run_screen *screen)
{
    uint32_t count;
    struct sq_host_blocks *crowd = screen->crowd;
    if (crowd == NULL)
        return;
    screen->crowd = NULL;
    const struct sq_host_block *all = sq_host_blocks_all(crowd, &count);
    for (uint32_t i = 0; i < count; i++) {
        char names[SQ_HOST_LIST_MAX];
        sq_host_list_format(all[i].names, all[i].count, names, sizeof(names));
        say(screen, screen->crowd_boot_ns, "%s: %s", names, all[i].text);
    }
    sq_host_blocks_free(crowd);
}

static void on_crowd_timer(void *cookie)
{
    say_crowd(cookie);
}

static void add_to_crowd(struct sq_run_screen *screen, uint64_t boot_ns, uint32_t host, const char *what)
{
    if (screen->plan == NULL)
        return;
    if (screen->crowd != NULL && boot_ns > screen->crowd_boot_ns + CROWD_NS)
        say_crowd(screen);
    if (screen->crowd == NULL) {
        screen->crowd = sq_host_blocks_new();
        screen->crowd_boot_ns = boot_ns;
        sq_loop_arm(screen->crowd_timer, sq_loop_now_boot_ns(screen->options.loop) + CROWD_NS);
    }
    if (screen->crowd != NULL)
        (void)sq_host_blocks_add(screen->crowd, host, screen->plan->hosts[host].host->name, what);
}

static void draw(struct sq_run_screen *screen, uint64_t now_boot_ns)
{
    uint32_t columns;
    uint32_t rows;
    uint64_t until_boot_ns = screen->until_boot_ns;
    for (uint32_t host = 0, i = 0; host < screen->plan->host_count; host++)
        for (uint32_t fault = 0; fault < screen->plan->hosts[host].fault_count; fault++, i++) {
            struct sq_view_fault *shown = &screen->faults[i];
            uint32_t step = screen->plan->hosts[host].steps[fault];
            uint64_t end_boot_ns =
                sq_ns_add(screen->inject_boot_ns, sq_experiment_step_end_ns(screen->plan->experiment, step));
            shown->has_left = shown->state == SQ_STATE_INJECTED && screen->inject_boot_ns != 0;
            shown->left_ns = sq_ns_sub(end_boot_ns, now_boot_ns);
        }
    char until[SQ_LOCAL_TIME_MAX];
    sq_local_time_format_short(until_boot_ns + screen->real_minus_boot_ns, until);
    struct sq_view view = {
        .title = screen->plan->experiment->title,
        .phase = sq_run_phase_name(screen->phase),
        .bad = screen->bad,
        .elapsed_ns = sq_ns_sub(now_boot_ns, screen->phase_boot_ns),
        .length_ns = sq_ns_sub(until_boot_ns, screen->phase_boot_ns),
        .until = until,
        .now_boot_ns = now_boot_ns,
        .colored = screen->options.colored,
        .utf8 = screen->utf8,
        .fault_count = screen->fault_count,
        .faults = screen->faults,
        .probe_count = screen->probe_count,
        .probes = screen->probes,
    };
    sq_console_size(screen->options.console, &columns, &rows);
    /* A line in the last column would wrap on some terminals, and the cursor needs a row of its own. */
    sq_view_render(&view, columns > 1 ? columns - 1 : 1, rows > 2 ? rows - 2 : 1, screen->text, VIEW_BYTES);
    sq_console_view(screen->options.console, screen->text);
}

/* "ok" or "MISS", the value, and how many of the misses that end the run. */
static void add_progress(const struct sq_view_probe *probe, char *text, size_t size)
{
    sq_text_append(text, size, "; \"%s\" ", probe->name);
    if (!probe->seen) {
        sq_text_append(text, size, "not measured yet");
        return;
    }
    sq_text_append(text, size, "%s%s", probe->within ? "" : "MISS ", probe->value);
    if (probe->allowed > 0)
        sq_text_append(text, size, ", %u of %u misses", probe->misses, probe->allowed);
}

/* One line on how it stands, for who watches a pipe or a log: probes that miss first. */
static void tell_progress(struct sq_run_screen *screen, uint64_t now_boot_ns)
{
    char text[LINE_BYTES] = "";
    char time[SQ_UNIT_TEXT_MAX];
    uint32_t told = 0;
    sq_duration_format_rounded(sq_ns_sub(now_boot_ns, screen->phase_boot_ns), time);
    sq_text_append(text, sizeof(text), "%s for %s", sq_run_phase_name(screen->phase), time);
    if (screen->until_boot_ns > now_boot_ns) {
        sq_duration_format_rounded(screen->until_boot_ns - now_boot_ns, time);
        sq_text_append(text, sizeof(text), ", %s left", time);
    }
    for (int missing = 1; missing >= 0; missing--)
        for (uint32_t i = 0; i < screen->probe_count && told < PROGRESS_PROBES; i++) {
            const struct sq_view_probe *probe = &screen->probes[i];
            if ((probe->seen && !probe->within) != (missing == 1))
                continue;
            add_progress(probe, text, sizeof(text));
            told++;
        }
    if (told < screen->probe_count)
        sq_text_append(text, sizeof(text), "; and %u more probes", screen->probe_count - told);
    say(screen, now_boot_ns, "%s", text);
}

static void look_after_console(struct sq_run_screen *screen)
{
    struct sq_error error;
    uint32_t wanted = sq_console_wants_to_write(screen->options.console) ? EPOLLOUT : 0;
    if (screen->writable != NULL)
        (void)sq_loop_set_events(screen->writable, wanted, &error);
    /* Told from the loop, not from within an event. */
    if (sq_console_is_broken(screen->options.console) && !screen->told)
        sq_loop_arm(screen->timer, sq_loop_now_boot_ns(screen->options.loop));
}

static void tell_lost(struct sq_run_screen *screen)
{
    if (screen->told)
        return;
    screen->told = true;
    sq_loop_remove(screen->writable);
    screen->writable = NULL;
    screen->options.lost(screen->options.cookie);
}

static void check_lost(struct sq_run_screen *screen)
{
    if (sq_console_is_broken(screen->options.console))
        tell_lost(screen);
}

static void on_writable(void *cookie, uint32_t events)
{
    struct sq_run_screen *screen = cookie;
    sq_console_flush(screen->options.console);
    /* Told again in every turn, though there may be nothing to write that would fail. */
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        tell_lost(screen);
    look_after_console(screen);
    check_lost(screen);
}

static void on_timer(void *cookie)
{
    struct sq_run_screen *screen = cookie;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(screen->options.loop);
    if (sq_console_is_live(screen->options.console) && screen->plan != NULL && !screen->over) {
        draw(screen, now_boot_ns);
        sq_loop_arm(screen->timer, now_boot_ns + VIEW_INTERVAL_NS);
    } else if (screen->plan != NULL && !screen->over) {
        if (now_boot_ns >= screen->progress_boot_ns) {
            tell_progress(screen, now_boot_ns);
            screen->progress_boot_ns = now_boot_ns + PROGRESS_NS;
        }
        sq_loop_arm(screen->timer, screen->progress_boot_ns);
    }
    look_after_console(screen);
    check_lost(screen);
}

static void forget(struct sq_run_screen *screen)
{
    free(screen->probes);
    free(screen->faults);
    free(screen->first_fault);
    free(screen->text);
}

/* Without memory there are the lines alone. */
static void see_begin(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    const struct sq_plan *plan = event->of.begin.plan;
    const struct sq_experiment *experiment = plan->experiment;
    screen->real_minus_boot_ns = event->of.begin.real_ns - event->boot_ns;
    screen->probe_count = experiment->has_hypothesis ? experiment->hypothesis.probe_count : 0;
    for (uint32_t i = 0; i < plan->host_count; i++)
        screen->fault_count += plan->hosts[i].fault_count;
    screen->probes = calloc(screen->probe_count + 1, sizeof(*screen->probes));
    screen->faults = calloc(screen->fault_count + 1, sizeof(*screen->faults));
    screen->first_fault = calloc(plan->host_count + 1, sizeof(*screen->first_fault));
    screen->text = malloc(VIEW_BYTES);
    if (screen->probes == NULL || screen->faults == NULL || screen->first_fault == NULL ||
        screen->text == NULL)
        return;
    for (uint32_t i = 0; i < screen->probe_count; i++) {
        screen->probes[i].name = experiment->hypothesis.probes[i].name;
        sq_probe_tolerance_format(&experiment->hypothesis.probes[i], screen->probes[i].tolerance,
                                  sizeof(screen->probes[i].tolerance));
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < plan->host_count; i++) {
        screen->first_fault[i] = at;
        for (uint32_t fault = 0; fault < plan->hosts[i].fault_count; fault++, at++) {
            screen->faults[at].host = plan->hosts[i].host->name;
            screen->faults[at].step = experiment->steps[plan->hosts[i].steps[fault]].name;
        }
    }
    screen->plan = plan;
}

/* The day and the zone once, on the first line. */
static void tell_zone(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    char zone[2 * SQ_LOCAL_TIME_MAX];
    sq_local_zone_format(event->of.begin.real_ns, zone);
    say(screen, event->boot_ns, "times are those of %s", zone);
}

static void see_phase(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    screen->phase = event->of.phase.phase;
    screen->phase_boot_ns = event->boot_ns;
    screen->until_boot_ns = event->of.phase.until_boot_ns;
    if (screen->phase == SQ_PHASE_WATCH)
        screen->phase_boot_ns = screen->inject_boot_ns = event->of.phase.inject_boot_ns;
    if (screen->phase != SQ_PHASE_DONE)
        say(screen, event->boot_ns, "%s", sq_run_phase_name(screen->phase));
    for (uint32_t i = 0; screen->plan != NULL && i < screen->probe_count; i++) {
        const struct sq_probe *probe = &screen->plan->experiment->hypothesis.probes[i];
        screen->probes[i].allowed = screen->phase == SQ_PHASE_WATCH ? probe->abort_after_misses : 0;
    }
    screen->progress_boot_ns = screen->phase_boot_ns + PROGRESS_NS;
    sq_loop_arm(screen->timer, sq_console_is_live(screen->options.console)
                                   ? sq_loop_now_boot_ns(screen->options.loop)
                                   : screen->progress_boot_ns);
}

static void see_fault(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    const struct sq_run_fault *fault = &event->of.fault;
    if (event->kind == SQ_EVENT_FAULT) {
        bool ended = fault->reason != SQ_END_NONE;
        char what[LINE_BYTES] = "";
        sq_text_append(what, sizeof(what), "\"%s\" is %s%s%s%s", fault->step->name,
                       sq_state_name(fault->state), ended ? " (" : "",
                       ended ? sq_end_reason_name(fault->reason) : "", ended ? ")" : "");
        add_to_crowd(screen, event->boot_ns, fault->host, what);
    }
    if (screen->plan == NULL)
        return;
    struct sq_view_fault *shown = &screen->faults[screen->first_fault[fault->host] + fault->fault];
    shown->state = fault->state;
    shown->counter_count =
        fault->report->counter_count < SQ_COUNTERS_MAX ? fault->report->counter_count : SQ_COUNTERS_MAX;
    for (uint32_t i = 0; i < shown->counter_count; i++)
        shown->counters[i] = fault->report->counters[i];
}

static void see_measurement(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    const struct sq_run_measured *measured = &event->of.measurement;
    const struct sq_measurement *measurement = measured->measurement;
    if (measured->phase == SQ_PHASE_WATCH && strcmp(measured->judged, "miss") == 0)
        say(screen, measurement->ended_boot_ns, "probe \"%s\" misses, %u of %u: %s", measured->probe->name,
            measured->misses_in_a_row, measured->probe->abort_after_misses, measurement->reason);
    if (screen->plan == NULL)
        return;
    struct sq_view_probe *shown = &screen->probes[measurement->probe];
    shown->seen = true;
    shown->within = measurement->within;
    shown->measured = measurement->measured;
    shown->misses = measured->misses_in_a_row;
    sq_probe_value_format(measured->probe, measurement, shown->value, sizeof(shown->value));
    /* A service that does not answer is as bad as can be; what was not measured is a gap. */
    double margin = measurement->measured ? 0 : NAN;
    if (measurement->has_value)
        margin = sq_probe_form_of(measured->probe->kind)->margin(measured->probe, measurement);
    sq_curve_add(&shown->curve, measurement->started_boot_ns, margin, !measurement->within);
}

static void see_decision(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    static const enum sq_exit bad[] = {SQ_EXIT_DEVIATED, SQ_EXIT_REFUSED, SQ_EXIT_FAILED, SQ_EXIT_ABORTED};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (strcmp(event->of.decision.what, sq_ending_name(bad[i])) != 0)
            continue;
        screen->bad = true;
        say(screen, event->boot_ns, "%s: %s", event->of.decision.what, event->of.decision.text);
    }
}

static void see_host(struct sq_run_screen *screen, const struct sq_run_event *event)
{
    if (screen->plan == NULL)
        return;
    uint32_t index = event->of.host.host;
    const struct sq_plan_host *host = &screen->plan->hosts[index];
    const char *what = event->of.host.what;
    bool silent = strcmp(what, "silent") == 0;
    bool back = strcmp(what, "back") == 0;
    if (silent)
        say(screen, event->boot_ns, "%s does not answer; its lease runs out unless it does: %s",
            host->host->name, event->of.host.problem);
    else if (back)
        say(screen, event->boot_ns, "%s answers again", host->host->name);
    if (!silent && !back && strcmp(what, "unconfirmed") != 0)
        return;
    for (uint32_t i = 0; i < host->fault_count; i++)
        screen->faults[screen->first_fault[index] + i].unreachable = !back;
}

static void see(void *cookie, const struct sq_run_event *event)
{
    struct sq_run_screen *screen = cookie;
    switch (event->kind) {
    case SQ_EVENT_BEGIN:
        see_begin(screen, event);
        tell_zone(screen, event);
        break;
    case SQ_EVENT_PHASE:
        see_phase(screen, event);
        break;
    case SQ_EVENT_FAULT:
    case SQ_EVENT_COUNTERS:
        see_fault(screen, event);
        break;
    case SQ_EVENT_MEASUREMENT:
        see_measurement(screen, event);
        break;
    case SQ_EVENT_DECISION:
        see_decision(screen, event);
        break;
    case SQ_EVENT_HOST:
        see_host(screen, event);
        break;
    case SQ_EVENT_NOTE:
        say(screen, event->boot_ns, "%s", event->of.note);
        break;
    case SQ_EVENT_ENDING:
        say_crowd(screen);
        screen->over = true;
        sq_console_view(screen->options.console, "");
        break;
    default:
        break;
    }
    look_after_console(screen);
}

/* Does the terminal show more than ASCII? As the locale of who runs it says (LC_ALL, LC_CTYPE, LANG). */
static bool is_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0)
        return false;
    bool is = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return is;
}

int sq_run_screen_open(const struct sq_run_screen_options *options, struct sq_run_screen **screen_out,
                       struct sq_error *error)
{
    struct sq_run_screen *screen = calloc(1, sizeof(*screen));
    if (screen == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the terminal");
    screen->options = *options;
    screen->utf8 = is_utf8();
    if (sq_loop_add_timer(options->loop, on_timer, screen, &screen->timer, error) != 0 ||
        sq_loop_add_timer(options->loop, on_crowd_timer, screen, &screen->crowd_timer, error) != 0 ||
        sq_loop_add_fd(options->loop, sq_console_fd(options->console), 0, on_writable, screen,
                       &screen->writable, error) != 0) {
        sq_run_screen_close(screen);
        return -1;
    }
    *screen_out = screen;
    return 0;
}

void sq_run_screen_close(struct sq_run_screen *screen)
{
    if (screen == NULL)
        return;
    sq_loop_remove(screen->writable);
    sq_loop_remove(screen->timer);
    sq_loop_remove(screen->crowd_timer);
    sq_host_blocks_free(screen->crowd);
    forget(screen);
    free(screen);
}

struct sq_observer sq_run_screen_observer(struct sq_run_screen *screen)
{
    return (struct sq_observer){.see = see, .cookie = screen};
}
