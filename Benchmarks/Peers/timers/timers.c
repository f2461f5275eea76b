// Timers in C, for `timer-wheel` to be compared with: a hierarchical bitmap wheel (eight levels of 64 slots, intrusive lists in
// one array, extension by a stored deadline) and a binary heap that knows each timer's position. The same operations in the
// same order as Benchmarks/Sources/timer-wheel.
//
//   timers wheel|heap SIZE [none|arm|extend|move|cancel|expire]
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEVELS = 8, NONE = -1 };
static const uint64_t START = 1000000000000ull, TICK = 1000000;

static int size;
static uint64_t *delays, *others;
static uint32_t *order;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t number(void) {
    static uint64_t state = 0x9e3779b97f4a7c15ull;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

// MARK: the wheel

// 32 bytes. `list` is where it waits, or NONE.
struct node {
    uint64_t deadline, extendable_after;
    int32_t next, previous, list, pad;
};

static struct node *nodes;
static uint64_t occupied[LEVELS], current;
static uint32_t levels;

static void wheel_init(void) {
    nodes = calloc((size_t)size + 64 * LEVELS, sizeof *nodes);
    for (int i = 0; i < size; i++) {
        nodes[i].list = NONE;
        nodes[i].extendable_after = UINT64_MAX;
    }
    for (int i = size; i < size + 64 * LEVELS; i++) { nodes[i].next = nodes[i].previous = i; }
    memset(occupied, 0, sizeof occupied);
    levels = 0;
    current = START / TICK;
}

static inline void unlink_node(struct node *n) {
    nodes[n->previous].next = n->next;
    nodes[n->next].previous = n->previous;
    if (n->next == n->previous) {
        int level = n->list >> 6;
        occupied[level] &= ~(1ull << (n->list & 63));
        if (occupied[level] == 0) { levels &= ~(1u << level); }
    }
    n->list = NONE;
    n->extendable_after = UINT64_MAX;
}

static inline void file(int index, uint64_t tick) {
    struct node *n = &nodes[index];
    int level = (63 - __builtin_clzll(tick ^ current)) / 6, shift = level * 6;
    int list = level << 6 | (int)(tick >> shift & 63), sentinel = size + list;
    occupied[level] |= 1ull << (list & 63);
    levels |= 1u << level;
    n->list = list;
    n->previous = nodes[sentinel].previous;
    n->next = sentinel;
    nodes[n->previous].next = index;
    nodes[sentinel].previous = index;
    n->extendable_after = (((tick >> shift) << shift) - 1) * TICK;
}

static inline void wheel_arm(int index, uint64_t deadline) {
    struct node *n = &nodes[index];
    n->deadline = deadline;
    if (deadline > n->extendable_after) { return; }
    if (n->list != NONE) { unlink_node(n); }
    uint64_t tick = (deadline + TICK - 1) / TICK;
    file(index, tick > current ? tick : current + 1);
}

static inline void wheel_cancel(int index) {
    if (nodes[index].list != NONE) { unlink_node(&nodes[index]); }
}

static int wheel_expire(void) {
    int fired = 0;
    while (levels != 0) {
        int level = __builtin_ctz(levels), list = level << 6 | __builtin_ctzll(occupied[level]), shift = level * 6;
        current = ((current >> shift & ~63ull) | (uint64_t)(list & 63)) << shift;
        struct node *sentinel = &nodes[size + list];
        while (sentinel->next != size + list) {
            int index = sentinel->next;
            unlink_node(&nodes[index]);
            uint64_t tick = (nodes[index].deadline + TICK - 1) / TICK;
            if (tick <= current) { fired++; } else { file(index, tick); }
        }
    }
    return fired;
}

// MARK: the heap

struct entry {
    uint64_t deadline;
    int32_t index;
};

static struct entry *heap;
static int32_t *position;
static int count;

static void heap_init(void) {
    heap = calloc((size_t)size + 1, sizeof *heap);
    position = malloc((size_t)size * sizeof *position);
    for (int i = 0; i < size; i++) { position[i] = NONE; }
    count = 0;
}

static inline void put(int at, struct entry e) {
    heap[at] = e;
    position[e.index] = at;
}

static void up(int at, struct entry e) {
    while (at > 0 && heap[(at - 1) / 2].deadline > e.deadline) {
        put(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(at, e);
}

static void down(int at, struct entry e) {
    for (int child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1].deadline < heap[child].deadline) { child++; }
        if (heap[child].deadline >= e.deadline) { break; }
        put(at, heap[child]);
    }
    put(at, e);
}

static void heap_arm(int index, uint64_t deadline) {
    struct entry e = { deadline, index };
    int at = position[index];
    if (at == NONE) {
        up(count++, e);
    } else if (deadline < heap[at].deadline) {
        up(at, e);
    } else {
        down(at, e);
    }
}

static void heap_cancel(int index) {
    int at = position[index];
    if (at == NONE) { return; }
    position[index] = NONE;
    struct entry last = heap[--count];
    if (at == count) { return; }
    if (at > 0 && heap[(at - 1) / 2].deadline > last.deadline) { up(at, last); } else { down(at, last); }
}

static int heap_expire(void) {
    int fired = 0;
    while (count > 0) {
        heap_cancel(heap[0].index);
        fired++;
    }
    return fired;
}

// MARK: the operations

static int is_heap;

#define EACH(wheel_call, heap_call) do { \
    if (is_heap) { \
        for (int step = 0; step < size; step++) { int i = (int)order[step]; heap_call; } \
    } else { \
        for (int step = 0; step < size; step++) { int i = (int)order[step]; wheel_call; } \
    } \
} while (0)

