/*
 * Clocks. Deadlines are boot-time nanoseconds (CLOCK_BOOTTIME, the clock of bpf_ktime_get_boot_ns in
 * bpf-helpers(7)), which go on while the machine is suspended; wall-clock time is for people and records.
 */
#ifndef SQ_COMMON_CLOCK_H
#define SQ_COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define SQ_NS_PER_SECOND      UINT64_C(1000000000)
#define SQ_NS_PER_MILLISECOND UINT64_C(1000000)
#define SQ_TIMESTAMP_MAX      32

uint64_t sq_boot_ns(void); /* nanoseconds since boot, suspend included */
uint64_t sq_real_ns(void); /* nanoseconds since 1970-01-01T00:00:00Z */

/* RFC 3339 in UTC with milliseconds, "2026-11-20T02:31:07.123Z". */
void sq_timestamp_format(uint64_t real_ns, char text[SQ_TIMESTAMP_MAX]);

/* The same back, with any digits of a second or none; false: it is no such text, or before 1970. */
bool sq_timestamp_parse(const char *text, uint64_t *real_ns);

/* Sums that stop at UINT64_MAX and differences that stop at 0. */
uint64_t sq_ns_add(uint64_t a_ns, uint64_t b_ns);
uint64_t sq_ns_sub(uint64_t a_ns, uint64_t b_ns);

/* Arm a CLOCK_BOOTTIME timerfd for an absolute time; 0 disarms it. Returns -1 with errno. */
int sq_timer_arm(int timer_fd, uint64_t at_boot_ns);

#endif
