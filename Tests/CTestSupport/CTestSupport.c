#include "CTestSupport.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

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
