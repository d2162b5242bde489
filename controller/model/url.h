/* The two kinds of URL that files and options carry: agents' and HTTP ones. Pure, but for the secrets that it
 * remembers. */
#ifndef SQ_MODEL_URL_H
#define SQ_MODEL_URL_H

#include "common/error.h"
#include "model/inventory.h"

#include <stdbool.h>
#include <stddef.h>

/* That `text` is http:// or https:// with a host, a valid port if any, and no spaces or control characters.
 * What is secret in it is remembered. */
int sq_http_url_check(const char *text, struct sq_error *error);

/*
 * Hide, in place, what is secret in every URL of `text` (of `size` bytes): a password, a user who stands
 * alone (he may be a token), and the values of parameters whose names speak of keys, tokens or passwords; an
 * example is http://user:***@host. Every URL that is shown or kept comes through here. Other text stays.
 */
void sq_url_redact(char *text, size_t size);
bool sq_url_has_secrets(const char *text); /* would it hide anything? */

/* Remember (common/secret.h) what it would hide. */
int sq_url_remember_secrets(const char *text, struct sq_error *error);

/*
 * Check an agent's URL and write its one canonical form: tls+tcp://host:port (lower case, port 7433 if none
 * is given, IPv6 in brackets and its shortest form) or ipc:///path. Two texts for one listener give the same
 * `url`.
 */
int sq_agent_url_parse(const char *text, char url[SQ_AGENT_URL_MAX], struct sq_error *error);

/* True for tls+tcp://, of a canonical URL. */
bool sq_agent_url_is_tls(const char *url);

#endif
