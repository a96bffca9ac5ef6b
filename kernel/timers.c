// What a process's timers do: when they are due, the signals that they raise, and how often they
// expired meanwhile. A timer has one signal pending at a time; while it has, it does not run, and
// when that is taken, the expirations that were missed are counted and it goes on from there
// (timer_getoverrun). So one with a short interval costs no more than its signals do.
// Lock: proc_lock; the frame is made, and cleared at exec, by the CPU that runs the process.
#include "kernel/timers.h"

#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/x86/cpu.h"

#define UNHEARD_NS (10 * NS_PER_MS)  // who ignores the signal gets no more than so many
#define OVERRUN_MAX 0x7fffffffu      // DELAYTIMER_MAX

struct proc_timers *timers_make(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    if (!timers_of(d)) {
        const paddr_t frame = frame_alloc(FRAME_DESC);
        if (frame.v == 0) return NULL;
        memset(phys_to_virt(frame), 0, PAGE_SIZE);
        d->aux[PROC_AUX_TIMERS] = frame.v;
    }
    return timers_of(d);
}

// NULL: it has none of that number.
struct proc_timer *timers_find(const struct proc *p, u32 id) {
    struct proc_timers *all = timers_of(proc_desc(p));
    for (u32 i = 0; all && i < PROC_TIMERS_MAX; i++)
        if (all->timer[i].flags && all->timer[i].id == id) return &all->timer[i];
    return NULL;
}

// CPU time of a process here. proc_lock held, or p is current.
u64 process_cpu_ns(const struct proc *p, u64 now_ns) {
    return proc_desc(p)->account.cpu_ns + (p->on_cpu ? now_ns - p->run_start_ns : 0);
}

// False: its clock stands still, for it is another thread's than the running one.
static bool clock_now(const struct proc *p, const struct proc_timer *t, u64 *now_ns) {
    const struct proc_desc *d = proc_desc(p);
    const u64 local_ns = time_now_ns();
    if (t->clock == TIMER_CLOCK_REAL) {
        *now_ns = clock_seen(d).clock_ns;
        return true;
    }
    if (t->clock == TIMER_CLOCK_PROCESS) {
        *now_ns = process_cpu_ns(p, local_ns);
        return true;
    }
    if (t->clock_tid == d->tid) {
        *now_ns = p->on_cpu ? thread_cpu_ns(p, local_ns) : d->thread_cpu_ns;
        return true;
    }
    const struct thread *of = thread_find((struct proc *)(uintptr_t)p, t->clock_tid);
    *now_ns = of ? thread_entry(d, of->slot)->cpu_ns : 0;
    return false;
}

// Whether it is to raise a signal at its deadline.
static bool armed(const struct proc_timer *t) {
    const u32 not_now = PROC_TIMER_QUEUED | PROC_TIMER_BEHIND | PROC_TIMER_SILENT;
    return t->flags != 0 && t->deadline_ns != 0 && !(t->flags & not_now);
}

// Until the next expiration, by its clock; 0: it is not set. proc_lock held.
u64 timers_left_ns(const struct proc *p, const struct proc_timer *t) {
    u64 now;
    (void)clock_now(p, t, &now);
    if (t->deadline_ns == 0) return 0;
    if (t->deadline_ns > now) return t->deadline_ns - now;
    if (t->interval_ns) return t->interval_ns - (now - t->deadline_ns) % t->interval_ns;
    return armed(t) ? 1 : 0;
}

// Steps *at_ns over now_ns by whole intervals; 0 where it was to come once. How many it passed
// beside the first.
static u64 step_over(u64 *at_ns, u64 interval_ns, u64 now_ns) {
    if (interval_ns == 0) {
        *at_ns = 0;
        return 0;
    }
    const u64 missed = (now_ns - *at_ns) / interval_ns;
    *at_ns += (missed + 1) * interval_ns;
    return missed;
}

