#include "screen/curve.h"

#include <math.h>
#include <string.h>

#define LEVELS 4 /* dots of a Braille character, one above the other: two in tolerance, two out of it */

void sq_curve_add(struct sq_curve *curve, uint64_t boot_ns, double margin, bool missed)
{
    uint64_t number = boot_ns / SQ_CURVE_POINT_NS;
    struct sq_curve_point *point = &curve->points[number % SQ_CURVE_POINTS];
    if (point->number > number)
        return; /* an answer that took longer than a minute */
    if (point->number != number)
        *point = (struct sq_curve_point){.number = number};
    point->missed = point->missed || missed;
    if (isnan(margin))
        return;
    if (!point->has_margin || margin < point->margin)
        point->margin = margin;
    point->has_margin = true;
}

static const struct sq_curve_point *point_of(const struct sq_curve *curve, uint64_t number)
{
    const struct sq_curve_point *point = &curve->points[number % SQ_CURVE_POINTS];
    return point->number == number ? point : NULL;
}

/* 1 to LEVELS; 0: nothing to show. A miss whose value is in tolerance (a status) stands at the bottom. */
static unsigned level_of(const struct sq_curve_point *point, double widest)
{
    if (point == NULL || !point->has_margin)
        return 0;
    double part = widest > 0 ? fabs(point->margin) / widest : 0;
    bool far = !(part < 0.5);
    if (point->missed)
        return point->margin < 0 && !far ? 2 : 1;
    return far ? LEVELS : 3;
}

static void draw_braille(unsigned left, unsigned right, char text[4])
{
    /* Dots from the bottom up, Unicode's names for them: 7 3 2 1, and 8 6 5 4. */
    static const unsigned left_dots[] = {0, 0x40, 0x44, 0x46, 0x47};
    static const unsigned right_dots[] = {0, 0x80, 0xA0, 0xB0, 0xB8};
    unsigned code = 0x2800 | left_dots[left] | right_dots[right];
    text[0] = (char)(0xE0 | code >> 12);
    text[1] = (char)(0x80 | (code >> 6 & 0x3F));
    text[2] = (char)(0x80 | (code & 0x3F));
    text[3] = '\0';
}

/* The worse of two that are there. */
static unsigned worse(unsigned left, unsigned right)
{
    if (left == 0 || right == 0)
        return left + right;
    return left < right ? left : right;
}

void sq_curve_draw(const struct sq_curve *curve, uint64_t now_boot_ns, bool utf8,
                   struct sq_curve_cell cells[SQ_CURVE_COLUMNS])
{
    static const char ascii[] = " _.-^";
    uint64_t last = now_boot_ns / SQ_CURVE_POINT_NS;
    uint64_t first = last + 1 - SQ_CURVE_POINTS;
    double widest = 0;
    memset(cells, 0, SQ_CURVE_COLUMNS * sizeof(*cells));
    for (uint64_t number = first; number <= last; number++) {
        const struct sq_curve_point *point = point_of(curve, number);
        if (point != NULL && point->has_margin && isfinite(point->margin))
            widest = fmax(widest, fabs(point->margin));
    }
    for (size_t i = 0; i < SQ_CURVE_COLUMNS; i++) {
        const struct sq_curve_point *left = point_of(curve, first + 2 * i);
        const struct sq_curve_point *right = point_of(curve, first + 2 * i + 1);
        unsigned left_level = level_of(left, widest);
        unsigned right_level = level_of(right, widest);
        cells[i].missed = (left != NULL && left->missed) || (right != NULL && right->missed);
        if (utf8)
            draw_braille(left_level, right_level, cells[i].text);
        else
            cells[i].text[0] = ascii[worse(left_level, right_level)];
    }
}
