// The header is the whole of this target, but for one thing: the functions are written in Swift, which checks them against it.
#define _GNU_SOURCE
#include "reactor.h"

#include <dlfcn.h>

// A library that was used cannot be unloaded: threads that called it end through the Swift runtime's destructors, which would be
// gone with it. As `-z nodelete`, for every way of building it.
__attribute__((constructor)) static void stay_loaded(void) {
    static const char here;
    Dl_info library;
    if (dladdr(&here, &library) != 0) { (void)dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE); }
}
