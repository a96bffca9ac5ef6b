// The free lock on the shortest ways: the same locks, ranks and checks as kernel/x86/spinlock.h,
// without a call where the lock is free and its rank in order.
#pragma once

#include "kernel/x86/cpu.h"
#include "kernel/x86/spinlock.h"

static inline void spin_lock_quick(struct spinlock *l) {
    struct cpu *c = cpu_this();
    if (c->locks_held < l->bit && __atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE) == 0)
        c->locks_held |= l->bit;
    else
        spin_lock(l);                            // it spins, or says what is wrong
}

static inline void spin_unlock_quick(struct spinlock *l) {
    struct cpu *c = cpu_this();
    if (!(c->locks_held & l->bit)) {
        spin_unlock(l);                          // which panics
        return;
    }
    c->locks_held &= ~l->bit;
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}

// Two at once, by who holds none: files_lock and proc_lock, whose bits the compiler knows.
#define SPIN_FILES_BIT (1u << LOCK_RANK_FILES)
#define SPIN_PROC_BIT (1u << LOCK_RANK_PROC)
static inline void spin_lock_files_proc(struct spinlock *outer, struct spinlock *inner) {
    struct cpu *c = cpu_this();
    if (c->locks_held != 0 || __atomic_exchange_n(&outer->taken, 1, __ATOMIC_ACQUIRE) != 0) {
        spin_lock(outer);                        // it spins, or says what is wrong
        spin_lock(inner);
    } else if (__atomic_exchange_n(&inner->taken, 1, __ATOMIC_ACQUIRE) == 0) {
        c->locks_held = SPIN_FILES_BIT | SPIN_PROC_BIT;
    } else {
        c->locks_held = SPIN_FILES_BIT;
        spin_lock(inner);
    }
}

static inline void spin_unlock_files_proc(struct spinlock *outer, struct spinlock *inner) {
    struct cpu *c = cpu_this();
    if (c->locks_held != (SPIN_FILES_BIT | SPIN_PROC_BIT)) {
        spin_unlock(inner);                      // one of which panics
        spin_unlock(outer);
        return;
    }
    c->locks_held = 0;
    __atomic_store_n(&inner->taken, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&outer->taken, 0, __ATOMIC_RELEASE);
}
