#include "screen/view.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "common/units.h"
#include "model/host_list.h"
#include "screen/style.h"
#include "screen/width.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES       2048
#define NAME_COLUMNS_MAX 28
#define BAR_COLUMNS_MAX  20
#define CURVE_FROM       70 /* columns of a terminal that has room for curves */
#define INDENT           4  /* of what a broken line goes on with */
#define GROUPS_MAX       64

/* One line under construction, as wide as it gets. */
struct line {
    char text[LINE_BYTES];
    bool colored;
};

/* What is drawn into: at most `rows` more lines. */
struct canvas {
    const struct sq_view *view;
    uint32_t columns;
    uint32_t rows;
    bool breaks; /* there is room to break lines at words; else they are cut */
    char *text;
    size_t size;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sq_text_make_printable(text);
    sq_text_append(line->text, sizeof(line->text), "%s", text);
}

static void add_styled(struct line *line, enum sq_style style, const char *text)
{
    sq_text_append(line->text, sizeof(line->text), "%s", sq_style_begin(line->colored, style));
    add(line, "%s", text);
    sq_text_append(line->text, sizeof(line->text), "%s", sq_style_end(line->colored));
}

static void pad_to(struct line *line, uint32_t column)
{
    uint32_t width = sq_width(line->text);
    if (width < column)
        add(line, "%*s", (int)(column - width), "");
}

/* Is a colour begun and not ended in these bytes? */
static bool is_open(const char *text, size_t length)
{
    const char *last = NULL;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\033')
            last = text + i;
    return last != NULL && strncmp(last, "\033[0m", 4) != 0;
}

static void put_row(struct canvas *canvas, uint32_t indent, const char *text, size_t length)
{
    sq_text_append(canvas->text, canvas->size, "%*s%.*s%s\n", (int)indent, "", (int)length, text,
                   is_open(text, length) ? sq_style_end(true) : "");
    canvas->rows--;
}

static bool can_break(const struct canvas *canvas)
{
    return canvas->breaks && canvas->columns > 3 * INDENT;
}

/* How many rows a line takes. */
static uint32_t count_rows(const struct canvas *canvas, const char *text)
{
    uint32_t rows = 0;
    if (!can_break(canvas))
        return 1;
    for (size_t next = 0; *text != '\0'; text += next) {
        (void)sq_width_line(text, canvas->columns - (rows > 0 ? INDENT : 0), &next);
        rows++;
    }
    return rows;
}

static void put_line(struct canvas *canvas, const char *text)
{
    if (!can_break(canvas)) {
        put_row(canvas, 0, text, sq_width_fit(text, canvas->columns));
        return;
    }
    uint32_t indent = 0;
    for (size_t next = 0; *text != '\0' && canvas->rows > 0; text += next, indent = INDENT) {
        size_t length = sq_width_line(text, canvas->columns - indent, &next);
        put_row(canvas, indent, text, length);
    }
}

/* "[####----]", or the same in Braille. */
static void add_bar(const struct sq_view *view, uint32_t columns, struct line *line)
{
    uint32_t width = columns / 4 < BAR_COLUMNS_MAX ? columns / 4 : BAR_COLUMNS_MAX;
    uint64_t done_ns = view->elapsed_ns < view->length_ns ? view->elapsed_ns : view->length_ns;
    uint32_t full = (uint32_t)((double)done_ns / (double)view->length_ns * width + 0.5);
    add(line, view->utf8 ? "  " : "  [");
    for (uint32_t i = 0; i < width; i++)
        add(line, "%s", i < full ? (view->utf8 ? "\xe2\xa3\xbf" : "#") : (view->utf8 ? "\xe2\xa3\x80" : "-"));
    add(line, view->utf8 ? "" : "]");
}

static void compose_head(const struct sq_view *view, uint32_t columns, struct line *line)
{
    char elapsed[SQ_UNIT_TEXT_MAX];
    char length[SQ_UNIT_TEXT_MAX];
    *line = (struct line){.colored = view->colored};
    add_styled(line, view->bad ? SQ_STYLE_BAD : SQ_STYLE_STRONG, view->phase);
    sq_duration_format_rounded(view->elapsed_ns, elapsed);
    sq_duration_format_rounded(view->length_ns, length);
    if (view->length_ns > 0) {
        add_bar(view, columns, line);
        add(line, "  %s of %s, until %s", elapsed, length, view->until);
    } else {
        add(line, "  %s", elapsed);
    }
    add(line, "  %s", view->title);
}

static enum sq_style fault_style(const struct sq_view_fault *fault)
{
    if (fault->state == SQ_STATE_FAILED || fault->unreachable)
        return SQ_STYLE_BAD;
    if (fault->state == SQ_STATE_INJECTED)
        return SQ_STYLE_WARNING;
    return fault->state == SQ_STATE_REVERTED ? SQ_STYLE_GOOD : SQ_STYLE_FAINT;
}

