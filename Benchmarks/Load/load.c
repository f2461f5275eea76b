// Makes load, from a process of its own, with one epoll. What it says is a script: bytes to send, and how the frame that
// answers them begins. It speaks to 127.0.0.1 alone, and in frames of two cuts: `be32` (a big-endian length of four bytes), or
// `bitcoin` (24 bytes of header, the length at 16).
//
//   load cycle PORT CYCLES CONCURRENT CUT STEP...   each cycle: connect, the steps, close; so many at once
//   load waves PORT CYCLES CONCURRENT CUT STEP...   the same in step, the server stopped (SIGSTOP) while a wave is made, so
//                                                   that counts repeat; the server's process id is read first
//   load echo PORT LINKS WINDOW SIZE MESSAGES       so many frames of SIZE bytes in flight on each link
//   load idle PORT LINKS[/RATE] ADDRESSES [CUT STEP...]  holds links, made at so many a second at most, from so many
//                                                   addresses, after these steps (none: a hello);
//                                                   answers the server's pings; obeys `ping` (each link once), `talk SECONDS`
//                                                   (each pings by itself as often) and `cut` (all closed) on standard input
//
// A STEP is SEND:AWAIT, both in hexadecimal: AWAIT is compared at offset 4 of each frame that comes; other frames are
// skipped. `@OFFSET` after SEND, twice at most, adds the connection's number to the 16 little-endian bits there.
//
// Says `begin` and waits for a line, does it, prints one line of JSON, waits for a line again, and ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 1024, BUFFER = 4096, EVENTS = 512, LIMIT_MS = 60000, MESSAGE_LIMIT = 8 << 20 };

struct step {
    uint8_t *send, *await;
    int send_count, await_count, patches[2];
};

struct client {
    int fd, number, step, have;
    /// The connection's first bytes that are no frame yet; of a frame that is larger, the rest is skipped.
    uint8_t bytes[BUFFER];
    int64_t skip;
    int is_match;
    // echo
    int64_t unsent, received;
    int to_send, is_blocked;
    double sent_at;
};

static struct step steps[STEPS];
static int step_count, is_bitcoin, epfd, port;
static struct client *clients;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int read_line(char *line, int size) { return fgets(line, size, stdin) != NULL; }

static void wait_for_line(void) {
    char line[256];
    if (!read_line(line, sizeof line)) { exit(0); }
}

static void begin(void) {
    puts("begin");
    fflush(stdout);
    wait_for_line();
}

static int from_hex(const char *text, size_t count, uint8_t **bytes) {
    *bytes = malloc(count / 2 + 1);
    for (size_t i = 0; i < count / 2; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) { fail("hexadecimal"); }
        (*bytes)[i] = (uint8_t)value;
    }
    return (int)(count / 2);
}

static void parse_steps(char **arguments, int count) {
    is_bitcoin = strcmp(arguments[0], "bitcoin") == 0;
    for (int i = 1; i < count && step_count < STEPS; i++) {
        struct step *s = &steps[step_count++];
        char *colon = strchr(arguments[i], ':');
        if (colon == NULL) { fail("a step without a colon"); }
        size_t length = strcspn(arguments[i], "@:");
        s->send_count = from_hex(arguments[i], length, &s->send);
        char *at = arguments[i] + length;
        for (int k = 0; k < 2; k++) { s->patches[k] = *at == '@' ? (int)strtol(at + 1, &at, 10) : -1; }
        s->await_count = from_hex(colon + 1, strlen(colon + 1), &s->await);
    }
}

static int connect_from(int source) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) { fail("socket"); }
    struct sockaddr_in address = { .sin_family = AF_INET };
    if (source > 0) {
        setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)source);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) { fail("bind"); }
    }
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) { fail("connect"); }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void say(struct client *c) {
    struct step *s = &steps[c->step];
    uint8_t bytes[BUFFER];
    memcpy(bytes, s->send, (size_t)s->send_count);
    for (int k = 0; k < 2 && s->patches[k] >= 0; k++) {
        uint8_t *field = bytes + s->patches[k];
        unsigned value = (unsigned)field[0] + ((unsigned)field[1] << 8) + (unsigned)c->number;
        field[0] = (uint8_t)value;
        field[1] = (uint8_t)(value >> 8);
    }
    if (send(c->fd, bytes, (size_t)s->send_count, MSG_NOSIGNAL) != s->send_count) { fail("send"); }
}