static struct thread *target(struct proc *p, const struct proc_timer *t) {
    return t->tid ? thread_find(p, t->tid) : NULL;
}

static void raise(struct proc *p, struct proc_timer *t, u64 now_ns) {
    struct thread *to = target(p, t);
    const struct signal_info info = {.code = SI_TIMER, .pid = (i32)t->id, .value = t->value};
    if (t->tid && !to) {                         // that thread has ended
        t->deadline_ns = 0;
        return;
    }
    const u64 bit = SIGNAL_BIT(t->signal);
    if ((to ? thread_pending(to) : proc_desc(p)->signal_pending) & bit) {
        t->flags |= PROC_TIMER_BEHIND;
        return;
    }
    if (to) signal_raise_thread_locked(to, t->signal, info);
    else signal_raise_locked(p, t->signal, info);
    if ((to ? thread_pending(to) : proc_desc(p)->signal_pending) & bit)
        t->flags |= PROC_TIMER_QUEUED;
    else (void)step_over(&t->deadline_ns, t->interval_ns ? MAX(t->interval_ns, UNHEARD_NS) : 0,
                         now_ns);
}

// --- by the clock: sched/wait.c calls these, proc_lock held -----------------------------------

static u64 local_of(u64 clock_ns, u64 seen_ns) {
    return time_now_ns() + (clock_ns > seen_ns ? clock_sleep_ns(clock_ns - seen_ns) : 0);
}

// Notes whether p has timers by CPU time, and says when the first of the others is due
// (time_now_ns); 0: there is none.
u64 proc_timers_next_ns(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    const struct proc_timers *all = timers_of(d);
    u64 first = ~0ull;
    p->cpu_timers = all && (all->cpu[0].at_ns || all->cpu[1].at_ns);
    for (u32 i = 0; all && i < PROC_TIMERS_MAX; i++) {
        const struct proc_timer *t = &all->timer[i];
        if (!armed(t)) continue;
        if (t->clock == TIMER_CLOCK_REAL) first = MIN(first, t->deadline_ns);
        else p->cpu_timers = true;
    }
    if (first == ~0ull) return d->alarm_ns;
    const u64 at = local_of(first, clock_seen(d).clock_ns);
    return d->alarm_ns ? MIN(at, d->alarm_ns) : at;
}

// Raises the signals of those that are due.
void proc_timers_due(struct proc *p, u64 now_ns) {
    struct proc_desc *d = proc_desc(p);
    struct proc_timers *all = timers_of(d);
    const u64 seen_ns = all ? clock_seen(d).clock_ns : 0;
    if (d->alarm_ns && d->alarm_ns <= now_ns) {
        (void)step_over(&d->alarm_ns, d->alarm_interval_ns, now_ns);
        signal_raise_locked(p, SIGALRM, (struct signal_info){.code = SI_KERNEL});
    }
    for (u32 i = 0; all && i < PROC_TIMERS_MAX; i++) {
        struct proc_timer *t = &all->timer[i];
        if (armed(t) && t->clock == TIMER_CLOCK_REAL && t->deadline_ns <= seen_ns)
            raise(p, t, seen_ns);
    }
}

// --- by CPU time -----------------------------------------------------------------------------

// When p, going on as it is, has used so much that a timer is due (time_now_ns).
u64 timers_cpu_at_ns(const struct proc *p) {
    const struct proc_timers *all = timers_of(proc_desc(p));
    const u64 local_ns = time_now_ns(), cpu_ns = process_cpu_ns(p, local_ns);
    u64 left = ~0ull, now;
    for (u32 i = 0; i < ARRAY_COUNT(all->cpu); i++)
        if (all->cpu[i].at_ns) left = MIN(left, all->cpu[i].at_ns - MIN(cpu_ns, all->cpu[i].at_ns));
    for (u32 i = 0; i < PROC_TIMERS_MAX; i++) {
        const struct proc_timer *t = &all->timer[i];
        if (!armed(t) || t->clock == TIMER_CLOCK_REAL || !clock_now(p, t, &now)) continue;
        left = MIN(left, t->deadline_ns - MIN(now, t->deadline_ns));
    }
    return left == ~0ull ? left : local_ns + left;
}

