// Spinlocks with ranks. Whoever comes first when it is free takes it: a lock that is handed
// to the next in line stands still while the hypervisor has taken that CPU away, and with
// more virtual CPUs than real ones that is most of the time. A CPU's held ranks are bits of
// cpu->locks_held; a lock of which rank it is the holder's own business. Called everywhere
// with interrupts off.
#include "kernel/x86/spinlock.h"

#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"

// A lock that is free.
void spin_init(struct spinlock *l, enum lock_rank rank, const char *name) {
    *l = (struct spinlock)SPINLOCK_INIT(rank, name);
}

static void rank_take(const struct spinlock *l) {
    struct cpu *c = cpu_this();
    if (c->locks_held >= l->bit)
        panic("lock %s (rank bit %x) taken while holding %x", l->name, l->bit, c->locks_held);
    c->locks_held |= l->bit;
}

static bool take(struct spinlock *l) {
    return __atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE) == 0;
}

// Takes the lock; spins. ASSERTs that no lock of this or an inner rank is held.
void spin_lock(struct spinlock *l) {
    rank_take(l);
    while (!take(l))
        while (__atomic_load_n(&l->taken, __ATOMIC_RELAXED)) cpu_relax();
}

// Takes the lock if it is free; false where it is not.
bool spin_trylock(struct spinlock *l) {
    if (!take(l)) return false;
    rank_take(l);
    return true;
}

// Gives it back. ASSERT: this CPU does not hold it.
void spin_unlock(struct spinlock *l) {
    struct cpu *c = cpu_this();
    ASSERT(c->locks_held & l->bit);
    c->locks_held &= ~l->bit;
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}

// Before leaving the kernel or halting.
void spin_assert_none_held(void) { ASSERT(cpu_this()->locks_held == 0); }
