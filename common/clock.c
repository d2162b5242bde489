#include "clock.h"

#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SQ_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t sq_boot_ns(void)
{
    return now_ns(CLOCK_BOOTTIME);
}

uint64_t sq_real_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}

void sq_timestamp_format(uint64_t real_ns, char text[SQ_TIMESTAMP_MAX])
{
    time_t seconds = (time_t)(real_ns / SQ_NS_PER_SECOND);
    unsigned milliseconds = (unsigned)(real_ns % SQ_NS_PER_SECOND / SQ_NS_PER_MILLISECOND);
    struct tm parts;
    char date[SQ_TIMESTAMP_MAX];
    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        (void)snprintf(text, SQ_TIMESTAMP_MAX, "(no time)");
        return;
    }
    (void)snprintf(text, SQ_TIMESTAMP_MAX, "%.24s.%03uZ", date, milliseconds);
}

bool sq_timestamp_parse(const char *text, uint64_t *real_ns)
{
    struct tm parts = {0};
    uint64_t fraction_ns = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == NULL)
        return false;
    time_t seconds = timegm(&parts);
    if (seconds < 0 || (uint64_t)seconds >= UINT64_MAX / SQ_NS_PER_SECOND)
        return false;
    if (*rest == '.') {
        uint64_t unit_ns = SQ_NS_PER_SECOND / 10;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit_ns /= 10)
            fraction_ns += (uint64_t)(*rest - '0') * unit_ns;
    }
    if (rest[0] != 'Z' || rest[1] != '\0')
        return false;
    *real_ns = (uint64_t)seconds * SQ_NS_PER_SECOND + fraction_ns;
    return true;
}

uint64_t sq_ns_add(uint64_t a_ns, uint64_t b_ns)
{
    uint64_t sum;
    return __builtin_add_overflow(a_ns, b_ns, &sum) ? UINT64_MAX : sum;
}

uint64_t sq_ns_sub(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns - b_ns : 0;
}

int sq_timer_arm(int timer_fd, uint64_t at_boot_ns)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at_boot_ns / SQ_NS_PER_SECOND),
                     .tv_nsec = (long)(at_boot_ns % SQ_NS_PER_SECOND)},
    };
    return timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}