static int header_size(void) { return is_bitcoin ? 24 : 4; }

/// The length of a frame, its header included, which must be there.
static int64_t whole_frame(const uint8_t *frame) {
    uint32_t length;
    memcpy(&length, frame + (is_bitcoin ? 16 : 0), 4);
    return header_size() + (int64_t)(is_bitcoin ? length : ntohl(length));
}

/// Looks at what came of frames: 1 when the awaited one is whole.
static int cut_frames(struct client *c) {
    int found = 0;
    struct step *s = &steps[c->step];
    while (!found && c->have >= header_size() && c->have >= 4 + s->await_count) {
        int64_t whole = whole_frame(c->bytes);
        int match = memcmp(c->bytes + 4, s->await, (size_t)s->await_count) == 0;
        if (c->have < whole && whole <= BUFFER) { return 0; }
        found = match;
        int gone = c->have < whole ? c->have : (int)whole;
        memmove(c->bytes, c->bytes + gone, (size_t)(c->have - gone));
        c->have -= gone;
        c->skip = whole - gone;
    }
    return found;
}

static int receive(struct client *c, int flags) {
    ssize_t n = recv(c->fd, c->bytes + c->have, (size_t)(BUFFER - c->have), flags);
    if (n < 0 && errno == EAGAIN) { return 0; }
    if (n <= 0) { fail(n == 0 ? "the server closed early" : "recv"); }
    if (c->skip > 0) {
        int64_t gone = n < c->skip ? n : c->skip;
        c->skip -= gone;
        n -= gone;
        memmove(c->bytes + c->have, c->bytes + c->have + gone, (size_t)n);
    }
    c->have += (int)n;
    return cut_frames(c);
}

static void start(struct client *c) {
    c->fd = connect_from(0);
    c->step = c->have = 0;
    c->skip = 0;
    say(c);
}

// MARK: cycle

static void watch(struct client *c, int operation, uint32_t events) {
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(epfd, operation, c->fd, &event) != 0) { fail("epoll_ctl"); }
}

static int wait_events(struct epoll_event *events) {
    int n = epoll_wait(epfd, events, EVENTS, LIMIT_MS);
    if (n == 0) { errno = ETIMEDOUT; }
    if (n <= 0 && errno != EINTR) { fail("epoll_wait"); }
    return n < 0 ? 0 : n;
}

static int64_t run_cycles(int64_t cycles, int concurrent) {
    struct epoll_event events[EVENTS];
    int64_t started = 0, done = 0;
    for (; started < cycles && started < concurrent; started++) {
        clients[started].number = (int)started;
        start(&clients[started]);
        watch(&clients[started], EPOLL_CTL_ADD, EPOLLIN);
    }
    while (done < cycles) {
        for (int i = wait_events(events) - 1; i >= 0; i--) {
            struct client *c = events[i].data.ptr;
            if (!receive(c, 0)) { continue; }
            if (++c->step < step_count) {
                say(c);
                continue;
            }
            close(c->fd);
            done++;
            if (started < cycles) {
                started++;
                start(c);
                watch(c, EPOLL_CTL_ADD, EPOLLIN);
            }
        }
    }
    return done;
}

// MARK: waves

/// Waits until the server has nothing left to do: its first thread sleeps. A runtime that never does has 200 ms.
static void wait_until_asleep(int pid) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int asleep = 0;
    for (int tries = 0; tries < 200 && asleep < 3; tries++) {
        usleep(1000);
        FILE *file = fopen(path, "r");
        if (file == NULL) { fail("the server is gone"); }
        size_t n = fread(line, 1, sizeof line - 1, file);
        fclose(file);
        line[n] = 0;
        const char *end = strrchr(line, ')');
        asleep = end != NULL && end[2] == 'S' ? asleep + 1 : 0;
    }
}

