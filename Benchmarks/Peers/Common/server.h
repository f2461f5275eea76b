// What the peers in C have in common before their loop begins: the arguments, the listening socket, the word `ready`.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct server_options {
    int port;
    int64_t idle_ms;
};

/// Loopback's first address, unless all of 127.0.0.0/8 is to be served.
static in_addr_t server_address = 0x7f000001;

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/// `NAME PORT [IDLE_MILLISECONDS [any]]`
static inline struct server_options server_options(int count, char **arguments) {
    if (count < 2 || count > 4) {
        fprintf(stderr, "usage: %s PORT [IDLE_MILLISECONDS [any]]\n", arguments[0]);
        exit(64);
    }
    if (count > 3) { server_address = INADDR_ANY; }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    return (struct server_options){ atoi(arguments[1]), count > 2 ? atoll(arguments[2]) : 120000 };
}

/// A listener on loopback. TCP_NODELAY is set once, here: accepted sockets inherit it.
static inline int server_listen(int port, int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(server_address);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) { die("bind"); }
    if (listen(fd, 1024) != 0) { die("listen"); }
    return fd;
}

/// Says that connections are welcome, and which process to measure.
static inline void server_ready(void) {
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
}

static inline int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
