// Packet sequence numbers: 24 bits, compared by signed difference (IBTA 9.7.2).
#pragma once

#include "base/types.h"

#define PSN_MASK 0xffffffu

static inline u32 psn_add(u32 psn, u32 n) { return (psn + n) & PSN_MASK; }
// a - b in -2^23 .. 2^23-1.
static inline i32 psn_diff(u32 a, u32 b) { return (i32)((a - b) << 8) >> 8; }
// PSNs that a message of len_bytes takes at this path MTU: at least one.
static inline u32 psn_count(u64 len_bytes, u32 mtu_shift) {
    return len_bytes == 0 ? 1 : (u32)((len_bytes + (1u << mtu_shift) - 1) >> mtu_shift);
}
