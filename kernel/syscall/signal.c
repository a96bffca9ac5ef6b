// System calls on signals.
#include "base/string.h"
#include "kernel/family.h"
#include "kernel/proc_path.h"
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/thread.h"
#include "kernel/x86/cpu.h"

#define UNMASKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

SYSCALL(rt_sigaction) {
    u32 sig = (u32)a[0];
    if (sig == 0 || sig > SIGNAL_COUNT || a[3] != 8) return E_INVAL;
    if (a[1] && (sig == SIGKILL || sig == SIGSTOP)) return E_INVAL;
    struct proc_signals *t = phys_to_virt(paddr(proc_desc(p)->aux[PROC_AUX_SIGNAL]));
    struct sigaction_entry set, old = t->action[sig - 1];
    status_t s = a[1] ? user_read(p, a[1], &set, sizeof set) : S_OK;
    if (s == S_OK && a[2]) s = user_write(p, a[2], &old, sizeof old);
    if (s != S_OK || !a[1]) return s;
    spin_lock(&proc_lock);
    t->action[sig - 1] = set;
    u64 *pending = &proc_desc(p)->signal_pending;    // with what is queued behind it
    while (signal_ignored(p, sig) && (*pending & SIGNAL_BIT(sig)))
        signal_taken_locked(p, pending, sig);
    spin_unlock(&proc_lock);
    return 0;
}

SYSCALL(rt_sigprocmask) {
    struct proc_desc *d = proc_desc(p);
    u64 set = 0, old = d->signal_mask;
    if (a[3] != 8) return E_INVAL;
    status_t s = a[1] ? user_read(p, a[1], &set, 8) : S_OK;
    if (s == S_OK && a[1] && a[0] > 2) s = E_INVAL;
    if (s == S_OK && a[2]) s = user_write(p, a[2], &old, 8);
    if (s != S_OK || !a[1]) return s;
    u64 mask = a[0] == 0 ? old | set : a[0] == 1 ? old & ~set : set;
    spin_lock(&proc_lock);
    d->signal_mask = mask & ~UNMASKABLE;
    spin_unlock(&proc_lock);
    return 0;
}

SYSCALL(rt_sigpending) {
    const struct proc_desc *d = proc_desc(p);
    u64 pending = (d->signal_pending | d->thread_pending) & d->signal_mask;
    return user_write(p, a[0], &pending, 8);
}

SYSCALL(rt_sigsuspend) {
    u64 mask;
    if (a[1] != 8) return E_INVAL;
    status_t s = user_read(p, a[0], &mask, 8);
    if (s != S_OK) return s;
    temp_mask_set(p, mask);
    wait_until(p, 0);
    return S_RESTART;                            // a handler ends it with E_INTR
}
SYSCALL(pause) {
    UNUSED(a);
    wait_until(p, 0);
    return S_RESTART;
}

SYSCALL(rt_sigreturn) {
    UNUSED(a);
    status_t s = signal_return(p);
    if (s == S_RESTART) return s;
    if (s != S_OK) signal_force(p, SIGSEGV, (struct signal_info){.code = SI_KERNEL});
    return SYSCALL_REGS_SET;
}

