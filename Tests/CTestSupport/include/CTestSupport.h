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

#endif
