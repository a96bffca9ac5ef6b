// Keeps the owner words in step with what the scheduler does to a place: free, being
// built, running here, ended. What hands a process to another node is done by the
// machines of proto/cluster alone. Lock: proc_lock (words change by CAS all the same). The
// CPU's CAS will do with any card: in these states no peer's can succeed.
#include "kernel/owner.h"

#include "kernel/random.h"
#include "kernel/x86/words.h"

// The word as it is now. Any context.
u64 proc_owner_word(const struct proc *p) { return word_read(&cpu_word_ops, &proc_desc(p)->owner); }

static void word_change(struct proc *p, enum owner_state from, enum owner_state to) {
    u64 now = proc_owner_word(p);
    ASSERT(owner_state(now) == from && owner_node(now) == (u8)node_id);
    u64 found = word_cas(&cpu_word_ops, &proc_desc(p)->owner, now,
                         owner_next(now, to, (u8)node_id));
    ASSERT(found == now);
}

// The scheduler's hook: p is in `state` (enum proc_state) from now on.
static void owner_changed(struct proc *p, u32 state) {
    enum owner_state now = owner_state(proc_owner_word(p));
    switch (state) {
    case PROC_NEW: word_change(p, OWNER_FREE, OWNER_BUILDING); return;
    case PROC_READY:
    case PROC_RUNNING:
        if (now == OWNER_BUILDING) word_change(p, OWNER_BUILDING, OWNER_RUNNING);
        return;
    case PROC_ZOMBIE: word_change(p, OWNER_RUNNING, OWNER_EXITED); return;
    case PROC_FREE:
        if (now != OWNER_FREE) word_change(p, now, OWNER_FREE);
        return;
    default: return;
    }
}

void owner_init(void) {
    for (u32 i = 0; i < proc_count; i++)
        proc_descs[i].owner.private_value =
            owner_word(OWNER_FREE, (u8)node_id, rng_u32(&kernel_rng));
    proc_hooks.owner_changed = owner_changed;
}
