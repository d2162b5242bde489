#include "reports/words.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *take_room(struct sq_text_report *text)
{
    unsigned count = sizeof(text->shown) / sizeof(text->shown[0]);
    return text->shown[text->next_shown++ % count];
}

const char *sq_shown_text(struct sq_text_report *text, const char *words)
{
    char *room = take_room(text);
    (void)sq_text_copy(room, SQ_SHOWN_MAX, words);
    sq_text_make_printable(room);
    return room;
}

const char *sq_shown(struct sq_text_report *text, const json_t *object, const char *key)
{
    const char *words = json_string_value(json_object_get(object, key));
    return sq_shown_text(text, words != NULL ? words : "");
}

bool sq_has(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value != NULL && !json_is_null(value);
}

bool sq_is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static bool parts_of(uint64_t real_ns, struct tm *parts)
{
    time_t seconds = (time_t)(real_ns / SQ_NS_PER_SECOND);
    return localtime_r(&seconds, parts) != NULL;
}

static const char *format_time(struct sq_text_report *text, uint64_t real_ns, bool date)
{
    struct tm parts;
    char *room = take_room(text);
    if (!parts_of(real_ns, &parts) || strftime(room, SQ_SHOWN_MAX, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        (void)sq_text_copy(room, SQ_SHOWN_MAX, "(no time)");
        return room;
    }
    sq_text_append(room, SQ_SHOWN_MAX, ".%03u",
                   (unsigned)(real_ns % SQ_NS_PER_SECOND / SQ_NS_PER_MILLISECOND));
    return date ? room : strchr(room, ' ') + 1;
}

const char *sq_shown_date(struct sq_text_report *text, uint64_t real_ns)
{
    return format_time(text, real_ns, true);
}

const char *sq_shown_time(struct sq_text_report *text, uint64_t real_ns)
{
    struct tm first;
    struct tm now;
    bool known = parts_of(text->summary->began_real_ns, &first) && parts_of(real_ns, &now);
    if (known && (first.tm_year != now.tm_year || first.tm_yday != now.tm_yday))
        return sq_shown_date(text, real_ns);
    return format_time(text, real_ns, false);
}

const char *sq_shown_zone(struct sq_text_report *text, uint64_t real_ns)
{
    struct tm parts;
    char *room = take_room(text);
    room[0] = '\0';
    if (!parts_of(real_ns, &parts))
        return room;
    long minutes = labs(parts.tm_gmtoff) / 60;
    (void)snprintf(room, SQ_SHOWN_MAX, "UTC%c%02ld:%02ld", parts.tm_gmtoff < 0 ? '-' : '+', minutes / 60,
                   minutes % 60);
    /* A zone that is a number says nothing more. */
    if (parts.tm_gmtoff == 0)
        (void)sq_text_copy(room, SQ_SHOWN_MAX, "UTC");
    else if (parts.tm_zone != NULL && parts.tm_zone[0] != '+' && parts.tm_zone[0] != '-')
        sq_text_append(room, SQ_SHOWN_MAX, " (%s)", parts.tm_zone);
    return room;
}
