/* What JSON needs beyond jansson: texts of any bytes, numbers that it cannot say, durations. */
#ifndef SQ_JSON_JSON_H
#define SQ_JSON_JSON_H

#include <jansson.h>
#include <stdint.h>

/* A JSON string of any bytes: what is not UTF-8 becomes '?', what is secret "***" (common/secret.h). NULL
 * when out of memory. */
json_t *sq_json_text(const char *text);

/* NaN and infinities become null. */
json_t *sq_json_number(double value);

/*
 * The flag for jansson's dump functions with which every number in `value` keeps its value in the fewest
 * digits: 0.011 instead of 0.010999999999999999, unless one of them needs all seventeen.
 */
size_t sq_json_digits(const json_t *value);

/* Seconds, in whole microseconds. */
json_t *sq_json_seconds(uint64_t duration_ns);

#endif
