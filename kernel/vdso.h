// The vDSO (user/vdso) as every program sees it: two pages in the kernel's half, at the same
// address on all nodes and in all processes. They belong to the node: a process that moves finds
// those of the node that it is on, and none has to be mapped, copied or counted.
#pragma once

#include "base/types.h"
#include "base/units.h"
#include "mm/kmap.h"

#define VVAR_BASE KMAP_SHOWN_BASE    // the clock's page (base/clock_page.h)
#define VDSO_BASE (VVAR_BASE + PAGE_SIZE)
#define VDSO_END (VDSO_BASE + PAGE_SIZE)

extern const u8 vdso_image[];        // kernel/x86/vdso_image.S: a page

void vdso_init(void);                // boot, after proc_init
static inline bool vdso_has(u64 va) { return va >= VDSO_BASE && va < VDSO_END; }
