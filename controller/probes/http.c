#include "probes/http.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/secret.h"
#include "common/text.h"
#include "model/url.h"
#include "probes/credentials.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX     240
#define NS_PER_US     UINT64_C(1000)
#define PORT_TEXT_MAX 8
#define PINNED_MAX    (256 + PORT_TEXT_MAX + SQ_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 3))

struct socket_source {
    struct sq_http *http;
    curl_socket_t socket;
    struct sq_loop_source *source;
};

/* Whom a request speaks to: what it knows is for him alone. */
struct origin {
    char *scheme;
    char *host;
    char *port;
};

struct transfer {
    struct transfer *next;
    struct transfer *previous;
    struct sq_http *http;
    CURL *easy;
    sq_http_done done;
    void *cookie;
    const struct sq_access *access; /* NULL: nothing */
    uint32_t redirects_left;
    uint64_t started_boot_ns;
    uint64_t timeout_ns;
    uint64_t asked_boot_ns;  /* when the name was known and curl took over; 0: not yet */
    uint64_t took_before_ns; /* for the redirects so far */
    bool resolving;          /* within begin(): nobody may be told yet */
    CURLcode failed_start;
    struct sq_names_query *query;
    struct sq_error unresolved; /* SQ_OK: it resolved, or is being resolved */
    struct origin first;        /* of the URL that was asked for */
    struct origin origin;       /* of the one that is asked now */
    char *user;                 /* of the URL; NULL: none */
    char *password;
    struct curl_slist *headers;
    struct curl_slist *pinned; /* the addresses of the host, for curl */
    char *body;
    size_t body_bytes;
    size_t body_max;
    bool whole;
    bool fresh;
    bool too_large;
    char detail[CURL_ERROR_SIZE];
};

struct sq_http {
    CURLM *multi;
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_loop_source *timer;
    struct transfer *transfers;
};

static void on_socket_ready(void *cookie, uint32_t events);

static void unwatch(struct socket_source *socket)
{
    sq_loop_remove(socket->source);
    free(socket);
}

/* From curl: what it waits for on a socket. 0 or -1, which fails the transfer. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *cookie, void *registered)
{
    (void)easy;
    struct sq_http *http = cookie;
    struct socket_source *socket = registered;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL)
            unwatch(socket);
        (void)curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    if (socket != NULL)
        return sq_loop_set_events(socket->source, events, NULL);
    socket = calloc(1, sizeof(*socket));
    if (socket == NULL)
        return -1;
    *socket = (struct socket_source){.http = http, .socket = fd};
    if (sq_loop_add_fd(http->loop, fd, events, on_socket_ready, socket, &socket->source, NULL) != 0) {
        free(socket);
        return -1;
    }
    (void)curl_multi_assign(http->multi, fd, socket);
    return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *cookie)
{
    (void)multi;
    struct sq_http *http = cookie;
    uint64_t at_boot_ns = 0;
    if (timeout_ms >= 0)
        at_boot_ns = sq_ns_add(sq_loop_now_boot_ns(http->loop), (uint64_t)timeout_ms * SQ_NS_PER_MILLISECOND);
    sq_loop_arm(http->timer, at_boot_ns);
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *cookie)
{
    struct transfer *transfer = cookie;
    size_t came = size * count;
    size_t room = transfer->body_max - transfer->body_bytes;
    size_t more = came < room ? came : room;
    if (came > room && transfer->whole) {
        transfer->too_large = true;
        return 0;
    }
    if (more == 0)
        return came;
    char *grown = realloc(transfer->body, transfer->body_bytes + more + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + transfer->body_bytes, bytes, more);
    transfer->body = grown;
    transfer->body_bytes += more;
    grown[transfer->body_bytes] = '\0';
    return came;
}

static void on_time(void *cookie);

int sq_http_open(struct sq_loop *loop, struct sq_names *names, struct sq_http **http_out,
                 struct sq_error *error)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sq_fail(error, SQ_SYSTEM, "libcurl could not be started");
    struct sq_http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return sq_fail_errno(error, ENOMEM, "HTTP client");
    http->loop = loop;
    http->names = names;
    if (sq_loop_add_timer(loop, on_time, http, &http->timer, error) != 0) {
        sq_http_close(http);
        return -1;
    }
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        sq_http_close(http);
        return sq_fail_errno(error, ENOMEM, "HTTP client");
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    *http_out = http;
    return 0;
}

static void origin_free(struct origin *origin)
{
    curl_free(origin->scheme);
    curl_free(origin->host);
    curl_free(origin->port);
    *origin = (struct origin){0};
}

static void transfer_free(struct transfer *transfer)
{
    struct sq_http *http = transfer->http;
    if (transfer->previous != NULL)
        transfer->previous->next = transfer->next;
    else if (http->transfers == transfer)
        http->transfers = transfer->next;
    if (transfer->next != NULL)
        transfer->next->previous = transfer->previous;
    sq_names_cancel(transfer->query);
    if (transfer->easy != NULL) {
        (void)curl_multi_remove_handle(http->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->pinned);
    origin_free(&transfer->first);
    origin_free(&transfer->origin);
    curl_free(transfer->user);
    curl_free(transfer->password);
    free(transfer->body);
    free(transfer);
}

void sq_http_close(struct sq_http *http)
{
    if (http == NULL)
        return;
    while (http->transfers != NULL) {
        http->transfers->done(http->transfers->cookie, NULL);
        transfer_free(http->transfers);
    }
    if (http->multi != NULL)
        (void)curl_multi_cleanup(http->multi);
    sq_loop_remove(http->timer);
    free(http);
}

static CURLcode worst_of(const CURLcode *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i] != CURLE_OK)
            return codes[i];
    return CURLE_OK;
}

#define WORST(codes) worst_of(codes, sizeof(codes) / sizeof((codes)[0]))

static CURLcode set_options(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    const CURLcode codes[] = {
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"),
        /* Redirects are followed here, by names of our own looking up. */
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L),
        curl_easy_setopt(easy, CURLOPT_PROXY, ""),
        /* Each request is a new customer: a connection kept from before a fault would hide or outlive it. */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L),
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L),
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L),
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, ""), /* whatever curl was built with */
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "squall/" SQ_VERSION),
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body),
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer),
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail),
        curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer),
    };
    return WORST(codes);
}

