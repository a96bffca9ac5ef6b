// The direct switch: a process whose call ends what another waits for, and then waits for that one,
// leaves its CPU to it at once, without run queue or edge. Both stand afterwards as if the one had
// been woken and the other had gone through the edge: a signal, a move, an end find them where
// they look for any process that waits or runs. The time slice goes on: `to` runs for what is left
// of it, and each is charged for what it ran. Inline: it is what a message costs. Used by
// kernel/syscall/direct.c. Lock: proc_lock, which is not held when user mode goes on.
#pragma once

#include "kernel/edge.h"
#include "kernel/time.h"
#include "kernel/x86/trap.h"
#include "sched/runq.h"

// Whether p, which runs and makes a call, may wait in that and leave its CPU: the call is no
// restart, and p's time slice is not over. proc_lock held.
static inline bool direct_may_leave(const struct proc *p, const struct proc_desc *d) {
    return !p->slice_over && d->wait.nr < 0 && edge_nothing_due(p, d);
}

// The call that p makes waits: it would run again from `syscall`.
static inline void direct_call_begin(struct proc *p, struct proc_desc *d) {
    struct thread *t = p->thread;
    d->wait.nr = (i32)d->regs.orig_rax;
    d->wait.step = 0;
    d->wait.deadline_ns = d->wait.done_bytes = d->wait.request_tag = 0;
    d->regs.rip -= SYSCALL_BYTES;
    d->regs.rax = d->regs.orig_rax;
    d->account.syscalls++;
    t->reply_waits = false;
    t->waiting = true;
    t->wait_uninterruptible = false;
    p->awake = 0;
    p->state = PROC_WAITING;
}

// Leaves `from`, whose call waits from now on, for `to`, whose call ends with `result`.
//   from  runs here; direct_may_leave; has an offer, and is on a wait list where it needs one
//   to    wait_offers
// Context: a system call of `from`; proc_lock held. The caller drops its locks and goes out by
// direct_return.
static inline __attribute__((always_inline)) void direct_switch(
    struct proc *from, struct proc *to, i64 result) {
    struct cpu *c = cpu_this();
    struct proc_desc *fd = proc_desc(from), *td = proc_desc(to);
    struct fair_queue *q = &runqs[c->index];
    const u64 now_ns = time_ns_of(tsc_read());
    direct_call_begin(from, fd);
    edge_save(from, fd, now_ns);
    fair_charge(q, &from->fair, now_ns - from->run_start_ns);
    from->on_cpu = false;
    wait_call_end(to, td, result);
    wait_end_locked(to->thread);
    if (to->fair.home != q) runq_join(to);
    to->slice_over = false;
    to->slice_end_ns = from->slice_end_ns;
    edge_claim(c, to, now_ns);
    edge_load(c, td, fd->gs_base);
    c->direct_switches++;
    from->direct.switches++;
}

// Goes to the current process, straight to user mode where the edge has nothing to do. It stands
// behind a call that it made on this node, so its registers are as entry.S saved them, and its
// `rip` lies behind an instruction of user mode's, which is canonical. It waited with an offer:
// what would have had to happen to it meanwhile has woken it, or was done to it.
static inline __attribute__((always_inline)) _Noreturn void direct_return(void) {
    struct cpu *c = cpu_this();
    const struct proc *p = c->current;
    // edge_work, and locks_held behind it: edge_exit says what is wrong with those.
    const bool clear = *(const u64 *)(const void *)&c->edge_work == 0;
    if (clear && !((u32)p->placing.due | p->cpu_timers | p->freeze_wanted | p->kill_pending))
        return_to_user(c->regs);
    edge_exit();
}
