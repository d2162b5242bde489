/* The live view of a run: a picture of plain data as lines of text. Pure; the console puts it on the screen.
 */
#ifndef SQ_SCREEN_VIEW_H
#define SQ_SCREEN_VIEW_H

#include "screen/curve.h"
#include "table/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_view_fault {
    const char *host;
    const char *step;
    enum sq_fault_state state;
    bool unreachable; /* the agent does not answer at present */
    bool has_left;
    uint64_t left_ns; /* until it ends */
    uint32_t counter_count;
    struct sq_counter counters[SQ_COUNTERS_MAX];
};

struct sq_view_probe {
    const char *name;
    bool seen; /* there is a measurement */
    bool within;
    bool measured;
    char value[128];
    char tolerance[128];
    uint32_t misses;
    uint32_t allowed; /* misses that end the run; 0: not counted in this phase */
    struct sq_curve curve;
};

struct sq_view {
    const char *title;
    const char *phase;
    bool bad;            /* the run is ending other than well */
    uint64_t elapsed_ns; /* of the phase */
    uint64_t length_ns;  /* of the phase; 0: nobody knows */
    const char *until;   /* the time of day at which it ends, with a length */
    uint64_t now_boot_ns;
    bool colored;
    bool utf8; /* the terminal shows more than ASCII: bar and curves are drawn with Braille */
    uint32_t fault_count;
    const struct sq_view_fault *faults;
    uint32_t probe_count;
    const struct sq_view_probe *probes;
};

/*
 * Fill `text` with at most `rows` lines of at most `columns` columns, each ended by '\n'. Lines that are too
 * long are broken at words where there is room for that, else cut. Where there is no room for all, faults of
 * the same step and state share a line, faults give way to probes, probes that hold to those that miss, and
 * the view says how many are not shown.
 */
void sq_view_render(const struct sq_view *view, uint32_t columns, uint32_t rows, char *text, size_t size);

#endif
