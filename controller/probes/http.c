#include "probes/http.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US     UINT64_C(1000)
#define PORT_TEXT_MAX 8
#define PINNED_MAX    (256 + PORT_TEXT_MAX + SQ_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 3))

struct socket_source {
    struct sq_http *http;
    curl_socket_t socket;
    struct sq_loop_source *source;
};

struct transfer {
    struct transfer *next;
    struct transfer *previous;
    struct sq_http *http;
    CURL *easy;
    sq_http_done done;
    void *cookie;
    uint64_t started_boot_ns;
    uint64_t timeout_ns;
    uint64_t asked_boot_ns; /* when the name was known and curl took over; 0: not yet */
    bool starting;          /* within sq_http_get: nobody may be told yet */
    CURLcode failed_start;
    struct sq_names_query *query;
    struct sq_error unresolved; /* SQ_OK: it resolved, or is being resolved */
    char *host;
    char *port;
    struct curl_slist *pinned; /* the addresses of `host`, for curl */
    char *body;
    size_t body_bytes;
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
    size_t more = size * count;
    if (more > SQ_HTTP_BODY_MAX - transfer->body_bytes) {
        transfer->too_large = true;
        return 0;
    }
    char *grown = realloc(transfer->body, transfer->body_bytes + more + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + transfer->body_bytes, bytes, more);
    transfer->body = grown;
    transfer->body_bytes += more;
    grown[transfer->body_bytes] = '\0';
    return more;
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
    curl_slist_free_all(transfer->pinned);
    curl_free(transfer->host);
    curl_free(transfer->port);
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

static CURLcode set_options(struct transfer *transfer, const char *url)
{
    CURL *easy = transfer->easy;
    CURLcode worst = CURLE_OK;
    CURLcode codes[] = {
        curl_easy_setopt(easy, CURLOPT_URL, url),
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L),
        curl_easy_setopt(easy, CURLOPT_PROXY, ""),
        /* Each request is a new customer: a connection kept from before a fault would hide or outlive it. */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L),
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L),
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L),
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "squall/" SQ_VERSION),
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body),
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer),
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail),
        curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer),
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i] != CURLE_OK)
            worst = codes[i];
    return worst;
}

static CURLcode read_host(struct transfer *transfer, const char *url)
{
    CURLU *parts = curl_url();
    CURLUcode code = parts != NULL ? curl_url_set(parts, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_HOST, &transfer->host, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_PORT, &transfer->port, CURLU_DEFAULT_PORT);
    curl_url_cleanup(parts);
    if (code == CURLUE_OUT_OF_MEMORY)
        return CURLE_OUT_OF_MEMORY;
    return code == CURLUE_OK ? CURLE_OK : CURLE_URL_MALFORMAT;
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
    sq_text_append(text, sizeof(text), "+%s:%s:", transfer->host, transfer->port);
    for (uint32_t i = 0; i < addresses->count; i++) {
        sq_text_append(text, sizeof(text), "%s", i > 0 ? "," : "");
        address_append(text, sizeof(text), &addresses->addresses[i]);
    }
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
    if (transfer->starting)
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
        finish(transfer, CURLE_COULDNT_RESOLVE_HOST);
        return;
    }
    /* Told at once, it is numeric, and curl understands it by itself. */
    ask(transfer, transfer->starting ? NULL : addresses);
}

static struct transfer *transfer_new(struct sq_http *http, uint64_t timeout_ns, sq_http_done done,
                                     void *cookie)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL)
        return NULL;
    transfer->http = http;
    transfer->done = done;
    transfer->cookie = cookie;
    transfer->started_boot_ns = sq_loop_now_boot_ns(http->loop);
    transfer->timeout_ns = timeout_ns;
    transfer->next = http->transfers;
    if (http->transfers != NULL)
        http->transfers->previous = transfer;
    http->transfers = transfer;
    return transfer;
}

int sq_http_get(struct sq_http *http, const char *url, uint64_t timeout_ns, sq_http_done done, void *cookie,
                struct sq_error *error)
{
    struct transfer *transfer = transfer_new(http, timeout_ns, done, cookie);
    if (transfer == NULL)
        return sq_fail_errno(error, ENOMEM, "request to %s", url);
    transfer->easy = curl_easy_init();
    CURLcode code = transfer->easy != NULL ? set_options(transfer, url) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK)
        code = read_host(transfer, url);
    if (code == CURLE_OK) {
        transfer->starting = true;
        if (sq_names_resolve(http->names, transfer->host, timeout_ns, on_name, transfer, &transfer->query,
                             error) != 0) {
            transfer_free(transfer);
            return -1;
        }
        transfer->starting = false;
        code = transfer->failed_start;
    }
    if (code != CURLE_OK) {
        transfer_free(transfer);
        return sq_fail(error, SQ_SYSTEM, "request to %s: %s", url, curl_easy_strerror(code));
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
static uint64_t ended_boot_ns(const struct transfer *transfer)
{
    curl_off_t took_us = 0;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(transfer->http->loop);
    if (transfer->unresolved.code != SQ_OK ||
        curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &took_us) != CURLE_OK || took_us <= 0)
        return now_boot_ns;
    uint64_t by_curl_boot_ns = sq_ns_add(transfer->asked_boot_ns, (uint64_t)took_us * NS_PER_US);
    return by_curl_boot_ns < now_boot_ns ? by_curl_boot_ns : now_boot_ns;
}

static void finish(struct transfer *transfer, CURLcode code)
{
    struct sq_http_result result = {
        .failure = classify(code),
        .started_boot_ns = transfer->started_boot_ns,
        .ended_boot_ns = ended_boot_ns(transfer),
        .body = transfer->body != NULL ? transfer->body : "",
        .body_bytes = transfer->body_bytes,
    };
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status > 0 && status < 1000)
        result.status = (uint32_t)status;
    if (transfer->too_large) {
        result.failure = SQ_HTTP_NOT_ASKED;
        (void)sq_text_copy(result.reason, sizeof(result.reason), "the answer is larger than 1 MiB");
    } else if (transfer->unresolved.code != SQ_OK) {
        (void)sq_text_copy(result.reason, sizeof(result.reason), transfer->unresolved.text);
        sq_text_make_printable(result.reason);
    } else if (code != CURLE_OK) {
        const char *detail = transfer->detail[0] != '\0' ? transfer->detail : curl_easy_strerror(code);
        (void)sq_text_copy(result.reason, sizeof(result.reason), detail);
        sq_text_make_printable(result.reason);
    }
    sq_http_done done = transfer->done;
    void *cookie = transfer->cookie;
    done(cookie, &result);
    transfer_free(transfer);
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
