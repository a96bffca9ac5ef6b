// Dispatch of system calls by the generated table, and what the families share. Called
// at the edge for the current process.
#include "base/bits.h"
#include "kernel/clock.h"
#include "kernel/klog.h"
#include "kernel/signal.h"
#include "kernel/syscall/table.h"
#include "kernel/x86/cpu.h"

#define WAIT_MAX_NS (1ull << 62)      // longer is for ever

static u64 logged[(SYSCALL_COUNT + 63) / 64];

static void log_absent(u64 nr) {
    if (nr >= SYSCALL_COUNT || !syscall_table[nr].name) return;
    u64 bit = BIT(nr % 64);
    if (__atomic_fetch_or(&logged[nr / 64], bit, __ATOMIC_RELAXED) & bit) return;
    struct proc *p = proc_current();
    klog("system call %s (%lu) is absent: ENOSYS (pid %u, %s; logged once)",
         syscall_table[nr].name, nr, proc_desc(p)->pid, proc_desc(p)->name);
}

// Performs call number nr of the process with its registers' arguments.
i64 syscall_dispatch(struct proc *p, u64 nr) {
    const struct user_regs *r = &proc_desc(p)->regs;
    if (nr >= SYSCALL_COUNT || !syscall_table[nr].fn) {
        log_absent(nr);
        return E_NOSYS;
    }
    const u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    return syscall_table[nr].fn(p, a);
}

// Undoes wait_on and wait_until of this call: the process goes on at once.
void wait_cancel(struct proc *p) {
    spin_lock(&proc_lock);
    wait_end_locked(p->thread);
    p->thread->woken = false;
    if (p->state == PROC_WAITING || p->state == PROC_READY) p->state = PROC_RUNNING;
    spin_unlock(&proc_lock);
}

// The absolute deadline of a waiting call, relative_ns (~0: never, then 0) after it was made. What
// is kept over its restarts is the time by the clock that the process sees: it may have moved to a
// node whose clock stands still, and a node's own rate changes. So no wait ends before its time.
// A deadline that is over lies at the moment of the call: compare it with a time read afterwards.
u64 call_deadline(struct proc *p, u64 relative_ns) {
    struct proc_desc *d = proc_desc(p);
    struct proc_wait *w = &d->wait;
    const u64 seen_ns = clock_seen(d).clock_ns;
    if (w->step == 0) {
        w->step = 1;
        w->end_ns = relative_ns > WAIT_MAX_NS ? 0 : seen_ns + relative_ns;
    }
    const u64 left_ns = w->end_ns > seen_ns ? w->end_ns - seen_ns : 0;
    w->deadline_ns = w->end_ns == 0 ? 0 : time_now_ns() + (left_ns ? clock_sleep_ns(left_ns) : 0);
    return w->deadline_ns;
}

// Reads a struct timespec. E_INVAL: malformed.
status_t user_timespec(struct proc *p, u64 uva, u64 *ns) {
    i64 t[2];
    status_t s = user_read(p, uva, t, sizeof t);
    if (s != S_OK) return s;
    if (t[0] < 0 || t[1] < 0 || t[1] >= (i64)NS_PER_S) return E_INVAL;
    *ns = t[0] > (i64)(~0ull / NS_PER_S / 4) ? ~0ull : (u64)t[0] * NS_PER_S + (u64)t[1];
    return S_OK;
}

// The signal mask of ppoll, pselect and sigsuspend: the old one comes back with the next
// handler's return or the end of the call.
void temp_mask_set(struct proc *p, u64 mask) {
    struct proc_desc *d = proc_desc(p);
    if (d->flags & PROC_FLAG_RESTORE_MASK) return;
    spin_lock(&proc_lock);
    d->signal_saved_mask = d->signal_mask;
    d->signal_mask = mask & ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
    d->flags |= PROC_FLAG_RESTORE_MASK;
    spin_unlock(&proc_lock);
}
