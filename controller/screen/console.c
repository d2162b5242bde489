#include "screen/console.h"

#include "common/clock.h"
#include "common/text.h"
#include "loop/loop.h"
#include "screen/width.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define QUEUE_BYTES (1u << 20)
#define WRITE_BYTES 4096 /* PIPE_BUF: what a pipe that polls as writable takes without blocking */
#define LINE_BYTES  4096
#define FRAME_BYTES 32768
#define FRAME_LINES 128

struct sq_console {
    int fd;
    bool live;
    bool quiet;             /* the terminal was told not to echo */
    struct termios termios; /* as it was before */
    bool broken;
    bool cut;     /* a write failed where nobody is gone: a full disk */
    size_t start; /* the queue is queue[start..length) */
    size_t length;
    bool overflowed;
    char frame[FRAME_BYTES]; /* the view as it should stand */
    bool frame_changed;
    uint32_t drawn_lines;
    uint32_t drawn_columns[FRAME_LINES]; /* the width of each drawn line: a narrower window wraps them */
    char queue[QUEUE_BYTES];
};

/*
 * What is typed while the view stands would be echoed into it and move the cursor, and after Ctrl-C the
 * kernel throws away what was written and not yet shown: lines would stay that nobody takes away. Neither
 * outlives the console; a shell puts its own modes back if we are killed.
 */
static void make_quiet(struct sq_console *console)
{
    if (!console->live || tcgetpgrp(console->fd) != getpgrp() ||
        tcgetattr(console->fd, &console->termios) != 0)
        return;
    struct termios quiet = console->termios;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    quiet.c_lflag |= NOFLSH;
    console->quiet = tcsetattr(console->fd, TCSANOW, &quiet) == 0;
}

int sq_console_open(int fd, bool live, struct sq_console **console_out, struct sq_error *error)
{
    struct sq_console *console = calloc(1, sizeof(*console));
    if (console == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the terminal");
    console->fd = fd;
    console->live = live;
    make_quiet(console);
    *console_out = console;
    return 0;
}

static size_t waiting(const struct sq_console *console)
{
    return console->length - console->start;
}

static bool enqueue(struct sq_console *console, const char *bytes, size_t length)
{
    if (console->start > 0) {
        memmove(console->queue, console->queue + console->start, waiting(console));
        console->length -= console->start;
        console->start = 0;
    }
    if (length > QUEUE_BYTES - console->length) {
        console->overflowed = true; /* the run record has it all */
        return false;
    }
    memcpy(console->queue + console->length, bytes, length);
    console->length += length;
    return true;
}

void sq_console_size(const struct sq_console *console, uint32_t *columns, uint32_t *rows)
{
    struct winsize size = {0};
    *columns = 80;
    *rows = 24;
    if (ioctl(console->fd, TIOCGWINSZ, &size) != 0)
        return;
    if (size.ws_col > 0)
        *columns = size.ws_col;
    if (size.ws_row > 0)
        *rows = size.ws_row;
}

/* Back to the first column of the first line of the drawn view, and clear from there. */
static void erase_view(struct sq_console *console)
{
    uint32_t columns;
    uint32_t rows;
    char sequence[32];
    uint32_t up = 0;
    if (console->drawn_lines == 0)
        return;
    sq_console_size(console, &columns, &rows);
    for (uint32_t i = 0; i < console->drawn_lines; i++)
        up += console->drawn_columns[i] > columns ? (console->drawn_columns[i] + columns - 1) / columns : 1;
    int length = snprintf(sequence, sizeof(sequence), "\r\033[%uA\033[J", up);
    if (enqueue(console, sequence, (size_t)length))
        console->drawn_lines = 0;
}

static uint32_t columns_of(const char *line, size_t length)
{
    char text[LINE_BYTES];
    text[0] = '\0';
    sq_text_append(text, sizeof(text), "%.*s", (int)length, line);
    return sq_width(text);
}

static void draw_view(struct sq_console *console)
{
    console->frame_changed = false;
    if (console->frame[0] == '\0' || !enqueue(console, console->frame, strlen(console->frame)))
        return;
    const char *line = console->frame;
    while (*line != '\0' && console->drawn_lines < FRAME_LINES) {
        const char *end = strchr(line, '\n');
        size_t length = end != NULL ? (size_t)(end - line) : strlen(line);
        console->drawn_columns[console->drawn_lines++] = columns_of(line, length);
        line += end != NULL ? length + 1 : length;
    }
}

void sq_console_flush(struct sq_console *console)
{
    /* A new view is drawn only when the old one is out: a slow terminal sees fewer of them, not a backlog. */
    if (console->live && console->frame_changed && waiting(console) == 0) {
        erase_view(console);
        draw_view(console);
    }
    while (!console->broken && waiting(console) > 0) {
        struct pollfd ready = {.fd = console->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0) /* asks, and waits for nobody */
            return;
        if ((ready.revents & POLLOUT) == 0) {
            console->broken = true;
            return;
        }
        size_t length = waiting(console) < WRITE_BYTES ? waiting(console) : WRITE_BYTES;
        ssize_t written = write(console->fd, console->queue + console->start, length);
        if (written < 0) {
            if (errno == EINTR || errno == EAGAIN)
                return;
            if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
                console->cut = true;
                console->start = console->length;
                return;
            }
            console->broken = true;
            return;
        }
        console->start += (size_t)written;
    }
}

