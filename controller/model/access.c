#include "model/access.h"

#include "common/secret.h"
#include "common/text.h"
#include "common/units.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_MAX 4096

static int copy_text(const char *text, char **copy, struct sq_error *error)
{
    free(*copy);
    *copy = strdup(text);
    return *copy != NULL ? 0 : sq_fail(error, SQ_SYSTEM, "out of memory");
}

static int read_text(struct sq_node value, const char *what, char **text, struct sq_error *error)
{
    if (sq_node_expect(value, SQ_NODE_SCALAR, what, error) != 0)
        return -1;
    if (sq_node_text(value)[0] == '\0')
        return sq_node_fail(value, error, SQ_BAD_INPUT, "%s is empty", what);
    return copy_text(sq_node_text(value), text, error);
}

/* A path: a relative one is taken from the folder of the file that it stands in. */
static int read_path(struct sq_node value, const char *what, char **path, struct sq_error *error)
{
    char whole[PATH_MAX];
    const char *base = sq_document_name(value.document);
    const char *slash = strrchr(base, '/');
    if (read_text(value, what, path, error) != 0)
        return -1;
    if ((*path)[0] == '/' || slash == NULL)
        return 0;
    int length = snprintf(whole, sizeof whole, "%.*s/%s", (int)(slash - base), base, *path);
    if (length < 0 || (size_t)length >= sizeof whole)
        return sq_node_fail(value, error, SQ_BAD_INPUT, "the path of %s is too long", what);
    return copy_text(whole, path, error);
}

static int read_source(struct sq_node value, const char *what, struct sq_secret_source *source,
                       struct sq_error *error)
{
    static const char *const keys[] = {"file", "env"};
    if (sq_node_type(value) == SQ_NODE_SCALAR)
        return sq_node_fail(value, error, SQ_BAD_INPUT,
                            "a secret does not stand in this file, which is copied into records and plans; "
                            "expected %s: {file: PATH} or {env: NAME}",
                            what);
    if (sq_node_check_keys(value, what, keys, 2, error) != 0)
        return -1;
    struct sq_node file = sq_node_get(value, "file");
    struct sq_node variable = sq_node_get(value, "env");
    if (sq_node_is_there(file) == sq_node_is_there(variable))
        return sq_node_fail(value, error, SQ_BAD_INPUT, "%s needs one of 'file' and 'env'", what);
    return sq_node_is_there(file) ? read_path(file, "'file'", &source->file, error)
                                  : read_text(variable, "'env'", &source->variable, error);
}

