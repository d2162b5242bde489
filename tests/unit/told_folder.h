/* A folder of a test's own for the record of a told run, made before each test and gone after it. */
#ifndef SQ_TESTS_TOLD_FOLDER_H
#define SQ_TESTS_TOLD_FOLDER_H

#include "told_run.h"

#include <stdio.h>

static char folder[64];
static char path[128]; /* of the record in it */

static inline int set_up(void **state)
{
    (void)state;
    (void)strcpy(folder, "/tmp/sq-test-record-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/run.jsonl", folder);
    told_make();
    return 0;
}

static inline int tear_down(void **state)
{
    char command[100];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf -- %s", folder);
    return system(command);
}

#endif
