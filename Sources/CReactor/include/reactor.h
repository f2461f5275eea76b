/*
 * reactor.h: the Reactor library for C, C++ and everything that can call C.
 *
 * A loop waits for descriptors, timers and posts on one thread. A node on a loop keeps links to its peers: it dials, greets,
 * pings, redials for ever, and never holds two links to one peer.
 *
 * Threads. Every function says which thread may call it. "Loop thread" is the one thread that runs the loop; before the first
 * run it is whichever thread uses the loop. "Any thread" means any, at the same time as others. Callbacks run on the loop
 * thread, inside of reactor_loop_run or reactor_loop_run_once, and may call every function that the loop thread may call, but
 * for those two and the destroy functions where it is said: such a call ends the process, in words. A callback must return: an
 * exception that leaves it, or longjmp, leaves the loop in the middle of an iteration, and the next run or destroy ends the process
 * in words, too.
 *
 * Errors. Functions that can fail return 0 or a negative number: -errno for what the system refused, one of REACTOR_E* for
 * what the caller gave. reactor_error_text puts either into words.
 *
 * Memory. What is passed in is copied or used only during the call. Handles belong to the caller until the function that ends
 * them, and mean nothing after it, on any thread: a thread that posts to a loop or a node which another one may have destroyed
 * holds a port (reactor_loop_open_port, reactor_node_open_port). Options and callbacks begin with their own size, so that a program
 * built against an older header keeps working: use the init functions.
 */
#ifndef REACTOR_H
#define REACTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang assume_nonnull begin
#define REACTOR_NULLABLE _Nullable
#define REACTOR_NONNULL _Nonnull
#else
#define REACTOR_NULLABLE
#define REACTOR_NONNULL
#endif

#define REACTOR_VERSION_MAJOR 0
#define REACTOR_VERSION_MINOR 2

/* Errors of the caller's making. */
#define REACTOR_EENDPOINT (-10001) /* not ADDRESS:PORT or [V6ADDRESS]:PORT */
#define REACTOR_ESUBNET (-10002)   /* not ADDRESS or ADDRESS/PREFIX */
#define REACTOR_ENETWORK (-10003)  /* no network of that name */
#define REACTOR_EOPTION (-10004)   /* an option is out of its range */
#define REACTOR_EFULL (-10005)     /* the loop's mailbox is full: try again later, or drop it and count */
#define REACTOR_ECLOSED (-10006)   /* the loop or the node has ended */
#define REACTOR_EBLOCKED (-10007)  /* the link's queue is above its mark: go on after low_water */
#define REACTOR_ETOOLARGE (-10008) /* the body is larger than the dialect or the node's memory allows; the link is unharmed */
#define REACTOR_ENOLINK (-10009)   /* the link is not established, or not any more */

typedef struct reactor_loop reactor_loop;
typedef struct reactor_loop_port reactor_loop_port;
typedef struct reactor_watch reactor_watch;
typedef struct reactor_timer reactor_timer;
typedef struct reactor_node reactor_node;
typedef struct reactor_node_port reactor_node_port;

/* Writes the words for an error into `buffer`, ended by a zero byte and cut to `size`. Any thread. Returns `buffer`. */
char *reactor_error_text(int error, char *buffer, size_t size);

/* The library's version, such as "0.2". Any thread. */
const char *reactor_version(void);

/* --- The loop ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t size;
    uint32_t descriptors;       /* descriptors at once, 1 ... 1048576; default 20000 */
    uint32_t timers;            /* timers at once, 1 ... 16777216; default 20000 */
    uint32_t mailbox;           /* posts that wait at most, a power of two, 2 ... 1048576; default 4096 */
} reactor_loop_options;

/* Fills in the defaults. Any thread. */
void reactor_loop_options_init(reactor_loop_options *options);

/* Makes a loop; NULL options are the defaults. Any thread. Nothing of the process is changed: no signal disposition, no
 * limit. Fails with -EMFILE, -ENFILE, -ENOMEM or REACTOR_EOPTION. */
int reactor_loop_create(const reactor_loop_options *REACTOR_NULLABLE options, reactor_loop *REACTOR_NULLABLE *REACTOR_NONNULL loop);

/* Ends a loop whose nodes, watches and timers were ended before. Loop thread, not from a callback. What was posted and has not been
 * called never will be. Posts by its ports are answered REACTOR_ECLOSED from then on. */
void reactor_loop_destroy(reactor_loop *loop);

/* Runs until reactor_loop_stop, which ends one run. Loop thread: the first caller becomes it. */
void reactor_loop_run(reactor_loop *loop);

