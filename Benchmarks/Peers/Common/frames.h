// The one protocol that all peers serve; Benchmarks/README.md describes it. A frame is four bytes of big-endian length, then a
// body whose first byte is its kind. The first frame is a hello. Each frame is answered by itself with the top bit of its
// kind set. What breaks a rule ends the connection.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

enum {
    FRAME_HEADER = 4,
    FRAME_LIMIT = 8 << 20,
    HELLO_LENGTH = 32,
    KIND_HELLO = 1,
    KIND_PING = 2,
    KIND_DATA = 3,
    KIND_ANSWER = 0x80,
};

/// Whether a frame may begin so. `kind` is looked at only if it came already.
static inline int frame_is_allowed(uint32_t length, const uint8_t *kind, int greeted) {
    if (length == 0 || length > FRAME_LIMIT) { return 0; }
    if (!greeted && length != HELLO_LENGTH) { return 0; }
    if (kind == NULL) { return 1; }
    return greeted ? *kind == KIND_PING || *kind == KIND_DATA : *kind == KIND_HELLO;
}

/// Turns all whole frames at the front of `bytes` into their answers, in place. Returns their length in all, or -1 if the
/// stream is broken. `*needed` is then what the next, incomplete frame takes as a whole, as far as is known.
static inline ssize_t answer_frames(uint8_t *bytes, size_t count, uint8_t *greeted, size_t *needed) {
    size_t done = 0;
    *needed = FRAME_HEADER;
    while (count - done >= FRAME_HEADER) {
        uint8_t *frame = bytes + done;
        uint32_t length;
        memcpy(&length, frame, sizeof length);
        length = __builtin_bswap32(length);
        size_t whole = FRAME_HEADER + (size_t)length;
        const uint8_t *kind = count - done > FRAME_HEADER ? frame + FRAME_HEADER : NULL;
        if (!frame_is_allowed(length, kind, *greeted)) { return -1; }
        if (count - done < whole) {
            *needed = whole;
            break;
        }
        frame[FRAME_HEADER] |= KIND_ANSWER;
        *greeted = 1;
        done += whole;
    }
    return (ssize_t)done;
}
