// Signals: raising them for a process or group, and delivering them at the edge of user
// mode: default actions, stops, and the frame of a handler. Called by system calls,
// faults, the tty, the timer and the edge. Lock: proc_lock for pending and states; the
// frame is built by the CPU that runs the process.
// Spec: Linux x86-64 struct rt_sigframe, ucontext, sigcontext (arch/x86 uapi headers).
#include "kernel/signal.h"

#include "base/string.h"
#include "kernel/futex.h"
#include "kernel/groups.h"
#include "kernel/syscall/syscall.h"
#include "kernel/syscall/time.h"
#include "kernel/thread.h"
#include "kernel/timers.h"
#include "kernel/uaccess.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/trap.h"

struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
    u64 rflags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct signal_frame {
    u64 restorer;
    u64 uc_flags, uc_link, stack_sp;
    u32 stack_flags, stack_pad;
    u64 stack_size;
    struct sigcontext context;
    u64 mask;
    struct { i32 signo, error, code, pad; union { struct { i32 pid, uid, status, pad2; } child;
             struct { i32 pid, uid; u64 value; } queued;
             u64 address; } u; u8 rest[128 - 32]; } info;
};
_Static_assert(sizeof(struct sigcontext) == 256, "Linux's layout");
_Static_assert(offsetof(struct signal_frame, info) == 8 + 40 + 256 + 8, "Linux's layout");
_Static_assert(sizeof(struct signal_frame) == 8 + 40 + 256 + 8 + 128, "Linux's layout");

#define NR_NANOSLEEP 35
#define NR_CLOCK_NANOSLEEP 230
#define RED_ZONE_BYTES 128u
#define SS_ONSTACK 1u
#define SS_DISABLE 2u
#define UNMASKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define STOPS                                                                                      \
    (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define IGNORED                                                                                    \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))

static struct proc_signals *signals_of(const struct proc *p) {
    return phys_to_virt(paddr(proc_desc(p)->aux[PROC_AUX_SIGNAL]));
}

// True where raising it would have no effect.
bool signal_ignored(const struct proc *p, u32 sig) {
    u64 handler = signals_of(p)->action[sig - 1].handler;
    if (handler == SIG_IGN) return sig != SIGKILL && sig != SIGSTOP;
    return handler == SIG_DFL && (SIGNAL_BIT(sig) & IGNORED);
}

// True where the running thread would not be stopped by it, whatever its default is.
bool signal_is_deaf(const struct proc *p, u32 sig) {
    return signal_ignored(p, sig) || (proc_desc(p)->signal_mask & SIGNAL_BIT(sig));
}

// True where a signal is pending that the process's running thread would act on now.
bool signal_is_deliverable(const struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    const u64 pending = d->signal_pending | d->thread_pending;
    return p->kill_pending || (pending & (~d->signal_mask | UNMASKABLE));
}

// The same for any thread. proc_lock held.
bool signal_is_deliverable_to(const struct thread *t) {
    const u64 pending = proc_desc(t->p)->signal_pending | thread_pending(t);
    return t->p->kill_pending || (pending & (~thread_mask(t) | UNMASKABLE));
}

// Whether p would end by this signal, which it does not block or ignore.
static bool ends(const struct proc *p, u32 sig) {
    return signals_of(p)->action[sig - 1].handler == SIG_DFL && !(SIGNAL_BIT(sig) & STOPS);
}

// True where a pending signal ends the wait of p's running thread. proc_lock held.
bool signal_ends_wait(const struct proc *p) {
    const struct thread *t = p->thread;
    const struct proc_desc *d = proc_desc(p);
    u64 ready = (d->signal_pending | d->thread_pending) & (~d->signal_mask | UNMASKABLE);
    if (!t->wait_uninterruptible) return signal_is_deliverable(p);
    if (!t->wait_killable) return false;
    if (p->kill_pending) return true;
    for (; ready; ready &= ready - 1) {
        const u32 sig = (u32)__builtin_ctzll(ready) + 1;
        if (!signal_ignored(p, sig) && ends(p, sig)) return true;
    }
    return false;
}

// False: signal_deliver would find nothing to do.
bool signal_has_work(const struct proc *p) {
    return (proc_desc(p)->flags & PROC_FLAG_RESTORE_MASK) || signal_is_deliverable(p);
}

