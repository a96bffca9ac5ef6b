// CRC-32 by slicing-by-eight and the ICRC's masking. Called by packet.c and, through
// struct crc_ops, by the provider; the kernel may plug a faster pair. No state.
// Spec: IBTA Vol. 1 7.8.1, Annex A17.3.3; ISO 3309 polynomial 0x04c11db7, reflected.
#include "proto/roce/icrc.h"

#include "base/string.h"
#include "proto/roce/roce_wire.h"

// A CRC table is linear: the entry of n is the XOR of the entries of n's bits. So each
// of the eight tables is written as its eight powers of two (the CRC register after one
// such bit and 1..8 zero bytes), and the compiler makes the other entries.
#define BIT_OF(n, b, v) (((n) >> (b)) & 1 ? (v) : 0u)
#define ENTRY(n, a, b, c, d, e, f, g, h)                                                   \
    (BIT_OF(n, 0, a) ^ BIT_OF(n, 1, b) ^ BIT_OF(n, 2, c) ^ BIT_OF(n, 3, d) ^               \
     BIT_OF(n, 4, e) ^ BIT_OF(n, 5, f) ^ BIT_OF(n, 6, g) ^ BIT_OF(n, 7, h))
#define ROW4(n, ...) ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__),                   \
    ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define ROW16(n, ...) ROW4(n, __VA_ARGS__), ROW4((n) + 4, __VA_ARGS__),                    \
    ROW4((n) + 8, __VA_ARGS__), ROW4((n) + 12, __VA_ARGS__)
#define ROW64(n, ...) ROW16(n, __VA_ARGS__), ROW16((n) + 16, __VA_ARGS__),                 \
    ROW16((n) + 32, __VA_ARGS__), ROW16((n) + 48, __VA_ARGS__)
#define ROW256(...) {ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__),                        \
    ROW64(128, __VA_ARGS__), ROW64(192, __VA_ARGS__)}

static const u32 crc_table[8][256] = {
    ROW256(0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u,
           0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u),
    ROW256(0x191b3141u, 0x32366282u, 0x646cc504u, 0xc8d98a08u,
           0x4ac21251u, 0x958424a2u, 0xf0794f05u, 0x3b83984bu),
    ROW256(0x01c26a37u, 0x0384d46eu, 0x0709a8dcu, 0x0e1351b8u,
           0x1c26a370u, 0x384d46e0u, 0x709a8dc0u, 0xe1351b80u),
    ROW256(0xb8bc6765u, 0xaa09c88bu, 0x8f629757u, 0xc5b428efu,
           0x5019579fu, 0xa032af3eu, 0x9b14583du, 0xed59b63bu),
    ROW256(0x3d6029b0u, 0x7ac05360u, 0xf580a6c0u, 0x30704bc1u,
           0x60e09782u, 0xc1c12f04u, 0x58f35849u, 0xb1e6b092u),
    ROW256(0xcb5cd3a5u, 0x4dc8a10bu, 0x9b914216u, 0xec53826du,
           0x03d6029bu, 0x07ac0536u, 0x0f580a6cu, 0x1eb014d8u),
    ROW256(0xa6770bb4u, 0x979f1129u, 0xf44f2413u, 0x33ef4e67u,
           0x67de9cceu, 0xcfbd399cu, 0x440b7579u, 0x8816eaf2u),
    ROW256(0xccaa009eu, 0x4225077du, 0x844a0efau, 0xd3e51bb5u,
           0x7cbb312bu, 0xf9766256u, 0x299dc2edu, 0x533b85dau),
};

typedef u64 __attribute__((may_alias)) word_t;

static u32 crc_byte(u32 crc, u8 byte) { return crc_table[0][(crc ^ byte) & 255] ^ (crc >> 8); }

static u32 crc_word(u32 crc, u64 word) {
    u64 x = word ^ crc;
    return crc_table[7][x & 255] ^ crc_table[6][(x >> 8) & 255] ^
           crc_table[5][(x >> 16) & 255] ^ crc_table[4][(x >> 24) & 255] ^
           crc_table[3][(x >> 32) & 255] ^ crc_table[2][(x >> 40) & 255] ^
           crc_table[1][(x >> 48) & 255] ^ crc_table[0][x >> 56];
}

