// Thin wrappers over the system calls that the library makes: each returns its result or -errno, so that errno is never
// read after another call. No state, no policy. The header must not define _GNU_SOURCE: it clashes with Foundation;
// what needs it lives in CEpoll.c.
#ifndef CEPOLL_H
#define CEPOLL_H

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CEPOLL_RESULT(call) __extension__({ long cepoll_n = (long)(call); cepoll_n >= 0 ? cepoll_n : -(long)errno; })

// A call that the fault table of a test build may answer in the kernel's stead; ASK_N: of so many bytes, or fewer if it
// says so. In every other build there is no table: these are the plain calls.
#ifdef CEPOLL_FAULTS
#include "../faults/CEpollFaults.h"
#else
#define CEPOLL_ASK(kind, fd, call) CEPOLL_RESULT(call)
#define CEPOLL_ASK_N(kind, fd, length, call) CEPOLL_RESULT(call)
#define CEPOLL_ASK_EVENTS(kind, events, capacity, timeout, call) (int)CEPOLL_RESULT(call)
#define CEPOLL_ASK_PIECES(kind, fd, message, call) CEPOLL_RESULT(call)
#define CEPOLL_CLOCK_SHIFT 0
#define CEPOLL_NOSIGNAL MSG_NOSIGNAL
#endif

// MARK: epoll

static const uint32_t CEPOLL_IN = EPOLLIN;
static const uint32_t CEPOLL_OUT = EPOLLOUT;
static const uint32_t CEPOLL_PRI = EPOLLPRI;
static const uint32_t CEPOLL_ERR = EPOLLERR;
static const uint32_t CEPOLL_HUP = EPOLLHUP;
static const uint32_t CEPOLL_RDHUP = EPOLLRDHUP;
static const uint32_t CEPOLL_ET = 1u << 31;
static const int32_t CEPOLL_ADD = EPOLL_CTL_ADD;
static const int32_t CEPOLL_MOD = EPOLL_CTL_MOD;
static const int32_t CEPOLL_DEL = EPOLL_CTL_DEL;

/// `struct epoll_event` with its 64 bits of data read as a slot and its generation. Every field is of four bytes, so that
/// the layout needs no packing where the kernel's is packed.
typedef struct {
    uint32_t events;
#ifndef __x86_64__
    uint32_t padding;
#endif
    uint32_t slot;
    uint32_t generation;
} cepoll_event;

_Static_assert(sizeof(cepoll_event) == sizeof(struct epoll_event), "layout of epoll_event");
_Static_assert(offsetof(cepoll_event, slot) == offsetof(struct epoll_event, data), "layout of epoll_event");

/// A new epoll descriptor, CLOEXEC.
static inline int cepoll_create(void) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_EPOLL, -1, epoll_create1(EPOLL_CLOEXEC));
}

/// ADD, MOD or DEL. Returns 0 or -errno.
static inline int cepoll_control(int epfd, int operation, int fd, uint32_t events, uint32_t slot, uint32_t generation) {
    cepoll_event event = { .events = events, .slot = slot, .generation = generation };
    struct epoll_event raw;
    memcpy(&raw, &event, sizeof raw);
    return (int)CEPOLL_ASK(CEPOLL_CALL_CONTROL + operation, fd, epoll_ctl(epfd, operation, fd, &raw));
}

// The C library's own epoll_pwait2 (glibc 2.35), or the system call itself: musl and an older glibc have no function for it.
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 35)
#define CEPOLL_HAS_PWAIT2
#endif
#endif

#ifndef CEPOLL_HAS_PWAIT2
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
_Static_assert(sizeof(struct timespec) == 16, "the kernel's timespec has two fields of 64 bits");

/// syscall(2), which only _DEFAULT_SOURCE declares, by a name of our own.
long cepoll_syscall(long number, ...) __asm__("syscall");
#endif

static inline int cepoll_pwait2(int epfd, struct epoll_event *events, int capacity, const struct timespec *timeout) {
#ifdef CEPOLL_HAS_PWAIT2
    return epoll_pwait2(epfd, events, capacity, timeout, NULL);
#else
    return (int)cepoll_syscall(SYS_epoll_pwait2, (long)epfd, events, (long)capacity, timeout, (void *)NULL, 0L);
#endif
}

