// libevent, as its users write it: an evconnlistener, bufferevents, and an event for the idle timer, whose
// common length libevent keeps in a queue of its own (event_base_init_common_timeout).
#define _GNU_SOURCE
#include "../Common/frames.h"
#include "../Common/server.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

/// Unsent answers at which reading stops.
enum { HIGH_WATER = 256 << 10 };

struct connection {
    struct event *timer;
    uint8_t greeted, ended;
};

static const struct timeval *idle;

static void close_connection(struct bufferevent *bev, struct connection *c) {
    event_free(c->timer);
    bufferevent_free(bev);
    free(c);
}

static void timer_fired(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct bufferevent *bev = context;
    void *c;
    bufferevent_getcb(bev, NULL, NULL, NULL, &c);
    close_connection(bev, c);
}

/// Answers the frames that are whole: each moves from the input to the output, by reference where it is large.
static void received(struct bufferevent *bev, void *context) {
    struct connection *c = context;
    struct evbuffer *in = bufferevent_get_input(bev), *out = bufferevent_get_output(bev);
    size_t count = evbuffer_get_length(in);
    int came = 0;
    while (count >= FRAME_HEADER) {
        uint8_t head[FRAME_HEADER + 1];
        ssize_t have = evbuffer_copyout(in, head, sizeof head);
        uint32_t length;
        memcpy(&length, head, sizeof length);
        length = ntohl(length);
        if (!frame_is_allowed(length, have > FRAME_HEADER ? head + FRAME_HEADER : NULL, c->greeted)) {
            close_connection(bev, c);
            return;
        }
        size_t whole = FRAME_HEADER + (size_t)length;
        if (count < whole) {
            bufferevent_setwatermark(bev, EV_READ, whole, 0);
            break;
        }
        evbuffer_pullup(in, FRAME_HEADER + 1)[FRAME_HEADER] |= KIND_ANSWER;
        evbuffer_remove_buffer(in, out, whole);
        count -= whole;
        c->greeted = 1;
        came = 1;
    }
    if (!came) { return; }
    if (count < FRAME_HEADER) { bufferevent_setwatermark(bev, EV_READ, 0, 0); }
    event_add(c->timer, idle);
    if (evbuffer_get_length(out) > HIGH_WATER) { bufferevent_disable(bev, EV_READ); }
}

/// All answers are sent.
static void drained(struct bufferevent *bev, void *context) {
    struct connection *c = context;
    if (c->ended) {
        close_connection(bev, c);
    } else if ((bufferevent_get_enabled(bev) & EV_READ) == 0) {
        bufferevent_enable(bev, EV_READ);
        received(bev, c);
    }
}

static void happened(struct bufferevent *bev, short what, void *context) {
    struct connection *c = context;
    if ((what & BEV_EVENT_EOF) != 0 && evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
        c->ended = 1;
        return;
    }
    close_connection(bev, c);
}

static void accepted(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *context
) {
    (void)listener;
    (void)address;
    (void)length;
    struct event_base *base = context;
    struct connection *c = calloc(1, sizeof *c);
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(bev, 256 << 10);
    bufferevent_set_max_single_write(bev, 256 << 10);
    c->timer = event_new(base, -1, 0, timer_fired, bev);
    event_add(c->timer, idle);
    bufferevent_setcb(bev, received, drained, happened, c);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    struct event_config *config = event_config_new();
    // No descriptor is ever duplicated here, which is what the changelist asks of its users.
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    struct timeval length = { options.idle_ms / 1000, options.idle_ms % 1000 * 1000 };
    idle = event_base_init_common_timeout(base, &length);
    evconnlistener_new(
        base, accepted, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
        server_listen(options.port, SOCK_NONBLOCK)
    );
    server_ready();
    event_base_dispatch(base);
}
