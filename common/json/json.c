#include "json/json.h"

#include "common/cleanup.h"
#include "common/secret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *sq_json_text(const char *text)
{
    sq_autofree char *plain = strdup(text);
    if (plain == NULL)
        return NULL;
    sq_secret_hide(plain);
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