/// Waits for readiness, at most `timeout` nanoseconds; a negative timeout waits for ever. Returns the number of events, 0 at
/// the timeout, or -errno. `events` must be aligned to 8 bytes.
static inline int cepoll_wait(int epfd, cepoll_event *events, int capacity, int64_t timeout) {
    struct timespec span = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    return CEPOLL_ASK_EVENTS(
        CEPOLL_CALL_WAIT, events, capacity, timeout,
        cepoll_pwait2(epfd, (struct epoll_event *)(void *)events, capacity, timeout < 0 ? NULL : &span)
    );
}

/// The same by epoll_wait, for kernels (before 5.11) and tools that have no epoll_pwait2: whole milliseconds, rounded up.
static inline int cepoll_wait_coarse(int epfd, cepoll_event *events, int capacity, int64_t timeout) {
    int milliseconds = timeout < 0 ? -1 : (int)((timeout + 999999) / 1000000);
    return CEPOLL_ASK_EVENTS(
        CEPOLL_CALL_WAIT_COARSE, events, capacity, milliseconds,
        epoll_wait(epfd, (struct epoll_event *)(void *)events, capacity, milliseconds)
    );
}

/// Blocks the calling thread for `nanoseconds`, less than a second; a signal ends the wait early.
static inline void cepoll_pause(int64_t nanoseconds) {
    struct timespec span = { .tv_sec = 0, .tv_nsec = nanoseconds };
    (void)nanosleep(&span, NULL);
}

/// A new eventfd, CLOEXEC and non-blocking.
static inline int cepoll_eventfd(void) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_EVENTFD, -1, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/// Adds one to an eventfd. Returns 0 or -errno.
static inline int cepoll_eventfd_add(int fd) {
    uint64_t one = 1;
    long n = CEPOLL_ASK(CEPOLL_CALL_EVENTFD_ADD, fd, write(fd, &one, sizeof one));
    return n >= 0 ? 0 : (int)n;
}

/// Takes what was added to a non-blocking eventfd. Returns 0, or -errno (-EAGAIN if it is zero).
static inline int cepoll_eventfd_take(int fd) {
    uint64_t value;
    return read(fd, &value, sizeof value) == (ssize_t)sizeof value ? 0 : -errno;
}


// MARK: signals

/// A new signalfd for the `count` signals given, CLOEXEC and non-blocking. Blocks nothing: see `cepoll_signals_block`.
static inline int cepoll_signalfd(const int *signals, int count) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) != 0) { return -errno; }
    }
    return (int)CEPOLL_RESULT(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// Blocks (or unblocks) the signals for the calling thread and those that it will start. Returns 0 or -errno.
static inline int cepoll_signals_block(const int *signals, int count, int block) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) != 0) { return -errno; }
    }
    return -pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/// Takes one signal from a signalfd. Returns its number or -errno (-EAGAIN if none is pending).
static inline int cepoll_signalfd_take(int fd) {
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof info);
    if (n < 0) { return -errno; }
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : -EIO;
}

static const int32_t CEPOLL_SIGHUP = SIGHUP;
static const int32_t CEPOLL_SIGINT = SIGINT;
static const int32_t CEPOLL_SIGTERM = SIGTERM;
static const int32_t CEPOLL_SIGPIPE = SIGPIPE;
static const int32_t CEPOLL_SIGUSR1 = SIGUSR1;
static const int32_t CEPOLL_SIGUSR2 = SIGUSR2;

// MARK: addresses

/// An address and a port as plain numbers in the host's order. IPv4: `low` holds the four bytes.
typedef struct {
    uint64_t high;
    uint64_t low;
    uint16_t port;
    /// 4, 6, or 0 for a family that is neither.
    uint16_t family;
} cepoll_address;

