// Makes connection churn: `churn-load PORT CYCLES CONCURRENT`. A cycle is: connect, send a hello of 32 bytes, await the
// reply of 32, send a ping of 8, await the pong of 8, close. Speaks to 127.0.0.1 alone. Ends with 0 when all cycles are
// done, with 1 and a line that says why if one of them fails.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = 32, PING = 8, MAX_CONCURRENT = 4096 };

struct client {
    int fd;
    /// Bytes of the answer that is awaited, and of it received.
    int wanted, have;
};

static struct client clients[MAX_CONCURRENT];
static int epfd;
static struct sockaddr_in server;

static void fail(const char *what) {
    fprintf(stderr, "churn-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void ask(struct client *c, int length) {
    char bytes[HELLO];
    memset(bytes, length, sizeof bytes);
    c->wanted = length;
    c->have = 0;
    if (send(c->fd, bytes, (size_t)length, MSG_NOSIGNAL) != length) { fail("send"); }
}

static void start(struct client *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) { fail("socket"); }
    // On loopback connect returns as soon as the kernel has queued the connection for accept.
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0) { fail("connect"); }
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &event) != 0) { fail("epoll_ctl"); }
    ask(c, HELLO);
}

/// Returns 1 when the cycle is over.
static int advance(struct client *c) {
    char bytes[HELLO];
    ssize_t n = recv(c->fd, bytes, (size_t)(c->wanted - c->have), 0);
    if (n <= 0) { fail(n == 0 ? "the server closed early" : "recv"); }
    c->have += (int)n;
    if (c->have < c->wanted) { return 0; }
    if (c->wanted == HELLO) {
        ask(c, PING);
        return 0;
    }
    close(c->fd);
    return 1;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: churn-load PORT CYCLES CONCURRENT\n");
        return 64;
    }
    long cycles = atol(arguments[2]), started = 0, done = 0;
    int concurrent = atoi(arguments[3]);
    if (concurrent < 1 || concurrent > MAX_CONCURRENT || cycles < 1) { return 64; }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(arguments[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    while (started < cycles && started < concurrent) { start(&clients[started++]); }
    struct epoll_event events[MAX_CONCURRENT];
    while (done < cycles) {
        int n = epoll_wait(epfd, events, MAX_CONCURRENT, 60000);
        if (n == 0) { errno = ETIMEDOUT; }
        if (n <= 0 && errno != EINTR) { fail("epoll_wait"); }
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!advance(c)) { continue; }
            done++;
            if (started < cycles) {
                started++;
                start(c);
            }
        }
    }
    return 0;
}
