// The edge of user mode: what happens between a trap and the return. Dispatches system
// calls and exceptions, delivers signals, and decides what this CPU runs next. Called by
// kernel/trap.c on every way in and out; no lock is held at either end.
#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/edge.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/placement.h"
#include "kernel/proc.h"
#include "kernel/share_map.h"
#include "kernel/signal.h"
#include "kernel/storm.h"
#include "kernel/syscall/syscall.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timers.h"
#include "kernel/uaccess.h"
#include "kernel/trap.h"
#include "kernel/vdso.h"
#include "kernel/vfork.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/spinlock_quick.h"
#include "kernel/x86/trap.h"
#include "sched/runq.h"

// Performs the call in the current process's registers. S_RESTART rewinds it: rip lies at
// `syscall` again and rax is the number, so it runs anew when the process is woken.
void proc_syscall(void) {
    struct proc *p = proc_current();
    struct proc_desc *d = proc_desc(p);
    u64 nr = d->regs.orig_rax;
    if (d->wait.nr != (i32)nr) d->wait = (struct proc_wait){.nr = (i32)nr};
    p->direct.valid = 0;
    d->account.syscalls++;
    d->flags &= ~PROC_FLAG_PAGE_WAIT;
    struct thread *const t = p->thread;
    t->reply_waits = false;
    i64 result = syscall_dispatch(p, nr);
    if (result == SYSCALL_ENDED) return;         // the process or its thread did
    if (result == S_RESTART) {
        d->regs.rip -= SYSCALL_BYTES;
        d->regs.rax = nr;
        return;
    }
    d->wait.nr = -1;
    d->wait.deadline_ns = 0;
    d->wait.request_tag = 0;
    if (result != SYSCALL_REGS_SET) d->regs.rax = (u64)result;
}

