/*
 * The observer for people while a run goes on: a line for what happens, and on a terminal the live view. What
 * it draws it keeps from the events. Its output waits in the console's queue; the loop tells when it may go.
 */
#ifndef SQ_SCREEN_RUN_SCREEN_H
#define SQ_SCREEN_RUN_SCREEN_H

#include "common/error.h"
#include "events/event.h"
#include "loop/loop.h"
#include "screen/console.h"

#include <stdbool.h>

struct sq_run_screen;

/* Everything is borrowed for the life of the screen. */
struct sq_run_screen_options {
    struct sq_loop *loop;
    struct sq_console *console;
    bool colored;
    /* Called once, from the loop, when nobody will ever read it: the reader of a pipe or a terminal is gone.
     */
    void (*lost)(void *cookie);
    void *cookie;
};

int sq_run_screen_open(const struct sq_run_screen_options *options, struct sq_run_screen **screen,
                       struct sq_error *error);
void sq_run_screen_close(struct sq_run_screen *screen); /* before the console; NULL is fine */

struct sq_observer sq_run_screen_observer(struct sq_run_screen *screen);

#endif