static inline socklen_t cepoll_address_pack(const cepoll_address *address, struct sockaddr_storage *raw) {
    memset(raw, 0, sizeof *raw);
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)raw;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        v4->sin_addr.s_addr = htonl((uint32_t)address->low);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)raw;
    uint64_t halves[2] = { htobe64(address->high), htobe64(address->low) };
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    memcpy(&v6->sin6_addr, halves, sizeof halves);
    return sizeof *v6;
}

static inline cepoll_address cepoll_address_unpack(const struct sockaddr_storage *raw) {
    cepoll_address address = { 0 };
    if (raw->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)raw;
        address.family = 4;
        address.port = ntohs(v4->sin_port);
        address.low = ntohl(v4->sin_addr.s_addr);
    } else if (raw->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)raw;
        uint64_t halves[2];
        memcpy(halves, &v6->sin6_addr, sizeof halves);
        address.family = 6;
        address.port = ntohs(v6->sin6_port);
        address.high = be64toh(halves[0]);
        address.low = be64toh(halves[1]);
    }
    return address;
}

// MARK: sockets

/// A new TCP socket of family 4 or 6, CLOEXEC and non-blocking from birth.
static inline int cepoll_tcp(int family) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_SOCKET, -1, socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// A connected pair of stream sockets, CLOEXEC and non-blocking. Returns 0 or -errno.
static inline int cepoll_pair(int *first, int *second) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) { return -errno; }
    *first = pair[0];
    *second = pair[1];
    return 0;
}

static inline int cepoll_bind(int fd, cepoll_address address) {
    struct sockaddr_storage raw;
    socklen_t length = cepoll_address_pack(&address, &raw);
    return (int)CEPOLL_ASK(CEPOLL_CALL_BIND, fd, bind(fd, (struct sockaddr *)&raw, length));
}

static inline int cepoll_listen(int fd, int backlog) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_LISTEN, fd, listen(fd, backlog));
}

/// Returns 0 if connected at once, -EINPROGRESS, or another -errno.
static inline int cepoll_connect(int fd, cepoll_address address) {
    struct sockaddr_storage raw;
    socklen_t length = cepoll_address_pack(&address, &raw);
    return (int)CEPOLL_ASK(CEPOLL_CALL_CONNECT, fd, connect(fd, (struct sockaddr *)&raw, length));
}

/// accept4(2), which only _GNU_SOURCE declares, by a name of our own.
int cepoll_accept4(int fd, void *address, socklen_t *length, int flags) __asm__("accept4");

/// accept4(2) with CLOEXEC and NONBLOCK; `remote` is filled in on success. Returns the descriptor or -errno.
int cepoll_accept(int fd, cepoll_address *remote);

/// The same, without asking for the address.
static inline int cepoll_accept_unnamed(int fd) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_ACCEPT, fd, cepoll_accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

/// The socket's own address. Returns 0 or -errno.
static inline int cepoll_local(int fd, cepoll_address *address) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    long result = CEPOLL_ASK(CEPOLL_CALL_LOCAL, fd, getsockname(fd, (struct sockaddr *)&raw, &length));
    if (result < 0) { return (int)result; }
    *address = cepoll_address_unpack(&raw);
    return 0;
}

/// The address of the socket's other end. Returns 0 or -errno.
static inline int cepoll_remote(int fd, cepoll_address *address) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    long result = CEPOLL_ASK(CEPOLL_CALL_REMOTE, fd, getpeername(fd, (struct sockaddr *)&raw, &length));
    if (result < 0) { return (int)result; }
    *address = cepoll_address_unpack(&raw);
    return 0;
}

/// Takes the socket's pending error: 0 or -errno, whether it is the socket's or the call's own. Reading clears it.
static inline int cepoll_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    long result = CEPOLL_ASK(CEPOLL_CALL_SOCKET_ERROR, fd, getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
    return result < 0 ? (int)result : -error;
}

static inline int cepoll_option(int fd, int level, int name, int value) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_OPTION, fd, setsockopt(fd, level, name, &value, sizeof value));
}

static inline int cepoll_option_read(int fd, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) == 0 ? value : -errno;
}

