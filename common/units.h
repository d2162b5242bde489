/*
 * Numbers with units, as people write them in files: durations ("500ms", "1m30s"), sizes ("64MiB"),
 * percentages ("50%"). Parsing is strict: a unit is required, nothing may follow, no sign, no overflow.
 */
#ifndef SQ_COMMON_UNITS_H
#define SQ_COMMON_UNITS_H

#include "error.h"

#include <stdint.h>

#define SQ_UNIT_TEXT_MAX 32

/* ns, us, ms, s, m, h, d; several in falling order ("1h30m"); a decimal fraction is allowed ("1.5s"). */
int sq_duration_parse(const char *text, uint64_t *duration_ns, struct sq_error *error);

/* The shortest exact form ("1m30s"), which sq_duration_parse reads back. */
void sq_duration_format(uint64_t duration_ns, char text[SQ_UNIT_TEXT_MAX]);

/* For people: at most three significant digits ("9.87s", "143ms"). Not for reading back. */
void sq_duration_format_rounded(uint64_t duration_ns, char text[SQ_UNIT_TEXT_MAX]);

/* B, kB, MB, GB, TB (powers of 1000, IEC 80000-13) and KiB, MiB, GiB, TiB. */
int sq_size_parse(const char *text, uint64_t *size_bytes, struct sq_error *error);
void sq_size_format(uint64_t size_bytes, char text[SQ_UNIT_TEXT_MAX]);

/* For people: three significant digits and a binary unit ("3.91GiB"). Not for reading back. */
void sq_size_format_rounded(uint64_t size_bytes, char text[SQ_UNIT_TEXT_MAX]);

/* "50%" or "0.1%": 0 to 100, the sign is required. NaN and infinities are refused. */
int sq_percent_parse(const char *text, double *percent, struct sq_error *error);
void sq_percent_format(double percent, char text[SQ_UNIT_TEXT_MAX]);

/* A whole number in decimal, 0 to `most`. No sign, no spaces. */
int sq_count_parse(const char *text, uint64_t most, uint64_t *count, struct sq_error *error);

#endif