// Copies len_bytes from src to dst and returns the CRC register after them. Every byte of
// src is loaded once, and every aligned 8 bytes of it by one load, so that a word that
// another CPU stores meanwhile never tears and the CRC fits the bytes sent. Any
// alignment; the areas must not overlap.
u32 crc32_copy(u32 crc, void *dst, const void *src, size_t len_bytes) {
    const u8 *from = src;
    u8 *to = dst;
    while (len_bytes != 0 && ((uintptr_t)from & 7) != 0) {
        u8 byte = *(const volatile u8 *)from++;
        *to++ = byte;
        crc = crc_byte(crc, byte);
        len_bytes--;
    }
    for (; len_bytes >= 8; len_bytes -= 8, from += 8, to += 8) {
        u64 word = __atomic_load_n((const word_t *)(const void *)from, __ATOMIC_RELAXED);
        __builtin_memcpy(to, &word, 8);
        crc = crc_word(crc, word);
    }
    while (len_bytes-- != 0) {
        u8 byte = *(const volatile u8 *)from++;
        *to++ = byte;
        crc = crc_byte(crc, byte);
    }
    return crc;
}

// Returns the CRC register after len_bytes at data, which must not change meanwhile.
u32 crc32_update(u32 crc, const void *data, size_t len_bytes) {
    const u8 *from = data;
    for (; len_bytes >= 8; len_bytes -= 8, from += 8) {
        u64 word;
        __builtin_memcpy(&word, from, 8);
        crc = crc_word(crc, word);
    }
    if (len_bytes & 4) {
        u32 half;
        __builtin_memcpy(&half, from, 4);
        half ^= crc;
        crc = crc_table[3][half & 255] ^ crc_table[2][(half >> 8) & 255] ^
              crc_table[1][(half >> 16) & 255] ^ crc_table[0][half >> 24];
        from += 4;
    }
    for (len_bytes &= 3; len_bytes != 0; len_bytes--) crc = crc_byte(crc, *from++);
    return crc;
}

const struct crc_ops crc_ops_table = {crc32_copy, crc32_update};

#define HEADERS_LEN (IPV4_LEN + UDP_LEN + BTH_LEN)
#define LRH_LEN 8u                                     // the dummy LRH: ones
#define SHORT_MAX 120u

// The register after len_bytes (40 to SHORT_MAX) at ip: headers without IP options, then
// what follows them. What routers may change is taken as ones. One aligned copy and one
// call, since most packets are no longer than this. Spec: A17.3.3.
u32 icrc_headers(const struct crc_ops *crc, const u8 *ip, size_t len_bytes) {
    u8 all[LRH_LEN + SHORT_MAX] __attribute__((aligned(16)));
    u8 *masked = all + LRH_LEN;
    size_t at = HEADERS_LEN;
    __builtin_memset(all, 0xff, LRH_LEN);
    __builtin_memcpy(masked, ip, HEADERS_LEN);
    for (; at + 4 <= len_bytes; at += 4) __builtin_memcpy(masked + at, ip + at, 4);
    for (; at < len_bytes; at++) masked[at] = ip[at];
    masked[1] = 0xff;                                  // TOS
    masked[8] = 0xff;                                  // TTL
    masked[10] = masked[11] = 0xff;                    // IP checksum
    masked[IPV4_LEN + 6] = masked[IPV4_LEN + 7] = 0xff;   // UDP checksum
    masked[IPV4_LEN + UDP_LEN + 4] = 0xff;             // FECN, BECN, reserved
    return crc->update(~0u, all, LRH_LEN + len_bytes);
}

// The ICRC of len_bytes (at least 40) from the IP header up to but without the ICRC.
u32 icrc_compute(const struct crc_ops *crc, const u8 *ip, size_t len_bytes) {
    if (len_bytes <= SHORT_MAX) return ~icrc_headers(crc, ip, len_bytes);
    // So many bytes more that the rest is aligned.
    const size_t head = HEADERS_LEN + (size_t)(-(uintptr_t)(ip + HEADERS_LEN) & 15);
    return ~crc->update(icrc_headers(crc, ip, head), ip + head, len_bytes - head);
}

// Stores an ICRC where it goes on the wire: little-endian, unlike all else.
void icrc_store(u8 *at, u32 icrc) { __builtin_memcpy(at, &icrc, sizeof icrc); }

// Reads an ICRC from the wire.
u32 icrc_load(const u8 *at) {
    u32 icrc;
    __builtin_memcpy(&icrc, at, sizeof icrc);
    return icrc;
}
