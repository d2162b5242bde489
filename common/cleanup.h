/*
 * The one cleanup idiom: variables that free, close or unlock themselves when they go out of scope.
 *
 *     sq_autofree char *text = NULL;
 *     sq_autoclose int fd = open(...);
 *
 * To hand ownership on, use sq_take(pointer) or sq_take_fd(&fd), which leave an empty variable.
 */
#ifndef SQ_COMMON_CLEANUP_H
#define SQ_COMMON_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void sq_cleanup_free(void *variable)
{
    void **pointer = variable;
    free(*pointer);
}

static inline void sq_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void sq_cleanup_file(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file);
}

static inline void *sq_take_pointer(void *variable)
{
    void **pointer = variable;
    void *value = *pointer;
    *pointer = NULL;
    return value;
}

static inline int sq_take_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

#define sq_auto(function) __attribute__((cleanup(function)))
#define sq_autofree       sq_auto(sq_cleanup_free)
#define sq_autoclose      sq_auto(sq_cleanup_close)
#define sq_autofile       sq_auto(sq_cleanup_file)
#define sq_take(pointer)  sq_take_pointer(&(pointer))

#endif