/* One iteration: waits if `wait` is not 0, there is nothing to do and reactor_loop_stop was not called, which it uses up. Loop
 * thread. */
void reactor_loop_run_once(reactor_loop *loop, int wait);

/* Makes reactor_loop_run return after its iteration; asked for beforehand, after the next one. Any thread, as long as the loop is not
 * destroyed. */
void reactor_loop_stop(reactor_loop *loop);

/* A descriptor that is readable whenever an iteration has something to deliver: poll it to run this loop inside another. It is
 * the loop's: never read, write or close it. Any thread. */
int reactor_loop_backend_fd(const reactor_loop *loop);

/* How many nanoseconds until an iteration is due even if nothing becomes ready: 0 if one is due now, -1 if none is. Loop
 * thread. */
int64_t reactor_loop_timeout(const reactor_loop *loop);

/* Nanoseconds on CLOCK_MONOTONIC, read once an iteration. Loop thread. */
uint64_t reactor_loop_now(const reactor_loop *loop);

typedef void (*reactor_post_function)(void *REACTOR_NULLABLE context);

/* Has `function` called with `context` on the loop thread, in the order of posting. Any thread, as long as the loop is not
 * destroyed; never blocks. 0 means that it will be called, unless the loop is destroyed first. Fails with REACTOR_EFULL: then it will
 * not be called. */
int reactor_loop_post(reactor_loop *loop, reactor_post_function function, void *REACTOR_NULLABLE context);

/* A way to the loop for a thread that cannot know how long the loop lives. It keeps nothing of the loop alive but a few kilobytes,
 * and is good after reactor_loop_destroy, until reactor_loop_port_release. Any thread, as long as the loop is not destroyed. */
reactor_loop_port *reactor_loop_open_port(reactor_loop *loop);

/* One more user of a port, for another thread: each releases it once. Any thread. Returns `port`. */
reactor_loop_port *reactor_loop_port_retain(reactor_loop_port *port);

/* Ends one use of a port. Any thread. */
void reactor_loop_port_release(reactor_loop_port *port);

/* As reactor_loop_post. Any thread. Fails with REACTOR_EFULL, and with REACTOR_ECLOSED if the loop was destroyed. */
int reactor_loop_port_post(reactor_loop_port *port, reactor_post_function function, void *REACTOR_NULLABLE context);

/* As reactor_loop_stop. Any thread; does nothing if the loop was destroyed. */
void reactor_loop_port_stop(reactor_loop_port *port);

/* --- Descriptors -------------------------------------------------------------------------------------------------------- */

#define REACTOR_READ 1u
#define REACTOR_WRITE 2u
#define REACTOR_HANGUP 4u /* told, never asked for: both directions are over */
#define REACTOR_ERROR 8u  /* told, never asked for: the descriptor has a pending error */

typedef void (*reactor_watch_function)(void *REACTOR_NULLABLE context, reactor_watch *watch, uint32_t readiness);

/* Watches a non-blocking descriptor, which stays the caller's and open until reactor_watch_remove. `interest` is REACTOR_READ,
 * REACTOR_WRITE, both, or 0. Level-triggered. Loop thread. Fails with -EBADF, -EPERM (a regular file), -EEXIST, -ENOSPC (no
 * room in the loop) or REACTOR_EOPTION. */
int reactor_watch_create(
    reactor_loop *loop, int descriptor, uint32_t interest, reactor_watch_function function, void *REACTOR_NULLABLE context,
    reactor_watch *REACTOR_NULLABLE *REACTOR_NONNULL watch);

/* Changes what is wanted. Costs no system call before the next wait. Loop thread. */
void reactor_watch_set(reactor_watch *watch, uint32_t interest);

/* Ends the watch and frees it: no callback follows, not even for what is ready already. Close the descriptor after this. Loop
 * thread; from its own callback, too. */
void reactor_watch_remove(reactor_watch *watch);

/* --- Timers ------------------------------------------------------------------------------------------------------------- */

typedef void (*reactor_timer_function)(void *REACTOR_NULLABLE context, reactor_timer *timer);

/* Makes a timer that is not armed. Loop thread. Fails with -ENOSPC if the loop has no room. */
int reactor_timer_create(
    reactor_loop *loop, reactor_timer_function function, void *REACTOR_NULLABLE context, reactor_timer *REACTOR_NULLABLE *REACTOR_NONNULL timer);

/* Arms it to fire once in `nanoseconds` from now, or moves it there. Fires never early, and up to 1 ms late. O(1). Loop
 * thread. */
