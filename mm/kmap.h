// The kernel's own page tables: image, direct map of RAM, device registers. The upper
// 256 entries of the root never change after boot, so each address space copies them.
#pragma once

#include "base/types.h"
#include "mm/frame.h"

#define MMIO_BASE 0xffffc00000000000ull
#define KMAP_SHOWN_BASE 0xffffff0000000000ull    // pages of the kernel that user mode may read
#define KMAP_SHOWN_END 0xffffff8000000000ull
#define KERNEL_VMA 0xffffffff80000000ull

// Boot: builds the tables from these ranges of RAM and switches this CPU to them.
void kmap_init(const struct frame_range *ram, u32 ram_count);
void kmap_use(void);                 // switches this CPU to the kernel's tables
paddr_t kmap_root(void);             // their PML4
// Shows a page of the kernel's image to user mode, in every address space. Boot.
//   va  in [KMAP_SHOWN_BASE, KMAP_SHOWN_END); page: page-aligned, a whole one
void kmap_show(u64 va, const void *page, bool execute);
// Device registers, uncached; never unmapped. NULL where there is no frame for tables.
volatile void *mmio_map(paddr_t pa, u64 len_bytes);
// The same, write-combining where the CPU has PAT; for framebuffers.
volatile void *mmio_map_wc(paddr_t pa, u64 len_bytes);
// Memory of firmware tables: the direct map where that has it, else a cached mapping.
const void *kmap_memory(paddr_t pa, u64 len_bytes);
