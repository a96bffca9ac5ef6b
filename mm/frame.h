// Physical memory, one 4 KiB frame at a time: who uses it, how often, and whether
// members of the cluster may read it. Lock: its own (LOCK_RANK_FRAME), taken inside.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "base/units.h"

#ifndef DIRECT_MAP_BASE                 // host tests put it elsewhere
#define DIRECT_MAP_BASE 0xffff800000000000ull
#endif

static inline void *phys_to_virt(paddr_t pa) { return (void *)(DIRECT_MAP_BASE + pa.v); }
// For addresses of the direct map only.
static inline paddr_t virt_to_phys(const void *va) { return paddr((u64)va - DIRECT_MAP_BASE); }

enum frame_use {
    FRAME_FREE = 0, FRAME_KERNEL, FRAME_DMA, FRAME_FILE,    // never readable by peers
    FRAME_USER, FRAME_TABLE, FRAME_DESC, FRAME_CACHE,       // readable by members (READ only)
    FRAME_SHARED,                                           // the same, of a shared mapping
};

// A zeroed frame with one reference; paddr 0 where there is none left.
paddr_t frame_alloc(enum frame_use use);
// The same without zeroing, for frames that are filled at once.
paddr_t frame_alloc_raw(enum frame_use use);
// Physically contiguous frames, zeroed, never freed (boot, DMA rings). 0: none.
paddr_t frame_alloc_contiguous(u64 count_frames, enum frame_use use);
void frame_ref(paddr_t pa);
// Drops a reference; at the last one the frame is free (poisoned in debug builds).
void frame_unref(paddr_t pa);
u32 frame_refs(paddr_t pa);
enum frame_use frame_use_of(paddr_t pa);   // FRAME_FREE for addresses that are no RAM
void frame_set_use(paddr_t pa, enum frame_use use);
// Frames of the loader's modules, which frame_init was told to keep out of.
bool frame_adopt(paddr_t pa, enum frame_use use);
void frame_reclaim(paddr_t start, u64 len_bytes);
u64 frame_count_free(void);
u64 frame_count_total(void);

// Boot: takes the RAM of these ranges, without the reserved ones, up to 4 GiB first.
struct frame_range { u64 base, len_bytes; };
void frame_init(const struct frame_range *ram, u32 ram_count,
                const struct frame_range *reserved, u32 reserved_count);