void reactor_timer_arm(reactor_timer *timer, uint64_t nanoseconds);

/* Disarms it. O(1). Loop thread. */
void reactor_timer_cancel(reactor_timer *timer);

/* Ends and frees it. Loop thread; from its own callback, too. */
void reactor_timer_destroy(reactor_timer *timer);

/* --- Nodes -------------------------------------------------------------------------------------------------------------- */

/* One TCP connection of a node. A number that is never used again: an old one is answered REACTOR_ENOLINK. */
typedef uint64_t reactor_link;

typedef struct {
    reactor_link link;
    char peer[64];   /* ADDRESS:PORT of the peer; empty if it cannot be told */
    char remote[64]; /* where its packets come from */
    uint8_t is_outbound;
    uint8_t is_masternode;
    uint8_t is_native; /* it speaks this dialect's extension */
    uint8_t reserved[5];
} reactor_link_info;

/* What a node tells. Any of the functions may be NULL. All are called on the loop thread. */
typedef struct {
    uint32_t size;
    /* Passed to each. */
    void *REACTOR_NULLABLE context;
    /* Frames may be sent and will be received. */
    void (*REACTOR_NULLABLE link_up)(void *REACTOR_NULLABLE context, const reactor_link_info *info);
    /* The link is over, and why: a word such as "remoteClosed"; docs/Closing.md has them all. */
    void (*REACTOR_NULLABLE link_down)(void *REACTOR_NULLABLE context, const reactor_link_info *info, const char *reason);
    /* One frame. `bytes` is valid until this returns. */
    void (*REACTOR_NULLABLE received)(
        void *REACTOR_NULLABLE context, reactor_link link, uint32_t type, const uint8_t *bytes, size_t count);
    /* The link's queue has risen to its mark: sends are answered REACTOR_EBLOCKED from now on. */
    void (*REACTOR_NULLABLE high_water)(void *REACTOR_NULLABLE context, reactor_link link);
    /* The queue has sunk: send on. */
    void (*REACTOR_NULLABLE low_water)(void *REACTOR_NULLABLE context, reactor_link link);
    /* After reactor_node_shutdown: nothing of the node is left on the loop. */
    void (*REACTOR_NULLABLE stopped)(void *REACTOR_NULLABLE context);
} reactor_node_callbacks;

/* Clears all of them and sets the size. Any thread. */
void reactor_node_callbacks_init(reactor_node_callbacks *callbacks);

typedef struct {
    uint32_t size;
    /* "reactor" (the default), "time-mainnet", "time-testnet"; or a network of your own: set `magic`, too. */
    const char *REACTOR_NULLABLE network;
    uint32_t magic;          /* of a network of your own; 0 otherwise */
    uint32_t is_masternode;  /* this node's own role: 0 or 1 */
    uint32_t max_peers;      /* links at once, 1 ... 10000; default 100 */
    uint32_t reserved_slots; /* of them, kept for masternodes; UINT32_MAX (the default) derives it from max_peers */
    uint64_t ping_interval;  /* nanoseconds; default 30 s */
    uint64_t pong_timeout;   /* nanoseconds; default 10 s */
    uint64_t dial_timeout;   /* nanoseconds; default 10 s */
    uint64_t backoff_initial; /* nanoseconds; default 5 s */
    uint64_t backoff_max;    /* nanoseconds; default 300 s */
} reactor_node_options;

/* Fills in the defaults. Any thread. */
void reactor_node_options_init(reactor_node_options *options);

/* Makes a node on a loop; NULL options are the defaults. It does nothing until reactor_node_start. Loop thread. Fails with
 * REACTOR_ENETWORK, REACTOR_EOPTION, -ENOSPC (the loop has no timer left) or another -errno. */
int reactor_node_create(
    reactor_loop *loop, const reactor_node_options *REACTOR_NULLABLE options, const reactor_node_callbacks *callbacks,
    reactor_node *REACTOR_NULLABLE *REACTOR_NONNULL node);

/* Frees a node that has stopped, or ends it at once, as if its process had been killed. Loop thread, not from a callback. */
void reactor_node_destroy(reactor_node *node);

/* Listens on ADDRESS:PORT; port 0 lets the kernel pick one. `bound`, if not NULL, takes where it really listens, 64 bytes at
 * most. Loop thread. Fails with REACTOR_EENDPOINT, REACTOR_ECLOSED after reactor_node_shutdown, -EADDRINUSE, -EADDRNOTAVAIL, -EACCES,
 * -ENOSPC (no descriptor or timer left in the loop) and other -errno. */
