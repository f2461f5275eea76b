// The floor: what a server in C costs that asks the kernel for nothing twice and keeps its state in one array. accept4 in
// bursts that fit what came, one ADD, no MOD without a short write, no DEL (closing does it), one clock reading a wait.
#define _GNU_SOURCE
#include "../Common/server.h"
#include "../Common/session.h"
#include "../Common/wheel.h"
#include <sys/epoll.h>

enum { EVENTS = 256 };

// 40 bytes each, by descriptor.
struct connection {
    struct session session;
    struct timer timer;
};

static struct connection *connections;
static int epfd;

static inline struct timer *timer_at(int32_t fd) { return &connections[fd].timer; }

static void close_connection(int fd) {
    struct connection *c = &connections[fd];
    timer_cancel(&c->timer);
    session_end(&c->session);
    close(fd);
}

static void timer_fired(int32_t fd) { close_connection(fd); }

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = { .events = events, .data.fd = fd };
    if (epoll_ctl(epfd, operation, fd, &event) != 0) { die("epoll_ctl"); }
}

/// Most wakes bring one connection, then a second accept4 would be a call for nothing: the burst grows while it is full.
static void accept_burst(int listener) {
    static int burst = 1, full = 0;
    int taken = 0;
    while (taken < burst) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            burst = taken > 0 ? taken : 1;
            full = 0;
            return;
        }
        taken++;
        connections[fd].session.greeted = 0;
        timer_arm(fd, &connections[fd].timer);
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    if (++full == 4) {
        full = 0;
        burst = burst < 32 ? burst * 2 : 64;
    }
}

static void ready(int fd, uint32_t events) {
    struct connection *c = &connections[fd];
    enum session_news news;
    if (c->session.out != NULL) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) { return; }
        news = session_writable(&c->session, fd);
        if (news == SESSION_GOES_ON) { watch(EPOLL_CTL_MOD, fd, EPOLLIN); }
    } else {
        int came = 0;
        news = session_readable(&c->session, fd, &came);
        if (came) { timer_extend(&c->timer); }
        if (news == SESSION_BLOCKED) { watch(EPOLL_CTL_MOD, fd, EPOLLOUT); }
    }
    if (news == SESSION_OVER) { close_connection(fd); }
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(limit.rlim_max, sizeof *connections);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    int listener = server_listen(options.port, SOCK_NONBLOCK);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    int64_t now = clock_ms();
    wheel_init(options.idle_ms, now);
    server_ready();
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epfd, events, EVENTS, wheel_wait(now));
        now = clock_ms();
        wheel_advance(now);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_burst(listener);
            } else {
                ready(fd, events[i].events);
            }
        }
    }
}