static void compose_fault(const struct sq_view *view, const struct sq_view_fault *fault, const char *hosts,
                          uint32_t host_columns, uint32_t step_columns, struct line *line)
{
    char time[SQ_UNIT_TEXT_MAX];
    *line = (struct line){.colored = view->colored};
    add(line, "  %s", hosts);
    pad_to(line, 2 + host_columns);
    add(line, "  ");
    add_styled(line, fault_style(fault), fault->unreachable ? "NO ANSWER" : sq_state_name(fault->state));
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

static void add_curve(const struct sq_view *view, const struct sq_view_probe *probe, struct line *line)
{
    struct sq_curve_cell cells[SQ_CURVE_COLUMNS];
    sq_curve_draw(&probe->curve, view->now_boot_ns, view->utf8, cells);
    add(line, "  ");
    for (size_t i = 0; i < SQ_CURVE_COLUMNS; i++)
        if (cells[i].missed)
            add_styled(line, SQ_STYLE_BAD, cells[i].text);
        else
            add(line, "%s", cells[i].text);
}

struct probe_columns {
    uint32_t name;
    uint32_t value;
    bool curves;
};

static void compose_probe(const struct sq_view *view, const struct sq_view_probe *probe,
                          struct probe_columns columns, struct line *line)
{
    *line = (struct line){.colored = view->colored};
    add(line, "  ");
    if (!probe->seen)
        add_styled(line, SQ_STYLE_FAINT, "...  ");
    else if (probe->within)
        add_styled(line, SQ_STYLE_GOOD, "ok   ");
    else
        add_styled(line, SQ_STYLE_BAD, probe->measured ? "MISS " : "NONE ");
    add(line, "%s", probe->name);
    pad_to(line, 2 + 5 + columns.name);
    add(line, "  %s", probe->seen ? probe->value : "");
    if (columns.curves) {
        pad_to(line, 2 + 5 + columns.name + 2 + columns.value);
        add_curve(view, probe, line);
    }
    if (probe->misses > 0 && probe->allowed > 0) {
        char misses[64];
        (void)snprintf(misses, sizeof(misses), "%u of %u misses", probe->misses, probe->allowed);
        add(line, "  ");
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

/* --- faults: one line each, or one for all of the same step and state --- */

static bool are_alike(const struct sq_view_fault *a, const struct sq_view_fault *b)
{
    return strcmp(a->step, b->step) == 0 && a->state == b->state && a->unreachable == b->unreachable;
}

struct groups {
    uint32_t count;
    struct sq_view_fault sums[GROUPS_MAX]; /* of the first of each, with the counters of all */
    uint32_t *group_of;
    const char **names; /* room for all */
};

static void add_counters(struct sq_view_fault *sum, const struct sq_view_fault *fault)
{
    for (uint32_t i = 0; i < fault->counter_count; i++)
        for (uint32_t j = 0; j < sum->counter_count; j++)
            if (strcmp(sum->counters[j].name, fault->counters[i].name) == 0)
                sum->counters[j].value += fault->counters[i].value;
}

/* False: too many, or no memory. */
static bool group_faults(const struct sq_view *view, struct groups *groups)
{
    groups->group_of = calloc((size_t)view->fault_count + 1, sizeof(*groups->group_of));
    groups->names = calloc((size_t)view->fault_count + 1, sizeof(*groups->names));
    if (groups->group_of == NULL || groups->names == NULL)
        return false;
    for (uint32_t i = 0; i < view->fault_count; i++) {
        uint32_t group = 0;
        while (group < groups->count && !are_alike(&groups->sums[group], &view->faults[i]))
            group++;
        if (group == GROUPS_MAX)
            return false;
        groups->group_of[i] = group;
        if (group < groups->count) {
            add_counters(&groups->sums[group], &view->faults[i]);
            continue;
        }
        groups->sums[groups->count++] = view->faults[i];
    }
    return true;
}

static void groups_free(struct groups *groups)
{
    free(groups->group_of);
    free(groups->names);
    free(groups);
}

static void put_group(struct canvas *canvas, struct groups *groups, uint32_t group, uint32_t step_columns)
{
    struct line line;
    char hosts[SQ_HOST_LIST_MAX / 4];
    uint32_t count = 0;
    for (uint32_t i = 0; i < canvas->view->fault_count; i++)
        if (groups->group_of[i] == group)
            groups->names[count++] = canvas->view->faults[i].host;
    sq_host_list_format(groups->names, count, hosts, sizeof(hosts));
    compose_fault(canvas->view, &groups->sums[group], hosts, NAME_COLUMNS_MAX, step_columns, &line);
    put_line(canvas, line.text);
}

static void put_rest(struct canvas *canvas, uint32_t count, const char *what)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "  and %u more %s", count, what);
    put_line(canvas, text);
}

/* True if that took `rows` at most, and was done. */
static bool put_faults_in_groups(struct canvas *canvas, uint32_t rows, uint32_t step_columns)
{
    struct groups *groups = calloc(1, sizeof(*groups));
    if (groups == NULL)
        return false;
    bool fits = group_faults(canvas->view, groups) && groups->count <= rows;
    for (uint32_t i = 0; fits && i < groups->count; i++)
        put_group(canvas, groups, i, step_columns);
    groups_free(groups);
    return fits;
}

static void put_faults(struct canvas *canvas, uint32_t rows)
{
    const struct sq_view *view = canvas->view;
    uint32_t host_columns = 0;
    uint32_t step_columns = 0;
    uint32_t shown = view->fault_count;
    if (rows == 0)
        return;
    for (uint32_t i = 0; i < view->fault_count; i++) {
        host_columns = widest(host_columns, view->faults[i].host);
        step_columns = widest(step_columns, view->faults[i].step);
    }
    if (shown > rows) {
        if (put_faults_in_groups(canvas, rows, step_columns))
            return;
        shown = rows - 1;
    }
    for (uint32_t i = 0; i < shown; i++) {
        struct line line;
        compose_fault(view, &view->faults[i], view->faults[i].host, host_columns, step_columns, &line);
        put_line(canvas, line.text);
    }
    if (shown < view->fault_count)
        put_rest(canvas, view->fault_count - shown, "faults");
}

/* --- probes: all, or first those that miss --- */

static struct probe_columns columns_of(const struct canvas *canvas)
{
    struct probe_columns columns = {.curves = canvas->columns >= CURVE_FROM};
    for (uint32_t i = 0; i < canvas->view->probe_count; i++) {
        columns.name = widest(columns.name, canvas->view->probes[i].name);
        columns.value = widest(columns.value, canvas->view->probes[i].value);
    }
    return columns;
}

static void put_probes(struct canvas *canvas, uint32_t rows)
{
    const struct sq_view *view = canvas->view;
    struct probe_columns columns = columns_of(canvas);
    bool all = view->probe_count <= rows;
    uint32_t shown = 0;
    uint32_t room = all || rows == 0 ? rows : rows - 1;
    for (int missing = 1; missing >= (all ? 1 : 0); missing--)
        for (uint32_t i = 0; i < view->probe_count && shown < room; i++) {
            struct line line;
            const struct sq_view_probe *probe = &view->probes[i];
            if (!all && (probe->seen && !probe->within) != (missing == 1))
                continue;
            compose_probe(view, probe, columns, &line);
            put_line(canvas, line.text);
            shown++;
        }
    if (shown < view->probe_count && rows > 0)
        put_rest(canvas, view->probe_count - shown, "probes");
}

/* --- the whole --- */

/* How many rows it takes if every line is broken at words. */
static uint32_t rows_of_all(struct canvas *canvas)
{
    const struct sq_view *view = canvas->view;
    struct line line;
    struct probe_columns columns = columns_of(canvas);
    uint32_t host_columns = 0;
    uint32_t step_columns = 0;
    compose_head(view, canvas->columns, &line);
    uint32_t rows = count_rows(canvas, line.text);
    for (uint32_t i = 0; i < view->fault_count; i++) {
        host_columns = widest(host_columns, view->faults[i].host);
        step_columns = widest(step_columns, view->faults[i].step);
    }
    for (uint32_t i = 0; i < view->fault_count && rows <= canvas->rows; i++) {
        compose_fault(view, &view->faults[i], view->faults[i].host, host_columns, step_columns, &line);
        rows += count_rows(canvas, line.text);
    }
    for (uint32_t i = 0; i < view->probe_count && rows <= canvas->rows; i++) {
        compose_probe(view, &view->probes[i], columns, &line);
        rows += count_rows(canvas, line.text);
    }
    return rows;
}

void sq_view_render(const struct sq_view *view, uint32_t columns, uint32_t rows, char *text, size_t size)
{
    struct line line;
    struct canvas canvas = {
        .view = view, .columns = columns, .rows = rows, .breaks = true, .text = text, .size = size};
    text[0] = '\0';
    if (rows == 0 || columns == 0 || size == 0)
        return;
    canvas.breaks = rows_of_all(&canvas) <= rows;
    compose_head(view, columns, &line);
    put_line(&canvas, line.text);
    if (canvas.breaks) {
        put_faults(&canvas, view->fault_count);
        put_probes(&canvas, view->probe_count);
        return;
    }
    uint32_t probes = view->probe_count < canvas.rows ? view->probe_count : canvas.rows;
    /* With many probes one row is left to the faults. */
    if (probes == canvas.rows && probes > 1 && view->fault_count > 0)
        probes--;
    put_faults(&canvas, canvas.rows - probes);
    put_probes(&canvas, probes);
}