/// The server sees every step of a wave at once: what it does then depends on nothing but its code.
static int64_t run_waves(int64_t cycles, int concurrent, int pid) {
    int64_t done = 0;
    while (done < cycles) {
        int wave = cycles - done < concurrent ? (int)(cycles - done) : concurrent;
        for (int step = 0; step <= step_count; step++) {
            wait_until_asleep(pid);
            kill(pid, SIGSTOP);
            for (int i = 0; i < wave; i++) {
                struct client *c = &clients[i];
                c->number = i;
                if (step == 0) {
                    start(c);
                } else if (step < step_count) {
                    c->step = step;
                    say(c);
                } else {
                    close(c->fd);
                }
            }
            kill(pid, SIGCONT);
            for (int i = 0; i < wave && step < step_count; i++) {
                while (!receive(&clients[i], 0)) {}
            }
        }
        done += wave;
    }
    return done;
}

// MARK: echo

static uint8_t *message, *sink;
static int message_size;

/// Sends what is to be sent of the window. A message is whole in `message`.
static void push(struct client *c) {
    while (c->to_send > 0) {
        ssize_t n = send(c->fd, message + message_size - c->unsent, (size_t)c->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            if (!c->is_blocked) { watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT); }
            c->is_blocked = 1;
            return;
        }
        if (n < 0) { fail("send"); }
        c->unsent -= n;
        if (c->unsent > 0) { continue; }
        c->unsent = message_size;
        c->to_send--;
    }
    if (c->is_blocked) { watch(c, EPOLL_CTL_MOD, EPOLLIN); }
    c->is_blocked = 0;
}

/// A whole window of small frames in one send, where the window is free.
static void push_many(struct client *c, const uint8_t *window) {
    ssize_t size = (ssize_t)c->to_send * message_size;
    if (c->unsent != message_size || size > 1 << 20) {
        push(c);
        return;
    }
    ssize_t n = send(c->fd, window, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) { fail("send"); }
    if (n < 0) { n = 0; }
    c->to_send -= (int)(n / message_size);
    if (n % message_size > 0) { c->unsent = message_size - n % message_size; }
    push(c);
}

