// Memory whose pages say who changed them: as first filled, or with every seventh page changed by
// one process. Nobody may see another's changes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u
#define STRIDE 7u                    // who changes memory changes every seventh page

static unsigned char *memory;
static size_t pages;

// What a page holds where `who` has made his changes; 0, who is nobody: as first filled.
static inline uint64_t value(size_t page, int who) {
    const int changed = who && page % STRIDE == (size_t)who % STRIDE;
    return page * 0x9e3779b97f4a7c15u + (uint64_t)(changed ? who : 0);
}

static inline uint64_t *word(size_t page) {
    return (uint64_t *)(memory + page * PAGE + page % 500 * 8);
}

static inline void change(int who) {
    for (size_t i = 0; i < pages; i++)
        if (i % STRIDE == (size_t)who % STRIDE) *word(i) = value(i, who);
}

// The first page that is not as it should be; `pages`: none.
static inline size_t page_wrong(int who) {
    size_t i = 0;
    while (i < pages && *word(i) == value(i, who)) i++;
    return i;
}