// A child of parent stopped or goes on: SIGCHLD unless it does not want that, and its wait4
// looks. proc_lock held.
void signal_child_stopped(struct proc *parent, struct signal_info info) {
    if (!(signals_of(parent)->action[SIGCHLD - 1].flags & SA_NOCLDSTOP))
        signal_raise_locked(parent, SIGCHLD, info);
    wait_wake_all_locked(&parent->child_wait);
}

// A parent that is here finds it in p; one elsewhere, or on its way, is told by a message, and by
// nothing else: so it learns of each once.
static void tell_parent_of_stop(struct proc *p, i32 code, i32 status) {
    struct proc *parent = proc_find(proc_desc(p)->ppid);
    p->stop_report = parent && code == CLD_STOPPED;
    p->cont_report = parent && code == CLD_CONTINUED;
    if (!parent && proc_hooks.stopped_remote) {
        proc_hooks.stopped_remote(p, code == CLD_STOPPED ? WAIT_STATUS_STOPPED(status)
                                                         : WAIT_STATUS_CONTINUED);
    }
    if (!parent || parent->state == PROC_ZOMBIE) return;
    signal_child_stopped(parent, (struct signal_info){.code = code, .pid = (i32)proc_desc(p)->pid,
                                                      .status = status});
}

static void raise_continue(struct proc *p) {
    p->continued++;
    proc_desc(p)->signal_pending &= ~STOPS;
    proc_desc(p)->thread_pending &= ~STOPS;
    proc_desc(p)->flags &= ~PROC_FLAG_STOPPED;
    p->stop_report = false;
    if (p->state != PROC_STOPPED) return;
    proc_become_ready(p);
    tell_parent_of_stop(p, CLD_CONTINUED, SIGCONT);
}

// The thread of p that is to act on a signal: the running one, if it does not block it. NULL:
// all block it.
static struct thread *taker(struct proc *p, u32 sig) {
    struct thread *found = NULL;
    const u64 bit = SIGNAL_BIT(sig) & ~UNMASKABLE;
    if (!(thread_mask(p->thread) & bit) && !p->thread->wait_uninterruptible) return p->thread;
    LIST_FOR_EACH(it, &p->threads) {
        struct thread *t = LIST_ENTRY(it, struct thread, link);
        if (thread_mask(t) & bit) continue;
        if (!found || !t->wait_uninterruptible) found = t;
    }
    return found;
}

static void info_put(struct proc_signals *s, u32 sig, struct signal_info info) {
    s->info[sig - 1].code = info.code;
    s->info[sig - 1].pid = info.pid;
    s->info[sig - 1].uid = info.uid;
    s->info[sig - 1].status = info.status;
    s->info[sig - 1].value = info.value;
}

// Makes a signal pending, for the thread t or, t NULL, for any of p's.
// E_AGAIN: it is pending already, and there is no room to queue it behind that.
static status_t raise_to(struct proc *p, struct thread *t, u32 sig, struct signal_info info) {
    struct proc_desc *d = proc_desc(p);
    if (sig == 0 || p->state == PROC_ZOMBIE || p->state == PROC_FREE || p->state == PROC_NEW)
        return S_OK;
    if (sig == SIGCONT) raise_continue(p);
    if (SIGNAL_BIT(sig) & STOPS) d->signal_pending &= ~SIGNAL_BIT(SIGCONT);
    struct thread *to = t ? t : taker(p, sig);
    const bool blocked = !to || (thread_mask(to) & SIGNAL_BIT(sig) & ~UNMASKABLE);
    if (!blocked && signal_ignored(p, sig)) return S_OK;
    struct proc_signals *s = signals_of(p);
    if (sig >= SIGNAL_REAL_TIME && !t && (d->signal_pending & SIGNAL_BIT(sig))) {
        if (s->queued_count >= SIGNALS_QUEUED_MAX) return E_AGAIN;
        s->queued[s->queued_count++] =
            (struct signal_queued){info.code, info.pid, info.uid, sig, info.value};
        return S_OK;
    }
    info_put(s, sig, info);
    if (t) thread_pending_add(t, SIGNAL_BIT(sig));
    else d->signal_pending |= SIGNAL_BIT(sig);
    if (blocked) return S_OK;
    if (sig == SIGKILL && p->state == PROC_STOPPED) proc_become_ready(p);
    else if (to->waiting && (!to->wait_uninterruptible || (to->wait_killable && ends(p, sig))))
        wait_wake_thread(to);
    else if (p->on_cpu && p->cpu != cpu_this()->index) cpu_kick(p->cpu, EDGE_RESCHED);
    return S_OK;
}