static CURLcode set_blob(CURL *easy, CURLoption option, const struct sq_blob *blob)
{
    struct curl_blob value = {.data = blob->bytes, .len = blob->length, .flags = CURL_BLOB_NOCOPY};
    return blob->bytes != NULL ? curl_easy_setopt(easy, option, &value) : CURLE_OK;
}

/* They alone are trusted: the system's folder of authorities would still be asked. */
static CURLcode set_authorities(CURL *easy, const struct sq_credentials *credentials)
{
    if (credentials->ca.bytes == NULL)
        return CURLE_OK;
    const CURLcode codes[] = {
        set_blob(easy, CURLOPT_CAINFO_BLOB, &credentials->ca),
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL),
    };
    return WORST(codes);
}

static CURLcode add_header(struct transfer *transfer, const char *header)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, header);
    if (longer == NULL)
        return CURLE_OUT_OF_MEMORY;
    transfer->headers = longer;
    return CURLE_OK;
}

static CURLcode set_headers(struct transfer *transfer)
{
    const struct sq_access *access = transfer->access;
    CURLcode code = transfer->fresh ? add_header(transfer, "Cache-Control: no-cache, no-store") : CURLE_OK;
    for (uint32_t i = 0; code == CURLE_OK && access != NULL && i < access->header_count; i++)
        code = add_header(transfer, access->headers[i]);
    if (code != CURLE_OK)
        return code;
    return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

/* Who asks: what is said to the first origin alone. */
static CURLcode set_credentials(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    const struct sq_access *access = transfer->access;
    const struct sq_credentials *credentials = access != NULL ? access->loaded : NULL;
    const char *user = access != NULL && access->user != NULL ? access->user : transfer->user;
    const char *password =
        credentials != NULL && access->user != NULL ? credentials->password : transfer->password;
    CURLcode code = set_headers(transfer);
    if (user != NULL && sq_secret_remember_basic(user, password != NULL ? password : "", NULL) != 0)
        return CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK && user != NULL) {
        const CURLcode codes[] = {
            curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC),
            curl_easy_setopt(easy, CURLOPT_USERNAME, user),
            curl_easy_setopt(easy, CURLOPT_PASSWORD, password != NULL ? password : ""),
        };
        code = WORST(codes);
    }
    if (code != CURLE_OK || credentials == NULL)
        return code;
    if (credentials->bearer != NULL) {
        const CURLcode codes[] = {
            curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER),
            curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, credentials->bearer),
        };
        code = WORST(codes);
    }
    const CURLcode codes[] = {
        code,
        set_blob(easy, CURLOPT_SSLCERT_BLOB, &credentials->certificate),
        set_blob(easy, CURLOPT_SSLKEY_BLOB, &credentials->key),
        set_authorities(easy, credentials),
    };
    return WORST(codes);
}

