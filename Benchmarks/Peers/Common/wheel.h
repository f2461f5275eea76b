// Idle timers of one length, for the peers without a library. A ring of lists with a bitmap; a tick is 1/512 of the length,
// so no deadline is further away than half a turn. Re-arming stores the deadline; the node moves when its list comes up.
// There is no tick to wake for: the bitmap tells how long to sleep.
//
// Who includes it defines `timer_at` and `timer_fired`.
#pragma once

#include <stdint.h>
#include <string.h>

enum { WHEEL_LISTS = 1024, WHEEL_NONE = -1 };

struct timer {
    int32_t next, previous;
    /// In ticks.
    uint32_t deadline;
    int16_t list;
};

static struct {
    int32_t heads[WHEEL_LISTS];
    uint64_t occupied[WHEEL_LISTS / 64];
    int64_t start_ms, tick_ms;
    uint32_t tick, idle_ticks;
} wheel;

static struct timer *timer_at(int32_t index);
static void timer_fired(int32_t index);

static inline void wheel_init(int64_t idle_ms, int64_t now_ms) {
    wheel.tick_ms = idle_ms / 512 > 0 ? idle_ms / 512 : 1;
    wheel.idle_ticks = (uint32_t)((idle_ms + wheel.tick_ms - 1) / wheel.tick_ms) + 1;
    wheel.start_ms = now_ms;
    memset(wheel.heads, 0xff, sizeof wheel.heads);
}

static inline void timer_link(int32_t index, struct timer *t) {
    int list = (int)(t->deadline % WHEEL_LISTS);
    t->list = (int16_t)list;
    t->previous = WHEEL_NONE;
    t->next = wheel.heads[list];
    if (t->next != WHEEL_NONE) { timer_at(t->next)->previous = index; }
    wheel.heads[list] = index;
    wheel.occupied[list / 64] |= 1ull << (list % 64);
}

static inline void timer_cancel(struct timer *t) {
    if (t->next != WHEEL_NONE) { timer_at(t->next)->previous = t->previous; }
    if (t->previous != WHEEL_NONE) {
        timer_at(t->previous)->next = t->next;
        return;
    }
    wheel.heads[t->list] = t->next;
    if (t->next == WHEEL_NONE) { wheel.occupied[t->list / 64] &= ~(1ull << (t->list % 64)); }
}

static inline void timer_extend(struct timer *t) { t->deadline = wheel.tick + wheel.idle_ticks; }

static inline void timer_arm(int32_t index, struct timer *t) {
    timer_extend(t);
    timer_link(index, t);
}

/// Ticks until the next list that holds a timer; -1 if none does.
static inline int wheel_ticks_to_next(void) {
    unsigned first = (wheel.tick + 1) % WHEEL_LISTS;
    for (unsigned i = 0; i <= WHEEL_LISTS / 64; i++) {
        unsigned word = (first / 64 + i) % (WHEEL_LISTS / 64);
        uint64_t bits = wheel.occupied[word];
        if (i == 0) { bits &= ~0ull << (first % 64); }
        if (bits == 0) { continue; }
        unsigned list = word * 64 + (unsigned)__builtin_ctzll(bits);
        return (int)((list + WHEEL_LISTS - first) % WHEEL_LISTS) + 1;
    }
    return -1;
}

/// Milliseconds until there is something to do; -1 if there never is.
static inline int wheel_wait(int64_t now_ms) {
    int step = wheel_ticks_to_next();
    if (step < 0) { return -1; }
    int64_t wait = ((int64_t)wheel.tick + step) * wheel.tick_ms - (now_ms - wheel.start_ms);
    return wait > 0 ? (int)wait : 0;
}

static inline void wheel_advance(int64_t now_ms) {
    uint32_t now = (uint32_t)((now_ms - wheel.start_ms) / wheel.tick_ms);
    while (wheel.tick < now) {
        int step = wheel_ticks_to_next();
        if (step < 0 || wheel.tick + (uint32_t)step > now) {
            wheel.tick = now;
            return;
        }
        wheel.tick += (uint32_t)step;
        for (int32_t index = wheel.heads[wheel.tick % WHEEL_LISTS], next; index != WHEEL_NONE; index = next) {
            struct timer *t = timer_at(index);
            next = t->next;
            if (t->deadline <= wheel.tick) {
                timer_fired(index);
            } else if (t->deadline % WHEEL_LISTS != wheel.tick % WHEEL_LISTS) {
                timer_cancel(t);
                timer_link(index, t);
            }
        }
    }
}
