// Pre-copy, for comparison with the moves that copy afterwards: before a process is frozen, a copy
// of its pages goes ahead while it runs on. docs/reference/moves.md. Contracts stand above the
// definitions in kernel/precopy.c.
#pragma once

#include "kernel/proc.h"
#include "mm/pte.h"

static inline bool precopy_is_twin(const struct proc *p) {
    return (proc_desc(p)->flags & PROC_FLAG_TWIN) != 0;
}

// The giver: net_lock held.
bool precopy_round(struct proc *p);
void precopy_told(u64 twin_id);
void precopy_refused(struct proc *twin);
void precopy_gone(struct proc *twin);
// The taker: net_lock held; proc_lock too where said there.
void precopy_arrived(struct proc *twin);
u32 precopy_base(const struct proc_desc *d);
void precopy_note(struct proc *twin, u64 va, pte_t named);
bool precopy_take(struct proc *p, u64 va, pte_t *e);
void precopy_drained(struct proc *p);
void precopy_drop(struct proc *twin);
void precopy_poll(u64 now_ns);
u64 precopy_deadline_ns(void);