static inline int cepoll_set_reuse_address(int fd, int on) { return cepoll_option(fd, SOL_SOCKET, SO_REUSEADDR, on); }
/// A later bind to port 0 leaves the choice of the port to connect. Returns 0 or -errno.
static inline int cepoll_set_bind_address_no_port(int fd, int on) { return cepoll_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, on); }
static inline int cepoll_set_v6_only(int fd, int on) { return cepoll_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, on); }
static inline int cepoll_set_no_delay(int fd, int on) { return cepoll_option(fd, IPPROTO_TCP, TCP_NODELAY, on); }
static inline int cepoll_no_delay(int fd) { return cepoll_option_read(fd, IPPROTO_TCP, TCP_NODELAY); }
static inline int cepoll_set_send_buffer(int fd, int bytes) { return cepoll_option(fd, SOL_SOCKET, SO_SNDBUF, bytes); }
static inline int cepoll_send_buffer(int fd) { return cepoll_option_read(fd, SOL_SOCKET, SO_SNDBUF); }
static inline int cepoll_set_receive_buffer(int fd, int bytes) { return cepoll_option(fd, SOL_SOCKET, SO_RCVBUF, bytes); }
static inline int cepoll_receive_buffer(int fd) { return cepoll_option_read(fd, SOL_SOCKET, SO_RCVBUF); }

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up; 0 leaves it to the system.
static inline int cepoll_set_user_timeout(int fd, int milliseconds) {
    return cepoll_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}
static inline int cepoll_user_timeout(int fd) { return cepoll_option_read(fd, IPPROTO_TCP, TCP_USER_TIMEOUT); }

/// TCP keepalive: first probe after `idle` seconds, then every `interval`, given up after `count`.
static inline int cepoll_set_keepalive(int fd, int idle, int interval, int count) {
    int result = cepoll_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (result == 0) { result = cepoll_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle); }
    if (result == 0) { result = cepoll_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval); }
    if (result == 0) { result = cepoll_option(fd, IPPROTO_TCP, TCP_KEEPCNT, count); }
    return result;
}
static inline int cepoll_keepalive(int fd) { return cepoll_option_read(fd, SOL_SOCKET, SO_KEEPALIVE); }
static inline int cepoll_keepalive_idle(int fd) { return cepoll_option_read(fd, IPPROTO_TCP, TCP_KEEPIDLE); }

/// SO_LINGER. Zero seconds means that close sends a reset and drops what is queued.
static inline int cepoll_set_linger(int fd, int on, int seconds) {
    struct linger value = { .l_onoff = on, .l_linger = seconds };
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value) == 0 ? 0 : -errno;
}

// MARK: bytes

/// Returns the number of bytes received, 0 at the end of the stream, or -errno.
static inline ssize_t cepoll_recv(int fd, void *buffer, size_t length) {
    return CEPOLL_ASK_N(CEPOLL_CALL_RECV, fd, length, recv(fd, buffer, length, 0));
}

/// Like `cepoll_recv`, but leaves the bytes where they are.
static inline ssize_t cepoll_peek(int fd, void *buffer, size_t length) {
    return CEPOLL_RESULT(recv(fd, buffer, length, MSG_PEEK));
}

/// Returns the number of bytes that the kernel took, or -errno. Never raises SIGPIPE.
static inline ssize_t cepoll_send(int fd, const void *buffer, size_t length) {
    return CEPOLL_ASK_N(CEPOLL_CALL_SEND, fd, length, send(fd, buffer, length, CEPOLL_NOSIGNAL));
}

/// Sends `count` pieces in one call, in order. Returns the number of bytes that the kernel took, or -errno. No SIGPIPE.
static inline ssize_t cepoll_send_pieces(int fd, const struct iovec *pieces, size_t count) {
    struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = count };
    return CEPOLL_ASK_PIECES(CEPOLL_CALL_SEND_PIECES, fd, &message, sendmsg(fd, &message, CEPOLL_NOSIGNAL));
}

static inline ssize_t cepoll_read(int fd, void *buffer, size_t length) {
    return CEPOLL_ASK_N(CEPOLL_CALL_READ, fd, length, read(fd, buffer, length));
}

