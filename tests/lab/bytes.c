/*
 * Bytes that are no message, for the agent's listeners.
 *
 *   bytes rubbish COUNT           COUNT pseudo-random bytes on standard output, always the same
 *   bytes framed tcp|ipc COUNT    what nng says first, then the head of a message of COUNT bytes, then as
 * many bytes bytes huge tcp|ipc            the same, but the head announces 2^62 bytes, and one byte follows
 *   bytes connect PATH            copy standard input to a Unix socket until either side ends; always
 * succeeds once connected
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void rubbish(uint64_t count)
{
    uint64_t state = 20261120;
    for (uint64_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (putchar((int)(state >> 56)) == EOF)
            return;
    }
}

/* The scalability protocols' opening for a requester, and then the frame's length (for ipc behind a type
 * byte). */
static void head(bool is_ipc, uint64_t length)
{
    static const unsigned char opening[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    (void)fwrite(opening, 1, sizeof opening, stdout);
    if (is_ipc)
        (void)putchar(1);
    for (int shift = 56; shift >= 0; shift -= 8)
        (void)putchar((int)(length >> shift & 0xff));
}

static int copy_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return 1;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        return 1;
    }
    static char buffer[65536];
    uint64_t taken = 0;
    size_t size;
    while ((size = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        ssize_t sent = send(fd, buffer, size, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        taken += (uint64_t)sent;
    }
    printf("%llu bytes were taken\n", (unsigned long long)taken);
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (argc == 3 && strcmp(command, "connect") == 0)
        return copy_to(argv[2]);
    bool is_ipc = argc > 2 && strcmp(argv[2], "ipc") == 0;
    if (argc == 3 && strcmp(command, "rubbish") == 0) {
        rubbish(strtoull(argv[2], NULL, 10));
    } else if (argc == 4 && strcmp(command, "framed") == 0) {
        uint64_t count = strtoull(argv[3], NULL, 10);
        head(is_ipc, count);
        rubbish(count);
    } else if (argc == 3 && strcmp(command, "huge") == 0) {
        head(is_ipc, (uint64_t)1 << 62);
        rubbish(1);
    } else {
        fputs("usage: bytes rubbish COUNT | framed tcp|ipc COUNT | huge tcp|ipc | connect PATH\n", stderr);
        return 2;
    }
    return 0;
}
