// Threads. A process is one `struct proc` and one descriptor, which hold the context of the
// thread that runs; the others take turns with it, on one CPU at a time. Contracts stand above
// the definitions in kernel/thread.c.
#pragma once

#include "kernel/proc.h"
#include "kernel/signal.h"

// Where the contexts lie in each address space: above all that can be mapped but the stack,
// without a map entry, for the kernel alone.
#define THREAD_PAGES_VA 0x00007fff40000000ull
#define THREAD_PAGES_END (THREAD_PAGES_VA + THREADS_MAX * PAGE_SIZE)

void thread_init_first(struct proc *p);      // a new or free shadow has one thread
status_t thread_clone(struct proc *p, const struct fork_args *args, u32 *tid_out);
status_t thread_exit(struct proc *p, i32 wait_status);
void thread_end_others(struct proc *p);      // exec
void thread_end_all_locked(struct proc *p);  // proc_lock held
status_t thread_robust_exit(struct proc *p); // the process ends, or its program (exec)
void thread_fork(struct proc_desc *child);

bool thread_turn(struct proc *p);
u64 thread_cpu_ns(const struct proc *p, u64 now_ns);

void thread_hold(struct proc *p);
void thread_held_go_on_locked(void);
void thread_all_awake_locked(struct proc *p);
status_t thread_reserve(struct proc *p, u32 count);
void thread_arrived(struct proc *p);
void thread_deadlines_shift(struct proc_desc *d, u64 delta_ns);
bool thread_call_out(const struct proc *p);

struct thread *thread_find(struct proc *p, u32 tid);
struct thread *thread_find_any(u32 tid);
bool thread_tid_used(const struct proc *p, u32 tid);
struct thread_entry *thread_entry(const struct proc_desc *d, u32 slot);
u64 thread_mask(const struct thread *t);
u64 thread_pending(const struct thread *t);
void thread_pending_add(struct thread *t, u64 signals);
void thread_futex_woken(struct thread *t);
bool thread_in_call(const struct thread *t, u64 *request_tag);
