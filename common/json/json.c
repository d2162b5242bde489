#include "json/json.h"

#include "common/cleanup.h"
#include "common/secret.h"
#include "common/text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *sq_json_text(const char *text)
{
    size_t size = strlen(text) + SQ_SECRET_MORE;
    sq_autofree char *plain = malloc(size);
    if (plain == NULL)
        return NULL;
    (void)sq_text_copy(plain, size, text);
    sq_secret_hide(plain, size);
    json_t *value = json_string(plain);
    if (value != NULL)
        return value;
    for (char *c = plain; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(plain);
}

json_t *sq_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *sq_json_seconds(uint64_t duration_ns)
{
    /* Whole microseconds: as many digits as mean something. */
    uint64_t microseconds = duration_ns / 1000;
    return json_real((double)microseconds / 1e6);
}

/* Do fifteen digits, which never look odd, tell every number in it? */
static bool is_short(const json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;
    char text[32];
    if (json_is_real(value)) {
        double number = json_real_value(value);
        (void)snprintf(text, sizeof text, "%.15g", number);
        double back = strtod(text, NULL);
        return !(back < number) && !(back > number);
    }
    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, inner)
        {
            if (!is_short(inner))
                return false;
        }
    }
    json_array_foreach(value, i, inner)
    {
        if (!is_short(inner))
            return false;
    }
    return true;
}

size_t sq_json_digits(const json_t *value)
{
    return is_short(value) ? JSON_REAL_PRECISION(15) : JSON_REAL_PRECISION(17);
}
