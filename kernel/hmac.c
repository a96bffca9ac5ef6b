// HMAC-SHA-256 by BearSSL. Called by kernel/cluster_join.c; no lock, no memory kept.
// Spec: RFC 2104, FIPS 180-4.
#include "kernel/hmac.h"

#include <bearssl_hmac.h>

// The MAC of len_bytes bytes under a key of 32 bytes; 32 bytes into `mac`. Any context.
void hmac_sha256(const u8 key[32], const void *bytes, u32 len_bytes, u8 mac[32]) {
    br_hmac_key_context k;
    br_hmac_context h;
    br_hmac_key_init(&k, &br_sha256_vtable, key, 32);
    br_hmac_init(&h, &k, 0);
    br_hmac_update(&h, bytes, len_bytes);
    br_hmac_out(&h, mac);
}
