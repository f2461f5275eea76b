// Makes connection churn, from a process of its own. A cycle is: connect, send a hello of 32 bytes, await the reply of 32,
// send a ping of 8, await the pong of 8, close. Speaks to 127.0.0.1 alone.
//
//   churn-load free PORT CYCLES CONCURRENT           as fast as it goes, so many cycles in flight; prints cycles a second
//   churn-load step CYCLES CONCURRENT COMMAND...     starts COMMAND and takes turns with it: see `run_steps`
//
// Ends with 0 when all cycles are done, with 1 and a line that says why if one of them fails.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = 32, PING = 8, MAX_CONCURRENT = 1024 };

struct client {
    int fd;
    /// Bytes of the answer that is awaited, and of it received.
    int wanted, have;
};

static struct client clients[MAX_CONCURRENT];
static int epfd;
static struct sockaddr_in server;

static void fail(const char *what) {
    fprintf(stderr, "churn-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void aim(int port) {
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)port);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void ask(struct client *c, int length) {
    char bytes[HELLO];
    memset(bytes, length, sizeof bytes);
    c->wanted = length;
    c->have = 0;
    if (send(c->fd, bytes, (size_t)length, MSG_NOSIGNAL) != length) { fail("send"); }
}

/// On loopback connect returns when the kernel has queued the connection, and send when it has queued the bytes.
static void start(struct client *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) { fail("socket"); }
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0) { fail("connect"); }
    ask(c, HELLO);
}

/// Takes what has arrived. Returns 1 when the awaited answer is whole.
static int receive(struct client *c) {
    char bytes[HELLO];
    ssize_t n = recv(c->fd, bytes, (size_t)(c->wanted - c->have), 0);
    if (n <= 0) { fail(n == 0 ? "the server closed early" : "recv"); }
    c->have += (int)n;
    return c->have == c->wanted;
}

// MARK: free

static void start_watched(struct client *c) {
    start(c);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &event) != 0) { fail("epoll_ctl"); }
}

static void run_free(long cycles, int concurrent) {
    static struct epoll_event events[MAX_CONCURRENT];
    struct timespec begin, end;
    long started = 0, done = 0;
    epfd = epoll_create1(EPOLL_CLOEXEC);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (started < cycles && started < concurrent) { start_watched(&clients[started++]); }
    while (done < cycles) {
        int n = epoll_wait(epfd, events, MAX_CONCURRENT, 60000);
        if (n == 0) { errno = ETIMEDOUT; }
        if (n <= 0 && errno != EINTR) { fail("epoll_wait"); }
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!receive(c)) { continue; }
            if (c->wanted == HELLO) {
                ask(c, PING);
                continue;
            }
            close(c->fd);
            done++;
            if (started < cycles) {
                started++;
                start_watched(c);
            }
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%ld cycles in %.2f s: %.0f a second\n", cycles, seconds, (double)cycles / seconds);
}

// MARK: step

static int turn_out, turn_in;

/// Lets the server handle `count` messages or ends, and waits until it has.
static void let(int count) {
    uint32_t word = (uint32_t)count;
    if (write(turn_out, &word, sizeof word) != sizeof word) { fail("the server is gone"); }
    if (read(turn_in, &word, sizeof word) != sizeof word) { fail("the server is gone"); }
}

/// Client and server take turns, so that what the server does depends on nothing but its code: all hellos are queued
/// before it runs, then all pings, then all ends. Two runs of the same length count the same, on any machine.
static void run_steps(long cycles, int concurrent) {
    for (long done = 0; done < cycles; done += concurrent) {
        int wave = cycles - done < concurrent ? (int)(cycles - done) : concurrent;
        for (int i = 0; i < wave; i++) { start(&clients[i]); }
        let(wave);
        for (int i = 0; i < wave; i++) {
            while (!receive(&clients[i])) {}
            ask(&clients[i], PING);
        }
        let(wave);
        for (int i = 0; i < wave; i++) {
            while (!receive(&clients[i])) {}
            close(clients[i].fd);
        }
        let(wave);
    }
}

/// Starts the server with our turns on its standard input and its own on its standard output. Its first word is its port.
static pid_t spawn(char **command) {
    int down[2], up[2];
    if (pipe(down) != 0 || pipe(up) != 0) { fail("pipe"); }
    pid_t pid = fork();
    if (pid < 0) { fail("fork"); }
    if (pid == 0) {
        dup2(down[0], 0);
        dup2(up[1], 1);
        close(down[0]);
        close(down[1]);
        close(up[0]);
        close(up[1]);
        execvp(command[0], command);
        fail(command[0]);
    }
    close(down[0]);
    close(up[1]);
    turn_out = down[1];
    turn_in = up[0];
    uint32_t port;
    if (read(turn_in, &port, sizeof port) != sizeof port) { fail("the server did not start"); }
    aim((int)port);
    return pid;
}

static int usage(void) {
    fprintf(stderr, "usage: churn-load free PORT CYCLES CONCURRENT\n");
    fprintf(stderr, "       churn-load step CYCLES CONCURRENT COMMAND...\n");
    return 64;
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    if (count < 5) { return usage(); }
    int steps = strcmp(arguments[1], "step") == 0;
    if (!steps && (strcmp(arguments[1], "free") != 0 || count != 5)) { return usage(); }
    long cycles = atol(arguments[steps ? 2 : 3]);
    int concurrent = atoi(arguments[steps ? 3 : 4]);
    if (cycles < 1 || concurrent < 1 || concurrent > MAX_CONCURRENT) { return usage(); }
    if (!steps) {
        aim(atoi(arguments[2]));
        run_free(cycles, concurrent);
        return 0;
    }
    pid_t pid = spawn(arguments + 4);
    run_steps(cycles, concurrent);
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0) { fail("the server ended badly"); }
    return 0;
}
