// Any bytes as a GUID partition table: first a header, then entries. With the checksums made
// right in half of the runs, so that what lies behind them is reached. What is accepted must
// lie on the drive, in bounds, without overlap.
// links: kernel/gpt.c proto/roce/icrc.c
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kernel/gpt.h"
#include "proto/roce/icrc.h"

#define BLOCKS 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(u8 *header, const u8 *entries, u64 bytes) {
    u32 crc = ~crc32_update(~0u, entries, bytes);
    memcpy(header + 88, &crc, 4);
    memcpy(header, "EFI PART\0\0\1\0\x5c\0\0\0\0\0\0\0", 20);
    crc = ~crc32_update(~0u, header, 92);
    memcpy(header + 16, &crc, 4);
}

static void check(const struct gpt_header *h, const struct gpt_part *parts, u32 count) {
    ASSERT(count <= GPT_PARTS_MAX);
    for (u32 i = 0; i < count; i++) {
        ASSERT(parts[i].count > 0 && parts[i].first >= h->first_usable);
        ASSERT(parts[i].first + parts[i].count <= BLOCKS);
        ASSERT(strlen(parts[i].name) <= GPT_NAME_MAX);
        for (u32 k = 0; k < i; k++)
            ASSERT(parts[i].first >= parts[k].first + parts[k].count ||
                   parts[k].first >= parts[i].first + parts[i].count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 513) return 0;
    u8 header[512];
    memcpy(header, data + 1, 512);
    const u64 rest = size - 513, whole = 64 << 10;
    u8 *entries = calloc(1, whole);
    memcpy(entries, data + 513, rest < whole ? rest : whole);
    if (data[0] & 1) {                           // a plausible header over these entries
        static const u64 words[] = {1, BLOCKS - 1, 34, BLOCKS - 34};
        memcpy(header + 24, words, sizeof words);
        const u64 at = 2;
        const u32 shape[2] = {1 + data[0] / 2, 128};
        memcpy(header + 72, &at, 8);
        memcpy(header + 80, shape, 8);
        seal(header, entries, (u64)shape[0] * 128);
    }
    struct gpt_header h;
    struct gpt_part parts[GPT_PARTS_MAX];
    u32 count = 0;
    if (gpt_header_parse(header, 512, 1, BLOCKS, &h) == S_OK &&
        (u64)h.entry_count * h.entry_bytes <= whole) {
        u8 *exact = malloc((u64)h.entry_count * h.entry_bytes);   // the sanitizer's bounds
        memcpy(exact, entries, (u64)h.entry_count * h.entry_bytes);
        if (gpt_entries_parse(&h, exact, parts, &count) == S_OK) check(&h, parts, count);
        free(exact);
    }
    free(entries);
    return 0;
}
