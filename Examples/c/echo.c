/*
 * A daemon in C that keeps a link to each of its peers for ever, greets them, and echoes what they send.
 *
 *     cc -o echo echo.c $(pkg-config --cflags --libs reactor)
 *     ./echo 127.0.0.1:7001
 *     ./echo 127.0.0.1:7002 127.0.0.1:7001
 */
#define _GNU_SOURCE
#include <reactor.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { GREETING = 1000, ECHO = 1001 };

struct daemon {
    reactor_loop *loop;
    reactor_node *node;
};

static void link_up(void *context, const reactor_link_info *info) {
    struct daemon *daemon = context;
    printf("up %s %s\n", info->is_outbound ? "->" : "<-", info->peer[0] ? info->peer : info->remote);
    reactor_node_send(daemon->node, info->link, GREETING, "hello", 5);
}

static void link_down(void *context, const reactor_link_info *info, const char *reason) {
    (void)context;
    printf("down %s: %s\n", info->peer[0] ? info->peer : info->remote, reason);
}

static void received(void *context, reactor_link link, uint32_t type, const uint8_t *bytes, size_t count) {
    struct daemon *daemon = context;
    printf("%s %.*s\n", type == GREETING ? "greeted" : "echoed", (int)count, (const char *)bytes);
    if (type == GREETING) { reactor_node_send(daemon->node, link, ECHO, bytes, count); }
}

static void stopped(void *context) {
    struct daemon *daemon = context;
    reactor_loop_stop(daemon->loop);
}

static void signalled(void *context, reactor_watch *watch, uint32_t readiness) {
    struct daemon *daemon = context;
    (void)readiness;
    reactor_watch_remove(watch);
    reactor_node_shutdown(daemon->node);
}

static int check(const char *what, int error) {
    char text[128];
    if (error < 0) { fprintf(stderr, "%s: %s\n", what, reactor_error_text(error, text, sizeof text)); }
    return error;
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: echo ADDRESS:PORT [PEER...]\n");
        return 64;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);

    struct daemon daemon = { 0 };
    reactor_watch *watch = NULL;
    reactor_node_callbacks callbacks;
    reactor_node_callbacks_init(&callbacks);
    callbacks.context = &daemon;
    callbacks.link_up = link_up;
    callbacks.link_down = link_down;
    callbacks.received = received;
    callbacks.stopped = stopped;

    if (check("loop", reactor_loop_create(NULL, &daemon.loop)) < 0) { return 71; }
    if (check("node", reactor_node_create(daemon.loop, NULL, &callbacks, &daemon.node)) < 0) { return 71; }
    if (check("signals", reactor_watch_create(daemon.loop, signals, REACTOR_READ, signalled, &daemon, &watch)) < 0) { return 71; }
    char bound[64];
    if (check(arguments[1], reactor_node_listen(daemon.node, arguments[1], bound, sizeof bound)) < 0) { return 69; }
    if (check(bound, reactor_node_advertise(daemon.node, bound)) < 0) { return 69; }
    for (int i = 2; i < count; i++) {
        if (check(arguments[i], reactor_node_connect(daemon.node, arguments[i])) < 0) { return 64; }
    }
    printf("listening on %s\n", bound);
    reactor_node_start(daemon.node);
    reactor_loop_run(daemon.loop);
    reactor_node_destroy(daemon.node);
    reactor_loop_destroy(daemon.loop);
    close(signals);
    return 0;
}
