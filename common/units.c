#include "units.h"

#include "clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: durations are written and read in falling order. */
static const struct unit duration_units[] = {
    {"d", 86400 * SQ_NS_PER_SECOND},
    {"h", 3600 * SQ_NS_PER_SECOND},
    {"m", 60 * SQ_NS_PER_SECOND},
    {"s", SQ_NS_PER_SECOND},
    {"ms", SQ_NS_PER_MILLISECOND},
    {"us", 1000},
    {"ns", 1},
};
#define DURATION_UNITS (sizeof duration_units / sizeof duration_units[0])

static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40}, {"GiB", UINT64_C(1) << 30},      {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10}, {"TB", UINT64_C(1000000000000)}, {"GB", UINT64_C(1000000000)},
    {"MB", UINT64_C(1000000)},  {"kB", UINT64_C(1000)},          {"B", UINT64_C(1)},
};
#define PERCENT_DECIMALS_MAX 25 /* with "100." and the sign within SQ_UNIT_TEXT_MAX */

#define SIZE_UNITS (sizeof size_units / sizeof size_units[0])

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * The digits behind the point times `factor`, exactly: false if the result is no whole number.
 */
static bool scale_fraction(const char *digits, size_t length, uint64_t factor, uint64_t *result)
{
    uint64_t numerator = 0;
    uint64_t denominator = 1;
    while (length > 0 && digits[length - 1] == '0')
        length--;
    if (length > 18)
        return false;
    for (size_t i = 0; i < length; i++) {
        numerator = numerator * 10 + (uint64_t)(digits[i] - '0');
        denominator *= 10;
    }
    wide product = (wide)numerator * factor;
    if (product % denominator != 0)
        return false;
    *result = (uint64_t)(product / denominator);
    return true;
}

enum scaled { SCALED_OK, SCALED_TOO_LARGE, SCALED_NOT_WHOLE };

/* One "<digits>[.<digits>]" times `factor`, added to *sum in exact integer arithmetic. */
static enum scaled add_scaled(const char *number, size_t length, uint64_t factor, uint64_t *sum)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    size_t i = 0;
    for (; i < length && is_digit(number[i]); i++)
        if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(number[i] - '0'), &whole))
            return SCALED_TOO_LARGE;
    if (i < length && !scale_fraction(number + i + 1, length - i - 1, factor, &fraction))
        return SCALED_NOT_WHOLE;
    if (__builtin_mul_overflow(whole, factor, &whole) || __builtin_add_overflow(*sum, whole, sum) ||
        __builtin_add_overflow(*sum, fraction, sum))
        return SCALED_TOO_LARGE;
    return SCALED_OK;
}

/* The length of a "<digits>[.<digits>]" at the start of `text`, 0 if there is none. */
static size_t number_length(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || text[whole] != '.')
        return whole;
    size_t fraction = strspn(text + whole + 1, "0123456789");
    return fraction == 0 ? 0 : whole + 1 + fraction;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *text, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == length && memcmp(units[i].name, text, length) == 0)
            return &units[i];
    return NULL;
}

int sq_duration_parse(const char *text, uint64_t *duration_ns, struct sq_error *error)
{
    uint64_t sum = 0;
    const struct unit *last = NULL;
    const char *rest = text;
    do {
        size_t digits = number_length(rest);
        size_t letters = strspn(rest + digits, "abcdefghijklmnopqrstuvwxyz");
        const struct unit *unit = find_unit(duration_units, DURATION_UNITS, rest + digits, letters);
        if (digits == 0 || unit == NULL || (last != NULL && unit <= last))
            return sq_fail(
                error, SQ_BAD_INPUT,
                "'%.40s' is not a duration; expected a number with a unit (ns, us, ms, s, m, h, d), "
                "such as 30s, 1m30s or 500ms",
                text);
        enum scaled scaled = add_scaled(rest, digits, unit->factor, &sum);
        if (scaled == SCALED_TOO_LARGE)
            return sq_fail(error, SQ_BAD_INPUT, "the duration '%.40s' is too long", text);
        if (scaled == SCALED_NOT_WHOLE)
            return sq_fail(error, SQ_BAD_INPUT, "the duration '%.40s' is not a whole number of nanoseconds",
                           text);
        last = unit;
        rest += digits + letters;
    } while (*rest != '\0');
    *duration_ns = sum;
    return 0;
}

void sq_duration_format(uint64_t duration_ns, char text[SQ_UNIT_TEXT_MAX])
{
    if (duration_ns == 0) {
        (void)snprintf(text, SQ_UNIT_TEXT_MAX, "0s");
        return;
    }
    size_t used = 0;
    for (size_t i = 0; i < DURATION_UNITS && duration_ns != 0; i++) {
        uint64_t whole = duration_ns / duration_units[i].factor;
        if (whole == 0)
            continue;
        duration_ns -= whole * duration_units[i].factor;
        int length =
            snprintf(text + used, SQ_UNIT_TEXT_MAX - used, "%" PRIu64 "%s", whole, duration_units[i].name);
        if (length < 0 || used + (size_t)length >= SQ_UNIT_TEXT_MAX)
            return;
        used += (size_t)length;
    }
}