// Takes one of the wanted pending signals without a handler.
SYSCALL(rt_sigtimedwait) {
    u64 set, timeout = ~0ull;
    if (a[3] != 8) return E_INVAL;
    status_t s = user_read(p, a[0], &set, 8);
    if (s == S_OK && a[1]) s = user_pin(p, a[1], 128, ACCESS_WRITE);
    if (s == S_OK && a[2]) s = user_timespec(p, a[2], &timeout);
    if (s != S_OK) return s;
    struct proc_desc *d = proc_desc(p);
    u64 deadline = call_deadline(p, timeout);
    spin_lock(&proc_lock);
    u64 *from = d->thread_pending & set & ~UNMASKABLE ? &d->thread_pending : &d->signal_pending;
    u64 found = *from & set & ~UNMASKABLE;
    u32 sig = found ? (u32)__builtin_ctzll(found) + 1 : 0;
    const struct proc_signals *t = phys_to_virt(paddr(d->aux[PROC_AUX_SIGNAL]));
    i32 info[32] = {(i32)sig};
    if (sig) {
        signal_told_locked(p, sig);
        info[2] = t->info[sig - 1].code;
        info[4] = t->info[sig - 1].pid;
        info[5] = t->info[sig - 1].uid;
        info[6] = t->info[sig - 1].status;
        if (SIGNAL_HAS_VALUE(info[2])) memcpy(&info[6], &t->info[sig - 1].value, 8);
        signal_taken_locked(p, from, sig);
    }
    spin_unlock(&proc_lock);
    if (!sig) {
        if (timeout == 0 || (deadline && time_now_ns() >= deadline)) return E_AGAIN;
        u64 soon = time_now_ns() + 10 * NS_PER_MS;   // a blocked signal does not wake: look again
        wait_until(p, soon);
        d->wait.deadline_ns = deadline;
        return S_RESTART;
    }
    if (a[1]) (void)user_write(p, a[1], info, sizeof info);
    return sig;
}

struct stack64 { u64 sp; u32 flags, pad; u64 size; };
SYSCALL(sigaltstack) {
    struct proc_desc *d = proc_desc(p);
    struct stack64 set,
        old = {d->sigaltstack_sp, d->sigaltstack_size ? 0 : 2, 0, d->sigaltstack_size};
    bool on =
        d->regs.rsp > d->sigaltstack_sp && d->regs.rsp <= d->sigaltstack_sp + d->sigaltstack_size;
    if (on) old.flags = 1;
    status_t s = a[0] ? user_read(p, a[0], &set, sizeof set) : S_OK;
    if (s == S_OK && a[1]) s = user_write(p, a[1], &old, sizeof old);
    if (s != S_OK || !a[0]) return s;
    if (on) return E_PERM;
    if (set.flags & ~2u) return E_INVAL;
    if (!(set.flags & 2) && set.size < 2048) return E_NOMEM;
    d->sigaltstack_sp = set.flags & 2 ? 0 : set.sp;
    d->sigaltstack_size = set.flags & 2 ? 0 : set.size;
    d->sigaltstack_flags = set.flags;
    return 0;
}

static struct signal_info info_from(struct proc *p, i32 code) {
    return (struct signal_info){.code = code, .pid = (i32)proc_desc(p)->pid,
                                .uid = (i32)proc_desc(p)->uid};
}

// Whether p may send it to t: user 0, the same user, or SIGCONT in the same session. proc_lock.
static bool may_signal(const struct proc *p, const struct proc *t, u32 sig) {
    const struct proc_desc *d = proc_desc(p), *to = proc_desc(t);
    const bool same = d->euid == to->uid || d->euid == to->suid || d->uid == to->uid ||
                      d->uid == to->suid;
    return d->euid == 0 || same || (sig == SIGCONT && d->sid == to->sid);
}

// One of another node: whose it is, is asked there. SIGCONT within a session is not known of.
static i64 kill_away(struct proc *p, u32 pid, u32 sig) {
    const struct proc_desc *d = proc_desc(p);
    u32 uid;
    if (!proc_hooks.kill_remote) return E_SRCH;
    const status_t s = proc_path_owner(pid, &uid);
    if (s != S_OK) return s;
    if (d->euid && d->euid != uid && d->uid != uid) return E_PERM;
    return proc_hooks.kill_remote(p, pid, sig);
}

static i64 kill_one(struct proc *p, u32 pid, u32 sig, i32 code) {
    spin_lock(&proc_lock);
    struct proc *t = proc_find(pid);
    const bool may = t && may_signal(p, t, sig);
    if (may) signal_raise_locked(t, sig, info_from(p, code));
    spin_unlock(&proc_lock);
    if (t) return may ? 0 : E_PERM;
    return kill_away(p, pid, sig);
}

