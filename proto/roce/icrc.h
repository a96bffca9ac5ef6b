// CRC-32 (Ethernet's, reflected) and the invariant CRC of RoCEv2 made of it.
#pragma once

#include "base/types.h"

// How the CRC is computed: table code here, or what the kernel plugs in (PCLMULQDQ).
// `crc` is the raw register, not inverted. copy reads src once, every aligned 8 bytes
// in one load, and both stores and sums what it read.
struct crc_ops {
    u32 (*copy)(u32 crc, void *dst, const void *src, size_t len_bytes);
    u32 (*update)(u32 crc, const void *data, size_t len_bytes);
};

extern const struct crc_ops crc_ops_table;    // slicing by eight; always works

#define ICRC_SEED 0xdebb20e3u                 // register after the dummy LRH's 8 x 0xff

u32 crc32_copy(u32 crc, void *dst, const void *src, size_t len_bytes);
u32 crc32_update(u32 crc, const void *data, size_t len_bytes);
// The register after the masked IPv4, UDP and BTH headers at `ip` (40 bytes).
u32 icrc_headers(const struct crc_ops *crc, const u8 *ip, size_t len_bytes);
// The whole ICRC, as the u32 to store little-endian, of `len_bytes` from the IP header
// up to but without the ICRC.
u32 icrc_compute(const struct crc_ops *crc, const u8 *ip, size_t len_bytes);
void icrc_store(u8 *at, u32 icrc);
u32 icrc_load(const u8 *at);