// Takes a pending signal away from `from` (one of p's two sets): the next of its kind that is
// queued behind it is pending then. proc_lock held.
void signal_taken_locked(struct proc *p, u64 *from, u32 sig) {
    struct proc_signals *s = signals_of(p);
    if (from == &proc_desc(p)->signal_pending && sig >= SIGNAL_REAL_TIME) {
        for (u64 i = 0; i < s->queued_count; i++) {
            const struct signal_queued q = s->queued[i];
            struct signal_info next;
            if (q.signal != sig) continue;
            (void)timers_told_locked(p, sig, false, &next);  // if that was one's
            info_put(s, sig, (struct signal_info){q.code, q.pid, q.uid, 0, q.value});
            s->queued_count--;
            memmove(&s->queued[i], &s->queued[i + 1], (s->queued_count - i) * sizeof q);
            return;
        }
    }
    if (!timers_taken_locked(p, sig, from == &proc_desc(p)->thread_pending))
        *from &= ~SIGNAL_BIT(sig);
}

// A pending signal that the running thread may act on is about to be looked at and taken: what
// is known of it is settled. proc_lock held.
void signal_told_locked(struct proc *p, u32 sig) {
    const bool for_thread = (proc_desc(p)->thread_pending & SIGNAL_BIT(sig)) != 0;
    struct signal_info info;
    if (timers_told_locked(p, sig, for_thread, &info)) info_put(signals_of(p), sig, info);
}

// As signal_raise_locked, and says where a real-time signal found no room: E_AGAIN.
status_t signal_queue_locked(struct proc *p, u32 sig, struct signal_info info) {
    return raise_to(p, NULL, sig, info);
}

// Makes a signal pending and wakes who waits for it. proc_lock held.
//   sig  1..64; 0 does nothing
void signal_raise_locked(struct proc *p, u32 sig, struct signal_info info) {
    (void)raise_to(p, NULL, sig, info);
}

// The same for one thread alone.
void signal_raise_thread_locked(struct thread *t, u32 sig, struct signal_info info) {
    (void)raise_to(t->p, t, sig, info);
}

// signal_raise_locked for a caller without proc_lock.
void signal_raise(struct proc *p, u32 sig, struct signal_info info) {
    spin_lock(&proc_lock);
    signal_raise_locked(p, sig, info);
    spin_unlock(&proc_lock);
}

// Raises it in every process of a group, on all nodes; returns how many there are. proc_lock held.
u32 signal_raise_group_locked(u32 pgid, u32 sig, struct signal_info info) {
    u32 count = 0;
    for (u32 i = 0; i < proc_end; i++) {
        struct proc *p = &procs[i];
        if (p->state == PROC_FREE || p->state == PROC_AWAY || proc_descs[i].pgid != pgid) continue;
        signal_raise_locked(p, sig, info);
        count++;
    }
    if (proc_hooks.kill_group_away) count += proc_hooks.kill_group_away(pgid, sig, 0);
    return count;
}

// The same for a caller without proc_lock.
u32 signal_raise_group(u32 pgid, u32 sig, struct signal_info info) {
    spin_lock(&proc_lock);
    const u32 count = signal_raise_group_locked(pgid, sig, info);
    spin_unlock(&proc_lock);
    return count;
}

// A signal that the process cannot put off: a fault. Blocked or ignored, it kills.
void signal_force(struct proc *p, u32 sig, struct signal_info info) {
    struct proc_desc *d = proc_desc(p);
    spin_lock(&proc_lock);
    struct sigaction_entry *a = &signals_of(p)->action[sig - 1];
    if ((d->signal_mask & SIGNAL_BIT(sig)) || a->handler == SIG_IGN) {
        a->handler = SIG_DFL;
        d->signal_mask &= ~SIGNAL_BIT(sig);
    }
    raise_to(p, p->thread, sig, info);
    spin_unlock(&proc_lock);
}

// --- delivery ---

// Calls that run again after a handler installed with SA_RESTART: those that wait for
// data or a child, without a time-out. Numbers: read write readv writev wait4 futex
// openat open creat pread64 pwrite64 sendfile waitid ioctl fcntl.
static bool call_restartable(i32 nr) {
    static const u16 calls[] = {0, 1, 2, 16, 17, 18, 19, 20, 40, 61, 72, 85, 202, 247, 257};
    for (u32 i = 0; i < ARRAY_COUNT(calls); i++) {
        if (calls[i] == nr) return true;
    }
    return false;
}