/* Elsewhere nobody is told who asks; whose certificates are trusted stays as it is. */
static CURLcode forget_credentials(struct transfer *transfer)
{
    const struct sq_access *access = transfer->access;
    curl_easy_reset(transfer->easy);
    CURLcode code = set_options(transfer);
    if (code == CURLE_OK && access != NULL && access->loaded != NULL)
        code = set_authorities(transfer->easy, access->loaded);
    return code;
}

static CURLcode read_origin(const char *url, struct origin *origin, struct transfer *transfer)
{
    CURLU *parts = curl_url();
    CURLUcode code = parts != NULL ? curl_url_set(parts, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_SCHEME, &origin->scheme, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_HOST, &origin->host, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_PORT, &origin->port, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OK && origin == &transfer->first) {
        (void)curl_url_get(parts, CURLUPART_USER, &transfer->user, CURLU_URLDECODE);
        (void)curl_url_get(parts, CURLUPART_PASSWORD, &transfer->password, CURLU_URLDECODE);
    }
    curl_url_cleanup(parts);
    if (code == CURLUE_OUT_OF_MEMORY)
        return CURLE_OUT_OF_MEMORY;
    return code == CURLUE_OK ? CURLE_OK : CURLE_URL_MALFORMAT;
}

static bool is_same_origin(const struct origin *a, const struct origin *b)
{
    return strcasecmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
           strcmp(a->port, b->port) == 0;
}

static void address_append(char *text, size_t size, const struct sockaddr_storage *address)
{
    char number[INET6_ADDRSTRLEN];
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)address;
        if (inet_ntop(AF_INET6, &six->sin6_addr, number, sizeof(number)) != NULL)
            sq_text_append(text, size, "[%s]", number);
    } else {
        const struct sockaddr_in *four = (const void *)address;
        if (inet_ntop(AF_INET, &four->sin_addr, number, sizeof(number)) != NULL)
            sq_text_append(text, size, "%s", number);
    }
}

/* curl shall look nothing up: its own resolver blocks, or leaves threads that must be waited for. */
static CURLcode pin(struct transfer *transfer, const struct sq_addresses *addresses)
{
    char text[PINNED_MAX] = "";
    sq_text_append(text, sizeof(text), "+%s:%s:", transfer->origin.host, transfer->origin.port);
    for (uint32_t i = 0; i < addresses->count; i++) {
        sq_text_append(text, sizeof(text), "%s", i > 0 ? "," : "");
        address_append(text, sizeof(text), &addresses->addresses[i]);
    }
    curl_slist_free_all(transfer->pinned);
    transfer->pinned = curl_slist_append(NULL, text);
    if (transfer->pinned == NULL)
        return CURLE_OUT_OF_MEMORY;
    return curl_easy_setopt(transfer->easy, CURLOPT_RESOLVE, transfer->pinned);
}

/* The time that the name took is gone from the time-out. */
static CURLcode set_timeout(struct transfer *transfer)
{
    uint64_t gone_ns = sq_ns_sub(transfer->asked_boot_ns, transfer->started_boot_ns);
    uint64_t timeout_ms = sq_ns_sub(transfer->timeout_ns, gone_ns) / SQ_NS_PER_MILLISECOND;
    if (timeout_ms == 0)
        timeout_ms = 1;
    if (timeout_ms > INT_MAX)
        timeout_ms = INT_MAX;
    CURLcode code = curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    return code != CURLE_OK ? code
                            : curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
}

static void finish(struct transfer *transfer, CURLcode code);

