// Sizes in bytes and times in nanoseconds.
#pragma once

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define PAGE_SIZE 4096ull
#define PAGE_SHIFT 12
#define PAGE_MASK (PAGE_SIZE - 1)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
