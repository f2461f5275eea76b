// What Swift has no word for: asking for a cache line before it is needed. No state, no policy; the address need not be valid.

#ifndef CPREFETCH_H
#define CPREFETCH_H

#include <stdint.h>

/// Asks for `lines` cache lines from `address` on, to be read and written soon. Waits for nothing and cannot fail.
static inline void cprefetch(uintptr_t address, int lines) {
    for (int line = 0; line < lines; line++) __builtin_prefetch((const void *)(address + (uintptr_t)line * 64), 1, 3);
}

#endif
