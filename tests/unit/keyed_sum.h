// The keyed sum of the tests of proofs.
#pragma once

#include "proto/cluster/member.h"

// A keyed sum that depends on each byte and its place: stands in for HMAC-SHA-256, which
// is tests/unit/test_hmac.c's.
static void keyed_sum(const u8 key[MEMBER_KEY], const void *bytes, u32 len, u8 mac[MEMBER_MAC]) {
    u64 h = 0xcbf29ce484222325ull;
    const u8 *from = bytes;
    for (u32 i = 0; i < MEMBER_KEY; i++) h = (h ^ key[i]) * 0x100000001b3ull;
    for (u32 i = 0; i < len; i++) h = (h ^ from[i]) * 0x100000001b3ull;
    for (u32 i = 0; i < MEMBER_MAC; i++) {
        h = (h ^ i) * 0x100000001b3ull;
        mac[i] = (u8)(h >> 32);
    }
}
