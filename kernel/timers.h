// Timers of a process that raise signals: those of timer_create, alarm and setitimer. They lie in
// its descriptor and the frame PROC_AUX_TIMERS, so they move with it. Contracts stand above the
// definitions in kernel/timers.c.
#pragma once

#include "kernel/signal.h"
#include "mm/frame.h"

static inline struct proc_timers *timers_of(const struct proc_desc *d) {
    return d->aux[PROC_AUX_TIMERS] ? phys_to_virt(paddr(d->aux[PROC_AUX_TIMERS])) : NULL;
}
struct proc_timers *timers_make(struct proc *p);     // NULL: no memory
struct proc_timer *timers_find(const struct proc *p, u32 id);
u64 timers_left_ns(const struct proc *p, const struct proc_timer *t);
u64 process_cpu_ns(const struct proc *p, u64 now_ns);
void timers_exec(struct proc *p);

// --- the edge; p is current there ---
u64 timers_cpu_at_ns(const struct proc *p);          // only where p->cpu_timers
void timers_edge(struct proc *p);

// --- a signal is taken; proc_lock held ---
bool timers_told_locked(struct proc *p, u32 sig, bool for_thread, struct signal_info *info);
bool timers_taken_locked(struct proc *p, u32 sig, bool for_thread);