// Every process of a group, on all nodes; group 0: all of this node but p and init. E_SRCH: there
// is none; E_PERM: p may send it to none of them. What it may not send to here, it sends to none
// of elsewhere.
static i64 kill_many(struct proc *p, u32 group, u32 sig) {
    u32 sent = 0, refused = 0, sid;
    const status_t s = group ? family_group(group, &sid) : S_OK;
    if (s != S_OK) return s;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) {
        struct proc *t = &procs[i];
        const bool others = t != p && (proc_descs[i].pid & 0xffff) != 1;
        if (t->state == PROC_FREE || t->state == PROC_AWAY) continue;
        if (group ? proc_descs[i].pgid != group : !others) continue;
        if (may_signal(p, t, sig)) {
            signal_raise_locked(t, sig, info_from(p, SI_USER));
            sent++;
        } else {
            refused++;
        }
    }
    const bool all = group && !refused;          // whoever is in it, anywhere, is told
    if (all && proc_hooks.kill_group_away)
        (void)proc_hooks.kill_group_away(group, sig, proc_desc(p)->euid);
    spin_unlock(&proc_lock);
    return all || sent ? 0 : refused ? E_PERM : E_SRCH;
}

SYSCALL(kill) {
    const i32 pid = (i32)a[0];
    const u32 sig = (u32)a[1];
    if (sig > SIGNAL_COUNT) return E_INVAL;
    if (pid > 0) return kill_one(p, (u32)pid, sig, SI_USER);
    if (pid == -1) return kill_many(p, 0, sig);
    if (pid == INT32_MIN) return E_SRCH;
    return kill_many(p, pid ? (u32)-pid : proc_desc(p)->pgid, sig);
}
// A signal with a value. One for a process of another node arrives without it.
SYSCALL(rt_sigqueueinfo) {
    struct { i32 signo, error, code, pad, pid, uid; u64 value; } in;
    const u32 sig = (u32)a[1];
    status_t s = user_read(p, a[2], &in, sizeof in);
    if (s != S_OK) return s;
    if (sig > SIGNAL_COUNT || (i32)a[0] <= 0) return E_INVAL;
    if ((in.code >= 0 || in.code == SI_TKILL) && (u32)a[0] != proc_desc(p)->pid) return E_PERM;
    spin_lock(&proc_lock);
    struct proc *t = proc_find((u32)a[0]);
    const struct signal_info info = {.code = in.code, .pid = in.pid, .uid = in.uid,
                                     .value = in.value, .status = (i32)in.value};
    if (t) s = may_signal(p, t, sig) ? signal_queue_locked(t, sig, info) : E_PERM;
    spin_unlock(&proc_lock);
    return t ? (i64)s : kill_one(p, (u32)a[0], sig, SI_QUEUE);
}

// A thread of process pid (0: of any); one of another node only as the process that it leads.
static i64 kill_thread(struct proc *p, u32 pid, u32 tid, u32 sig) {
    if (sig > SIGNAL_COUNT || (i32)tid <= 0) return E_INVAL;
    spin_lock(&proc_lock);
    struct thread *t = thread_find_any(tid);
    if (t && pid && proc_desc(t->p)->pid != pid) t = NULL;
    const bool may = t && may_signal(p, t->p, sig);
    if (may) signal_raise_thread_locked(t, sig, info_from(p, SI_TKILL));
    spin_unlock(&proc_lock);
    if (t) return may ? 0 : E_PERM;
    return pid == 0 || pid == tid ? kill_one(p, tid, sig, SI_TKILL) : E_SRCH;
}
SYSCALL(tkill) { return kill_thread(p, 0, (u32)a[0], (u32)a[1]); }
SYSCALL(tgkill) {
    return (i32)a[0] <= 0 ? E_INVAL : kill_thread(p, (u32)a[0], (u32)a[1], (u32)a[2]);
}
