// libuv, as its users write it: streams with one shared read buffer, uv_try_write before a request is queued, and a uv_timer
// in the connection. Answers are written from where they were received.
#define _GNU_SOURCE
#include "../Common/frames.h"
#include "../Common/server.h"
#include "../Common/session.h"
#include <uv.h>

struct connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    struct session session;
    int open_handles;
};

static uint64_t idle_ms;

static void handle_closed(uv_handle_t *handle) {
    struct connection *c = handle->data;
    if (--c->open_handles > 0) { return; }
    session_end(&c->session);
    free(c);
}

static void close_connection(struct connection *c) {
    if (uv_is_closing((uv_handle_t *)&c->tcp)) { return; }
    uv_close((uv_handle_t *)&c->tcp, handle_closed);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
}

static void timer_fired(uv_timer_t *timer) { close_connection(timer->data); }

/// Half a frame goes on where it is; everything else through the one buffer.
static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct connection *c = handle->data;
    struct block *in = c->session.in;
    if (in == NULL) {
        *buffer = uv_buf_init((char *)scratch, SCRATCH);
        return;
    }
    size_t needed = FRAME_HEADER;
    if (in->end >= FRAME_HEADER) {
        uint32_t length;
        memcpy(&length, in->bytes, sizeof length);
        needed += __builtin_bswap32(length);
    }
    if (in->end == in->capacity || in->capacity < needed) {
        session_keep(&c->session, in->bytes, in->end, needed);
        in = c->session.in;
    }
    size_t room = in->capacity - in->end;
    *buffer = uv_buf_init((char *)in->bytes + in->end, (unsigned)(room < needed - in->end ? room : needed - in->end));
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void written(uv_write_t *write, int status) {
    struct connection *c = write->data;
    free(c->session.out);
    c->session.out = NULL;
    if (status < 0) {
        close_connection(c);
    } else {
        uv_read_start((uv_stream_t *)&c->tcp, give_room, received);
    }
}

static void send_answers(struct connection *c, uint8_t *bytes, size_t count) {
    uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)count);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
    if (n == (int)count) { return; }
    if (n < 0 && n != UV_EAGAIN) {
        close_connection(c);
        return;
    }
    size_t sent = n < 0 ? 0 : (size_t)n;
    struct block *out = c->session.out = block_make(count - sent);
    memcpy(out->bytes, bytes + sent, count - sent);
    buffer = uv_buf_init((char *)out->bytes, (unsigned)(count - sent));
    uv_read_stop((uv_stream_t *)&c->tcp);
    uv_write(&c->write, (uv_stream_t *)&c->tcp, &buffer, 1, written);
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    struct connection *c = stream->data;
    if (n < 0) { close_connection(c); }
    if (n <= 0) { return; }
    struct block *in = c->session.in;
    uint8_t *bytes = in != NULL ? in->bytes : (uint8_t *)buffer->base;
    size_t count = in != NULL ? (in->end += (uint32_t)n) : (size_t)n, needed;
    ssize_t done = answer_frames(bytes, count, &c->session.greeted, &needed);
    if (done < 0) {
        close_connection(c);
        return;
    }
    if (done > 0) {
        uv_timer_again(&c->timer);
        send_answers(c, bytes, (size_t)done);
    }
    if (in != NULL && done > 0) {
        free(in);
        c->session.in = NULL;
    } else if (in == NULL && (size_t)done < count) {
        session_keep(&c->session, bytes + done, count - (size_t)done, needed);
    }
}

static void connected(uv_stream_t *listener, int status) {
    if (status < 0) { return; }
    struct connection *c = calloc(1, sizeof *c);
    c->tcp.data = c->timer.data = c->write.data = c;
    c->open_handles = 2;
    uv_tcp_init(listener->loop, &c->tcp);
    uv_timer_init(listener->loop, &c->timer);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        close_connection(c);
        return;
    }
    uv_timer_start(&c->timer, timer_fired, idle_ms, idle_ms);
    uv_read_start((uv_stream_t *)&c->tcp, give_room, received);
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    idle_ms = (uint64_t)options.idle_ms;
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_tcp_init(loop, &listener);
    uv_tcp_open(&listener, server_listen(options.port, SOCK_NONBLOCK));
    // The socket listens already, with its options; libuv must know.
    uv_listen((uv_stream_t *)&listener, 1024, connected);
    server_ready();
    uv_run(loop, UV_RUN_DEFAULT);
}