// Raises the signals of those that are due by the CPU time of p. No lock held.
void timers_edge(struct proc *p) {
    static const u32 signals[] = {SIGVTALRM, SIGPROF};
    struct proc_timers *all = timers_of(proc_desc(p));
    u64 now;
    if (timers_cpu_at_ns(p) > time_now_ns()) return;
    spin_lock(&proc_lock);
    const u64 cpu_ns = process_cpu_ns(p, time_now_ns());
    for (u32 i = 0; i < ARRAY_COUNT(signals); i++) {
        struct interval_timer *t = &all->cpu[i];
        if (t->at_ns == 0 || t->at_ns > cpu_ns) continue;
        (void)step_over(&t->at_ns, t->interval_ns, cpu_ns);
        signal_raise_locked(p, signals[i], (struct signal_info){.code = SI_KERNEL});
    }
    for (u32 i = 0; i < PROC_TIMERS_MAX; i++) {
        struct proc_timer *t = &all->timer[i];
        if (!armed(t) || t->clock == TIMER_CLOCK_REAL || !clock_now(p, t, &now)) continue;
        if (t->deadline_ns <= now) raise(p, t, now);
    }
    wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
}

// --- signals ---------------------------------------------------------------------------------

// The timer of the running thread, or of its process, with one of these flags and that signal.
static struct proc_timer *find(const struct proc *p, u32 sig, bool for_thread, u32 flags) {
    const struct proc_desc *d = proc_desc(p);
    struct proc_timers *all = timers_of(d);
    for (u32 i = 0; all && i < PROC_TIMERS_MAX; i++) {
        struct proc_timer *t = &all->timer[i];
        if ((t->flags & flags) && t->signal == sig && t->tid == (for_thread ? d->tid : 0)) return t;
    }
    return NULL;
}

// A pending signal is about to be taken, for the running thread alone or any. True: it is a
// timer's, info tells so, and the timer goes on.
bool timers_told_locked(struct proc *p, u32 sig, bool for_thread, struct signal_info *info) {
    struct proc_timer *t = find(p, sig, for_thread, PROC_TIMER_QUEUED);
    u64 now, missed = 0;
    if (!t) return false;
    (void)clock_now(p, t, &now);
    t->flags &= ~PROC_TIMER_QUEUED;
    if (t->deadline_ns && t->deadline_ns <= now)
        missed = step_over(&t->deadline_ns, t->interval_ns, now);
    t->overrun = (u32)MIN(missed, OVERRUN_MAX);
    *info = (struct signal_info){.code = SI_TIMER, .pid = (i32)t->id, .uid = (i32)t->overrun,
                                 .value = t->value};
    wait_alarm_changed_locked(p);
    return true;
}

// It has been taken, and nothing is queued behind it. True: a timer's signal comes next.
bool timers_taken_locked(struct proc *p, u32 sig, bool for_thread) {
    struct signal_info unread;
    (void)timers_told_locked(p, sig, for_thread, &unread);   // one that nobody looked at
    struct proc_timer *next = find(p, sig, for_thread, PROC_TIMER_BEHIND);
    if (!next) return false;
    next->flags = (next->flags & ~PROC_TIMER_BEHIND) | PROC_TIMER_QUEUED;
    return true;
}

// --- a process's life ------------------------------------------------------------------------

// Another program: timers of timer_create end, the others go on. No lock held.
void timers_exec(struct proc *p) {
    struct proc_timers *all = timers_of(proc_desc(p));
    if (!all) return;
    spin_lock(&proc_lock);
    memset(all->timer, 0, sizeof all->timer);
    all->next_id = 0;
    wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
}