static void page_fault(struct proc *p, u64 error, u64 va) {
    enum fault_access access = error & PF_FETCH ? ACCESS_EXEC
                             : error & PF_WRITE ? ACCESS_WRITE : ACCESS_READ;
    proc_desc(p)->account.faults++;
    switch (fault_handle(proc_desc(p), va, access)) {
    case FAULT_DONE: case FAULT_WAIT: case FAULT_LOST: return;   // lost: it was killed
    case FAULT_NOMEM:
        klog("pid %u (%s): out of memory, killed", proc_desc(p)->pid, proc_desc(p)->name);
        signal_force(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
        return;
    case FAULT_BUS:
        signal_force(p, SIGBUS, (struct signal_info){.code = BUS_ADRERR, .value = va});
        return;
    default:
        signal_force(p, SIGSEGV, (struct signal_info){.code = SEGV_MAPERR, .value = va});
    }
}

// An exception of the current process in user mode.
void proc_exception(u32 vector, u64 error_code, u64 fault_va) {
    struct proc *p = proc_current();
    struct signal_info at = {.code = SI_KERNEL, .value = proc_desc(p)->regs.rip};
    p->direct.valid = 0;
    switch (vector) {
    case TRAP_PAGE_FAULT: page_fault(p, error_code, fault_va); return;
    case 0: case 16: case 19: signal_force(p, SIGFPE, at); return;
    case TRAP_DEBUG: case TRAP_BREAKPOINT: signal_force(p, SIGTRAP, at); return;
    case TRAP_INVALID_OPCODE: signal_force(p, SIGILL, at); return;
    case 17: signal_force(p, SIGBUS, at); return;
    case TRAP_PROTECTION:
        if (clock_tsc_trap(p)) return;
        signal_force(p, SIGSEGV, at);
        return;
    default: signal_force(p, SIGSEGV, at);
    }
}

#define REST_ROUNDS 4u               // of looks at others' timers

static struct timer cpu_timers[CPU_MAX];
static u64 cpu_looks_ns[CPU_MAX];    // atomic: its timer is armed for then; 0: it is not

// Runs due deadlines; ends the time slice of the process that runs here.
static void proc_timer_tick(void) {
    struct cpu *c = cpu_this();
    u64 now = time_now_ns();
    wait_run_deadlines(now);
    if (c->current && now >= c->current->slice_end_ns) c->current->slice_over = true;
}

static void timer_fired(void *arg) {
    (void)arg;
    __atomic_store_n(&cpu_looks_ns[cpu_this()->index], 0, __ATOMIC_RELAXED);     // until timer_set
    proc_timer_tick();
}

// Arms this CPU's timer for at_ns, ~0: not at all, and says so to the others.
static void timer_arm_for(u64 at_ns) {
    struct timer *t = &cpu_timers[cpu_this()->index];
    if (at_ns != ~0ull) timer_arm(t, at_ns, timer_fired, NULL);
    else if (t->cpu_plus_one) timer_cancel(t);
    const u64 looks_ns = at_ns != ~0ull ? at_ns : 0;
    __atomic_store_n(&cpu_looks_ns[cpu_this()->index], looks_ns, __ATOMIC_SEQ_CST);
}

// Arms this CPU's timer for the first deadline and, where somebody else is ready for
// this CPU or may become so, for the end of the slice. One that is armed for an earlier time
// stays: it fires in vain once, and is cheaper than one armed at each switch.
static void timer_set(const struct proc *running) {
    const struct timer *t = &cpu_timers[cpu_this()->index];
    u64 at = proc_next_deadline_ns();
    if (runq_others_wait() || running->awake > 1) at = MIN(at, running->slice_end_ns);
    if (storm_has(running)) at = MIN(at, storm_due_ns(running));
    if (running->cpu_timers) at = MIN(at, timers_cpu_at_ns(running));
    if (t->cpu_plus_one ? at < t->deadline_ns : at != ~0ull) timer_arm_for(at);
}

// Whether a CPU other than `but` (cpu_count: any) looks at deadlines by then.
static bool looks_by(u64 at_ns, u32 but) {
    for (u32 i = 0; i < cpu_count; i++) {
        const u64 looks_ns = __atomic_load_n(&cpu_looks_ns[i], __ATOMIC_SEQ_CST);
        if (i != but && looks_ns != 0 && looks_ns <= at_ns) return true;
    }
    return false;
}

// This CPU is about to rest: its timer is armed for the first deadline of all, where no other
// CPU's is. It says what its own does, then looks once more: of two that leave a deadline to each
// other, or of one that leaves it and one that sets it (sched/wait.c), the later sees what the
// earlier has done.
static void timer_rest(void) {
    const u32 me = cpu_this()->index;
    const struct timer *t = &cpu_timers[me];
    for (u32 round = 0; round < REST_ROUNDS; round++) {
        u64 first_ns = proc_next_deadline_ns();
        const bool stays = t->cpu_plus_one && t->deadline_ns == first_ns;
        if (!stays) timer_arm_for(looks_by(first_ns, me) ? ~0ull : first_ns);
        first_ns = proc_next_deadline_ns();
        if (first_ns == ~0ull || looks_by(first_ns, cpu_count)) return;
    }
    edge_request(EDGE_RESCHED);                  // no rest yet
}

// Takes the next process out of the run queues and onto this CPU, in one hold of
// proc_lock: one that is in no queue and on no CPU would be frozen, and then run all the
// same. NULL: nothing is ready.
static struct proc *take_next(void) {
    if (!runq_any()) return NULL;
    spin_lock_quick(&proc_lock);
    struct proc *p = runq_take();
    if (!p) {
        spin_unlock_quick(&proc_lock);
        return NULL;
    }
    ASSERT(p->state == PROC_READY && !p->on_cpu);
    proc_set_owner(p, PROC_RUNNING);
    edge_claim(cpu_this(), p, time_now_ns());
    p->slice_over = false;
    p->direct.valid = 0;
    p->slice_end_ns = p->run_start_ns + FAIR_SLICE_NS;
    spin_unlock_quick(&proc_lock);
    return p;
}

// Takes the current process off this CPU. It goes on its run queue where it is ready. Takes
// proc_lock.
void proc_detach(struct proc *p) {
    struct cpu *c = cpu_this();
    const u64 now_ns = time_now_ns();
    ASSERT(c->current == p);
    edge_save(p, proc_desc(p), now_ns);
    cr3_write(aspace_kernel_root.v);
    spin_lock_quick(&proc_lock);
    c->current = NULL;
    p->on_cpu = false;
    runq_charge(p, now_ns - p->run_start_ns);
    if (p->vfork_child) vfork_begin_held(p);
    if (p->state == PROC_RUNNING) p->state = PROC_READY;
    if (p->state == PROC_READY) runq_put(p);
    if (p->freeze_wanted || p->cl.arrived || p->cl.unmap)
        edge_request(EDGE_NETPOLL);              // may be touched now
    spin_unlock_quick(&proc_lock);
}

// True: the current process may go on after its signals; a wake-up or signal that came
// before it left the CPU puts it back to RUNNING. Another of its threads may have the turn then.
static bool settle(struct proc *p, bool turn_over) {
    struct thread *t = p->thread;
    const bool is_running = __atomic_load_n(&p->state, __ATOMIC_RELAXED) == PROC_RUNNING;
    if (is_running && !t->waiting && (!turn_over || p->awake == 1)) {
        t->woken = false;                        // nobody else changes these
        return true;
    }
    spin_lock(&proc_lock);
    if (t->waiting && signal_ends_wait(p)) wait_wake_thread(t);
    if (p->state == PROC_READY) p->state = PROC_RUNNING;
    const bool runs = p->state == PROC_RUNNING;
    const bool turn = t->waiting || (turn_over && p->awake > 1);
    t->woken = false;
    spin_unlock(&proc_lock);
    return runs && (!turn || thread_turn(p));
}

// The current process is to move. True: it is frozen and off this CPU, or waits for calls that
// its threads have out. Each round sets a thread aside.
static bool freeze(struct proc *p) {
    for (u32 i = 0; i < THREADS_MAX && p->freeze_wanted && proc_hooks.freeze; i++) {
        if (proc_hooks.freeze(p)) return true;
        if (!p->thread->waiting) return false;
        if (!settle(p, false)) return true;
    }
    return false;
}

static bool may_return(struct proc *p) {
    const bool slice_over = p->slice_over;
    p->direct.valid = 0;
    if (!settle(p, slice_over)) return false;
    if (p->cl.arrived || p->cl.fresh) proc_hooks.edge(p);
    if (p->thread->waiting) return false;
    if (p->cl.unmap) share_map_edge(p);
    if (p->placing.due) placement_edge(p);
    if (storm_has(p)) storm_edge(p);
    if (p->cpu_timers) timers_edge(p);
    if (p->freeze_wanted && freeze(p)) return false;
    if (!p->thread->reply_waits && signal_has_work(p) && !signal_deliver(p)) return false;
    if (slice_over) {
        p->slice_over = false;
        p->slice_end_ns = time_now_ns() + FAIR_SLICE_NS;
        if (runq_others_wait()) return false;
    }
    return true;
}

// The same where there is nothing to look at closer, which is nearly always. False: may_return.
static bool goes_on(struct proc *p) {
    struct thread *t = p->thread;
    const bool is_running = __atomic_load_n(&p->state, __ATOMIC_RELAXED) == PROC_RUNNING;
    if (!is_running || t->waiting || p->slice_over || !edge_nothing_due(p, proc_desc(p)))
        return false;
    t->woken = false;
    return true;
}

// Whether the saved registers may be loaded: entry.S trusts them.
static bool regs_sane(struct proc *p) {
    struct user_regs *r = &proc_desc(p)->regs;
    r->cs = SEL_USER_CODE;
    r->ss = SEL_USER_DATA;
    r->rflags = (r->rflags & RFLAGS_USER) | RFLAGS_IF | 2;
    return r->rip < USER_END || vdso_has(r->rip);
}

// What this CPU runs next. True: return to user mode with cpu->regs; false: nothing is
// ready, halt (proc_next_deadline_ns says until when).
bool proc_edge(void) {
    struct cpu *c = cpu_this();
    for (;;) {
        struct proc *p = c->current;
        if (p && (goes_on(p) || may_return(p))) {
            if (regs_sane(p)) {
                if (proc_desc(p)->flags & PROC_FLAG_FRESH) may_run_begin(proc_desc(p));
                timer_set(p);
                return true;
            }
            signal_force(p, SIGSEGV, (struct signal_info){.code = SEGV_MAPERR,
                                                          .value = proc_desc(p)->regs.rip});
            proc_desc(p)->regs.rip = 0;
            continue;
        }
        if (c->current) proc_detach(c->current);
        p = take_next();
        if (!p) {
            timer_rest();
            if (proc_hooks.idle) proc_hooks.idle();
            return false;
        }
        edge_load(c, proc_desc(p), rdmsr(MSR_KERNEL_GS_BASE));
    }
}
