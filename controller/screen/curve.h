/*
 * What one probe measured in the last minute, as a curve of a few characters: the upper half of a character
 * is in tolerance, the lower half out of it, the farther from the middle the farther from the bound. What
 * could not be measured is a gap. Braille, or plain ASCII. Pure.
 */
#ifndef SQ_SCREEN_CURVE_H
#define SQ_SCREEN_CURVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_CURVE_POINTS   30
#define SQ_CURVE_POINT_NS (2 * 1000000000ULL)
#define SQ_CURVE_COLUMNS  (SQ_CURVE_POINTS / 2) /* a character shows two points */

struct sq_curve_point {
    uint64_t number; /* which two seconds since the clock's beginning; another: the point is empty */
    bool has_margin;
    double margin; /* the least of its measurements */
    bool missed;   /* one of them */
};

struct sq_curve {
    struct sq_curve_point points[SQ_CURVE_POINTS];
};

struct sq_curve_cell {
    char text[4]; /* one character of one column */
    bool missed;
};

/* A measurement that began at `boot_ns`. `margin`: how far it was from breaking the tolerance, negative where
 * it broke it; NaN: it could not be measured. */
void sq_curve_add(struct sq_curve *curve, uint64_t boot_ns, double margin, bool missed);

/* The minute until `now`, the latest on the right; two points a character. */
void sq_curve_draw(const struct sq_curve *curve, uint64_t now_boot_ns, bool utf8,
                   struct sq_curve_cell cells[SQ_CURVE_COLUMNS]);

#endif
