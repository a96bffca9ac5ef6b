// Fields of a word by mask, powers of two, and array sizes.
#pragma once

#include "base/types.h"

#define BIT(n) (1ull << (n))
// Bits high..low inclusive, as the manuals write them.
#define GENMASK(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))
#define FIELD_GET(mask, word) (((u64)(word) & (mask)) / ((mask) & (~(mask) + 1)))
#define FIELD_PREP(mask, value) (((u64)(value) * ((mask) & (~(mask) + 1))) & (mask))
#define FIELD_MAX(mask) ((mask) / ((mask) & (~(mask) + 1)))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + ((a) - 1)) & ~((a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((a) - 1))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
