#include "model/tolerance.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *sign;
    enum sq_tolerance_kind kind;
} comparisons[] = {
    /* Two characters first, so that "<=" is not read as "<". */
    {"<=", SQ_TOLERANCE_AT_MOST},   {">=", SQ_TOLERANCE_AT_LEAST}, {"==", SQ_TOLERANCE_EQUAL},
    {"!=", SQ_TOLERANCE_NOT_EQUAL}, {"<", SQ_TOLERANCE_LESS},      {">", SQ_TOLERANCE_MORE},
};
#define COMPARISONS (sizeof comparisons / sizeof comparisons[0])

static const char expected[] =
    "expected a comparison such as '>= 0.99' (<, <=, ==, !=, >=, >) or a range such as "
    "'0.9..1'";

/* A decimal number and nothing else in text[length]: strtod alone would take "nan", "inf", "0x1p3" and
 * blanks. */
static int parse_number(const char *text, size_t length, double *number)
{
    char copy[SQ_NUMBER_TEXT_MAX];
    while (length > 0 && text[length - 1] == ' ')
        length--;
    while (length > 0 && text[0] == ' ') {
        text++;
        length--;
    }
    if (length == 0 || length >= sizeof copy)
        return -1;
    memcpy(copy, text, length);
    copy[length] = '\0';
    size_t sign = copy[0] == '-' || copy[0] == '+' ? 1 : 0;
    if (!isdigit((unsigned char)copy[sign]) || strspn(copy, "0123456789.eE+-") != length)
        return -1;
    char *end;
    double value = strtod(copy, &end);
    if (*end != '\0' || end[-1] == '.' || !isfinite(value))
        return -1;
    *number = value;
    return 0;
}

static int parse_range(const char *text, const char *dots, struct sq_tolerance *tolerance,
                       struct sq_error *error)
{
    struct sq_tolerance parsed = {.kind = SQ_TOLERANCE_RANGE};
    if (parse_number(text, (size_t)(dots - text), &parsed.low) != 0 ||
        parse_number(dots + 2, strlen(dots + 2), &parsed.high) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' is not a tolerance; %s", text, expected);
    if (parsed.low > parsed.high)
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' holds for nothing: the lower end stands first", text);
    *tolerance = parsed;
    return 0;
}

int sq_tolerance_parse(const char *text, struct sq_tolerance *tolerance, struct sq_error *error)
{
    const char *dots = strstr(text, "..");
    if (dots != NULL)
        return parse_range(text, dots, tolerance, error);
    const char *start = text + strspn(text, " ");
    for (size_t i = 0; i < COMPARISONS; i++) {
        size_t length = strlen(comparisons[i].sign);
        if (strncmp(start, comparisons[i].sign, length) != 0)
            continue;
        struct sq_tolerance parsed = {.kind = comparisons[i].kind};
        if (parse_number(start + length, strlen(start + length), &parsed.low) != 0)
            break;
        parsed.high = parsed.low;
        *tolerance = parsed;
        return 0;
    }
    double bare;
    if (parse_number(text, strlen(text), &bare) == 0 || (start[0] == '=' && start[1] != '='))
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' says no comparison; did you mean '== %.40s'?", text,
                       start[0] == '=' ? start + 1 + strspn(start + 1, " ") : start);
    return sq_fail(error, SQ_BAD_INPUT, "'%.60s' is not a tolerance; %s", text, expected);
}

/* The shortest of two forms that reads back as the same number. */
static void format_number(double number, char text[SQ_NUMBER_TEXT_MAX])
{
    (void)snprintf(text, SQ_NUMBER_TEXT_MAX, "%.15g", number);
    if (strtod(text, NULL) != number)
        (void)snprintf(text, SQ_NUMBER_TEXT_MAX, "%.17g", number);
}

void sq_tolerance_value_format(const struct sq_tolerance *tolerance, double value,
                               char text[SQ_NUMBER_TEXT_MAX])
{
    bool holds = sq_tolerance_holds(tolerance, value);
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, SQ_NUMBER_TEXT_MAX, "%.*g", digits, value);
        if (sq_tolerance_holds(tolerance, strtod(text, NULL)) == holds)
            return;
    }
}

void sq_tolerance_format(const struct sq_tolerance *tolerance, char text[SQ_TOLERANCE_TEXT_MAX])
{
    char low[SQ_NUMBER_TEXT_MAX];
    char high[SQ_NUMBER_TEXT_MAX];
    format_number(tolerance->low, low);
    format_number(tolerance->high, high);
    if (tolerance->kind == SQ_TOLERANCE_RANGE) {
        (void)snprintf(text, SQ_TOLERANCE_TEXT_MAX, "%.30s..%.30s", low, high);
        return;
    }
    for (size_t i = 0; i < COMPARISONS; i++)
        if (comparisons[i].kind == tolerance->kind)
            (void)snprintf(text, SQ_TOLERANCE_TEXT_MAX, "%s %s", comparisons[i].sign, low);
}

bool sq_tolerance_holds(const struct sq_tolerance *tolerance, double value)
{
    if (isnan(value))
        return false;
    switch (tolerance->kind) {
    case SQ_TOLERANCE_LESS:
        return value < tolerance->low;
    case SQ_TOLERANCE_AT_MOST:
        return value <= tolerance->low;
    case SQ_TOLERANCE_EQUAL:
        return !(value < tolerance->low) && !(value > tolerance->low);
    case SQ_TOLERANCE_NOT_EQUAL:
        return value < tolerance->low || value > tolerance->low;
    case SQ_TOLERANCE_AT_LEAST:
        return value >= tolerance->low;
    case SQ_TOLERANCE_MORE:
        return value > tolerance->low;
    case SQ_TOLERANCE_RANGE:
        return value >= tolerance->low && value <= tolerance->high;
    }
    return false;
}

double sq_tolerance_margin(const struct sq_tolerance *tolerance, double value)
{
    switch (tolerance->kind) {
    case SQ_TOLERANCE_LESS:
    case SQ_TOLERANCE_AT_MOST:
        return tolerance->low - value;
    case SQ_TOLERANCE_AT_LEAST:
    case SQ_TOLERANCE_MORE:
        return value - tolerance->low;
    case SQ_TOLERANCE_EQUAL:
        return -fabs(value - tolerance->low);
    case SQ_TOLERANCE_NOT_EQUAL:
        return fabs(value - tolerance->low);
    case SQ_TOLERANCE_RANGE:
        return value - tolerance->low < tolerance->high - value ? value - tolerance->low
                                                                : tolerance->high - value;
    }
    return 0;
}
