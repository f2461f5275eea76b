// What tests need of the C library and Swift does not import.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

#include <sys/types.h>

/// gettid(2).
pid_t ctest_thread(void);

/// fork(2).
pid_t ctest_fork(void);

/// Ends the calling process by the trap's default action, without a backtrace and without a core.
void ctest_trap_quietly(void);

/// From now on epoll_pwait2 answers `error` in this process, as under a container's filter of system calls. Returns 0, or -1 if
/// the kernel has no such filters.
int ctest_forbid_fine_wait(int error);

/// A child that keeps the caller's descriptors and does nothing until it is killed or the caller's thread ends. Returns its number, or -1.
pid_t ctest_fork_holder(void);

/// A child that calls `before`, if there is one, and becomes `program` with one argument. Returns its number, or -1.
pid_t ctest_fork_exec(const char *program, const char *argument, void (*before)(void));

#endif
