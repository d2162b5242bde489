#include "log.h"

#include "clock.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char log_program[32] = "squall";
static enum sq_log_level log_level = SQ_LOG_INFO;
static int log_to_journal;

void sq_log_open(const char *program, enum sq_log_level level)
{
    (void)snprintf(log_program, sizeof log_program, "%s", program);
    log_level = level;
    log_to_journal = getenv("JOURNAL_STREAM") != NULL;
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
    /* One write per line, so that lines of several processes do not mix. A lost log line is no reason to
     * fail. */
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
}