static void arm(void) { EACH(wheel_arm(i, START + delays[i]), heap_arm(i, START + delays[i])); }
static void extend(void) {
    EACH(wheel_arm(i, START + delays[i] + 120000 * TICK), heap_arm(i, START + delays[i] + 120000 * TICK));
}
static void move(void) { EACH(wheel_arm(i, START + others[i]), heap_arm(i, START + others[i])); }
static void cancel(void) { EACH(wheel_cancel(i), heap_cancel(i)); }
static void expire(void) {
    if ((is_heap ? heap_expire() : wheel_expire()) != size) { abort(); }
}

static void set_up(void) {
    if (is_heap) { heap_init(); } else { wheel_init(); }
    delays = malloc((size_t)size * sizeof *delays);
    others = malloc((size_t)size * sizeof *others);
    order = malloc((size_t)size * sizeof *order);
    for (int i = 0; i < size; i++) {
        delays[i] = (1 + number() % 120000) * TICK;
        others[i] = (1 + number() % 120000) * TICK;
        order[i] = (uint32_t)i;
    }
    for (int i = size - 1; i > 0; i--) {
        int other = (int)(number() % (uint64_t)(i + 1));
        uint32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static void tear_down(void) {
    free(is_heap ? (void *)heap : (void *)nodes);
    if (is_heap) { free(position); }
    free(delays);
    free(others);
    free(order);
}

static double timed(void (*work)(void)) {
    uint64_t begin = now_ns();
    work();
    return (double)(now_ns() - begin) / size;
}

static int one(const char *operation) {
    set_up();
    if (strcmp(operation, "arm") != 0) { arm(); }
    if (strcmp(operation, "arm") == 0) {
        arm();
        cancel();
        arm();
    } else if (strcmp(operation, "extend") == 0) {
        extend();
    } else if (strcmp(operation, "move") == 0) {
        move();
    } else if (strcmp(operation, "cancel") == 0) {
        cancel();
    } else if (strcmp(operation, "expire") == 0) {
        expire();
    } else if (strcmp(operation, "none") != 0) {
        return 64;
    }
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count < 3) {
        fprintf(stderr, "usage: timers wheel|heap SIZE [none|arm|extend|move|cancel|expire]\n");
        return 64;
    }
    is_heap = strcmp(arguments[1], "heap") == 0;
    size = atoi(arguments[2]);
    if (argument_count > 3) { return one(arguments[3]); }
    int passes = size < 1000000 ? 1000000 / size : 1;
    double sums[5] = { 0 };
    for (int pass = 0; pass < passes; pass++) {
        set_up();
        arm();
        cancel();
        sums[0] += timed(arm);
        sums[1] += timed(move);
        sums[2] += timed(cancel);
        arm();
        sums[3] += timed(extend);
        cancel();
        arm();
        sums[4] += timed(expire);
        tear_down();
    }
    printf(
        "{\"arm\": %f, \"move\": %f, \"cancel\": %f, \"extend\": %f, \"expire\": %f}\n", sums[0] / passes, sums[1] / passes,
        sums[2] / passes, sums[3] / passes, sums[4] / passes
    );
    return 0;
}
