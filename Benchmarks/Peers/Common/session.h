// One connection of the peers that receive and send by themselves: bytes in, answers out. Frames are answered where they
// were received, in a scratch that all connections share, and sent from there; memory of its own a connection holds only
// for half a frame or for what the kernel did not take. With answers unsent nothing more is read: a slow reader is
// slowed, and costs one read's worth of memory.
#pragma once

#include "frames.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { SCRATCH = 256 << 10 };

struct block {
    uint32_t begin, end, capacity;
    uint8_t bytes[];
};

struct session {
    /// Half a frame; or NULL.
    struct block *in;
    /// Answers that the kernel did not take; or NULL.
    struct block *out;
    uint8_t greeted;
};

enum session_news { SESSION_GOES_ON, SESSION_BLOCKED, SESSION_OVER };

static uint8_t scratch[SCRATCH];

static inline struct block *block_make(size_t capacity) {
    struct block *block = malloc(sizeof *block + capacity);
    if (block == NULL) { abort(); }
    block->begin = block->end = 0;
    block->capacity = (uint32_t)capacity;
    return block;
}

static inline void session_end(struct session *s) {
    if (s->in != NULL) { free(s->in); }
    if (s->out != NULL) { free(s->out); }
    s->in = s->out = NULL;
}

/// Sends answers; what the kernel does not take waits in `out`.
static inline enum session_news session_send(struct session *s, int fd, const uint8_t *bytes, size_t count) {
    ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);
    if (n == (ssize_t)count) { return SESSION_GOES_ON; }
    if (n < 0 && errno != EAGAIN) { return SESSION_OVER; }
    size_t sent = n < 0 ? 0 : (size_t)n;
    s->out = block_make(count - sent);
    memcpy(s->out->bytes, bytes + sent, count - sent);
    s->out->end = (uint32_t)(count - sent);
    return SESSION_BLOCKED;
}

/// Keeps what came of a frame, with room for the rest: at first no more than came, so that a length alone costs nothing.
static inline void session_keep(struct session *s, const uint8_t *bytes, size_t count, size_t needed) {
    size_t capacity = needed < 2 * count + 4096 ? needed : 2 * count + 4096;
    struct block *block = block_make(capacity < count ? count : capacity);
    memcpy(block->bytes, bytes, count);
    block->end = (uint32_t)count;
    if (s->in != NULL) { free(s->in); }
    s->in = block;
}

/// Goes on with the frame of which a part is in `in`. Of the next frame no byte is received.
static inline enum session_news session_receive_more(struct session *s, int fd, int *came) {
    struct block *in = s->in;
    size_t needed = FRAME_HEADER;
    if (in->end >= FRAME_HEADER) {
        uint32_t length;
        memcpy(&length, in->bytes, sizeof length);
        needed += __builtin_bswap32(length);
    }
    if (in->end == in->capacity || in->capacity < needed) {
        session_keep(s, in->bytes, in->end, needed);
        in = s->in;
    }
    size_t room = in->capacity - in->end;
    ssize_t n = recv(fd, in->bytes + in->end, room < needed - in->end ? room : needed - in->end, 0);
    if (n <= 0) { return n < 0 && errno == EAGAIN ? SESSION_GOES_ON : SESSION_OVER; }
    in->end += (uint32_t)n;
    ssize_t done = answer_frames(in->bytes, in->end, &s->greeted, &needed);
    if (done <= 0) { return done < 0 ? SESSION_OVER : SESSION_GOES_ON; }
    *came = 1;
    enum session_news news = session_send(s, fd, in->bytes, (size_t)done);
    free(in);
    s->in = NULL;
    return news;
}

/// To be called when the socket is readable and not blocked. `*came` is set to 1 if a whole message was among it.
static inline enum session_news session_readable(struct session *s, int fd, int *came) {
    if (s->in != NULL) { return session_receive_more(s, fd, came); }
    ssize_t n = recv(fd, scratch, SCRATCH, 0);
    if (n <= 0) { return n < 0 && errno == EAGAIN ? SESSION_GOES_ON : SESSION_OVER; }
    size_t needed;
    ssize_t done = answer_frames(scratch, (size_t)n, &s->greeted, &needed);
    if (done < 0) { return SESSION_OVER; }
    if (done < n) { session_keep(s, scratch + done, (size_t)(n - done), needed); }
    if (done == 0) { return SESSION_GOES_ON; }
    *came = 1;
    return session_send(s, fd, scratch, (size_t)done);
}

/// To be called when a blocked socket is writable: SESSION_GOES_ON when all is sent.
static inline enum session_news session_writable(struct session *s, int fd) {
    struct block *out = s->out;
    ssize_t n = send(fd, out->bytes + out->begin, out->end - out->begin, MSG_NOSIGNAL);
    if (n < 0) { return errno == EAGAIN ? SESSION_BLOCKED : SESSION_OVER; }
    out->begin += (uint32_t)n;
    if (out->begin < out->end) { return SESSION_BLOCKED; }
    free(out);
    s->out = NULL;
    return SESSION_GOES_ON;
}
