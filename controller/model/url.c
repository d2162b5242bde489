#include "model/url.h"

#include "common/cleanup.h"
#include "common/secret.h"
#include "common/text.h"
#include "common/units.h"
#include "table/message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_TEXT_MAX   (SQ_HOST_NAME_MAX + 2) /* a trailing dot, or brackets */
#define PORT_TEXT_MAX   8
#define SOCKET_PATH_MAX 107 /* sun_path of unix(7), without the zero */

static const char tls_scheme[] = "tls+tcp://";
static const char ipc_scheme[] = "ipc://";
static const char expected_agent[] = "expected tls+tcp://host:7433 or ipc:///run/squall/agent.sock";

static bool starts_with(const char *text, const char *scheme)
{
    return strncasecmp(text, scheme, strlen(scheme)) == 0;
}

static bool is_host_name(const char *host)
{
    size_t length = strlen(host);
    length -= length > 0 && host[length - 1] == '.' ? 1 : 0; /* "this is the whole name" */
    return length > 0 && length < SQ_HOST_NAME_MAX && isalnum((unsigned char)host[0]) &&
           isalnum((unsigned char)host[length - 1]) &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") >= length;
}

/* An all-digits-and-dots host is meant as an address, and 10.0.0.256 is none. */
static bool is_bad_address(const char *host)
{
    struct in_addr ignored;
    return strspn(host, "0123456789.") == strlen(host) && inet_pton(AF_INET, host, &ignored) != 1;
}

struct authority {
    char host[HOST_TEXT_MAX]; /* canonical, IPv6 in brackets */
    char port[PORT_TEXT_MAX];
    bool has_port;
};

/* Splits "host[:port]" and "[v6][:port]" of `length` bytes. */
static int split_authority(const char *text, size_t length, struct authority *authority)
{
    char copy[HOST_TEXT_MAX + PORT_TEXT_MAX];
    if (length == 0 || length >= sizeof copy)
        return -1;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *colon = NULL;
    if (copy[0] == '[') {
        char *end = strchr(copy, ']');
        struct in6_addr address;
        char shortest[INET6_ADDRSTRLEN];
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -1;
        if (end[1] == ':')
            colon = end + 1;
        *end = '\0';
        if (inet_pton(AF_INET6, copy + 1, &address) != 1 ||
            inet_ntop(AF_INET6, &address, shortest, sizeof shortest) == NULL)
            return -1;
        (void)snprintf(authority->host, HOST_TEXT_MAX, "[%s]", shortest);
    } else {
        colon = strchr(copy, ':');
        if (colon != NULL)
            *colon = '\0';
        if (!is_host_name(copy) || is_bad_address(copy))
            return -1;
        for (size_t i = 0; i <= strlen(copy); i++)
            authority->host[i] = (char)tolower((unsigned char)copy[i]);
    }
    authority->has_port = colon != NULL;
    /* What is too long for a port is left as one that is none. */
    (void)sq_text_copy(authority->port, sizeof authority->port, colon == NULL ? "" : colon + 1);
    return 0;
}

static int parse_port(const char *url, const char *text, uint64_t *port, struct sq_error *error)
{
    if (sq_count_parse(text, 65535, port, NULL) != 0 || *port == 0)
        return sq_fail(error, SQ_BAD_INPUT, "'%.100s' has no valid port; expected 1 to 65535%s", url,
                       strchr(text, ':') != NULL ? ", and an IPv6 address in []" : "");
    return 0;
}

