// Thin wrappers over the system calls that the library makes: each returns its result or -errno, so that errno is never
// read after another call. No state, no policy. The header must not define _GNU_SOURCE: it clashes with Foundation.
#ifndef CEPOLL_H
#define CEPOLL_H

#endif