static inline ssize_t cepoll_write(int fd, const void *buffer, size_t length) {
    return CEPOLL_ASK_N(CEPOLL_CALL_WRITE, fd, length, write(fd, buffer, length));
}

/// Ends the sending side: the peer reads the end of the stream after what is queued.
static inline int cepoll_shutdown_send(int fd) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_SHUTDOWN, fd, shutdown(fd, SHUT_WR));
}

/// Ends both sides.
static inline int cepoll_shutdown_both(int fd) {
    return shutdown(fd, SHUT_RDWR) == 0 ? 0 : -errno;
}

/// Closes. On Linux the descriptor is gone whatever is returned: never retry.
static inline int cepoll_close(int fd) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_CLOSE, fd, close(fd));
}

/// `size` bytes of zeroed memory in pages of their own, or NULL.
void *cepoll_pages(size_t size);

/// The same bytes in `larger` ones: the kernel moves the pages, nobody copies. NULL, and the old ones stay, if it cannot.
void *cepoll_pages_grow(void *pages, size_t size, size_t larger);

/// Gives pages back to the system.
void cepoll_pages_free(void *pages, size_t size);

/// Opens /dev/null, CLOEXEC: a descriptor that only holds its number. Returns it or -errno.
int cepoll_reserve(void);

/// Makes a descriptor that came from outside ours: non-blocking, and closed on exec. Returns 0 or -errno. O_NONBLOCK belongs to
/// the open file: whoever shares it sees the change.
int cepoll_adopt(int fd);

/// Makes the number `fd` mean what `replacement` means, CLOEXEC, and closes `replacement`. Returns 0 or -errno.
int cepoll_replace(int fd, int replacement);

/// Whether the descriptor is closed on exec: 1 or 0, or -errno.
int cepoll_is_close_on_exec(int fd);

// MARK: clocks, entropy, limits, threads

static inline uint64_t cepoll_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + CEPOLL_CLOCK_SHIFT;
}

/// Nanoseconds on CLOCK_MONOTONIC.
static inline uint64_t cepoll_monotonic(void) { return cepoll_clock(CLOCK_MONOTONIC); }

/// Nanoseconds since 1970.
static inline uint64_t cepoll_realtime(void) { return cepoll_clock(CLOCK_REALTIME); }

/// Nanoseconds since boot, sleep included.
static inline uint64_t cepoll_boottime(void) { return cepoll_clock(CLOCK_BOOTTIME); }

/// A descriptor that can be read when the system's clock was set, CLOEXEC and non-blocking. Returns it or -errno.
static inline int cepoll_clock_watch(void) {
    int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return fd >= 0 ? fd : -errno;
}

#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET (1 << 1)
#endif

/// Takes what a clock watch has told, and has it tell the next time. Returns 0 or -errno.
static inline int cepoll_clock_watch_again(int fd) {
    uint64_t count;
    // A timer that never ends; setting the clock cancels it.
    struct itimerspec never = { .it_value = { .tv_sec = (time_t)1 << 40 } };
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != ECANCELED) { return -errno; }
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0 ? 0 : -errno;
}

/// Fills a word with the system's entropy. Returns 0 or -errno.
static inline int cepoll_random(uint64_t *word) {
    for (;;) {
        ssize_t n = getrandom(word, sizeof *word, 0);
        if (n == (ssize_t)sizeof *word) { return 0; }
        if (n < 0 && errno != EINTR) { return -errno; }
    }
}

/// How many descriptors this process may hold: the soft and the hard limit. Returns 0 or -errno.
static inline int cepoll_descriptor_limit(uint64_t *soft, uint64_t *hard) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) { return -errno; }
    *soft = limit.rlim_cur;
    *hard = limit.rlim_max;
    return 0;
}

/// Sets the soft limit; the hard one stays. Returns 0 or -errno.
static inline int cepoll_set_descriptor_limit(uint64_t soft) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) { return -errno; }
    limit.rlim_cur = soft;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : -errno;
}

