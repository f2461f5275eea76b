// For syscall, which the C standard does not know.
#define _DEFAULT_SOURCE
#include "CTestSupport.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
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

static int forbid(int number, int error) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = sizeof program / sizeof program[0], .filter = program };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) { return -1; }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int ctest_forbid_fine_wait(int error) {
    return forbid(SYS_epoll_pwait2, error);
}

pid_t ctest_fork_holder(void) {
    pid_t child = fork();
    if (child != 0) { return child; }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) { pause(); }
}

pid_t ctest_fork_exec(const char *program, const char *argument, void (*before)(void)) {
    pid_t child = fork();
    if (child != 0) { return child; }
    if (before != NULL) { before(); }
    execlp(program, program, argument, (char *)NULL);
    _exit(127);
}