// Calls that a signal never interrupts, whatever they wait for: fork clone vfork execve execveat
// clone3, and kill rt_sigqueueinfo tkill tgkill setpgid setsid getpgid getsid, which ask another
// node whether it has the process. They run again behind the handler (Linux: ERESTARTNOINTR).
static bool call_never_interrupted(i32 nr) {
    return (nr >= 56 && nr <= 59) || nr == 322 || nr == 435 || nr == 62 || nr == 129 ||
           nr == 200 || nr == 234 || nr == 109 || nr == 112 || nr == 121 || nr == 124;
}

// The result that a waiting call has where a handler runs first. One that only waits for a
// page of its own to come from another node is not interrupted by that: it runs again.
static void end_waiting_call(struct proc *p, bool sa_restart) {
    struct proc_desc *d = proc_desc(p);
    if (d->wait.nr < 0) return;
    open_interrupted(p);
    if (d->wait.done_bytes) {
        d->regs.rax = d->wait.done_bytes;
        d->regs.rip += 2;
    } else if (futex_was_woken(p)) {             // the wake came first
        d->regs.rax = 0;
        d->regs.rip += 2;
    } else if ((d->flags & PROC_FLAG_PAGE_WAIT) && !d->wait.deadline_ns &&
               !(d->flags & PROC_FLAG_RESTORE_MASK)) {       // its mask lets this signal in
        d->flags &= ~PROC_FLAG_PAGE_WAIT;
    } else if (call_never_interrupted(d->wait.nr) && d->wait.step == 0) {
        // It has had no effect yet. (Of a vfork that has its child: vfork_under_way.)
    } else if (!sa_restart || !call_restartable(d->wait.nr) || d->wait.deadline_ns) {
        d->regs.rax = (u64)(i64)E_INTR;
        d->regs.rip += 2;
    }
    d->wait.nr = -1;
    d->wait.deadline_ns = 0;
    d->wait.request_tag = 0;
}

static void frame_fill(struct signal_frame *f, const struct proc *p, u32 sig, u64 mask) {
    const struct proc_desc *d = proc_desc(p);
    const struct user_regs *r = &d->regs;
    const struct proc_signals *s = signals_of(p);
    memset(f, 0, sizeof *f);
    f->restorer = s->action[sig - 1].restorer;
    f->uc_flags = 6 | (d->xsave_bytes > FXSAVE_BYTES ? 1 : 0);
    f->stack_sp = d->sigaltstack_sp;
    f->stack_flags = d->sigaltstack_flags;
    f->stack_size = d->sigaltstack_size;
    f->context = (struct sigcontext){r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
        r->rdi, r->rsi, r->rbp, r->rbx, r->rdx, r->rax, r->rcx, r->rsp, r->rip, r->rflags,
        SEL_USER_CODE, 0, 0, SEL_USER_DATA, 0, 0, mask, 0, 0, {0}};
    f->mask = mask;
    f->info.signo = (i32)sig;
    f->info.code = s->info[sig - 1].code;
    bool fault =
        sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP;
    if (fault && f->info.code > 0) {
        f->info.u.address = s->info[sig - 1].value;
        f->context.cr2 = f->info.u.address;
    } else {
        f->info.u.child.pid = s->info[sig - 1].pid;
        f->info.u.child.uid = s->info[sig - 1].uid;
        f->info.u.child.status = s->info[sig - 1].status;
        if (SIGNAL_HAS_VALUE(f->info.code)) f->info.u.queued.value = s->info[sig - 1].value;
    }
}

static bool on_altstack(const struct proc_desc *d, u64 sp) {
    return sp > d->sigaltstack_sp && sp <= d->sigaltstack_sp + d->sigaltstack_size;
}

