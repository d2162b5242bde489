/* What a probe's value must be: a comparison (">= 0.99", "< 0.2", "== 1", "!= 0") or a range ("0.9..1"). */
#ifndef SQ_MODEL_TOLERANCE_H
#define SQ_MODEL_TOLERANCE_H

#include "common/error.h"

#include <stdbool.h>

enum sq_tolerance_kind {
    SQ_TOLERANCE_LESS,
    SQ_TOLERANCE_AT_MOST,
    SQ_TOLERANCE_EQUAL,
    SQ_TOLERANCE_NOT_EQUAL,
    SQ_TOLERANCE_AT_LEAST,
    SQ_TOLERANCE_MORE,
    SQ_TOLERANCE_RANGE /* low and high included */
};

#define SQ_TOLERANCE_TEXT_MAX 64

struct sq_tolerance {
    enum sq_tolerance_kind kind;
    double low; /* the bound, or the lower one of a range */
    double high;
};

int sq_tolerance_parse(const char *text, struct sq_tolerance *tolerance, struct sq_error *error);
void sq_tolerance_format(const struct sq_tolerance *tolerance, char text[SQ_TOLERANCE_TEXT_MAX]);

/* NaN is never within. */
bool sq_tolerance_holds(const struct sq_tolerance *tolerance, double value);

/* How far a value is from the bound that it is nearest to breaking: the smaller, the worse; negative where it
 * is broken. */
double sq_tolerance_margin(const struct sq_tolerance *tolerance, double value);

/* A value as text: six digits, or so many that the text is in tolerance exactly when the value is ("0.9 where
 * >= 0.9 is tolerated" tells nobody anything). */
#define SQ_NUMBER_TEXT_MAX 40
void sq_tolerance_value_format(const struct sq_tolerance *tolerance, double value,
                               char text[SQ_NUMBER_TEXT_MAX]);

#endif
