// The index of an owner's cache of its drives, as other nodes READ it: sets of ways, each
// naming a page of a drive, the frame that holds it, and a version that is odd while the
// entry or its frame may change. All fields are the owner's to write; readers have READ only.
// Spec: docs/reference/drives.md.
#pragma once

#include "base/bits.h"
#include "base/units.h"

#define DRIVE_WAYS 4u
#define DRIVE_KEY_NONE (~0ull)

struct drive_entry {
    u64 key;                         // drive_key, or DRIVE_KEY_NONE
    u64 frame;                       // physical address of the page's frame
    u64 version;                     // odd: changing; only grows
    u64 unused;
};
_Static_assert(sizeof(struct drive_entry) == 32, "a set is 128 bytes, in one packet");

// page: 4 KiB units from the drive's begin, below 2^56.
static inline u64 drive_key(u32 drive, u64 page) { return (u64)drive << 56 | page; }
// Neighbouring pages lie in neighbouring sets. set_count: a power of two.
static inline u32 drive_set(u32 drive, u64 page, u32 set_count) {
    return (u32)(page + drive * 0x9e3779b1u) & (set_count - 1);
}
