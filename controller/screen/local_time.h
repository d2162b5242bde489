/* Times for people who look at the screen: their own, with the zone said once. Reports say date and zone. */
#ifndef SQ_SCREEN_LOCAL_TIME_H
#define SQ_SCREEN_LOCAL_TIME_H

#include <stdint.h>

#define SQ_LOCAL_TIME_MAX 32

/* "03:55:03.721", "03:55:03" */
void sq_local_time_format(uint64_t real_ns, char text[SQ_LOCAL_TIME_MAX]);
void sq_local_time_format_short(uint64_t real_ns, char text[SQ_LOCAL_TIME_MAX]);

/* "2026-11-27, CET (UTC+01:00)", "2026-11-27, UTC" */
void sq_local_zone_format(uint64_t real_ns, char text[2 * SQ_LOCAL_TIME_MAX]);

#endif
