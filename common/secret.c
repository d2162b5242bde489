#include "secret.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECRETS_MAX 1024

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

void sq_secret_hide(char *text)
{
    static const char stars[] = "***";
    unsigned count = atomic_load_explicit(&secret_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        size_t length = strlen(secrets[i]);
        for (char *at = strstr(text, secrets[i]); at != NULL; at = strstr(at, secrets[i])) {
            memcpy(at, stars, sizeof stars - 1);
            memmove(at + sizeof stars - 1, at + length, strlen(at + length) + 1);
            at += sizeof stars - 1;
        }
    }
}

bool sq_secret_is_in(const char *text)
{
    unsigned count = atomic_load_explicit(&secret_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        if (strstr(text, secrets[i]) != NULL)
            return true;
    return false;
}
