// The wrappers that need _GNU_SOURCE, or a place of their own in memory.
#define _GNU_SOURCE
#include "CEpoll.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

int cepoll_accept(int fd, cepoll_address *remote) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    int accepted = (int)CEPOLL_ASK(
        CEPOLL_CALL_ACCEPT, fd, accept4(fd, (struct sockaddr *)&raw, &length, SOCK_CLOEXEC | SOCK_NONBLOCK)
    );
    if (accepted < 0) { return accepted; }
    *remote = cepoll_address_unpack(&raw);
    return accepted;
}

int cepoll_reserve(void) {
    return (int)CEPOLL_ASK(CEPOLL_CALL_RESERVE, -1, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

int cepoll_adopt(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) { return -errno; }
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int cepoll_replace(int fd, int replacement) {
    int result = dup3(replacement, fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(replacement);
    return result;
}

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

uint32_t *cepoll_fork_mark(void) {
    long size = sysconf(_SC_PAGESIZE);
    uint32_t *mark = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mark == MAP_FAILED) { return NULL; }
    (void)madvise(mark, (size_t)size, MADV_WIPEONFORK);
    *mark = 1;
    return mark;
}

void cepoll_fork_mark_free(uint32_t *mark) {
    munmap(mark, (size_t)sysconf(_SC_PAGESIZE));
}

int cepoll_is_close_on_exec(int fd) {
    int flags = fcntl(fd, F_GETFD);
    return flags < 0 ? -errno : (flags & FD_CLOEXEC) != 0;
}

uintptr_t cepoll_thread(void) {
    static _Thread_local char here;
    return (uintptr_t)&here;
}

// strerrordesc_np (glibc 2.32) neither translates nor shares a buffer; musl's strerror shares none either.
static const char *cepoll_error_words(int error, char *buffer, size_t length) {
#if !defined(__GLIBC_PREREQ)
    (void)buffer;
    (void)length;
    return strerror(error);
#elif __GLIBC_PREREQ(2, 32)
    (void)buffer;
    (void)length;
    return strerrordesc_np(error);
#else
    return strerror_r(error, buffer, length);
#endif
}

void cepoll_error_text(int error, char *buffer, size_t length) {
    char words[128];
    const char *text = cepoll_error_words(error, words, sizeof words);
    if (text != NULL) {
        snprintf(buffer, length, "%s", text);
    } else {
        snprintf(buffer, length, "error %d", error);
    }
}

void *cepoll_pages(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void *cepoll_pages_grow(void *pages, size_t size, size_t larger) {
    void *moved = mremap(pages, size, larger, MREMAP_MAYMOVE);
    return moved == MAP_FAILED ? NULL : moved;
}

void cepoll_pages_free(void *pages, size_t size) {
    (void)munmap(pages, size);
}
