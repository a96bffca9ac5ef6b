// Wait lists and deadlines: how a process that cannot go on is set aside and found
// again. Nothing blocks: a system call puts its process on a list, returns S_RESTART
// and runs again when woken. Called by system calls, file servers and the timer.
// Lock: proc_lock (LOCK_RANK_PROC).
#include "kernel/proc.h"
#include "kernel/x86/cpu.h"

struct wait_list poll_wait = WAIT_LIST_INIT(poll_wait);
static struct list_node deadlines = {&deadlines, &deadlines};   // sorted by timer_ns
// Not later than the first deadline; read without the lock, made exact when it is due.
static u64 deadline_hint = ~0ull;

void wait_list_init(struct wait_list *w) { list_init(&w->head); }

static void start_waiting(struct proc *p) {
    if (p->state == PROC_RUNNING) p->state = PROC_WAITING;
}

// As wait_on, with proc_lock held.
//   uninterruptible  signals do not wake it; its waker or a deadline does
void wait_on_locked(struct wait_list *w, struct proc *p, bool uninterruptible) {
    list_remove(&p->wait);
    list_push_back(&w->head, &p->wait);
    start_waiting(p);
    p->wait_uninterruptible = uninterruptible;
    p->offer.at = NULL;
}

// Whether wait_complete may end p's call: it waits, with an offer, and has left its CPU, so its
// registers stand before the call.
bool wait_offers(const struct proc *p) {
    return p->offer.at && p->state == PROC_WAITING && !p->on_cpu && proc_desc(p)->wait.nr >= 0;
}

// Ends the call that p waits in, for which wait_offers(p): it goes on behind it with `result`.
void wait_complete(struct proc *p, i64 result) {
    struct proc_desc *d = proc_desc(p);
    d->regs.rip += SYSCALL_BYTES;
    d->regs.rax = (u64)result;
    d->wait.nr = -1;
    p->offer.at = NULL;
    wait_wake_proc(p);
}

// Sets p aside on w; at most one list at a time. The caller returns S_RESTART and
// checks its condition again when it runs. The condition must be checked under the
// lock that its waker holds, so no wake-up is lost.
void wait_on(struct wait_list *w, struct proc *p) {
    spin_lock(&proc_lock);
    wait_on_locked(w, p, false);
    spin_unlock(&proc_lock);
}

// As wait_on, for a wake-up that is sure to come: signals leave p alone until then.
void wait_on_uninterruptible(struct wait_list *w, struct proc *p) {
    spin_lock(&proc_lock);
    wait_on_locked(w, p, true);
    spin_unlock(&proc_lock);
}

// Puts p at its place in the list of deadlines: the earlier of its wait's and its alarm.
static void deadline_set(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    u64 at = ~0ull;
    if (d->wait.nr >= 0 && d->wait.deadline_ns) at = d->wait.deadline_ns;
    if (d->alarm_ns && d->alarm_ns < at) at = d->alarm_ns;
    list_remove(&p->timer);
    if (at == ~0ull) return;
    p->timer_ns = at;
    struct list_node *it = deadlines.next;
    while (it != &deadlines && LIST_ENTRY(it, struct proc, timer)->timer_ns <= at) it = it->next;
    list_insert_before(it, &p->timer);
    if (at < deadline_hint) __atomic_store_n(&deadline_hint, at, __ATOMIC_RELEASE);
}

// Recomputes p's deadline after its alarm changed. Takes proc_lock.
void wait_alarm_changed(struct proc *p) {
    spin_lock(&proc_lock);
    deadline_set(p);
    spin_unlock(&proc_lock);
}

// Sets p aside until deadline_ns (time_now_ns; kept in its descriptor), beside wait_on
// or alone. 0: no deadline, until a signal.
void wait_until(struct proc *p, u64 deadline_ns) {
    spin_lock(&proc_lock);
    proc_desc(p)->wait.deadline_ns = deadline_ns;
    deadline_set(p);
    start_waiting(p);
    spin_unlock(&proc_lock);
}

// Makes a waiting process ready. proc_lock held.
void wait_wake_proc(struct proc *p) {
    list_remove(&p->wait);
    if (p->state != PROC_WAITING) return;
    list_remove(&p->timer);
    if (proc_desc(p)->alarm_ns) {
        u64 keep = proc_desc(p)->wait.deadline_ns;
        proc_desc(p)->wait.deadline_ns = 0;
        deadline_set(p);
        proc_desc(p)->wait.deadline_ns = keep;
    }
    proc_become_ready(p);
}

// Wakes everybody on w. proc_lock held.
void wait_wake_all_locked(struct wait_list *w) {
    while (!list_empty(&w->head)) wait_wake_proc(LIST_ENTRY(w->head.next, struct proc, wait));
}

// Wakes everybody on w.
void wait_wake_all(struct wait_list *w) {
    spin_lock(&proc_lock);
    wait_wake_all_locked(w);
    spin_unlock(&proc_lock);
}

// Wakes up to `count` of those on w for whom match is true; returns how many. Takes
// proc_lock; match runs under it.
u32 wait_wake_some(struct wait_list *w, u32 count, bool (*match)(struct proc *, u64), u64 arg) {
    u32 woken = 0;
    spin_lock(&proc_lock);
    LIST_FOR_EACH_SAFE(it, &w->head) {
        struct proc *p = LIST_ENTRY(it, struct proc, wait);
        if (woken == count) break;
        if (!match(p, arg)) continue;
        wait_wake_proc(p);
        woken++;
    }
    spin_unlock(&proc_lock);
    return woken;
}

// When the earliest deadline is due (time_now_ns), or earlier; ~0 where there is none.
u64 proc_next_deadline_ns(void) { return __atomic_load_n(&deadline_hint, __ATOMIC_ACQUIRE); }

// Wakes those whose deadline is past and raises due alarms. Takes proc_lock.
void wait_run_deadlines(u64 now_ns) {
    if (now_ns < proc_next_deadline_ns()) return;
    spin_lock(&proc_lock);
    while (!list_empty(&deadlines)) {
        struct proc *p = LIST_ENTRY(deadlines.next, struct proc, timer);
        if (p->timer_ns > now_ns) break;
        struct proc_desc *d = proc_desc(p);
        list_remove(&p->timer);
        if (d->alarm_ns && d->alarm_ns <= now_ns) {
            d->alarm_ns = d->alarm_interval_ns ? now_ns + d->alarm_interval_ns : 0;
            proc_alarm_due(p);
        }
        if (d->wait.nr >= 0 && d->wait.deadline_ns && d->wait.deadline_ns <= now_ns) {
            wait_wake_proc(p);
        } else {
            deadline_set(p);
        }
    }
    u64 first = list_empty(&deadlines) ? ~0ull
                                       : LIST_ENTRY(deadlines.next, struct proc, timer)->timer_ns;
    __atomic_store_n(&deadline_hint, first, __ATOMIC_RELEASE);
    spin_unlock(&proc_lock);
}
