/*
 * Passwords and tokens: whatever is printed or recorded has three asterisks in their place. Every error
 * (sq_fail), every JSON text and every reason of a measurement comes through sq_secret_hide.
 *
 * What stands in a URL is recognised by its place: http://user:***@host, a user who stands alone (he may be a
 * token), and the values of parameters whose names speak of keys, tokens or passwords. What this process was
 * told, from a file, a header or the environment, is remembered until it ends, and hidden wherever it comes
 * up. Remember before threads are started that could print it.
 */
#ifndef SQ_COMMON_SECRET_H
#define SQ_COMMON_SECRET_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_SECRET_MIN 4 /* bytes; a shorter one is in too many words to be recognised */
#define SQ_SECRET_MORE                                                                                       \
    1024 /* room beyond a text's length, where what is hidden may be shorter than "***"                      \
          */

/* Copies it; one that is too short, or known, changes nothing. -1: no room. */
int sq_secret_remember(const char *text, size_t length, struct sq_error *error);

/* Remember what is secret in the URLs of a text. */
int sq_secret_remember_url(const char *text, struct sq_error *error);

/* Remember what basic authentication sends, for whoever is asked may repeat it: the password, not as a URL
 * spells it, and both in base64. */
int sq_secret_remember_basic(const char *user, const char *password, struct sq_error *error);

/* Hide, in place, in a text that has room for `size` bytes; what no longer fits is cut. */
void sq_secret_hide(char *text, size_t size);

bool sq_secret_is_in(const char *text); /* would it hide anything? */

#endif
