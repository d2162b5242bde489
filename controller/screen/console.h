/*
 * The terminal or pipe that progress goes to. Nothing here ever blocks until sq_console_close: a stopped
 * terminal or a reader that does not read must not delay a rollback, so text waits in a queue. A live view,
 * if there is one, stands below the lines and is redrawn in place.
 */
#ifndef SQ_SCREEN_CONSOLE_H
#define SQ_SCREEN_CONSOLE_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct sq_console;

/* `fd` is borrowed. `live`: it is a terminal that can redraw; if it is ours, it does not echo meanwhile. */
int sq_console_open(int fd, bool live, struct sq_console **console, struct sq_error *error);

/* Takes the view away, waits for a reader for `patience_ns` at most, frees. NULL is fine. */
void sq_console_close(struct sq_console *console, uint64_t patience_ns);

/* One line of text, without its end; control characters become '?', but escape sequences for colours stay. */
void sq_console_line(struct sq_console *console, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Put `frame` (lines that all end with '\n') in the place of the view; "" takes it away. Nothing if not live.
 */
void sq_console_view(struct sq_console *console, const char *frame);

void sq_console_flush(struct sq_console *console);                /* writes what can be written now */
bool sq_console_wants_to_write(const struct sq_console *console); /* poll for POLLOUT */
bool sq_console_is_live(const struct sq_console *console);
bool sq_console_is_broken(
    const struct sq_console *console); /* nobody will ever read it: a closed pipe, a lost terminal */
/* Something could not be written, by a disk that is full: what goes on is no matter of the run. */
bool sq_console_is_cut(const struct sq_console *console);
int sq_console_fd(const struct sq_console *console);

/* Columns and rows of the terminal now; 80 by 24 where it does not say. */
void sq_console_size(const struct sq_console *console, uint32_t *columns, uint32_t *rows);

#endif
