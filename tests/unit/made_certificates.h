/* Certificates for a test, made by tests/lab/certificates.sh in a folder of its own. */
#ifndef SQ_TESTS_MADE_CERTIFICATES_H
#define SQ_TESTS_MADE_CERTIFICATES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char directory[64];

/* `arguments` as the script takes them: "agent web1 127.0.0.1". */
static inline void make_certificates(const char *arguments)
{
    char command[512];
    (void)snprintf(command, sizeof command, "%s/tests/lab/certificates.sh %s %s >/dev/null 2>&1",
                   SQ_SOURCE_DIR, directory, arguments);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a command of our own */
}

static inline int make_directory(void)
{
    (void)strcpy(directory, "/tmp/squall-certificates-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static inline int remove_directory(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

#endif
