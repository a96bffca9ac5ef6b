// Fixed-width integers, and one-field structs for the few integers that must
// never mix: physical addresses, and big-endian or little-endian wire words.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;

// A physical address of this machine, in bytes.
typedef struct { u64 v; } paddr_t;

static inline paddr_t paddr(u64 v) { return (paddr_t){v}; }

// Words in the byte order of the wire. A missing swap does not compile.
typedef struct { u16 v; } __attribute__((packed)) be16_t;
typedef struct { u32 v; } __attribute__((packed)) be32_t;
typedef struct { u64 v; } __attribute__((packed)) be64_t;
typedef struct { u8 b[3]; } be24_t;

static inline u16 be16_get(be16_t w) { return __builtin_bswap16(w.v); }
static inline u32 be32_get(be32_t w) { return __builtin_bswap32(w.v); }
static inline u64 be64_get(be64_t w) { return __builtin_bswap64(w.v); }
static inline u32 be24_get(be24_t w) {
    return ((u32)w.b[0] << 16) | ((u32)w.b[1] << 8) | w.b[2];
}
static inline be16_t be16(u16 v) { return (be16_t){__builtin_bswap16(v)}; }
static inline be32_t be32(u32 v) { return (be32_t){__builtin_bswap32(v)}; }
static inline be64_t be64(u64 v) { return (be64_t){__builtin_bswap64(v)}; }
static inline be24_t be24(u32 v) {
    return (be24_t){{(u8)(v >> 16), (u8)(v >> 8), (u8)v}};
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 is little-endian");
_Static_assert(sizeof(be16_t) == 2 && sizeof(be24_t) == 3, "wire words have no padding");
_Static_assert(sizeof(be32_t) == 4 && sizeof(be64_t) == 8, "wire words have no padding");
