// Our loop through its C library: a watch and a timer in the connection; the listener is a watch, too.
#define _GNU_SOURCE
#include "../Common/server.h"
#include "../Common/session.h"
#include <reactor.h>

struct connection {
    reactor_watch *watch;
    reactor_timer *timer;
    int fd;
    struct session session;
};

static reactor_loop *loop;
static uint64_t idle;

static void close_connection(struct connection *c) {
    reactor_watch_remove(c->watch);
    reactor_timer_destroy(c->timer);
    session_end(&c->session);
    close(c->fd);
    free(c);
}

static void timer_fired(void *context, reactor_timer *timer) {
    (void)timer;
    close_connection(context);
}

static void ready(void *context, reactor_watch *watch, uint32_t readiness) {
    struct connection *c = context;
    enum session_news news;
    if (c->session.out != NULL) {
        if ((readiness & REACTOR_WRITE) == 0) { return; }
        news = session_writable(&c->session, c->fd);
        if (news == SESSION_GOES_ON) { reactor_watch_set(watch, REACTOR_READ); }
    } else {
        int came = 0;
        news = session_readable(&c->session, c->fd, &came);
        if (came) { reactor_timer_arm(c->timer, idle); }
        if (news == SESSION_BLOCKED) { reactor_watch_set(watch, REACTOR_WRITE); }
    }
    if (news == SESSION_OVER) { close_connection(c); }
}

static void accepted(void *context, reactor_watch *watch, uint32_t readiness) {
    int listener = *(int *)context;
    (void)watch;
    (void)readiness;
    for (int taken = 0; taken < 64; taken++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) { return; }
        struct connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        if (reactor_watch_create(loop, fd, REACTOR_READ, ready, c, &c->watch) < 0) { die("watch"); }
        if (reactor_timer_create(loop, timer_fired, c, &c->timer) < 0) { die("timer"); }
        reactor_timer_arm(c->timer, idle);
    }
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    idle = (uint64_t)options.idle_ms * 1000000;
    if (reactor_loop_create(NULL, &loop) < 0) { die("loop"); }
    int listener = server_listen(options.port, SOCK_NONBLOCK);
    reactor_watch *watch;
    if (reactor_watch_create(loop, listener, REACTOR_READ, accepted, &listener, &watch) < 0) { die("watch"); }
    server_ready();
    reactor_loop_run(loop);
}