void sq_duration_format_rounded(uint64_t duration_ns, char text[SQ_UNIT_TEXT_MAX])
{
    static const struct unit scales[] = {
        {"s", SQ_NS_PER_SECOND}, {"ms", SQ_NS_PER_MILLISECOND}, {"us", 1000}, {"ns", 1}};
    if (duration_ns >= 999 * SQ_NS_PER_SECOND + SQ_NS_PER_SECOND / 2) {
        uint64_t seconds =
            duration_ns / SQ_NS_PER_SECOND + (duration_ns % SQ_NS_PER_SECOND >= SQ_NS_PER_SECOND / 2);
        (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
        return;
    }
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        double value = (double)duration_ns / (double)scales[i].factor;
        /* 999.5 of one unit would read "1000": it is 1.00 of the next larger one. */
        bool last = i + 1 == sizeof scales / sizeof scales[0];
        if (!last && value < 0.9995)
            continue;
        int decimals = last || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
        (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%.*f%s", decimals, value, scales[i].name);
        return;
    }
}

int sq_size_parse(const char *text, uint64_t *size_bytes, struct sq_error *error)
{
    size_t digits = number_length(text);
    const struct unit *unit = find_unit(size_units, SIZE_UNITS, text + digits, strlen(text + digits));
    if (digits == 0 || unit == NULL)
        return sq_fail(error, SQ_BAD_INPUT,
                       "'%.40s' is not a size; expected a number with a unit (B, kB, MB, GB, KiB, MiB, GiB), "
                       "such as 64MiB",
                       text);
    uint64_t sum = 0;
    enum scaled scaled = add_scaled(text, digits, unit->factor, &sum);
    if (scaled == SCALED_TOO_LARGE)
        return sq_fail(error, SQ_BAD_INPUT, "the size '%.40s' is too large", text);
    if (scaled == SCALED_NOT_WHOLE)
        return sq_fail(error, SQ_BAD_INPUT, "the size '%.40s' is not a whole number of bytes", text);
    *size_bytes = sum;
    return 0;
}

void sq_size_format(uint64_t size_bytes, char text[SQ_UNIT_TEXT_MAX])
{
    for (size_t i = 0; i < 4; i++) {
        if (size_bytes != 0 && size_bytes % size_units[i].factor == 0) {
            (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%" PRIu64 "%s", size_bytes / size_units[i].factor,
                           size_units[i].name);
            return;
        }
    }
    (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%" PRIu64 "B", size_bytes);
}

void sq_size_format_rounded(uint64_t size_bytes, char text[SQ_UNIT_TEXT_MAX])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    /* From 999.5 on three digits would read 1e+03. */
    while (value >= 999.5 && unit + 1 < sizeof names / sizeof names[0]) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%.3g%s", value, names[unit]);
}

int sq_percent_parse(const char *text, double *percent, struct sq_error *error)
{
    size_t digits = number_length(text);
    if (digits == 0 || digits > 30 || strcmp(text + digits, "%") != 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "'%.40s' is not a percentage; expected a number from 0 to 100 with a %% sign, such as 50%%",
            text);
    char number[32];
    memcpy(number, text, digits);
    number[digits] = '\0';
    double value = strtod(number, NULL);
    if (!(value >= 0 && value <= 100))
        return sq_fail(error, SQ_BAD_INPUT, "'%.40s' is out of range; expected 0%% to 100%%", text);
    *percent = value;
    return 0;
}

void sq_percent_format(double percent, char text[SQ_UNIT_TEXT_MAX])
{
    /* The fewest decimals that read back as the same number; never an exponent, which sq_percent_parse
     * refuses. */
    for (int decimals = 0; decimals <= PERCENT_DECIMALS_MAX; decimals++) {
        (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%.*f%%", decimals, percent);
        double again = 0;
        if (sq_percent_parse(text, &again, NULL) == 0 && again == percent)
            return;
    }
}

int sq_count_parse(const char *text, uint64_t most, uint64_t *count, struct sq_error *error)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0;
    if (digits == 0 || text[digits] != '\0')
        return sq_fail(error, SQ_BAD_INPUT, "'%.40s' is not a whole number", text);
    if (add_scaled(text, digits, 1, &value) != SCALED_OK || value > most)
        return sq_fail(error, SQ_BAD_INPUT, "'%.40s' is out of range; expected 0 to %" PRIu64, text, most);
    *count = value;
    return 0;
}