/* `pinned`: whether curl has to be told the address. */
static void ask(struct transfer *transfer, const struct sq_addresses *pinned)
{
    CURLcode code = pinned != NULL ? pin(transfer, pinned) : CURLE_OK;
    if (code == CURLE_OK)
        code = set_timeout(transfer);
    if (code == CURLE_OK && curl_multi_add_handle(transfer->http->multi, transfer->easy) != CURLM_OK)
        code = CURLE_OUT_OF_MEMORY;
    if (transfer->resolving)
        transfer->failed_start = code;
    else if (code != CURLE_OK)
        finish(transfer, code);
}

static void on_name(void *cookie, const struct sq_addresses *addresses, const struct sq_error *error)
{
    struct transfer *transfer = cookie;
    transfer->query = NULL;
    transfer->asked_boot_ns = sq_loop_now_boot_ns(transfer->http->loop);
    if (addresses == NULL) {
        transfer->unresolved = *error;
        transfer->failed_start = CURLE_COULDNT_RESOLVE_HOST;
        if (transfer->resolving)
            return;
        finish(transfer, CURLE_COULDNT_RESOLVE_HOST);
        return;
    }
    /* Told at once, it is numeric, and curl understands it by itself. */
    ask(transfer, transfer->resolving ? NULL : addresses);
}

static struct transfer *transfer_new(struct sq_http *http, const struct sq_http_request *request,
                                     sq_http_done done, void *cookie)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL)
        return NULL;
    transfer->http = http;
    transfer->done = done;
    transfer->cookie = cookie;
    transfer->access = request->access;
    transfer->redirects_left = request->access != NULL ? request->access->redirects : 0;
    transfer->body_max = request->body_max;
    transfer->whole = request->whole;
    transfer->fresh = request->fresh;
    transfer->started_boot_ns = sq_loop_now_boot_ns(http->loop);
    transfer->timeout_ns = request->timeout_ns;
    transfer->next = http->transfers;
    if (http->transfers != NULL)
        http->transfers->previous = transfer;
    http->transfers = transfer;
    return transfer;
}

/* Ask for `url`, whose origin is known, as soon as its name is. -1: nobody will be called. */
static int begin(struct transfer *transfer, const char *url, struct sq_error *error)
{
    uint64_t gone_ns = sq_ns_sub(sq_loop_now_boot_ns(transfer->http->loop), transfer->started_boot_ns);
    CURLcode code = curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    transfer->failed_start = CURLE_OK;
    transfer->resolving = true;
    if (code == CURLE_OK && sq_names_resolve(transfer->http->names, transfer->origin.host,
                                             sq_ns_sub(transfer->timeout_ns, gone_ns), on_name, transfer,
                                             &transfer->query, error) != 0)
        return -1;
    transfer->resolving = false;
    code = code != CURLE_OK ? code : transfer->failed_start;
    return code == CURLE_OK ? 0 : sq_fail(error, SQ_SYSTEM, "%s", curl_easy_strerror(code));
}

int sq_http_get(struct sq_http *http, const struct sq_http_request *request, sq_http_done done, void *cookie,
                struct sq_error *error)
{
    char shown[SHOWN_MAX];
    sq_url_show(request->url, shown, sizeof(shown));
    struct transfer *transfer = transfer_new(http, request, done, cookie);
    if (transfer == NULL)
        return sq_fail_errno(error, ENOMEM, "request to %s", shown);
    transfer->easy = curl_easy_init();
    CURLcode code = transfer->easy != NULL ? set_options(transfer) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK)
        code = read_origin(request->url, &transfer->first, transfer);
    if (code == CURLE_OK)
        code = read_origin(request->url, &transfer->origin, transfer);
    if (code == CURLE_OK)
        code = set_credentials(transfer);
    if (code != CURLE_OK) {
        transfer_free(transfer);
        return sq_fail(error, SQ_SYSTEM, "request to %s: %s", shown, curl_easy_strerror(code));
    }
    if (begin(transfer, request->url, error) != 0) {
        transfer_free(transfer);
        return sq_fail_in(error, "request to %s", shown);
    }
    return 0;
}

static enum sq_http_failure classify(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return SQ_HTTP_ANSWERED;
    case CURLE_OPERATION_TIMEDOUT:
        return SQ_HTTP_TIMED_OUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_BAD_CONTENT_ENCODING:
        return SQ_HTTP_NO_ANSWER;
    default:
        return SQ_HTTP_NOT_ASKED;
    }
}

