#include "id.h"

#include "cleanup.h"
#include "file.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void sq_hex_format(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
}

int sq_id_make(struct sq_id *id, struct sq_error *error)
{
    if (getrandom(id->bytes, sizeof id->bytes, 0) != (ssize_t)sizeof id->bytes)
        return sq_fail_errno(error, errno, "cannot get random bytes");
    return 0;
}

void sq_id_format(const struct sq_id *id, char text[SQ_ID_TEXT_MAX])
{
    sq_hex_format(id->bytes, sizeof id->bytes, text);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* 32 lower-case digits; `skip_dashes` also takes the form of a UUID (RFC 4122). */
static bool parse_digits(const char *text, bool skip_dashes, struct sq_id *id)
{
    struct sq_id parsed = {0};
    size_t digits = 0;
    for (; *text != '\0'; text++) {
        if (skip_dashes && *text == '-')
            continue;
        int value = hex_value(*text);
        if (value < 0 || digits == 2 * sizeof parsed.bytes)
            return false;
        unsigned high = digits % 2 == 0 ? 0 : parsed.bytes[digits / 2];
        parsed.bytes[digits / 2] = (uint8_t)(high << 4 | (unsigned)value);
        digits++;
    }
    if (digits != 2 * sizeof parsed.bytes)
        return false;
    *id = parsed;
    return true;
}

int sq_id_parse(const char *text, struct sq_id *id, struct sq_error *error)
{
    if (!parse_digits(text, false, id))
        return sq_fail(error, SQ_BAD_INPUT,
                       "'%.40s' is not an id; expected 32 hexadecimal digits, 0-9 and a-f", text);
    return 0;
}

bool sq_id_equal(const struct sq_id *a, const struct sq_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool sq_id_equal_secret(const struct sq_id *a, const struct sq_id *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < sizeof a->bytes; i++)
        difference = (uint8_t)(difference | (a->bytes[i] ^ b->bytes[i]));
    return difference == 0;
}

bool sq_id_is_zero(const struct sq_id *id)
{
    static const struct sq_id zero;
    return sq_id_equal(id, &zero);
}

int sq_id_of_boot(struct sq_id *id, struct sq_error *error)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    sq_autofree char *text = NULL;
    size_t length;
    if (sq_file_read(path, 64, &text, &length, error) != 0)
        return -1;
    text[strcspn(text, "\n")] = '\0';
    if (!parse_digits(text, true, id))
        return sq_fail(error, SQ_SYSTEM, "%s holds '%.40s', which is no boot id", path, text);
    return 0;
}
