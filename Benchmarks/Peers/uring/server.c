// io_uring, as its users write it now: one multishot accept, one multishot receive a connection into a ring of provided
// buffers, answers sent from the buffer that they came in, deferred task work on one thread. The line beyond epoll.
#define _GNU_SOURCE
#include "../Common/frames.h"
#include "../Common/server.h"
#include "../Common/wheel.h"
#include <liburing.h>

enum {
    ENTRIES = 4096,
    /// Provided buffers, and the size of each: as many as a busy iteration may hold at once.
    BUFFERS = 1024,
    BUFFER = 16 << 10,
    GROUP = 0,
    /// Unsent answers at which receiving stops.
    HIGH_WATER = 256 << 10,
};

enum operation { ACCEPT, RECEIVE, SEND, STOP, CLOSE };

struct bytes {
    size_t begin, count, capacity;
    uint8_t *base;
};

struct connection {
    struct timer timer;
    uint8_t greeted, is_receiving, is_stopping, is_sending, has_ended, is_over;
    /// The provided buffer that is being sent from; -1 if none, or if `sending` is.
    int16_t buffer;
    /// Half a frame; answers on their way; answers behind those.
    struct bytes in, sending, queued;
};

static struct connection *connections;
static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static uint8_t *pool;

static inline struct timer *timer_at(int32_t fd) { return &connections[fd].timer; }

static void append(struct bytes *b, const uint8_t *bytes, size_t count) {
    if (b->count + count > b->capacity) {
        b->capacity = b->count + count > 2 * b->capacity ? b->count + count : 2 * b->capacity;
        b->base = realloc(b->base, b->capacity);
        if (b->base == NULL) { abort(); }
    }
    memcpy(b->base + b->count, bytes, count);
    b->count += count;
}

static void drop(struct bytes *b) {
    free(b->base);
    *b = (struct bytes){ 0 };
}

static struct io_uring_sqe *prepare(enum operation operation, int fd) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | (uint32_t)fd);
    return sqe;
}

// Liburing's preparers clear the user data: it is set after them.
#define SUBMIT(operation, fd, preparer, ...) do { \
    struct io_uring_sqe *sqe_ = prepare(operation, fd); \
    preparer(sqe_, __VA_ARGS__); \
    io_uring_sqe_set_data64(sqe_, (uint64_t)(operation) << 32 | (uint32_t)(fd)); \
} while (0)

static void receive(int fd) {
    struct connection *c = &connections[fd];
    struct io_uring_sqe *sqe = prepare(RECEIVE, fd);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    io_uring_sqe_set_data64(sqe, (uint64_t)RECEIVE << 32 | (uint32_t)fd);
    c->is_receiving = 1;
}

static void stop_receiving(int fd) {
    struct connection *c = &connections[fd];
    if (!c->is_receiving || c->is_stopping) { return; }
    c->is_stopping = 1;
    SUBMIT(STOP, fd, io_uring_prep_cancel64, (uint64_t)RECEIVE << 32 | (uint32_t)fd, 0);
}