static int parse_ipc(const char *text, char url[SQ_AGENT_URL_MAX], struct sq_error *error)
{
    const char *path = text + strlen(ipc_scheme);
    if (path[0] != '/' || path[1] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "'%.100s' has no absolute path; %s", text, expected_agent);
    if (strlen(path) > SOCKET_PATH_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the socket's path is longer than %d bytes", SOCKET_PATH_MAX);
    /* Doubled slashes are the same path: one form, so that one agent is recognised under two names. */
    (void)sq_text_copy(url, SQ_AGENT_URL_MAX, ipc_scheme);
    size_t used = strlen(url);
    for (; *path != '\0'; path++)
        if (path[0] != '/' || path[1] != '/')
            url[used++] = *path;
    url[used] = '\0';
    return 0;
}

static int refuse_scheme(const char *text, struct sq_error *error)
{
    if (starts_with(text, "tcp://") || starts_with(text, "ws://") || starts_with(text, "wss://"))
        return sq_fail(
            error, SQ_BAD_INPUT,
            "'%.100s': an agent is reached by mutual TLS or a Unix socket only, since whoever reaches it "
            "unchecked could order a kill; %s",
            text, expected_agent);
    return sq_fail(error, SQ_BAD_INPUT, "'%.100s' is not an agent's URL; %s", text, expected_agent);
}

int sq_agent_url_parse(const char *text, char url[SQ_AGENT_URL_MAX], struct sq_error *error)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return sq_fail(error, SQ_BAD_INPUT, "the agent's URL has a space or a control character; %s",
                           expected_agent);
    if (starts_with(text, ipc_scheme))
        return parse_ipc(text, url, error);
    if (!starts_with(text, tls_scheme))
        return refuse_scheme(text, error);
    const char *start = text + strlen(tls_scheme);
    size_t length = strlen(start);
    if (length > 0 && start[length - 1] == '/')
        length--;
    struct authority authority;
    uint64_t port = SQ_DEFAULT_PORT;
    if (split_authority(start, length, &authority) != 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "'%.100s' has no valid host; expected a name or an address, IPv6 in []", text);
    if (authority.has_port && parse_port(text, authority.port, &port, error) != 0)
        return -1;
    (void)snprintf(url, SQ_AGENT_URL_MAX, "%s%s:%u", tls_scheme, authority.host, (unsigned)port);
    return 0;
}

bool sq_agent_url_is_tls(const char *url)
{
    return starts_with(url, tls_scheme);
}

static const char dots[] = "..."; /* for what has no room */

void sq_url_show(const char *url, char *text, size_t size)
{
    size_t room = strlen(url) + SQ_SECRET_MORE;
    sq_autofree char *whole = malloc(room);
    if (whole == NULL) {
        (void)sq_text_copy(text, size, "a URL");
        return;
    }
    (void)sq_text_copy(whole, room, url);
    sq_secret_hide(whole, room);
    if (!sq_text_copy(text, size, whole) && size > sizeof dots)
        memcpy(text + size - sizeof dots, dots, sizeof dots);
}

/* Nobody knows which part of a broken URL is secret: whatever stands before an '@' may be. */
static int refuse_url(const char *text, const char *why, struct sq_error *error)
{
    char shown[SQ_ERROR_TEXT_MAX];
    (void)sq_text_copy(shown, sizeof shown, text);
    const char *start = strstr(shown, "://");
    start = start != NULL ? start + 3 : shown;
    const char *at = strrchr(start, '@');
    int kept = (int)(start - shown);
    if (at != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "'%.*s***%.100s' %s", kept, shown, at, why);
    return sq_fail(error, SQ_BAD_INPUT, "'%.100s' %s", shown, why);
}

int sq_http_url_check(const char *text, struct sq_error *error)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return sq_fail(error, SQ_BAD_INPUT,
                           "the URL has a space or a control character; expected %%20 and the like");
    size_t scheme = starts_with(text, "http://") ? 7 : starts_with(text, "https://") ? 8 : 0;
    if (scheme == 0)
        return refuse_url(text, "is not an HTTP URL; expected http://host... or https://host...", error);
    const char *start = text + scheme;
    size_t length = strcspn(start, "/?#");
    const char *user_end = memrchr(start, '@', length);
    if (user_end != NULL) {
        length -= (size_t)(user_end + 1 - start);
        start = user_end + 1;
    }
    struct authority authority;
    uint64_t number;
    if (split_authority(start, length, &authority) != 0)
        return refuse_url(text, "has no valid host; expected a name or an address, IPv6 in []", error);
    if (authority.has_port && parse_port(text, authority.port, &number, NULL) != 0)
        return refuse_url(text, "has no valid port; expected 1 to 65535", error);
    return sq_secret_remember_url(text, error);
}
