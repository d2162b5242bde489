#include "kernel/netlink.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* What the kernel puts into one datagram of a dump (NLMSG_GOODSIZE and netlink_dump: at most 32 KiB). */
#define RECEIVE_BYTES 32768

/* The kernel answers within the call; this is for a kernel that does not. */

int sq_netlink_open(struct sq_netlink *netlink, struct sq_error *error)
{
    return sq_netlink_open_to(netlink, NETLINK_ROUTE, error);
}

int sq_netlink_open_to(struct sq_netlink *netlink, int protocol, struct sq_error *error)
{
    sq_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open a netlink socket");
    int on = 1;
    /* Kernels without these still answer, only with fewer words. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    struct sockaddr_nl local = {.nl_family = AF_NETLINK};
    if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0)
        return sq_fail_errno(error, errno, "cannot bind a netlink socket");
    netlink->fd = sq_take_fd(&fd);
    netlink->sequence = 0;
    return 0;
}

void sq_netlink_close(struct sq_netlink *netlink)
{
    if (netlink->fd >= 0)
        (void)close(netlink->fd);
    netlink->fd = -1;
}

static int send_request(struct sq_netlink *netlink, struct nlmsghdr *request)
{
    request->nlmsg_seq = ++netlink->sequence;
    request->nlmsg_pid = 0;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(netlink->fd, request, request->nlmsg_len, MSG_NOSIGNAL, (struct sockaddr *)&kernel,
                      sizeof kernel);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return (size_t)sent == request->nlmsg_len ? 0 : -EIO;
}

/* One datagram from the kernel into `buffer`; its length, or -errno. */
static ssize_t receive(struct sq_netlink *netlink, void *buffer, size_t size)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        struct iovec part = {.iov_base = buffer, .iov_len = size};
        struct msghdr header = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
        /* The kernel has answered when the question was sent: one that was lost is not waited for. */
        ssize_t received = recvmsg(netlink->fd, &header, MSG_DONTWAIT);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (from.nl_pid != 0)
            continue; /* anyone may write to a netlink socket; only the kernel has port 0 */
        if ((header.msg_flags & MSG_TRUNC) != 0)
            return -EMSGSIZE;
        return received;
    }
}

/* The kernel's own words behind an error message (NLMSGERR_ATTR_MSG). */
static void read_reason(const struct nlmsghdr *message, char *reason, size_t size)
{
    const struct nlmsgerr *answer = NLMSG_DATA(message);
    if (reason == NULL || (message->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
        return;
    size_t offset = NLMSG_HDRLEN + sizeof *answer;
    if ((message->nlmsg_flags & NLM_F_CAPPED) == 0 && answer->msg.nlmsg_len > sizeof answer->msg)
        offset += NLMSG_ALIGN(answer->msg.nlmsg_len - (uint32_t)sizeof answer->msg);
    if (offset >= message->nlmsg_len)
        return;
    const struct nlattr *first = (const void *)((const char *)message + offset);
    const struct nlattr *text = nla_find(first, (int)(message->nlmsg_len - offset), NLMSGERR_ATTR_MSG);
    if (text == NULL || nla_len(text) <= 0 || !sq_text_is_terminated(nla_data(text), (size_t)nla_len(text)))
        return;
    (void)sq_text_copy(reason, size, nla_data(text));
}

/* One question and its answer, taken apart. */
struct exchange {
    sq_netlink_visit visit;
    void *cookie;
    char *reason;
    size_t reason_size;
    uint32_t sequence;
    bool one_message; /* the answer is a single message without an end mark */
    bool done;
    bool inconsistent;
    int result;
};

static void take_message(struct exchange *exchange, const struct nlmsghdr *message)
{
    if (message->nlmsg_seq != exchange->sequence)
        return; /* left over from a question that was given up */
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
        exchange->inconsistent = true;
    if (message->nlmsg_type == NLMSG_DONE) {
        exchange->done = true;
        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(int))) {
            int status;
            memcpy(&status, NLMSG_DATA(message), sizeof status);
            if (status < 0 && exchange->result == 0)
                exchange->result = status;
        }
    } else if (message->nlmsg_type == NLMSG_ERROR) {
        exchange->done = true;
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
            exchange->result = -EPROTO;
            return;
        }
        const struct nlmsgerr *answer = NLMSG_DATA(message);
        if (exchange->result == 0)
            exchange->result = answer->error;
        read_reason(message, exchange->reason, exchange->reason_size);
    } else if (message->nlmsg_type >= NLMSG_MIN_TYPE) {
        if (exchange->result == 0 && exchange->visit != NULL)
            exchange->result = exchange->visit(message, exchange->cookie);
        if (exchange->one_message)
            exchange->done = true;
    }
}

static void take_datagram(struct exchange *exchange, const char *buffer, size_t size)
{
    size_t offset = 0;
    while (!exchange->done && size - offset >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *message = (const void *)(buffer + offset);
        if (message->nlmsg_len < sizeof *message || message->nlmsg_len > size - offset)
            return;
        take_message(exchange, message);
        size_t step = NLMSG_ALIGN((size_t)message->nlmsg_len);
        if (step > size - offset)
            return;
        offset += step;
    }
}

static int converse(struct sq_netlink *netlink, struct nlmsghdr *request, struct exchange *exchange)
{
    int sent = send_request(netlink, request);
    if (sent != 0)
        return sent;
    exchange->sequence = netlink->sequence;
    _Alignas(struct nlmsghdr) char buffer[RECEIVE_BYTES];
    while (!exchange->done) {
        ssize_t received = receive(netlink, buffer, sizeof buffer);
        if (received < 0)
            return (int)received;
        take_datagram(exchange, buffer, (size_t)received);
    }
    return exchange->result == 0 && exchange->inconsistent ? -EAGAIN : exchange->result;
}

int sq_netlink_request(struct sq_netlink *netlink, struct nlmsghdr *request, char *reason, size_t size)
{
    if (reason != NULL && size > 0)
        reason[0] = '\0';
    request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    struct exchange exchange = {.reason = reason, .reason_size = size};
    return converse(netlink, request, &exchange);
}

int sq_netlink_dump(struct sq_netlink *netlink, struct nlmsghdr *request, sq_netlink_visit visit,
                    void *cookie)
{
    request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
    struct exchange exchange = {.visit = visit, .cookie = cookie};
    return converse(netlink, request, &exchange);
}

int sq_netlink_get(struct sq_netlink *netlink, struct nlmsghdr *request, sq_netlink_visit visit, void *cookie)
{
    request->nlmsg_flags |= NLM_F_REQUEST;
    struct exchange exchange = {.visit = visit, .cookie = cookie, .one_message = true};
    return converse(netlink, request, &exchange);
}