/* By curl's own measure: how long the loop was at other things is not the server's time. */
static uint64_t took_ns(const struct transfer *transfer)
{
    curl_off_t took_us = 0;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(transfer->http->loop);
    if (transfer->asked_boot_ns == 0)
        return 0;
    uint64_t most_ns = sq_ns_sub(now_boot_ns, transfer->asked_boot_ns);
    if (curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &took_us) != CURLE_OK || took_us <= 0)
        return most_ns;
    uint64_t by_curl_ns = (uint64_t)took_us * NS_PER_US;
    return by_curl_ns < most_ns ? by_curl_ns : most_ns;
}

static void explain(const struct transfer *transfer, CURLcode code, struct sq_http_result *result)
{
    const char *detail = transfer->detail[0] != '\0' ? transfer->detail : curl_easy_strerror(code);
    if (transfer->too_large) {
        result->failure = SQ_HTTP_NOT_ASKED;
        sq_text_append(result->reason, sizeof(result->reason), "the answer is larger than %zu MiB",
                       transfer->body_max >> 20);
        return;
    }
    if (transfer->unresolved.code != SQ_OK)
        detail = transfer->unresolved.text;
    else if (code == CURLE_OK)
        return;
    (void)sq_text_copy(result->reason, sizeof(result->reason), detail);
    sq_secret_hide(result->reason, sizeof(result->reason));
    sq_text_make_printable(result->reason);
}

static void tell(struct transfer *transfer, CURLcode code)
{
    uint64_t last_ns = took_ns(transfer);
    struct sq_http_result result = {
        .failure = classify(code),
        .started_boot_ns = transfer->started_boot_ns,
        .ended_boot_ns = transfer->asked_boot_ns != 0 ? sq_ns_add(transfer->asked_boot_ns, last_ns)
                                                      : sq_loop_now_boot_ns(transfer->http->loop),
        .took_ns = sq_ns_add(transfer->took_before_ns, last_ns),
        .body = transfer->body != NULL ? transfer->body : "",
        .body_bytes = transfer->body_bytes,
    };
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status > 0 && status < 1000)
        result.status = (uint32_t)status;
    explain(transfer, code, &result);
    sq_http_done done = transfer->done;
    void *cookie = transfer->cookie;
    done(cookie, &result);
    transfer_free(transfer);
}

/* Ask where the answer points to. False: it points nowhere that can be asked. */
static bool follow(struct transfer *transfer)
{
    char *target = NULL;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &target);
    if (target == NULL || transfer->redirects_left == 0)
        return false;
    /* curl's copy is gone when it is told of the next. */
    sq_autofree char *url = strdup(target);
    struct origin next = {0};
    if (url == NULL || read_origin(url, &next, transfer) != CURLE_OK) {
        origin_free(&next);
        return false;
    }
    transfer->redirects_left--;
    transfer->took_before_ns = sq_ns_add(transfer->took_before_ns, took_ns(transfer));
    transfer->body_bytes = 0;
    (void)curl_multi_remove_handle(transfer->http->multi, transfer->easy);
    bool foreign = !is_same_origin(&transfer->first, &next);
    origin_free(&transfer->origin);
    transfer->origin = next;
    transfer->asked_boot_ns = 0;
    struct sq_error error = {0};
    if ((foreign && forget_credentials(transfer) != CURLE_OK) || begin(transfer, url, &error) != 0) {
        transfer->unresolved = error;
        tell(transfer, CURLE_OUT_OF_MEMORY);
    }
    return true;
}

static void finish(struct transfer *transfer, CURLcode code)
{
    if (code != CURLE_OK || transfer->redirects_left == 0 || !follow(transfer))
        tell(transfer, code);
}

static void finish_all(struct sq_http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *private = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        if (private != NULL)
            finish((struct transfer *)(void *)private, code);
    }
}

static void on_socket_ready(void *cookie, uint32_t events)
{
    const struct socket_source *socket = cookie;
    struct sq_http *http = socket->http;
    int running = 0;
    int what = 0;
    if (events & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    (void)curl_multi_socket_action(http->multi, socket->socket, what, &running);
    finish_all(http);
}

static void on_time(void *cookie)
{
    struct sq_http *http = cookie;
    int running = 0;
    (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_all(http);
}
