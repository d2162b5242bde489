#include "secret.h"

#include "cleanup.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECRETS_MAX 1024
#define TOKEN_LEAST 16 /* bytes of a user who is remembered as a token */

static const char stars[] = "***";

#define STARS (sizeof stars - 1)

/* Written by one thread; others read those below `secret_count`. */
static char *secrets[SECRETS_MAX];
static atomic_uint secret_count;

static bool is_known(const char *text, size_t length, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strlen(secrets[i]) == length && memcmp(secrets[i], text, length) == 0)
            return true;
    return false;
}

int sq_secret_remember(const char *text, size_t length, struct sq_error *error)
{
    unsigned count = atomic_load_explicit(&secret_count, memory_order_acquire);
    if (length < SQ_SECRET_MIN || is_known(text, length, count))
        return 0;
    if (count == SECRETS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "more than %d passwords and tokens in one run", SECRETS_MAX);
    char *copy = strndup(text, length);
    if (copy == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    secrets[count] = copy;
    atomic_store_explicit(&secret_count, count + 1, memory_order_release);
    return 0;
}

/* Put "***" in place of `length` bytes at `offset`; cuts at the end of the text's room. Returns what follows.
 */
static char *hide(char *text, size_t size, size_t offset, size_t length)
{
    size_t rest = strlen(text + offset + length);
    size_t room = size - 1 - offset;
    size_t shown = room < STARS ? room : STARS;
    size_t kept = rest < room - shown ? rest : room - shown;
    memmove(text + offset + shown, text + offset + length, kept);
    memcpy(text + offset, stars, shown);
    text[offset + shown + kept] = '\0';
    return text + offset + shown;
}

static bool is_secret_name(const char *name, size_t length)
{
    static const char *const words[] = {"token",  "password", "passwd", "secret",   "api-key",
                                        "apikey", "api_key",  "auth",   "signature"};
    char copy[64];
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, name, length);
    copy[length] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(copy, words[i]) != NULL)
            return true;
    return strcasecmp(copy, "key") == 0 || strcasecmp(copy, "sig") == 0 || strcasecmp(copy, "pass") == 0;
}

#define URL_ENDS " \t\r\n\"'<>" /* what cannot stand in a URL within a text */

/* "user:secret@" at `start`: the secret, or the whole of it if nothing tells which part is; NULL: none. */
static const char *find_user(const char *start, size_t *length)
{
    const char *end = memrchr(start, '@', strcspn(start, "/?#" URL_ENDS));
    if (end == NULL)
        return NULL;
    const char *colon = memchr(start, ':', (size_t)(end - start));
    const char *secret = colon != NULL && colon + 1 < end ? colon + 1 : start;
    *length = (size_t)(end - secret);
    return *length > 0 ? secret : NULL;
}

/* The next secret of a URL in a text. `at` and `in_url` tell how far it is; both move. NULL: no more. */
static const char *next_secret(const char **at, bool *in_url, size_t *length)
{
    for (;;) {
        if (!*in_url) {
            const char *found = strstr(*at, "://");
            if (found == NULL)
                return NULL;
            *at = found + 3;
            *in_url = true;
            const char *secret = find_user(*at, length);
            if (secret != NULL) {
                *at = secret + *length;
                return secret;
            }
        }
        *at += strcspn(*at, "?&#" URL_ENDS);
        *in_url = **at == '?' || **at == '&' || **at == '#';
        if (!*in_url)
            continue;
        const char *name = *at + 1;
        size_t name_length = strcspn(name, "=?&#" URL_ENDS);
        *at = name + name_length;
        if (**at != '=')
            continue;
        const char *value = *at + 1;
        *length = strcspn(value, "&#" URL_ENDS);
        *at = value + *length;
        if (*length > 0 && is_secret_name(name, name_length))
            return value;
    }
}

int sq_secret_remember_url(const char *text, struct sq_error *error)
{
    const char *at = text;
    const char *secret;
    bool in_url = false;
    size_t length = 0;
    while ((secret = next_secret(&at, &in_url, &length)) != NULL)
        /* A short user who stands alone is hidden where he stands; his name may be any word. */
        if ((secret[-1] != '/' || length >= TOKEN_LEAST) && sq_secret_remember(secret, length, error) != 0)
            return -1;
    return 0;
}

static void write_base64(const char *text, size_t length, char *base64)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        unsigned group = (unsigned)(unsigned char)text[i] << 16;
        group |= left > 1 ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)(unsigned char)text[i + 2] : 0;
        *base64++ = digits[group >> 18];
        *base64++ = digits[group >> 12 & 63];
        *base64++ = digits[group >> 6 & 63];
        *base64++ = digits[group & 63];
        if (left < 3)
            (void)memset(base64 - (3 - left), '=', 3 - left);
    }
    *base64 = '\0';
}

int sq_secret_remember_basic(const char *user, const char *password, struct sq_error *error)
{
    size_t length = strlen(user) + 1 + strlen(password);
    sq_autofree char *both = malloc(length + 1);
    sq_autofree char *base64 = malloc((length + 2) / 3 * 4 + 1);
    if (both == NULL || base64 == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    (void)stpcpy(stpcpy(stpcpy(both, user), ":"), password);
    write_base64(both, length, base64);
    if (sq_secret_remember(password, strlen(password), error) != 0)
        return -1;
    return sq_secret_remember(base64, strlen(base64), error);
}

static void hide_known(char *text, size_t size, const char *secret)
{
    size_t length = strlen(secret);
    char *at = text;
    while ((at = strstr(at, secret)) != NULL)
        at = hide(text, size, (size_t)(at - text), length);
}

void sq_secret_hide(char *text, size_t size)
{
    const char *at = text;
    const char *secret;
    bool in_url = false;
    size_t length = 0;
    while ((secret = next_secret(&at, &in_url, &length)) != NULL) {
        /* Of a text that was hidden before, "...?token=***: refused", the colon is the sentence's. */
        if (length == STARS + 1 && memcmp(secret, stars, STARS) == 0)
            length = STARS;
        at = hide(text, size, (size_t)(secret - text), length);
    }
    unsigned count = atomic_load_explicit(&secret_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        hide_known(text, size, secrets[i]);
}

bool sq_secret_is_in(const char *text)
{
    const char *at = text;
    bool in_url = false;
    size_t length = 0;
    unsigned count = atomic_load_explicit(&secret_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        if (strstr(text, secrets[i]) != NULL)
            return true;
    return next_secret(&at, &in_url, &length) != NULL;
}