/* A token of RFC 9110: what a header's name may be made of. */
static bool is_header_name(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

static bool is_one_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if ((*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

/* The values of such headers are hidden wherever they come up. */
static bool is_secret_header(const char *name)
{
    static const char *const words[] = {"auth", "token", "secret", "password", "key", "cookie"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(name, words[i]) != NULL)
            return true;
    return false;
}

static int remember_header(const char *name, const char *value, struct sq_error *error)
{
    if (!is_secret_header(name))
        return 0;
    if (sq_secret_remember(value, strlen(value), error) != 0)
        return -1;
    /* "Bearer abc": the secret is what follows the scheme, too. */
    const char *space = strrchr(value, ' ');
    return space != NULL ? sq_secret_remember(space + 1, strlen(space + 1), error) : 0;
}

static int read_headers(struct sq_node headers, struct sq_access *access, struct sq_error *error)
{
    static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection"};
    if (sq_node_expect(headers, SQ_NODE_MAP, "'headers'", error) != 0)
        return -1;
    if (sq_node_count(headers) > SQ_HEADERS_MAX)
        return sq_node_fail(headers, error, SQ_BAD_INPUT, "more than %d headers", SQ_HEADERS_MAX);
    for (size_t i = 0; i < sq_node_count(headers); i++) {
        const char *name = sq_node_text(sq_node_key(headers, i));
        struct sq_node node = sq_node_value(headers, i);
        char line[HEADER_MAX];
        if (sq_node_expect(node, SQ_NODE_SCALAR, "a header's value", error) != 0)
            return -1;
        const char *value = sq_node_text(node);
        for (size_t k = 1; k < sizeof ours / sizeof ours[0]; k++)
            if (strcasecmp(name, ours[k]) == 0)
                return sq_node_fail(node, error, SQ_BAD_INPUT, "the header '%s' is squall's own", name);
        if (!is_header_name(name) || !is_one_line(value))
            return sq_node_fail(node, error, SQ_BAD_INPUT,
                                "'%.60s' is no header; expected a name without spaces, and one line of text",
                                name);
        if (remember_header(name, value, error) != 0)
            return -1;
        int length = snprintf(line, sizeof line, "%s%s%s", name, value[0] == '\0' ? ";" : ": ", value);
        if (length < 0 || (size_t)length >= sizeof line)
            return sq_node_fail(node, error, SQ_BAD_INPUT, "a header is longer than %d bytes",
                                HEADER_MAX - 1);
        if (copy_text(line, &access->headers[access->header_count], error) != 0)
            return -1;
        access->header_count++;
    }
    return 0;
}

static int read_basic(struct sq_node value, struct sq_access *access, struct sq_error *error)
{
    static const char *const keys[] = {"user", "password"};
    if (sq_node_check_keys(value, "'basic'", keys, 2, error) != 0)
        return -1;
    struct sq_node user = sq_node_get(value, "user");
    struct sq_node password = sq_node_get(value, "password");
    if (!sq_node_is_there(user) || !sq_node_is_there(password))
        return sq_node_fail(value, error, SQ_BAD_INPUT,
                            "'%s' is missing; expected basic: {user: NAME, password: {file: PATH}}",
                            sq_node_is_there(user) ? "password" : "user");
    if (read_text(user, "'user'", &access->user, error) != 0)
        return -1;
    if (strchr(access->user, ':') != NULL || !is_one_line(access->user))
        return sq_node_fail(user, error, SQ_BAD_INPUT, "a user has no ':' and is one line");
    return read_source(password, "password", &access->password, error);
}

static int read_redirects(struct sq_node value, struct sq_access *access, struct sq_error *error)
{
    uint64_t number = 0;
    if (sq_node_expect(value, SQ_NODE_SCALAR, "'redirects'", error) != 0)
        return -1;
    if (sq_count_parse(sq_node_text(value), SQ_REDIRECTS_MAX, &number, NULL) != 0)
        return sq_node_fail(value, error, SQ_BAD_INPUT, "'redirects' is '%.20s'; expected 0 to %d",
                            sq_node_text(value), SQ_REDIRECTS_MAX);
    access->redirects = (uint32_t)number;
    return 0;
}

int sq_access_read(const char *key, struct sq_node value, struct sq_access **access, struct sq_error *error)
{
    if (*access == NULL)
        *access = calloc(1, sizeof **access);
    if (*access == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    if (strcmp(key, "headers") == 0)
        return read_headers(value, *access, error);
    if (strcmp(key, "bearer") == 0)
        return read_source(value, "bearer", &(*access)->bearer, error);
    if (strcmp(key, "basic") == 0)
        return read_basic(value, *access, error);
    if (strcmp(key, "ca") == 0)
        return read_path(value, "'ca'", &(*access)->ca, error);
    if (strcmp(key, "certificate") == 0)
        return read_path(value, "'certificate'", &(*access)->certificate, error);
    if (strcmp(key, "key") == 0)
        return read_path(value, "'key'", &(*access)->key, error);
    return read_redirects(value, *access, error);
}

static bool has_authorization(const struct sq_access *access)
{
    for (uint32_t i = 0; i < access->header_count; i++)
        if (strncasecmp(access->headers[i], "authorization:", strlen("authorization:")) == 0)
            return true;
    return false;
}

int sq_access_check(struct sq_node map, const struct sq_access *access, struct sq_error *error)
{
    if (access == NULL)
        return 0;
    bool bearer = access->bearer.file != NULL || access->bearer.variable != NULL;
    int ways = (bearer ? 1 : 0) + (access->user != NULL ? 1 : 0) + (has_authorization(access) ? 1 : 0);
    if (ways > 1)
        return sq_node_fail(map, error, SQ_BAD_INPUT,
                            "who asks is said twice; expected one of 'bearer', 'basic' and a header "
                            "Authorization");
    if ((access->certificate == NULL) != (access->key == NULL))
        return sq_node_fail(map, error, SQ_BAD_INPUT,
                            "'%s' is missing: a certificate and its key go together",
                            access->certificate == NULL ? "certificate" : "key");
    return 0;
}

void sq_access_free(struct sq_access *access)
{
    if (access == NULL)
        return;
    for (uint32_t i = 0; i < access->header_count; i++)
        free(access->headers[i]);
    free(access->bearer.file);
    free(access->bearer.variable);
    free(access->user);
    free(access->password.file);
    free(access->password.variable);
    free(access->ca);
    free(access->certificate);
    free(access->key);
    if (access->loaded != NULL)
        access->unload(access->loaded);
    free(access);
}