int reactor_node_listen(reactor_node *node, const char *endpoint, char *REACTOR_NULLABLE bound, size_t size);

/* Says where others can dial this node; NULL takes it back. Loop thread. */
int reactor_node_advertise(reactor_node *node, const char *REACTOR_NULLABLE endpoint);

/* Begins to dial. Loop thread. */
void reactor_node_start(reactor_node *node);

/* Drains every link and dials nobody any more; `stopped` tells the end. Loop thread. */
void reactor_node_shutdown(reactor_node *node);

/* What is wanted, for ever. Loop thread. Fails with REACTOR_EENDPOINT. */
int reactor_node_connect(reactor_node *node, const char *endpoint);
/* No longer wanted; its links are closed. Loop thread. Fails with REACTOR_EENDPOINT. */
int reactor_node_disconnect(reactor_node *node, const char *endpoint);
/* The registry names this masternode. Loop thread. Fails with REACTOR_EENDPOINT. */
int reactor_node_add_masternode(reactor_node *node, const char *endpoint);
/* The registry names it no longer. Loop thread. Fails with REACTOR_EENDPOINT. */
int reactor_node_remove_masternode(reactor_node *node, const char *endpoint);
/* Dials it now, whatever it waits for. Loop thread. Fails with REACTOR_EENDPOINT. */
int reactor_node_redial(reactor_node *node, const char *endpoint);
/* Bans ADDRESS or ADDRESS/PREFIX for so many nanoseconds, UINT64_MAX for ever, and closes what it covers. Loop thread. Fails
 * with REACTOR_ESUBNET. */
int reactor_node_ban(reactor_node *node, const char *subnet, uint64_t nanoseconds);
/* Takes back the ban of exactly this range. Loop thread. Fails with REACTOR_ESUBNET. */
int reactor_node_unban(reactor_node *node, const char *subnet);

/* Queues one frame of the application for an established link: 0, REACTOR_EBLOCKED (nothing was queued), REACTOR_ETOOLARGE,
 * REACTOR_ENOLINK, or REACTOR_EOPTION if `bytes` is NULL and `count` is not 0. Frames of one link leave in order, once for all that
 * an iteration queued. Loop thread. */
int reactor_node_send(reactor_node *node, reactor_link link, uint32_t type, const void *REACTOR_NULLABLE bytes, size_t count);

/* The same, posted. Any thread, as long as the node is not destroyed; the bytes are copied. 0 means that it was handed over; a link that
 * has ended by then swallows it. Fails with REACTOR_EFULL, REACTOR_ETOOLARGE, REACTOR_EOPTION, and with REACTOR_ECLOSED once the
 * node has stopped. */
int reactor_node_post(reactor_node *node, reactor_link link, uint32_t type, const void *REACTOR_NULLABLE bytes, size_t count);

/* A way to the node for a thread that cannot know how long the node lives: good after reactor_node_destroy, until
 * reactor_node_port_release. Any thread, as long as the node is not destroyed. */
reactor_node_port *reactor_node_open_port(reactor_node *node);

/* One more user of a port, for another thread: each releases it once. Any thread. Returns `port`. */
reactor_node_port *reactor_node_port_retain(reactor_node_port *port);

/* Ends one use of a port. Any thread. */
void reactor_node_port_release(reactor_node_port *port);

/* As reactor_node_post, with the same errors, and REACTOR_ECLOSED if the node was destroyed. Any thread. */
int reactor_node_port_post(
    reactor_node_port *port, reactor_link link, uint32_t type, const void *REACTOR_NULLABLE bytes, size_t count);

/* Queues one frame for every established link, encoded once. Returns how many took it, or REACTOR_EOPTION if `bytes` is NULL and
 * `count` is not 0. Loop thread. */
int reactor_node_broadcast(reactor_node *node, uint32_t type, const void *REACTOR_NULLABLE bytes, size_t count);

typedef struct {
    uint32_t size;
    uint32_t masternodes;    /* established links with masternodes */
    uint32_t regular;        /* established links with others */
    uint32_t dialing;
    uint32_t known_peers;
    uint32_t registered;     /* masternodes that the registry names */
    uint64_t frames_in;
    uint64_t frames_out;
    uint64_t bytes_in;
    uint64_t bytes_out;
} reactor_node_state;

/* How the node stands. Set `state->size` to sizeof *state first. Loop thread. */
void reactor_node_get_state(const reactor_node *node, reactor_node_state *state);

#if defined(__clang__)
#pragma clang assume_nonnull end
#pragma clang diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#endif