static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        bool is_color = c[0] == '\033' && c[1] == '[';
        if (((unsigned char)*c < 0x20 && !is_color) || *c == 0x7f)
            *c = '?';
    }
}

void sq_console_line(struct sq_console *console, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    make_printable(line);
    sq_text_append(line, sizeof(line), "\n");
    if (console->live) {
        erase_view(console);
        console->frame_changed = true;
    }
    (void)enqueue(console, line, strlen(line));
    sq_console_flush(console);
}

void sq_console_view(struct sq_console *console, const char *frame)
{
    if (!console->live || strcmp(frame, console->frame) == 0)
        return;
    (void)sq_text_copy(console->frame, sizeof(console->frame), frame);
    console->frame_changed = true;
    sq_console_flush(console);
}

bool sq_console_wants_to_write(const struct sq_console *console)
{
    return !console->broken && (waiting(console) > 0 || (console->live && console->frame_changed));
}

bool sq_console_is_live(const struct sq_console *console)
{
    return console->live;
}

bool sq_console_is_broken(const struct sq_console *console)
{
    return console->broken;
}

bool sq_console_is_cut(const struct sq_console *console)
{
    return console->cut;
}

int sq_console_fd(const struct sq_console *console)
{
    return console->fd;
}

static void on_ready(void *cookie, uint32_t events)
{
    (void)events;
    sq_console_flush(cookie);
}

/* The last words, which nobody else waits for any more: in a loop of their own. */
static void flush_until(struct sq_console *console, uint64_t until_boot_ns)
{
    struct sq_loop *loop = NULL;
    struct sq_loop_source *source;
    int status = sq_loop_open(&loop, NULL);
    if (status == 0)
        status = sq_loop_add_fd(loop, console->fd, EPOLLOUT, on_ready, console, &source, NULL);
    while (status == 0 && !console->broken && waiting(console) > 0 && sq_boot_ns() < until_boot_ns)
        status = sq_loop_turn(loop, until_boot_ns, NULL);
    sq_loop_close(loop);
}

void sq_console_close(struct sq_console *console, uint64_t patience_ns)
{
    if (console == NULL)
        return;
    if (console->live && console->drawn_lines > 0)
        erase_view(console);
    console->frame[0] = '\0';
    console->frame_changed = false;
    uint64_t until_boot_ns = sq_ns_add(sq_boot_ns(), patience_ns);
    sq_console_flush(console);
    if (!console->broken && waiting(console) > 0)
        flush_until(console, until_boot_ns);
    if (console->quiet && tcgetpgrp(console->fd) == getpgrp())
        (void)tcsetattr(console->fd, TCSANOW, &console->termios);
    free(console);
}