// A sleep that a handler ends says how much of it was left, where the caller asked for that.
// S_RESTART: that page is awaited.
static status_t sleep_left_tell(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    const bool by_clock = d->wait.nr == NR_CLOCK_NANOSLEEP && !(d->regs.rsi & 1);   // no ABSTIME
    if (d->wait.nr != NR_NANOSLEEP && !by_clock) return S_OK;
    const u64 uva = by_clock ? d->regs.r10 : d->regs.rsi, now = time_now_ns();
    if (!uva || !d->wait.deadline_ns) return S_OK;
    const u64 cpu_left = by_clock ? cpu_sleep_left_ns(p) : 0;
    const u64 left = cpu_left ? cpu_left
                   : d->wait.deadline_ns > now ? d->wait.deadline_ns - now : 0;
    const u64 t[2] = {left / NS_PER_S, left % NS_PER_S};
    return user_write(p, uva, t, sizeof t) == S_RESTART ? S_RESTART : S_OK;
}

// Builds the handler's frame and points the registers at it. Nothing has changed where
// it fails (E_FAULT, S_RESTART).
static status_t handler_enter(struct proc *p, u32 sig) {
    struct proc_desc *d = proc_desc(p);
    struct sigaction_entry *a = &signals_of(p)->action[sig - 1];
    if (!(a->flags & SA_RESTORER)) return E_FAULT;
    u64 sp = d->regs.rsp - RED_ZONE_BYTES;
    bool alt = (a->flags & SA_ONSTACK) && d->sigaltstack_size && !on_altstack(d, d->regs.rsp);
    if (alt) sp = d->sigaltstack_sp + d->sigaltstack_size;
    u64 fp_at = (sp - d->xsave_bytes) & ~63ull;
    u64 at = ((fp_at - sizeof(struct signal_frame)) & ~15ull) - 8;
    fpu_save(d);
    const u32 page_wait = d->flags & PROC_FLAG_PAGE_WAIT;
    status_t s = user_write(p, fp_at, d->xsave, d->xsave_bytes);
    if (s == S_OK) s = user_pin(p, at, sizeof(struct signal_frame), ACCESS_WRITE);
    if (s == S_OK) s = sleep_left_tell(p);
    d->flags = (d->flags & ~PROC_FLAG_PAGE_WAIT) | page_wait;   // the call's wait, not this one
    if (s != S_OK) return s;
    end_waiting_call(p, (a->flags & SA_RESTART) != 0);
    if (d->aux[PROC_AUX_TIMERS]) {
        spin_lock(&proc_lock);
        signal_told_locked(p, sig);
        spin_unlock(&proc_lock);
    }
    u64 mask = d->flags & PROC_FLAG_RESTORE_MASK ? d->signal_saved_mask : d->signal_mask;
    struct signal_frame f;
    frame_fill(&f, p, sig, mask);
    f.context.fpstate = fp_at;
    (void)user_write(p, at, &f, sizeof f);
    d->flags &= ~PROC_FLAG_RESTORE_MASK;
    d->regs.rsp = at;
    d->regs.rip = a->handler;
    d->regs.rdi = sig;
    d->regs.rsi = at + offsetof(struct signal_frame, info);
    d->regs.rdx = at + offsetof(struct signal_frame, uc_flags);
    d->regs.rax = 0;
    d->regs.rflags &= ~(u64)(RFLAGS_TF | RFLAGS_DF);
    d->signal_mask |= a->mask & ~UNMASKABLE;
    if (!(a->flags & SA_NODEFER)) d->signal_mask |= SIGNAL_BIT(sig);
    if (a->flags & SA_RESETHAND) a->handler = SIG_DFL;
    return S_OK;
}

// One that is pending for the thread alone goes first. proc_lock held.
static void pending_take(struct proc *p, u32 sig) {
    struct proc_desc *d = proc_desc(p);
    u64 *from = d->thread_pending & SIGNAL_BIT(sig) ? &d->thread_pending : &d->signal_pending;
    signal_taken_locked(p, from, sig);
}

static void stop(struct proc *p, u32 sig) {
    spin_lock(&proc_lock);
    pending_take(p, sig);
    if (!(proc_desc(p)->signal_pending & SIGNAL_BIT(SIGKILL))) {
        p->state = PROC_STOPPED;
        proc_desc(p)->exit_code = (i32)sig;
        tell_parent_of_stop(p, CLD_STOPPED, (i32)sig);
    }
    spin_unlock(&proc_lock);
}

static u32 next_signal(const struct proc_desc *d) {
    u64 ready = (d->signal_pending | d->thread_pending) & (~d->signal_mask | UNMASKABLE);
    if (ready & SIGNAL_BIT(SIGKILL)) return SIGKILL;
    u64 faults = ready & (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) |
                          SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP));
    if (faults) ready = faults;
    return ready ? (u32)__builtin_ctzll(ready) + 1 : 0;
}

