#include "probes/http.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define EVENTS_PER_STEP 64

struct transfer {
    struct transfer *next;
    struct transfer *previous;
    struct sq_http *http;
    CURL *easy;
    sq_http_done done;
    void *cookie;
    uint64_t started_boot_ns;
    uint64_t timeout_ns;
    char *body;
    size_t body_bytes;
    bool too_large;
    char detail[CURL_ERROR_SIZE];
};

struct sq_http {
    CURLM *multi;
    int epoll_fd;
    int timer_fd;
    struct transfer *transfers;
};

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *cookie, void *registered)
{
    (void)easy;
    struct sq_http *http = cookie;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, socket, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = socket};
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        event.events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        event.events |= EPOLLOUT;
    int operation = registered != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(http->epoll_fd, operation, socket, &event) != 0 && errno == EEXIST)
        (void)epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, socket, &event);
    (void)curl_multi_assign(http->multi, socket, http);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *cookie)
{
    (void)multi;
    struct sq_http *http = cookie;
    uint64_t at_boot_ns = 0;
    if (timeout_ms >= 0)
        at_boot_ns = sq_ns_add(sq_boot_ns(), (uint64_t)timeout_ms * SQ_NS_PER_MILLISECOND);
    (void)sq_timer_arm(http->timer_fd, at_boot_ns);
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

int sq_http_open(struct sq_http **http_out, struct sq_error *error)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sq_fail(error, SQ_SYSTEM, "libcurl could not be started");
    struct sq_http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return sq_fail_errno(error, ENOMEM, "HTTP client");
    http->multi = curl_multi_init();
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    http->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = http->timer_fd};
    if (http->multi == NULL || http->epoll_fd < 0 || http->timer_fd < 0 ||
        epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->timer_fd, &event) != 0) {
        int number = errno;
        sq_http_close(http);
        return sq_fail_errno(error, number, "HTTP client");
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
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
    if (transfer->easy != NULL) {
        (void)curl_multi_remove_handle(http->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
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
    sq_cleanup_close(&http->epoll_fd);
    sq_cleanup_close(&http->timer_fd);
    free(http);
}

int sq_http_fd(const struct sq_http *http)
{
    return http->epoll_fd;
}

static CURLcode set_options(struct transfer *transfer, const char *url)
{
    CURL *easy = transfer->easy;
    uint64_t timeout_ms = transfer->timeout_ns / SQ_NS_PER_MILLISECOND;
    if (timeout_ms == 0)
        timeout_ms = 1;
    if (timeout_ms > INT_MAX)
        timeout_ms = INT_MAX;
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
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms),
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms),
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

int sq_http_get(struct sq_http *http, const char *url, uint64_t timeout_ns, sq_http_done done, void *cookie,
                struct sq_error *error)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL)
        return sq_fail_errno(error, ENOMEM, "request to %s", url);
    transfer->http = http;
    transfer->done = done;
    transfer->cookie = cookie;
    transfer->started_boot_ns = sq_boot_ns();
    transfer->timeout_ns = timeout_ns;
    transfer->easy = curl_easy_init();
    CURLcode code = transfer->easy != NULL ? set_options(transfer, url) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK && curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
        code = CURLE_OUT_OF_MEMORY;
    if (code != CURLE_OK) {
        transfer_free(transfer);
        return sq_fail(error, SQ_SYSTEM, "request to %s: %s", url, curl_easy_strerror(code));
    }
    transfer->next = http->transfers;
    if (http->transfers != NULL)
        http->transfers->previous = transfer;
    http->transfers = transfer;
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

static void finish(struct transfer *transfer, CURLcode code)
{
    struct sq_http_result result = {
        .failure = classify(code),
        .started_boot_ns = transfer->started_boot_ns,
        .ended_boot_ns = sq_boot_ns(),
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

void sq_http_step(struct sq_http *http)
{
    struct epoll_event events[EVENTS_PER_STEP];
    int running = 0;
    int count = epoll_wait(http->epoll_fd, events, EVENTS_PER_STEP, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == http->timer_fd) {
            uint64_t expirations;
            (void)!read(http->timer_fd, &expirations, sizeof(expirations));
            (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
            continue;
        }
        int what = 0;
        if (events[i].events & (EPOLLIN | EPOLLHUP))
            what |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT)
            what |= CURL_CSELECT_OUT;
        if (events[i].events & EPOLLERR)
            what |= CURL_CSELECT_ERR;
        (void)curl_multi_socket_action(http->multi, events[i].data.fd, what, &running);
    }
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
