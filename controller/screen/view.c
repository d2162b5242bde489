#include "screen/view.h"

#include "common/text.h"
#include "common/units.h"
#include "screen/style.h"
#include "screen/width.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES       1024
#define NAME_COLUMNS_MAX 28

/* One line under construction: plain columns are counted, colours are not. */
struct line {
    char text[LINE_BYTES];
    uint32_t used;
    uint32_t columns;
    bool colored;
};

static void add_bytes(struct line *line, const char *text)
{
    size_t length = sq_width_fit(text, line->columns - line->used);
    char *end = line->text + strlen(line->text);
    sq_text_append(line->text, sizeof(line->text), "%.*s", (int)length, text);
    line->used += sq_width(end);
}

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sq_text_make_printable(text);
    add_bytes(line, text);
}

static void add_styled(struct line *line, enum sq_style style, const char *text)
{
    sq_text_append(line->text, sizeof(line->text), "%s", sq_style_begin(line->colored, style));
    add(line, "%s", text);
    sq_text_append(line->text, sizeof(line->text), "%s", sq_style_end(line->colored));
}

static void pad_to(struct line *line, uint32_t column)
{
    while (line->used < column && line->used < line->columns)
        add(line, " ");
}

static void begin(struct line *line, uint32_t columns, bool colored)
{
    line->text[0] = '\0';
    line->used = 0;
    line->columns = columns;
    line->colored = colored;
}

static void finish(const struct line *line, char *text, size_t size)
{
    sq_text_append(text, size, "%s\n", line->text);
}

static void render_head(const struct sq_view *view, struct line *line)
{
    char time[SQ_UNIT_TEXT_MAX];
    add_styled(line, view->bad ? SQ_STYLE_BAD : SQ_STYLE_STRONG, view->phase);
    sq_duration_format_rounded(view->elapsed_ns, time);
    add(line, "  %s", time);
    if (view->has_left) {
        sq_duration_format_rounded(view->left_ns, time);
        add(line, ", %s left", time);
    }
    add(line, "  %s", view->title);
}

static void render_fault(const struct sq_view_fault *fault, uint32_t host_columns, uint32_t step_columns,
                         struct line *line)
{
    char time[SQ_UNIT_TEXT_MAX];
    enum sq_style style = SQ_STYLE_FAINT;
    if (fault->state == SQ_STATE_INJECTED)
        style = SQ_STYLE_WARNING;
    if (fault->state == SQ_STATE_FAILED || fault->unreachable)
        style = SQ_STYLE_BAD;
    if (fault->state == SQ_STATE_REVERTED)
        style = SQ_STYLE_GOOD;
    add(line, "  %s", fault->host);
    pad_to(line, 2 + host_columns + 2);
    add_styled(line, style, fault->unreachable ? "NO ANSWER" : sq_state_name(fault->state));
    pad_to(line, 2 + host_columns + 2 + 11);
    if (fault->has_left) {
        sq_duration_format_rounded(fault->left_ns, time);
        add(line, "%s", time);
    }
    pad_to(line, 2 + host_columns + 2 + 11 + 7);
    add(line, "%s", fault->step);
    pad_to(line, 2 + host_columns + 2 + 11 + 7 + step_columns);
    for (uint32_t i = 0; i < fault->counter_count; i++)
        add(line, "  %s %llu", fault->counters[i].name, (unsigned long long)fault->counters[i].value);
}

static void render_probe(const struct sq_view_probe *probe, uint32_t name_columns, struct line *line)
{
    add(line, "  ");
    if (!probe->seen)
        add_styled(line, SQ_STYLE_FAINT, "...  ");
    else if (probe->within)
        add_styled(line, SQ_STYLE_GOOD, "ok   ");
    else
        add_styled(line, SQ_STYLE_BAD, probe->measured ? "MISS " : "NONE ");
    add(line, "%s", probe->name);
    pad_to(line, 2 + 5 + name_columns + 2);
    add(line, "%s", probe->seen ? probe->value : "");
    if (probe->misses > 0 && probe->allowed > 0) {
        char misses[64];
        (void)snprintf(misses, sizeof(misses), "  %u of %u misses", probe->misses, probe->allowed);
        add_styled(line, SQ_STYLE_BAD, misses);
    }
    add(line, "  (%s)", probe->tolerance);
}

static uint32_t widest(uint32_t width, const char *text)
{
    uint32_t own = sq_width(text);
    own = own < NAME_COLUMNS_MAX ? own : NAME_COLUMNS_MAX;
    return own > width ? own : width;
}

static void render_faults(const struct sq_view *view, uint32_t columns, uint32_t rows, bool colored,
                          char *text, size_t size)
{
    struct line line;
    uint32_t host_columns = 0;
    uint32_t step_columns = 0;
    uint32_t shown = view->fault_count;
    if (rows == 0)
        return;
    if (shown > rows)
        shown = rows - 1;
    for (uint32_t i = 0; i < view->fault_count; i++) {
        host_columns = widest(host_columns, view->faults[i].host);
        step_columns = widest(step_columns, view->faults[i].step);
    }
    for (uint32_t i = 0; i < shown; i++) {
        begin(&line, columns, colored);
        render_fault(&view->faults[i], host_columns, step_columns, &line);
        finish(&line, text, size);
    }
    if (shown < view->fault_count) {
        begin(&line, columns, colored);
        add(&line, "  and %u more faults", view->fault_count - shown);
        finish(&line, text, size);
    }
}

void sq_view_render(const struct sq_view *view, uint32_t columns, uint32_t rows, bool colored, char *text,
                    size_t size)
{
    struct line line;
    uint32_t name_columns = 0;
    text[0] = '\0';
    if (rows == 0 || columns == 0 || size == 0)
        return;
    begin(&line, columns, colored);
    render_head(view, &line);
    finish(&line, text, size);
    uint32_t room = rows - 1;
    uint32_t probes = view->probe_count < room ? view->probe_count : room;
    render_faults(view, columns, room - probes, colored, text, size);
    for (uint32_t i = 0; i < probes; i++)
        name_columns = widest(name_columns, view->probes[i].name);
    for (uint32_t i = 0; i < probes; i++) {
        begin(&line, columns, colored);
        render_probe(&view->probes[i], name_columns, &line);
        finish(&line, text, size);
    }
}