static void clear_pending(struct proc *p, u32 sig) {
    spin_lock(&proc_lock);
    pending_take(p, sig);
    spin_unlock(&proc_lock);
}

// A vfork that has its child: the call runs again, and waits for the child, before a handler
// runs or p stops. Numbers: clone vfork clone3.
static bool vfork_under_way(const struct proc_desc *d) {
    const i32 nr = d->wait.nr;
    return (nr == 56 || nr == 58 || nr == 435) && d->wait.step == 1;
}

// A stop that means nothing to a group that nobody could continue. The terminal's own two come to
// none: kernel/jobs.c has asked all nodes.
static bool stop_is_vain(const struct proc *p, u32 sig) {
    const bool asked = sig != SIGTSTP && signals_of(p)->info[sig - 1].code == SI_KERNEL;
    return sig != SIGSTOP && !asked && group_is_orphaned(proc_desc(p)->pgid);
}

// Delivers what is pending to the current process. False: it does not go on (it ended,
// stopped, or waits for a page of its stack).
bool signal_deliver(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    if (p->kill_pending) {
        proc_exit(p, SIGKILL);
        return false;
    }
    u32 sig;
    while ((sig = next_signal(d)) != 0) {
        u64 handler = signals_of(p)->action[sig - 1].handler;
        bool fixed = sig == SIGKILL || sig == SIGSTOP;
        bool init = (d->pid & 0xffff) == 1;
        if ((handler == SIG_IGN && !fixed) ||
            (handler == SIG_DFL && ((SIGNAL_BIT(sig) & IGNORED) ||
                                    (init && signals_of(p)->info[sig - 1].code <= 0)))) {
            clear_pending(p, sig);
        } else if (handler == SIG_DFL && (SIGNAL_BIT(sig) & STOPS) && stop_is_vain(p, sig)) {
            clear_pending(p, sig);
        } else if (vfork_under_way(d) && (handler != SIG_DFL || (SIGNAL_BIT(sig) & STOPS))) {
            return true;
        } else if (handler == SIG_DFL && (SIGNAL_BIT(sig) & STOPS)) {
            stop(p, sig);
            if (p->state != PROC_RUNNING) return false;
        } else if (handler == SIG_DFL || fixed) {
            (void)proc_try_exit(p, (i32)sig);    // or it stays pending
            return false;
        } else {
            status_t s = handler_enter(p, sig);
            if (s == S_RESTART) return p->state == PROC_RUNNING;
            if (s != S_OK) {                     // no stack to run it on
                (void)proc_try_exit(p, SIGSEGV);
                return false;
            }
            clear_pending(p, sig);
        }
    }
    if ((d->flags & PROC_FLAG_RESTORE_MASK) && d->wait.nr < 0) {
        spin_lock(&proc_lock);
        d->signal_mask = d->signal_saved_mask;
        d->flags &= ~PROC_FLAG_RESTORE_MASK;
        spin_unlock(&proc_lock);
    }
    return true;
}

// rt_sigreturn: takes registers, vector state and mask back from the frame. E_FAULT: the
// frame is not readable (the caller forces SIGSEGV).
status_t signal_return(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    struct signal_frame f;
    status_t s = user_read(p, d->regs.rsp - 8, &f, sizeof f);
    if (s != S_OK) return s;
    const struct sigcontext *c = &f.context;
    if (c->fpstate) {
        fpu_save(d);
        s = user_read(p, c->fpstate, d->xsave, d->xsave_bytes);
        if (s != S_OK) return s;
        fpu_sanitize(d);
        fpu_load(d);
    }
    d->regs = (struct user_regs){.r15 = c->r15, .r14 = c->r14, .r13 = c->r13, .r12 = c->r12,
        .rbp = c->rbp, .rbx = c->rbx, .r11 = c->r11, .r10 = c->r10, .r9 = c->r9, .r8 = c->r8,
        .rax = c->rax, .rcx = c->rcx, .rdx = c->rdx, .rsi = c->rsi, .rdi = c->rdi,
        .orig_rax = ~0ull, .rip = c->rip, .cs = SEL_USER_CODE, .rflags = c->rflags,
        .rsp = c->rsp, .ss = SEL_USER_DATA};
    spin_lock(&proc_lock);
    d->signal_mask = f.mask & ~UNMASKABLE;
    spin_unlock(&proc_lock);
    return S_OK;
}
