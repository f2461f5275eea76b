// libev, as its users write it: one ev_io and one ev_timer in the connection, which is found by its descriptor's watcher;
// the timer is the documented "last activity" pattern (doc: "Be smart about timeouts", 3), which re-arms for nothing.
#define _GNU_SOURCE
#include "../Common/server.h"
#include "../Common/session.h"
#include <ev.h>

struct connection {
    ev_io io;
    ev_timer timer;
    ev_tstamp last;
    struct session session;
};

static ev_tstamp idle;

static void close_connection(EV_P_ struct connection *c) {
    ev_io_stop(EV_A_ &c->io);
    ev_timer_stop(EV_A_ &c->timer);
    session_end(&c->session);
    close(c->io.fd);
    free(c);
}

static void timer_fired(EV_P_ ev_timer *w, int events) {
    (void)events;
    struct connection *c = w->data;
    ev_tstamp after = c->last + idle - ev_now(EV_A);
    if (after <= 0) {
        close_connection(EV_A_ c);
        return;
    }
    ev_timer_set(w, after, 0);
    ev_timer_start(EV_A_ w);
}

static void want(EV_P_ struct connection *c, int events) {
    ev_io_stop(EV_A_ &c->io);
    ev_io_set(&c->io, c->io.fd, events);
    ev_io_start(EV_A_ &c->io);
}

static void ready(EV_P_ ev_io *w, int events) {
    struct connection *c = w->data;
    enum session_news news;
    if (c->session.out != NULL) {
        if ((events & EV_WRITE) == 0) { return; }
        news = session_writable(&c->session, w->fd);
        if (news == SESSION_GOES_ON) { want(EV_A_ c, EV_READ); }
    } else {
        int came = 0;
        news = session_readable(&c->session, w->fd, &came);
        if (came) { c->last = ev_now(EV_A); }
        if (news == SESSION_BLOCKED) { want(EV_A_ c, EV_WRITE); }
    }
    if (news == SESSION_OVER) { close_connection(EV_A_ c); }
}

static void accepted(EV_P_ ev_io *w, int events) {
    (void)events;
    for (int taken = 0; taken < 64; taken++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) { return; }
        struct connection *c = calloc(1, sizeof *c);
        c->io.data = c->timer.data = c;
        c->last = ev_now(EV_A);
        ev_io_init(&c->io, ready, fd, EV_READ);
        ev_io_start(EV_A_ &c->io);
        ev_timer_init(&c->timer, timer_fired, idle, 0);
        ev_timer_start(EV_A_ &c->timer);
    }
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    idle = (ev_tstamp)options.idle_ms / 1000;
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
    ev_io listener;
    ev_io_init(&listener, accepted, server_listen(options.port, SOCK_NONBLOCK), EV_READ);
    ev_io_start(loop, &listener);
    server_ready();
    ev_run(loop, 0);
}
