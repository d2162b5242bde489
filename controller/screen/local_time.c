#include "screen/local_time.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct tm local_of(uint64_t real_ns)
{
    struct tm local = {0};
    time_t seconds = (time_t)(real_ns / SQ_NS_PER_SECOND);
    tzset(); /* localtime_r need not look at TZ by itself */
    (void)localtime_r(&seconds, &local);
    return local;
}

void sq_local_time_format_short(uint64_t real_ns, char text[SQ_LOCAL_TIME_MAX])
{
    struct tm local = local_of(real_ns);
    (void)snprintf(text, SQ_LOCAL_TIME_MAX, "%02u:%02u:%02u", (unsigned)local.tm_hour % 100,
                   (unsigned)local.tm_min % 100, (unsigned)local.tm_sec % 100);
}

void sq_local_time_format(uint64_t real_ns, char text[SQ_LOCAL_TIME_MAX])
{
    char time[SQ_LOCAL_TIME_MAX];
    sq_local_time_format_short(real_ns, time);
    (void)snprintf(text, SQ_LOCAL_TIME_MAX, "%.8s.%03u", time,
                   (unsigned)(real_ns / SQ_NS_PER_MILLISECOND % 1000));
}

void sq_local_zone_format(uint64_t real_ns, char text[2 * SQ_LOCAL_TIME_MAX])
{
    char day[16] = "";
    struct tm local = local_of(real_ns);
    const char *name = local.tm_zone != NULL ? local.tm_zone : "UTC";
    long minutes = local.tm_gmtoff / 60;
    (void)strftime(day, sizeof(day), "%Y-%m-%d", &local);
    if (minutes == 0)
        (void)snprintf(text, (size_t)2 * SQ_LOCAL_TIME_MAX, "%s, %s", day, name);
    else
        (void)snprintf(text, (size_t)2 * SQ_LOCAL_TIME_MAX, "%s, %s (UTC%c%02ld:%02ld)", day, name,
                       minutes < 0 ? '-' : '+', labs(minutes) / 60, labs(minutes) % 60);
}
