// Each CPU's run queue (kernel-internal to sched and the edge).
#pragma once

#include "kernel/proc.h"

// proc_lock. Ready processes put on the CPU that they ran on last as it was free, and elsewhere or
// behind others; taken from another CPU's queue.
struct runq_counters { u64 last, other, stolen; };
extern struct runq_counters runq_counters;

// Nobody was ready or ran at the last look: who becomes ready puts it back and makes the CPU poll.
extern bool runq_rests;                      // set under proc_lock; read atomically

void runq_init(void);
void runq_put(struct proc *p);               // proc_lock held
void runq_remove(struct proc *p);            // where it is queued; proc_lock held
struct proc *runq_take(void);                // for this CPU; NULL: none to be had; proc_lock held
void runq_charge(struct proc *p, u64 ran_ns);    // as it leaves this CPU; proc_lock held
extern struct fair_queue runqs[];            // each CPU's; proc_lock
void runq_join(struct proc *p);              // proc_lock held
bool runq_any(void);                         // without a lock
u32 runq_length(u32 cpu_index);
u32 runq_running_count(void);                // CPUs that run a process now
bool runq_others_wait(void);                 // somebody waits for this CPU
