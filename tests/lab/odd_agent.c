/*
 * An agent that answers in odd ways, for the controller's tests:
 *
 *     odd_agent version|garbage|hang|huge URL [CERTIFICATE KEY CONTROLLERS_CA]
 *     odd_agent URL version|garbage|hang|huge [CERTIFICATE KEY CONTROLLERS_CA]
 *
 * version: speaks protocol version 99; garbage: answers bytes that are no message; hang: never answers; huge:
 * answers 100 MB. URL as in an agent's `listen`; tls+tcp:// needs the three files. Prints "listening" once it
 * does, and runs until it is killed.
 */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)100 << 20)

static void check(int number, const char *what)
{
    if (number == 0)
        return;
    (void)fprintf(stderr, "odd_agent: %s: %s\n", what, nng_strerror(number));
    exit(1);
}

static char *read_file(const char *path)
{
    FILE *stream = fopen(path, "re");
    char *content = calloc(1, 65536);
    if (stream == NULL || content == NULL || fread(content, 1, 65535, stream) == 0) {
        (void)fprintf(stderr, "odd_agent: cannot read %s\n", path);
        exit(1);
    }
    (void)fclose(stream);
    return content;
}

static void listen_on(nng_socket socket, const char *url, char **tls_files)
{
    nng_listener listener = NNG_LISTENER_INITIALIZER;
    check(nng_listener_create(&listener, socket, url), url);
    if (tls_files != NULL) {
        nng_tls_config *tls = NULL;
        check(nng_tls_config_alloc(&tls, NNG_TLS_MODE_SERVER), "TLS");
        check(nng_tls_config_own_cert(tls, read_file(tls_files[0]), read_file(tls_files[1]), NULL),
              tls_files[0]);
        check(nng_tls_config_ca_chain(tls, read_file(tls_files[2]), NULL), tls_files[2]);
        check(nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED), "TLS");
        check(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls), "TLS");
    }
    check(nng_listener_start(listener, 0), url);
}

/* Turn the request into the answer; false: say nothing. */
static bool answer(const char *way, nng_msg *message)
{
    static const uint8_t version_99[] = {0x08, 99, 0x10, 1, 0xfa, 0x3f, 3, 'n', 'e', 'w'};
    static const char garbage[] = "these bytes are no message of anybody's";
    if (strcmp(way, "hang") == 0)
        return false;
    nng_msg_clear(message);
    if (strcmp(way, "version") == 0)
        check(nng_msg_append(message, version_99, sizeof version_99), "answer");
    else if (strcmp(way, "garbage") == 0)
        check(nng_msg_append(message, garbage, sizeof garbage), "answer");
    else
        check(nng_msg_realloc(message, HUGE_BYTES), "answer");
    return true;
}

static bool is_way(const char *text)
{
    return strcmp(text, "version") == 0 || strcmp(text, "garbage") == 0 || strcmp(text, "hang") == 0 ||
           strcmp(text, "huge") == 0;
}

int main(int argument_count, char **arguments)
{
    bool is_swapped = argument_count > 2 && is_way(arguments[2]);
    if ((argument_count != 3 && argument_count != 6) || (!is_swapped && !is_way(arguments[1]))) {
        (void)fprintf(stderr, "usage: odd_agent version|garbage|hang|huge URL [CERTIFICATE KEY CA]\n");
        return 2;
    }
    const char *way = arguments[is_swapped ? 2 : 1];
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    check(nng_rep0_open(&socket), "socket");
    check(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, (size_t)1 << 20), "socket");
    listen_on(socket, arguments[is_swapped ? 1 : 2], argument_count == 6 ? arguments + 3 : NULL);
    (void)printf("listening\n");
    (void)fflush(stdout);
    for (;;) {
        nng_msg *message = NULL;
        check(nng_recvmsg(socket, &message, 0), "receive");
        if (!answer(way, message) || nng_sendmsg(socket, message, 0) != 0)
            nng_msg_free(message);
    }
}
