// Ranked spinlocks. The kernel runs with interrupts off, so nothing here touches IF.
// Taking a lock of a rank not higher than one this CPU already holds is a bug, and
// so is leaving the kernel with one held; both are ASSERTs.
#pragma once

#include "base/assert.h"
#include "base/types.h"

enum lock_rank {  // outermost first
    LOCK_RANK_NET = 1,   // RDMA device, cluster machines, hand-over of descriptors
    LOCK_RANK_FILES,     // the kernel's own file servers
    LOCK_RANK_PROC,      // process tree, states, signals, wait lists
    LOCK_RANK_ASPACE,    // one process's map and page tables
    LOCK_RANK_STATUS,        // what /nodes shows of each node
    LOCK_RANK_TIMER,
    LOCK_RANK_FRAME,
    LOCK_RANK_HEAP,
    LOCK_RANK_CONSOLE,
};

struct spinlock {
    u32 taken;                       // 1: somebody has it
    u32 bit;                         // of its rank in cpu->locks_held
    const char *name;
};
#define SPINLOCK_INIT(r, n) {0, 1u << (r), (n)}

void spin_init(struct spinlock *l, enum lock_rank rank, const char *name);
void spin_lock(struct spinlock *l);
bool spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l);
void spin_assert_none_held(void);           // before leaving the kernel