/// A word of a page of its own that reads 1 here and 0 in a child made by fork: the kernel wipes the page there. NULL if
/// there is no memory. On a kernel that cannot wipe (before 4.14) it reads 1 in the child, too.
uint32_t *cepoll_fork_mark(void);
void cepoll_fork_mark_free(uint32_t *mark);

/// A number that differs between the threads alive in this process; never 0.
uintptr_t cepoll_thread(void);

/// The system's words for an error number, written into `buffer` and ended by a zero byte.
void cepoll_error_text(int error, char *buffer, size_t length);

/// Blocks the calling thread until `fd` is readable, at most `milliseconds`; a negative number waits for ever. A signal does not
/// end the wait. Returns 1, 0 at the timeout, or -errno. For threads other than a loop's.
static inline int cepoll_poll_readable(int fd, int milliseconds) {
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    uint64_t end = cepoll_monotonic() + (uint64_t)(milliseconds > 0 ? milliseconds : 0) * 1000000u;
    for (;;) {
        int n = poll(&entry, 1, milliseconds);
        if (n >= 0) { return n; }
        if (errno != EINTR) { return -errno; }
        if (milliseconds <= 0) { continue; }
        // Rounded up, so that the last wait is not a spin.
        uint64_t now = cepoll_monotonic();
        milliseconds = now < end ? (int)((end - now + 999999u) / 1000000u) : 0;
    }
}

// MARK: error numbers

static const int32_t CEPOLL_EAGAIN = EAGAIN;
static const int32_t CEPOLL_EINTR = EINTR;
static const int32_t CEPOLL_EBADF = EBADF;
static const int32_t CEPOLL_EINVAL = EINVAL;
static const int32_t CEPOLL_EIO = EIO;
static const int32_t CEPOLL_ENOSYS = ENOSYS;
static const int32_t CEPOLL_EPIPE = EPIPE;
static const int32_t CEPOLL_EPERM = EPERM;
static const int32_t CEPOLL_ENOENT = ENOENT;
static const int32_t CEPOLL_EEXIST = EEXIST;
static const int32_t CEPOLL_EACCES = EACCES;
static const int32_t CEPOLL_EMFILE = EMFILE;
static const int32_t CEPOLL_ENFILE = ENFILE;
static const int32_t CEPOLL_ENOMEM = ENOMEM;
static const int32_t CEPOLL_ENOBUFS = ENOBUFS;
static const int32_t CEPOLL_ENOSPC = ENOSPC;
static const int32_t CEPOLL_ENOTSOCK = ENOTSOCK;
static const int32_t CEPOLL_ENOTCONN = ENOTCONN;
static const int32_t CEPOLL_EPROTO = EPROTO;
static const int32_t CEPOLL_ENOPROTOOPT = ENOPROTOOPT;
static const int32_t CEPOLL_EOPNOTSUPP = EOPNOTSUPP;
static const int32_t CEPOLL_ENONET = ENONET;
static const int32_t CEPOLL_ENETDOWN = ENETDOWN;
static const int32_t CEPOLL_ENETUNREACH = ENETUNREACH;
static const int32_t CEPOLL_EHOSTDOWN = EHOSTDOWN;
static const int32_t CEPOLL_EHOSTUNREACH = EHOSTUNREACH;
static const int32_t CEPOLL_ECONNABORTED = ECONNABORTED;
static const int32_t CEPOLL_ECONNRESET = ECONNRESET;
static const int32_t CEPOLL_ECONNREFUSED = ECONNREFUSED;
static const int32_t CEPOLL_ETIMEDOUT = ETIMEDOUT;
static const int32_t CEPOLL_EINPROGRESS = EINPROGRESS;
static const int32_t CEPOLL_EALREADY = EALREADY;
static const int32_t CEPOLL_ECANCELED = ECANCELED;
static const int32_t CEPOLL_EADDRINUSE = EADDRINUSE;
static const int32_t CEPOLL_EADDRNOTAVAIL = EADDRNOTAVAIL;
static const int32_t CEPOLL_EAFNOSUPPORT = EAFNOSUPPORT;

#endif
