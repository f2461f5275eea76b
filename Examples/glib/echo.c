/*
 * A node inside a GLib main loop: the program's own loop stays in charge and lends the node its thread.
 *
 *     cc -o echo echo.c $(pkg-config --cflags --libs reactor glib-2.0)
 *     ./echo 127.0.0.1:7003 127.0.0.1:7001
 */
#include <glib-unix.h>
#include <glib.h>
#include <reactor.h>
#include <signal.h>
#include <stdio.h>

enum { GREETING = 1000, ECHO = 1001 };

/* A source of the main loop that is ready when the reactor has work. */
struct reactor_source {
    GSource source;
    reactor_loop *loop;
};

static gboolean prepare(GSource *source, gint *timeout) {
    int64_t left = reactor_loop_timeout(((struct reactor_source *)source)->loop);
    /* Rounded up: a timer never fires early, so waking before it would be for nothing. */
    *timeout = left < 0 ? -1 : (gint)MIN((left + 999999) / 1000000, G_MAXINT);
    return left == 0;
}

static gboolean dispatch(GSource *source, GSourceFunc function, gpointer data) {
    (void)function;
    (void)data;
    reactor_loop_run_once(((struct reactor_source *)source)->loop, 0);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = { .prepare = prepare, .dispatch = dispatch };

static GMainLoop *main_loop;
static reactor_node *node;

static void link_up(void *context, const reactor_link_info *info) {
    (void)context;
    printf("up %s %s\n", info->is_outbound ? "->" : "<-", info->peer[0] ? info->peer : info->remote);
    reactor_node_send(node, info->link, GREETING, "hello", 5);
}

static void received(void *context, reactor_link link, uint32_t type, const uint8_t *bytes, size_t count) {
    (void)context;
    printf("%s %.*s\n", type == GREETING ? "greeted" : "echoed", (int)count, (const char *)bytes);
    if (type == GREETING) { reactor_node_send(node, link, ECHO, bytes, count); }
}

static void stopped(void *context) {
    (void)context;
    g_main_loop_quit(main_loop);
}

static gboolean asked_to_end(gpointer data) {
    (void)data;
    reactor_node_shutdown(node);
    return G_SOURCE_REMOVE;
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
    reactor_loop *loop;
    reactor_node_callbacks callbacks;
    reactor_node_callbacks_init(&callbacks);
    callbacks.link_up = link_up;
    callbacks.received = received;
    callbacks.stopped = stopped;
    if (check("loop", reactor_loop_create(NULL, &loop)) < 0) { return 71; }
    if (check("node", reactor_node_create(loop, NULL, &callbacks, &node)) < 0) { return 71; }
    char bound[64];
    if (check(arguments[1], reactor_node_listen(node, arguments[1], bound, sizeof bound)) < 0) { return 69; }
    reactor_node_advertise(node, bound);
    for (int i = 2; i < count; i++) {
        if (check(arguments[i], reactor_node_connect(node, arguments[i])) < 0) { return 64; }
    }
    printf("listening on %s\n", bound);

    main_loop = g_main_loop_new(NULL, FALSE);
    struct reactor_source *source = (struct reactor_source *)g_source_new(&functions, sizeof *source);
    source->loop = loop;
    g_source_add_unix_fd(&source->source, reactor_loop_backend_fd(loop), G_IO_IN);
    g_source_attach(&source->source, NULL);
    g_unix_signal_add(SIGTERM, asked_to_end, NULL);
    g_unix_signal_add(SIGINT, asked_to_end, NULL);
    reactor_node_start(node);
    g_main_loop_run(main_loop);

    g_source_destroy(&source->source);
    g_source_unref(&source->source);
    g_main_loop_unref(main_loop);
    reactor_node_destroy(node);
    reactor_loop_destroy(loop);
    return 0;
}
