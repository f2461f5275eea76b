// `pair COUNT`: what `node-pair frame COUNT` does, through the C library: two nodes, linked over loopback, on one loop; a frame of
// 100 bytes there, and its echo back, so many times.
#include <reactor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct end {
    reactor_node *node;
    reactor_link link;
    int is_near, is_stopped;
};

static int received, count;
static reactor_loop *loop;
static uint8_t body[100];

static void check(int error) {
    char text[128];
    if (error >= 0) { return; }
    fprintf(stderr, "%s\n", reactor_error_text(error, text, sizeof text));
    exit(1);
}

static void link_up(void *context, const reactor_link_info *info) {
    struct end *end = context;
    end->link = info->link;
    if (end->is_near) { check(reactor_node_send(end->node, info->link, 1000, body, sizeof body)); }
}

static void frame(void *context, reactor_link link, uint32_t type, const uint8_t *bytes, size_t size) {
    struct end *end = context;
    if (!end->is_near) {
        reactor_node_send(end->node, link, type, bytes, size);
    } else if (++received < count) {
        check(reactor_node_send(end->node, link, 1000, body, sizeof body));
    }
}

static void stopped(void *context) { ((struct end *)context)->is_stopped = 1; }

static void make(struct end *end, char *bound) {
    reactor_node_callbacks callbacks;
    reactor_node_callbacks_init(&callbacks);
    callbacks.context = end;
    callbacks.link_up = link_up;
    callbacks.received = frame;
    callbacks.stopped = stopped;
    check(reactor_node_create(loop, NULL, &callbacks, &end->node));
    check(reactor_node_listen(end->node, "127.0.0.1:0", bound, 64));
    check(reactor_node_advertise(end->node, bound));
    reactor_node_start(end->node);
}

int main(int arguments, char **words) {
    static struct end near = { .is_near = 1 }, far;
    char there[64], here[64];
    count = arguments > 1 ? atoi(words[1]) : 0;
    if (count < 1) { return 64; }
    memset(body, 7, sizeof body);
    check(reactor_loop_create(NULL, &loop));
    make(&far, there);
    make(&near, here);
    check(reactor_node_connect(near.node, there));
    while (received < count) { reactor_loop_run_once(loop, 1); }
    reactor_node_shutdown(near.node);
    reactor_node_shutdown(far.node);
    while (!near.is_stopped || !far.is_stopped) { reactor_loop_run_once(loop, 1); }
    reactor_node_destroy(near.node);
    reactor_node_destroy(far.node);
    reactor_loop_destroy(loop);
    printf("frame %d received %d\n", count, received);
}
