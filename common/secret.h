/*
 * Passwords and tokens that this process was told: whatever it prints or records has three asterisks in their
 * place. Errors (sq_fail), JSON texts and the reasons of measurements come through here; URLs, where even an
 * unknown secret is recognised by its place, through model/url.h as well.
 *
 * Kept until the process ends. Remember them before threads are started that could print them.
 */
#ifndef SQ_COMMON_SECRET_H
#define SQ_COMMON_SECRET_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_SECRET_MIN 4 /* bytes; a shorter one is in too many words to be recognised */

/* Copies it; one that is too short, or known, changes nothing. -1: no room. */
int sq_secret_remember(const char *text, size_t length, struct sq_error *error);

/* Put "***" in place of every known secret. In place: the text never grows. */
void sq_secret_hide(char *text);

bool sq_secret_is_in(const char *text);

#endif
