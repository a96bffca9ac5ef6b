// The kernel's heap: objects up to 128 KiB, by power-of-two size class from frames.
// Lock: its own (LOCK_RANK_HEAP), taken inside.
#pragma once

#include "base/types.h"

void *kmem_alloc(u64 len_bytes);    // zeroed, 16-byte aligned; NULL where there is none
void kmem_free(void *p, u64 len_bytes);
u64 kmem_bytes_used(void);
void kmem_reserve(void);            // boot
u64 kmem_frames(void);             // taken, never given back
