// The GUID partition table's parser: bytes of a drive in, partitions out. Pure.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define GPT_HEADER_BYTES_MIN 92u
#define GPT_ENTRIES_MAX 128u                     // entries of a table that we read
#define GPT_PARTS_MAX 16u                        // partitions of one drive that get a name
#define GPT_NAME_MAX 36u

struct gpt_header {
    u64 first_usable, last_usable;               // blocks
    u64 entries_block, alternate_block;
    u32 entry_count, entry_bytes, entries_crc;
};
struct gpt_part {
    u32 number;                                  // 1 for the first entry
    u64 first, count;                            // blocks
    u8 type[16];
    char name[GPT_NAME_MAX + 1];                 // ASCII; others are '?'
};

// The header in `block` (block_bytes of it), which was read from block `at` of a drive of
// block_count blocks. E_NOENT: no GPT; E_INVAL: one that makes no sense.
status_t gpt_header_parse(const u8 *block, u32 block_bytes, u64 at, u64 block_count,
                          struct gpt_header *out);
// The entries (entry_count * entry_bytes bytes). E_INVAL: checksum, bounds or an overlap.
status_t gpt_entries_parse(const struct gpt_header *h, const u8 *entries,
                           struct gpt_part *parts, u32 *count);
