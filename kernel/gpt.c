// Reads GUID partition tables. Pure; called by kernel/drives.c at boot, and by tests and
// the fuzzer. A table is taken whole or not at all: both checksums, every bound, overlaps.
// Spec: UEFI 2.10 5.3.2 (header), 5.3.3 (entries).
#include "kernel/gpt.h"

#include "base/bits.h"
#include "base/string.h"
#include "proto/roce/icrc.h"

enum { HEADER_REVISION = 8, HEADER_SIZE = 12, HEADER_CRC = 16, HEADER_MY = 24,
       HEADER_ALTERNATE = 32, HEADER_FIRST = 40, HEADER_LAST = 48, HEADER_ENTRIES = 72,
       HEADER_COUNT = 80, HEADER_ENTRY_SIZE = 84, HEADER_ENTRIES_CRC = 88 };
enum { ENTRY_TYPE = 0, ENTRY_FIRST = 32, ENTRY_LAST = 40, ENTRY_NAME = 56, ENTRY_BYTES = 128 };

static u32 get32(const u8 *p) {
    u32 v;
    memcpy(&v, p, 4);
    return v;
}
static u64 get64(const u8 *p) {
    u64 v;
    memcpy(&v, p, 8);
    return v;
}

// The checksum of the header with its own field as zero. 5.3.2.
static u32 header_crc(const u8 *block, u32 size) {
    static const u8 zero[4];
    u32 crc = crc32_update(~0u, block, HEADER_CRC);
    crc = crc32_update(crc, zero, 4);
    return ~crc32_update(crc, block + HEADER_CRC + 4, size - HEADER_CRC - 4);
}

status_t gpt_header_parse(const u8 *block, u32 block_bytes, u64 at, u64 block_count,
                          struct gpt_header *out) {
    if (block_bytes < GPT_HEADER_BYTES_MIN || memcmp(block, "EFI PART", 8) != 0) return E_NOENT;
    const u32 size = get32(block + HEADER_SIZE);
    if (get32(block + HEADER_REVISION) >> 16 != 1 || size < GPT_HEADER_BYTES_MIN ||
        size > block_bytes || header_crc(block, size) != get32(block + HEADER_CRC))
        return E_INVAL;
    *out = (struct gpt_header){
        .first_usable = get64(block + HEADER_FIRST), .last_usable = get64(block + HEADER_LAST),
        .entries_block = get64(block + HEADER_ENTRIES),
        .alternate_block = get64(block + HEADER_ALTERNATE),
        .entry_count = get32(block + HEADER_COUNT),
        .entry_bytes = get32(block + HEADER_ENTRY_SIZE),
        .entries_crc = get32(block + HEADER_ENTRIES_CRC)};
    if (get64(block + HEADER_MY) != at || out->last_usable >= block_count ||
        out->first_usable > out->last_usable || out->entry_count > GPT_ENTRIES_MAX ||
        out->entry_count == 0 || out->entry_bytes < ENTRY_BYTES ||
        out->entry_bytes > 4096 || (out->entry_bytes & (out->entry_bytes - 1)))
        return E_INVAL;
    const u64 blocks = ((u64)out->entry_count * out->entry_bytes + block_bytes - 1) / block_bytes;
    if (out->entries_block < 2 || blocks > block_count ||
        out->entries_block > block_count - blocks)
        return E_INVAL;
    return S_OK;
}

static void name_read(const u8 *from, char *to) {
    u32 i = 0;
    for (; i < GPT_NAME_MAX; i++) {
        const u32 c = from[2 * i] | (u32)from[2 * i + 1] << 8;
        if (c == 0) break;
        to[i] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    to[i] = 0;
}

static bool overlaps(const struct gpt_part *parts, u32 count, const struct gpt_part *p) {
    for (u32 i = 0; i < count; i++)
        if (p->first < parts[i].first + parts[i].count && parts[i].first < p->first + p->count)
            return true;
    return false;
}

status_t gpt_entries_parse(const struct gpt_header *h, const u8 *entries,
                           struct gpt_part *parts, u32 *count) {
    static const u8 unused[16];
    *count = 0;
    const u64 bytes = (u64)h->entry_count * h->entry_bytes;
    if (~crc32_update(~0u, entries, bytes) != h->entries_crc) return E_INVAL;
    u32 taken = 0;
    for (u32 i = 0; i < h->entry_count && taken < GPT_PARTS_MAX; i++) {
        const u8 *e = entries + (u64)i * h->entry_bytes;
        if (memcmp(e + ENTRY_TYPE, unused, 16) == 0) continue;
        const u64 first = get64(e + ENTRY_FIRST), last = get64(e + ENTRY_LAST);
        if (first < h->first_usable || last > h->last_usable || first > last) return E_INVAL;
        struct gpt_part *p = &parts[taken];
        *p = (struct gpt_part){.number = i + 1, .first = first, .count = last - first + 1};
        memcpy(p->type, e + ENTRY_TYPE, 16);
        name_read(e + ENTRY_NAME, p->name);
        if (overlaps(parts, taken, p)) return E_INVAL;
        taken++;
    }
    *count = taken;
    return S_OK;
}
