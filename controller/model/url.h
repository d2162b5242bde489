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

/* A URL as it may be shown: while it is whole what is secret in it is hidden, and then it is cut at `size`,
 * with
 * "..." at its end. */
void sq_url_show(const char *url, char *text, size_t size);

/*
 * Check an agent's URL and write its one canonical form: tls+tcp://host:port (lower case, port 7433 if none
 * is given, IPv6 in brackets and its shortest form) or ipc:///path. Two texts for one listener give the same
 * `url`.
 */
int sq_agent_url_parse(const char *text, char url[SQ_AGENT_URL_MAX], struct sq_error *error);

/* True for tls+tcp://, of a canonical URL. */
bool sq_agent_url_is_tls(const char *url);

#endif