static void greet(struct client *c) {
    uint8_t hello[36] = { 0, 0, 0, 32, 1 }, answer[36];
    if (send(c->fd, hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) { fail("send"); }
    if (recv(c->fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer) { fail("the hello's answer"); }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void run_echo(int links, int window, int size, int64_t messages) {
    struct epoll_event events[EVENTS];
    message_size = 4 + size;
    int many = window * (int64_t)message_size <= 1 << 20 ? window : 1;
    message = calloc(1, (size_t)many * (size_t)message_size);
    for (int i = 0; i < many; i++) {
        uint32_t length = htonl((uint32_t)size);
        memcpy(message + (size_t)i * (size_t)message_size, &length, 4);
        message[(size_t)i * (size_t)message_size + 4] = 3;
    }
    sink = malloc(1 << 20);
    for (int i = 0; i < links; i++) {
        clients[i].fd = connect_from(0);
        greet(&clients[i]);
        watch(&clients[i], EPOLL_CTL_ADD, EPOLLIN);
    }
    int is_latency = links == 1 && window == 1;
    double *latencies = is_latency ? malloc((size_t)messages * sizeof *latencies) : NULL;
    begin();
    double started_at = now();
    int64_t asked = 0, answered = 0;
    for (int i = 0; i < links; i++) {
        struct client *c = &clients[i];
        c->unsent = message_size;
        c->to_send = window;
        asked += window;
        c->sent_at = now();
        push_many(c, message);
    }
    while (answered < messages) {
        for (int i = wait_events(events) - 1; i >= 0; i--) {
            struct client *c = events[i].data.ptr;
            if ((events[i].events & EPOLLIN) != 0) {
                ssize_t n = recv(c->fd, sink, 1 << 20, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN)) { fail("the server closed early"); }
                if (n < 0) { n = 0; }
                c->received += n;
                int64_t whole = c->received / message_size;
                c->received %= message_size;
                if (is_latency && whole > 0) { latencies[answered] = now() - c->sent_at; }
                answered += whole;
                for (; whole > 0 && asked < messages; whole--) {
                    asked++;
                    c->to_send++;
                }
                c->sent_at = is_latency ? now() : 0;
            }
            if (c->to_send > 0 || c->is_blocked) { push_many(c, message); }
        }
    }
    double seconds = now() - started_at;
    printf("{\"seconds\": %.6f, \"messages\": %ld, \"bytes\": %ld", seconds, (long)answered, (long)(answered * message_size));
    if (is_latency) {
        qsort(latencies, (size_t)answered, sizeof *latencies, compare);
        printf(
            ", \"p50_us\": %.2f, \"p99_us\": %.2f", latencies[answered / 2] * 1e6, latencies[answered * 99 / 100] * 1e6
        );
    }
    puts("}");
}

// MARK: idle

/// The server's own ping becomes its answer, in place. Anything else is none: 0.
static int becomes_pong(uint8_t *frame) {
    if (is_bitcoin) {
        if (memcmp(frame + 4, "ping", 5) != 0) { return 0; }
        frame[5] = 'o';
        return 1;
    }
    // The compared protocol's kind, or the native dialect's number.
    if (step_count == 0 ? frame[4] != 2 : memcmp(frame + 4, "\x24\0\0\0", 4) != 0) { return 0; }
    frame[4] = step_count == 0 ? 0x82 : 0x25;
    return 1;
}

static void ping_all(int links) {
    uint8_t ping[12] = { 0, 0, 0, 8, 2 }, answer[12];
    for (int start = 0; start < links; start += 256) {
        int end = start + 256 < links ? start + 256 : links;
        for (int i = start; i < end; i++) {
            if (send(clients[i].fd, ping, sizeof ping, MSG_NOSIGNAL) != sizeof ping) { fail("ping"); }
        }
        for (int i = start; i < end; i++) {
            do {
                if (recv(clients[i].fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer) { fail("pong"); }
                // The server's own ping came first.
            } while (becomes_pong(answer) && send(clients[i].fd, answer, sizeof answer, MSG_NOSIGNAL) == sizeof answer);
        }
    }
}

/// Takes what came on an idle link, and answers pings as a peer does. What else comes is dropped.
static void attend(struct client *c) {
    ssize_t n = recv(c->fd, c->bytes + c->have, (size_t)(BUFFER - c->have), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) { return; }
    if (n <= 0) { fail(n == 0 ? "the server closed an idle link" : "recv"); }
    c->have += (int)n;
    int at = 0;
    while (c->have - at >= header_size()) {
        int64_t whole = whole_frame(c->bytes + at);
        if (whole > BUFFER) { fail("an idle link's frame is too long"); }
        if (c->have - at < whole) { break; }
        if (becomes_pong(c->bytes + at)) {
            if (send(c->fd, c->bytes + at, (size_t)whole, MSG_NOSIGNAL) != whole) { fail("pong"); }
            c->sent_at = now();
        }
        at += (int)whole;
    }
    c->have -= at;
    memmove(c->bytes, c->bytes + at, (size_t)c->have);
}

static void ask(struct client *c) {
    uint8_t ping[12] = { 0, 0, 0, 8, 2 };
    struct step *last = step_count > 0 ? &steps[step_count - 1] : NULL;
    const uint8_t *bytes = last != NULL ? last->send : ping;
    size_t count = last != NULL ? (size_t)last->send_count : sizeof ping;
    if (send(c->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) { fail("an idle link is gone"); }
    c->sent_at = now();
}

/// Peers between two commands: they answer pings; who has said nothing for a minute gives a sign of life; and after `talk SECONDS`
/// each pings as often, one after the other at even distances.
static void stay_alive(int links, double interval) {
    struct epoll_event events[EVENTS];
    struct pollfd input[2] = { { .fd = 0, .events = POLLIN }, { .fd = epfd, .events = POLLIN } };
    double next_look = now() + 20, next_ping = now();
    int turn = 0;
    while (1) {
        double until = interval > 0 && next_ping < next_look ? next_ping : next_look, left = until - now();
        struct timespec wait = { .tv_sec = left > 0 ? (time_t)left : 0 };
        wait.tv_nsec = left > 0 ? (long)((left - (double)wait.tv_sec) * 1e9) : 0;
        if (ppoll(input, 2, &wait, NULL) < 0 && errno != EINTR) { fail("ppoll"); }
        if (input[0].revents != 0) { return; }
        if (input[1].revents != 0) {
            for (int i = epoll_wait(epfd, events, EVENTS, 0) - 1; i >= 0; i--) { attend(events[i].data.ptr); }
        }
        while (interval > 0 && links > 0 && now() >= next_ping) {
            ask(&clients[turn++ % links]);
            next_ping += interval / links;
        }
        if (now() < next_look) { continue; }
        next_look += 20;
        for (int i = 0; i < links; i++) {
            if (now() - clients[i].sent_at > 60) { ask(&clients[i]); }
        }
    }
}

/// `rate` links a second: what each of them does regularly then is as evenly spread.
static void run_idle(int links, int rate, int addresses) {
    char line[256];
    double interval = 0, started_at = now();
    // A line a command: nothing must wait in a buffer of ours that poll does not see.
    setvbuf(stdin, NULL, _IONBF, 0);
    for (int i = 0; i < links; i++) {
        struct client *c = &clients[i];
        c->fd = connect_from(addresses > 0 ? 1 + i % addresses : 0);
        // Numbers behind those of concurrent cycles.
        c->number = 1024 + i;
        if (step_count == 0) { greet(c); }
        for (c->step = 0; c->step < step_count; c->step++) {
            say(c);
            while (!receive(c, 0)) {}
        }
        c->sent_at = now();
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
        while (rate > 0 && now() < started_at + (double)i / rate) { usleep(500); }
    }
    begin();
    while (1) {
        stay_alive(links, interval);
        if (!read_line(line, sizeof line)) { break; }
        if (strncmp(line, "cut", 3) == 0) {
            for (int i = 0; i < links; i++) { close(clients[i].fd); }
            links = 0;
        } else if (sscanf(line, "talk %lf", &interval) != 1) {
            ping_all(links);
        }
        puts("done");
        fflush(stdout);
    }
    exit(0);
}

static int usage(void) {
    fprintf(stderr, "usage: load cycle|waves PORT CYCLES CONCURRENT be32|bitcoin SEND:AWAIT...\n");
    fprintf(stderr, "       load echo PORT LINKS WINDOW SIZE MESSAGES | load idle PORT LINKS[/RATE] ADDRESSES [CUT STEP...]\n");
    return 64;
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    if (count < 4) { return usage(); }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    clients = calloc(20000, sizeof *clients);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    port = atoi(arguments[2]);
    const char *what = arguments[1];
    if (strcmp(what, "idle") == 0 && count > 4) {
        if (count > 6) { parse_steps(arguments + 5, count - 5); }
        const char *rate = strchr(arguments[3], '/');
        run_idle(atoi(arguments[3]), rate != NULL ? atoi(rate + 1) : 0, atoi(arguments[4]));
    }
    if (strcmp(what, "echo") == 0 && count == 7) {
        run_echo(atoi(arguments[3]), atoi(arguments[4]), atoi(arguments[5]), atoll(arguments[6]));
    } else if (count >= 7 && (strcmp(what, "cycle") == 0 || strcmp(what, "waves") == 0)) {
        parse_steps(arguments + 5, count - 5);
        begin();
        int pid = 0;
        if (what[0] == 'w' && scanf("%d", &pid) != 1) { return usage(); }
        double started_at = now();
        int64_t cycles = atoll(arguments[3]);
        int64_t done = pid > 0 ? run_waves(cycles, atoi(arguments[4]), pid) : run_cycles(cycles, atoi(arguments[4]));
        printf("{\"seconds\": %.6f, \"cycles\": %ld}\n", now() - started_at, (long)done);
    } else {
        return usage();
    }
    fflush(stdout);
    wait_for_line();
    return 0;
}
