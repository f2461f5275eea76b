// For syscall, which the C standard does not know.
#define _DEFAULT_SOURCE
#include "CTestSupport.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t ctest_thread(void) {
    return (pid_t)syscall(SYS_gettid);
}

pid_t ctest_fork(void) {
    return fork();
}

void ctest_trap_quietly(void) {
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
}
