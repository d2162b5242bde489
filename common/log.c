#include "log.h"

#include "clock.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char log_program[32] = "squall";
static enum sq_log_level log_level = SQ_LOG_INFO;
static int log_to_journal;
static bool never_waits;
static unsigned lost_count; /* lines that nobody took */

void sq_log_open(const char *program, enum sq_log_level level)
{
    (void)snprintf(log_program, sizeof log_program, "%s", program);
    log_level = level;
    log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

/*
 * A description of its own, since O_NONBLOCK would be everybody's who shares the old one. A socket cannot be
 * opened anew, and needs no such thing; a plain file always takes what is written.
 */
void sq_log_never_wait(void)
{
    struct stat status;
    never_waits = true;
    if (fstat(STDERR_FILENO, &status) != 0 || (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)))
        return;
    int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    (void)dup2(own, STDERR_FILENO);
    (void)close(own);
}

static bool is_taken(void)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) > 0;
}

/* One write per line, so that lines of several processes do not mix. */
static bool put(const char *line, int length)
{
    if (length <= 0)
        return true;
    if (!never_waits)
        return write(STDERR_FILENO, line, (size_t)length) >= 0;
    ssize_t sent = send(STDERR_FILENO, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == ENOTSOCK && is_taken())
        sent = write(STDERR_FILENO, line, (size_t)length);
    return sent >= 0;
}

static const char *level_name(enum sq_log_level level)
{
    switch (level) {
    case SQ_LOG_ERROR:
        return "error";
    case SQ_LOG_WARNING:
        return "warning";
    case SQ_LOG_INFO:
        return "info";
    default:
        return "debug";
    }
}

static void put_line(enum sq_log_level level, const char *text)
{
    char line[1200];
    int length;
    if (log_to_journal) {
        length = snprintf(line, sizeof line, "<%d>%s\n", (int)level, text);
    } else {
        char stamp[SQ_TIMESTAMP_MAX];
        sq_timestamp_format(sq_real_ns(), stamp);
        length = snprintf(line, sizeof line, "%s %s[%d] %s: %s\n", stamp, log_program, (int)getpid(),
                          level_name(level), text);
    }
    /* A lost log line is no reason to fail. */
    lost_count += !put(line, length);
}

static void tell_lost(void)
{
    char text[80];
    unsigned count = lost_count;
    if (count == 0)
        return;
    (void)snprintf(text, sizeof text, "%u lines of the log were lost: nobody took them", count);
    lost_count = 0;
    put_line(SQ_LOG_WARNING, text);
    if (lost_count > 0)
        lost_count = count;
}

void sq_log(enum sq_log_level level, const char *format, ...)
{
    if (level > log_level)
        return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sq_text_make_printable(text);
    tell_lost();
    put_line(level, text);
}
