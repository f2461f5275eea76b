// The one source of cryptography: libcrypto. Here: the double SHA-256 of Bitcoin's checksums, by the low-level functions.
// They are deprecated in OpenSSL 3, yet EVP allocates on every digest, and a checksum is taken of every message.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H

#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

/// The first four bytes, as they lie in memory, of SHA256(SHA256(bytes)). `bytes` may be NULL if `count` is 0.
static inline uint32_t copenssl_sha256d_prefix(const void *bytes, size_t count) {
    SHA256_CTX context;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_Init(&context);
    if (count > 0) SHA256_Update(&context, bytes, count);
    SHA256_Final(digest, &context);
    SHA256_Init(&context);
    SHA256_Update(&context, digest, sizeof digest);
    SHA256_Final(digest, &context);
    uint32_t prefix;
    __builtin_memcpy(&prefix, digest, sizeof prefix);
    return prefix;
}

#pragma clang diagnostic pop

#endif