static void give_back(int buffer) {
    io_uring_buf_ring_add(
        provided, pool + (size_t)buffer * BUFFER, BUFFER, (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0
    );
    io_uring_buf_ring_advance(provided, 1);
}

/// Closes when nothing of the connection is in the kernel any more.
static void close_if_over(int fd) {
    struct connection *c = &connections[fd];
    if (!c->is_over || c->is_sending || c->is_receiving || c->is_stopping) { return; }
    drop(&c->in);
    drop(&c->sending);
    drop(&c->queued);
    c->is_over = 0;
    SUBMIT(CLOSE, fd, io_uring_prep_close, fd);
}

static void end(int fd) {
    struct connection *c = &connections[fd];
    if (c->is_over) { return; }
    c->is_over = 1;
    timer_cancel(&c->timer);
    // What is in flight comes back by that.
    if (c->is_sending) { shutdown(fd, SHUT_RDWR); }
    stop_receiving(fd);
    close_if_over(fd);
}

static void timer_fired(int32_t fd) { end(fd); }

static void send_bytes(int fd, const uint8_t *bytes, size_t count) {
    connections[fd].is_sending = 1;
    // The kernel goes on after a short write by itself.
    SUBMIT(SEND, fd, io_uring_prep_send, fd, bytes, count, MSG_NOSIGNAL | MSG_WAITALL);
}

static void send_queued(int fd) {
    struct connection *c = &connections[fd];
    drop(&c->sending);
    c->sending = c->queued;
    c->queued = (struct bytes){ 0 };
    send_bytes(fd, c->sending.base, c->sending.count);
}

/// Answers what is whole; returns whether the buffer is still in use.
static int take(int fd, int buffer, size_t count) {
    struct connection *c = &connections[fd];
    uint8_t *bytes = pool + (size_t)buffer * BUFFER;
    int is_stashed = c->in.count > 0;
    if (is_stashed) {
        append(&c->in, bytes, count);
        bytes = c->in.base;
        count = c->in.count;
    }
    size_t needed;
    ssize_t done = answer_frames(bytes, count, &c->greeted, &needed);
    if (done < 0) {
        end(fd);
        return 0;
    }
    if (done > 0) { timer_extend(&c->timer); }
    int is_lent = !is_stashed && !c->is_sending && (size_t)done == count;
    if (is_lent) {
        c->buffer = (int16_t)buffer;
        send_bytes(fd, bytes, (size_t)done);
    } else if (done > 0) {
        append(&c->queued, bytes, (size_t)done);
        if (!c->is_sending) { send_queued(fd); }
    }
    size_t left = count - (size_t)done;
    if (is_stashed) {
        memmove(c->in.base, c->in.base + done, left);
        c->in.count = left;
        if (left == 0) { drop(&c->in); }
    } else if (left > 0) {
        append(&c->in, bytes + done, left);
    }
    if (c->queued.count > HIGH_WATER || c->sending.count > HIGH_WATER) { stop_receiving(fd); }
    return is_lent;
}

static void received(int fd, int result, unsigned flags) {
    struct connection *c = &connections[fd];
    if ((flags & IORING_CQE_F_MORE) == 0) { c->is_receiving = 0; }
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        int buffer = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
        int is_lent = result > 0 && !c->is_over && take(fd, buffer, (size_t)result);
        if (!is_lent) { give_back(buffer); }
    }
    if (!c->is_over && result <= 0 && result != -ECANCELED && result != -ENOBUFS) {
        c->has_ended = 1;
        if (!c->is_sending || result < 0) { end(fd); }
    } else if (!c->is_over && !c->is_receiving && !c->has_ended && c->queued.count == 0 && c->sending.count == 0) {
        receive(fd);
    }
    close_if_over(fd);
}

static void sent(int fd, int result) {
    struct connection *c = &connections[fd];
    c->is_sending = 0;
    if (c->buffer >= 0) {
        give_back(c->buffer);
        c->buffer = -1;
    }
    drop(&c->sending);
    if (result < 0 && !c->is_over) { end(fd); }
    if (c->is_over) {
        close_if_over(fd);
    } else if (c->queued.count > 0) {
        send_queued(fd);
    } else if (c->has_ended) {
        end(fd);
    } else if (!c->is_receiving) {
        receive(fd);
    }
}

static void accepted(int fd) {
    struct connection *c = &connections[fd];
    memset(c, 0, sizeof *c);
    c->buffer = -1;
    timer_arm(fd, &c->timer);
    receive(fd);
}

static void accept_on(int listener) {
    SUBMIT(ACCEPT, listener, io_uring_prep_multishot_accept, listener, NULL, NULL, SOCK_CLOEXEC);
}

static void completed(const struct io_uring_cqe *cqe) {
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum operation)(cqe->user_data >> 32)) {
    case ACCEPT:
        if (cqe->res >= 0) { accepted(cqe->res); }
        if ((cqe->flags & IORING_CQE_F_MORE) == 0) { accept_on(fd); }
        break;
    case RECEIVE: received(fd, cqe->res, cqe->flags); break;
    case SEND: sent(fd, cqe->res); break;
    case STOP:
        connections[fd].is_stopping = 0;
        close_if_over(fd);
        break;
    case CLOSE: break;
    }
}

static void set_up(void) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * ENTRIES,
    };
    if ((errno = -io_uring_queue_init_params(ENTRIES, &ring, &parameters)) != 0) { die("io_uring"); }
    size_t size = BUFFERS * sizeof(struct io_uring_buf);
    if (posix_memalign((void **)&provided, 4096, size) != 0) { die("memory"); }
    struct io_uring_buf_reg registration = { .ring_addr = (uintptr_t)provided, .ring_entries = BUFFERS, .bgid = GROUP };
    if ((errno = -io_uring_register_buf_ring(&ring, &registration, 0)) != 0) { die("buffers"); }
    io_uring_buf_ring_init(provided);
    pool = malloc((size_t)BUFFERS * BUFFER);
    for (int i = 0; i < BUFFERS; i++) { give_back(i); }
}

int main(int count, char **arguments) {
    struct server_options options = server_options(count, arguments);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(limit.rlim_max, sizeof *connections);
    set_up();
    accept_on(server_listen(options.port, 0));
    int64_t now = clock_ms();
    wheel_init(options.idle_ms, now);
    server_ready();
    for (;;) {
        int wait = wheel_wait(now);
        struct __kernel_timespec span = { wait / 1000, wait % 1000 * 1000000ll };
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait_timeout(&ring, &cqe, 1, wait < 0 ? NULL : &span, NULL);
        now = clock_ms();
        wheel_advance(now);
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            completed(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
