/* libraries: sq_common */
/*
 * play_page PORT: a web page on the loopback that answers 200, and 503 from the first SIGUSR1 on, whatever is
 * asked. Prints "ready", and answers until it is killed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t is_bad;

static void on_signal(int number)
{
    (void)number;
    is_bad = 1;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 64) != 0) {
        perror("play_page");
        exit(1);
    }
    return fd;
}

static void answer(int fd)
{
    char text[1024];
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    static const char bad[] = "HTTP/1.1 503 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const char *page = is_bad ? bad : good;
    (void)!read(fd, text, sizeof(text));
    (void)!write(fd, page, strlen(page));
    (void)close(fd);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (argc != 2 || atoi(argv[1]) <= 0 || sigaction(SIGUSR1, &action, NULL) != 0) {
        (void)fprintf(stderr, "usage: play_page PORT\n");
        return 2;
    }
    int listener = listen_on((uint16_t)atoi(argv[1]));
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            answer(fd);
    }
}
