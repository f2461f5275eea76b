// The fault table of test builds: what stands between the wrappers and the kernel when a test wants a call to fail, to
// move fewer bytes, to be swallowed, or wants to see the exact sequence of calls. Included with -DCEPOLL_FAULTS only
// (REACTOR_FAULTS=1 in the manifest's environment); no other build has a symbol of it. One table a thread: tests that
// run beside each other do not meet.
#ifndef CEPOLL_FAULTS_H
#define CEPOLL_FAULTS_H

#include <stdint.h>
#include <sys/socket.h>

/// Which wrapper asks. CONTROL plus EPOLL_CTL_ADD, DEL or MOD (1, 2, 3) are three of them.
enum cepoll_call {
    CEPOLL_CALL_CONTROL = 0,
    CEPOLL_CALL_ADD = 1,
    CEPOLL_CALL_DEL = 2,
    CEPOLL_CALL_MOD = 3,
    CEPOLL_CALL_EPOLL,
    CEPOLL_CALL_WAIT,
    CEPOLL_CALL_WAIT_COARSE,
    CEPOLL_CALL_EVENTFD,
    CEPOLL_CALL_EVENTFD_ADD,
    CEPOLL_CALL_SOCKET,
    CEPOLL_CALL_BIND,
    CEPOLL_CALL_LISTEN,
    CEPOLL_CALL_CONNECT,
    CEPOLL_CALL_ACCEPT,
    CEPOLL_CALL_LOCAL,
    CEPOLL_CALL_REMOTE,
    CEPOLL_CALL_SOCKET_ERROR,
    CEPOLL_CALL_OPTION,
    CEPOLL_CALL_RECV,
    CEPOLL_CALL_SEND,
    CEPOLL_CALL_SEND_PIECES,
    CEPOLL_CALL_READ,
    CEPOLL_CALL_WRITE,
    CEPOLL_CALL_SHUTDOWN,
    CEPOLL_CALL_CLOSE,
    CEPOLL_CALL_RESERVE,
};

/// What a rule does to the calls that it meets.
enum cepoll_fault_effect {
    /// The kernel is not asked; the call answers `value` (a result, or -errno).
    CEPOLL_FAULT_ANSWERS,
    /// The kernel is asked for at most `value` bytes.
    CEPOLL_FAULT_LIMITS,
    /// Every event of a wait is stripped of the bits that `value` lacks.
    CEPOLL_FAULT_MASKS,
};

/// A rule of the table. The first that fits a call and is not used up applies.
typedef struct {
    int32_t call;
    /// The descriptor that it is for; -1 for any.
    int32_t fd;
    /// So many fitting calls pass first.
    int32_t after;
    /// Applies so often; -1: always.
    int32_t times;
    int32_t effect;
    int64_t value;
} cepoll_fault;

/// One call that was made, or answered by a rule.
typedef struct {
    int32_t call;
    int32_t fd;
    /// Bytes or events asked for, milliseconds or nanoseconds to wait; 0 where there is nothing to say.
    int64_t argument;
    int64_t result;
} cepoll_call_record;

/// This thread has an empty table from now on, and notes its calls.
void cepoll_faults_begin(void);
/// No table any more: the calls are the kernel's.
void cepoll_faults_end(void);
void cepoll_faults_add(cepoll_fault rule);
/// The next wait delivers this event first, as if the kernel had had it ready.
void cepoll_faults_add_event(uint32_t events, uint32_t slot, uint32_t generation);
/// The clocks are that much ahead.
void cepoll_faults_shift_clock(uint64_t nanoseconds);
/// A guard is left out, by the number of its trap, so that the trap can be seen to bite.
void cepoll_faults_leave_out(int trap);
int cepoll_faults_is_left_out(int trap);
/// How many calls were noted. The first 8,192 are kept.
int cepoll_faults_count(void);
cepoll_call_record cepoll_faults_record(int index);

// What the wrappers use.

/// Whether a rule answers, in `result`. Lowers `argument` if a rule limits it.
int cepoll_fault_meets(int call, int fd, int64_t *argument, int64_t *result);
int64_t cepoll_fault_note(int call, int fd, int64_t argument, int64_t result);
/// Whether the coming wait must not sleep, as there are events to deliver.
int cepoll_fault_has_events(void);
int cepoll_fault_deliver(void *events, int capacity, int count);
/// Shortens a message to `bytes`. The pieces are the caller's and stay as they are.
void cepoll_fault_clip(struct msghdr *message, int64_t bytes);
int64_t cepoll_fault_size(const struct msghdr *message);
uint64_t cepoll_fault_clock(void);

#define CEPOLL_ASK(kind, fd, call) __extension__({ \
    int64_t cepoll_argument = 0, cepoll_answer; \
    int cepoll_descriptor = (fd); \
    if (!cepoll_fault_meets((kind), cepoll_descriptor, &cepoll_argument, &cepoll_answer)) { cepoll_answer = CEPOLL_RESULT(call); } \
    (long)cepoll_fault_note((kind), cepoll_descriptor, cepoll_argument, cepoll_answer); \
})

#define CEPOLL_ASK_N(kind, fd, length, call) __extension__({ \
    int64_t cepoll_argument = (int64_t)(length), cepoll_answer; \
    int64_t cepoll_asked = cepoll_argument; \
    if (!cepoll_fault_meets((kind), (fd), &cepoll_argument, &cepoll_answer)) { \
        length = (size_t)cepoll_argument; \
        cepoll_answer = CEPOLL_RESULT(call); \
    } \
    (long)cepoll_fault_note((kind), (fd), cepoll_asked, cepoll_answer); \
})

#define CEPOLL_ASK_PIECES(kind, fd, message, call) __extension__({ \
    int64_t cepoll_argument = cepoll_fault_size(message), cepoll_answer; \
    int64_t cepoll_asked = cepoll_argument; \
    if (!cepoll_fault_meets((kind), (fd), &cepoll_argument, &cepoll_answer)) { \
        if (cepoll_argument < cepoll_asked) { cepoll_fault_clip((message), cepoll_argument); } \
        cepoll_answer = CEPOLL_RESULT(call); \
    } \
    (long)cepoll_fault_note((kind), (fd), cepoll_asked, cepoll_answer); \
})

#define CEPOLL_ASK_EVENTS(kind, events, capacity, timeout, call) __extension__({ \
    int64_t cepoll_argument = (int64_t)(timeout), cepoll_answer = 0; \
    int64_t cepoll_asked = cepoll_argument; \
    if (!cepoll_fault_meets((kind), -1, &cepoll_argument, &cepoll_answer) && !cepoll_fault_has_events()) { \
        cepoll_answer = CEPOLL_RESULT(call); \
    } \
    if (cepoll_answer >= 0) { cepoll_answer = cepoll_fault_deliver((events), (capacity), (int)cepoll_answer); } \
    (int)cepoll_fault_note((kind), -1, cepoll_asked, cepoll_answer); \
})

#define CEPOLL_CLOCK_SHIFT cepoll_fault_clock()
#define CEPOLL_NOSIGNAL (cepoll_faults_is_left_out(27) ? 0 : MSG_NOSIGNAL)

#endif
