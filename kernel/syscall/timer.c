// System calls on timers: those of timer_create, interval timers, alarm. What they do is in
// kernel/timers.c; what they are set to changes under proc_lock.
// Spec: timer_create(2), setitimer(2); Linux's struct sigevent.
#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/syscall/syscall.h"
#include "kernel/syscall/time.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timers.h"
#include "kernel/x86/cpu.h"

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };
#define TIME_MAX_NS (1ull << 61)     // later is never, and sums fit

struct sigevent64 { u64 value; i32 signal, notify, tid, unused[11]; };
_Static_assert(sizeof(struct sigevent64) == 64, "Linux's layout");

// --- timer_create ----------------------------------------------------------------------------

// What the timer is to do, of the caller's sigevent. proc_lock held.
static status_t event_take(struct proc *p, const struct sigevent64 *e, struct proc_timer *t) {
    const bool signals = e->notify != SIGEV_NONE;
    t->value = e->value;
    if (e->notify == SIGEV_THREAD_ID) {
        if (!thread_find(p, (u32)e->tid)) return E_INVAL;
        t->tid = (u32)e->tid;
    } else if (e->notify < SIGEV_SIGNAL || e->notify > SIGEV_THREAD) {
        return E_INVAL;
    }
    if (signals && (e->signal < 1 || e->signal > SIGNAL_COUNT)) return E_INVAL;
    t->signal = signals ? (u32)e->signal : 0;
    t->flags = PROC_TIMER_USED | (signals ? 0 : PROC_TIMER_SILENT);
    return S_OK;
}

static status_t clock_take(struct proc *p, u64 id, struct proc_timer *t) {
    struct cpu_clock cpu;
    u64 now;
    const status_t s = clock_read(p, id, &now);
    if (s != S_OK) return s;
    if (cpu_clock_of(p, id, &cpu)) {
        if (cpu.pid != proc_desc(p)->pid) return E_INVAL;
        t->clock = cpu.tid ? TIMER_CLOCK_THREAD : TIMER_CLOCK_PROCESS;
        t->clock_tid = cpu.tid;
        return S_OK;
    }
    if (clock_is_wall(id)) t->flags |= PROC_TIMER_WALL;
    return clock_has_timers(id) ? S_OK : E_OPNOTSUPP;
}

static struct proc_timer *place_find(struct proc_timers *all) {
    for (u32 i = 0; i < PROC_TIMERS_MAX; i++)
        if (all->timer[i].flags == 0) return &all->timer[i];
    return NULL;
}

SYSCALL(timer_create) {
    struct sigevent64 e = {.signal = SIGALRM};
    struct proc_timer t = {0}, *to = NULL;
    status_t s = a[1] ? user_read(p, a[1], &e, sizeof e) : S_OK;
    if (s == S_OK) s = user_pin(p, a[2], 4, ACCESS_WRITE);
    if (s == S_OK) s = clock_take(p, a[0], &t);
    if (s != S_OK) return s;
    struct proc_timers *all = timers_make(p);
    if (!all) return E_AGAIN;
    const u32 of_clock = t.flags;
    spin_lock(&proc_lock);
    s = event_take(p, &e, &t);
    if (s == S_OK) to = place_find(all);
    if (to) {
        t.flags |= of_clock;
        t.id = all->next_id++ & 0x7fffffffu;
        if (!a[1]) t.value = t.id;
        *to = t;
    }
    spin_unlock(&proc_lock);
    if (s != S_OK) return s;
    if (!to) return E_AGAIN;
    return user_write(p, a[2], &t.id, sizeof t.id);
}

SYSCALL(timer_delete) {
    spin_lock(&proc_lock);
    struct proc_timer *t = timers_find(p, (u32)a[0]);
    if (t) memset(t, 0, sizeof *t);
    if (t) wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
    return t ? 0 : E_INVAL;
}

SYSCALL(timer_getoverrun) {
    spin_lock(&proc_lock);
    const struct proc_timer *t = timers_find(p, (u32)a[0]);
    const i64 overrun = t ? (i64)t->overrun : E_INVAL;
    spin_unlock(&proc_lock);
    return overrun;
}

struct setting { u64 interval_ns, value_ns; };

static i64 setting_put(struct proc *p, u64 uva, const struct setting *s) {
    const u64 t[4] = {s->interval_ns / NS_PER_S, s->interval_ns % NS_PER_S,
                      s->value_ns / NS_PER_S, s->value_ns % NS_PER_S};
    return user_write(p, uva, t, sizeof t);
}

// E_INVAL: there is no such timer.
static status_t setting_get(struct proc *p, u32 id, struct setting *out) {
    spin_lock(&proc_lock);
    const struct proc_timer *t = timers_find(p, id);
    if (t) *out = (struct setting){t->interval_ns, timers_left_ns(p, t)};
    spin_unlock(&proc_lock);
    return t ? S_OK : E_INVAL;
}

SYSCALL(timer_gettime) {
    struct setting s;
    const status_t status = setting_get(p, (u32)a[0], &s);
    return status == S_OK ? setting_put(p, a[1], &s) : status;
}

// When a timer is to be due by its own clock, from the caller's value of it.
static u64 deadline_of(struct proc *p, const struct proc_timer *t, u64 value_ns, bool absolute) {
    const struct cpu_clock cpu = {proc_desc(p)->pid, t->clock_tid};
    u64 now = 0;
    if (t->clock != TIMER_CLOCK_REAL) {
        if (cpu_clock_read(p, &cpu, &now) != S_OK) return 0;     // that thread has ended
        return absolute ? value_ns : now + value_ns;
    }
    const struct clock_seen seen = clock_seen(proc_desc(p));
    now = t->flags & PROC_TIMER_WALL ? seen.wall_ns : seen.clock_ns;
    if (absolute) value_ns = value_ns > now ? value_ns - now : 0;
    return seen.clock_ns + value_ns;
}

SYSCALL(timer_settime) {
    struct setting set, old;
    status_t s = user_timespec(p, a[2], &set.interval_ns);
    if (s == S_OK) s = user_timespec(p, a[2] + 16, &set.value_ns);
    if (s == S_OK && a[3]) s = user_pin(p, a[3], 32, ACCESS_WRITE);
    if (s == S_OK) s = setting_get(p, (u32)a[0], &old);
    if (s != S_OK) return s;
    struct proc_timer *t = timers_find(p, (u32)a[0]);     // only its own calls change which are
    const u64 value_ns = MIN(set.value_ns, TIME_MAX_NS);
    const u64 at = value_ns ? deadline_of(p, t, value_ns, (a[1] & TIMER_ABSTIME) != 0) : 0;
    spin_lock(&proc_lock);
    t->interval_ns = value_ns ? MIN(set.interval_ns, TIME_MAX_NS) : 0;
    t->deadline_ns = at;
    t->overrun = 0;
    t->flags &= ~PROC_TIMER_BEHIND;
    wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
    return a[3] ? setting_put(p, a[3], &old) : 0;
}

// --- setitimer -------------------------------------------------------------------------------

static void timeval_of(u64 ns, u64 *t) {
    t[0] = ns / NS_PER_S;
    t[1] = ns % NS_PER_S / NS_PER_US;
}

// Interval and time left, as struct itimerval.
static void interval_get(const struct proc *p, u64 which, u64 out[4]) {
    const struct proc_desc *d = proc_desc(p);
    const struct proc_timers *all = timers_of(d);
    const u64 local = time_now_ns();
    struct interval_timer t = {d->alarm_ns, d->alarm_interval_ns};
    u64 now = local;
    if (which != ITIMER_REAL) {
        t = all ? all->cpu[which - ITIMER_VIRTUAL] : (struct interval_timer){0};
        now = process_cpu_ns(p, local);
    }
    timeval_of(t.interval_ns, out);
    timeval_of(t.at_ns == 0 ? 0 : MAX(t.at_ns - MIN(now, t.at_ns), NS_PER_US), out + 2);
}

SYSCALL(getitimer) {
    u64 t[4];
    if (a[0] > ITIMER_PROF) return E_INVAL;
    interval_get(p, a[0], t);
    return user_write(p, a[1], t, sizeof t);
}

SYSCALL(setitimer) {
    struct proc_desc *d = proc_desc(p);
    u64 set[4] = {0}, old[4];
    if (a[0] > ITIMER_PROF) return E_INVAL;
    status_t s = a[1] ? user_read(p, a[1], set, sizeof set) : S_OK;
    if (s == S_OK && a[2]) s = user_pin(p, a[2], sizeof old, ACCESS_WRITE);
    if (s != S_OK) return s;
    if (set[1] >= 1000000 || set[3] >= 1000000 || (i64)set[0] < 0 || (i64)set[2] < 0)
        return E_INVAL;
    struct proc_timers *all = a[0] == ITIMER_REAL ? NULL : timers_make(p);
    if (a[0] != ITIMER_REAL && !all) return E_NOMEM;
    const u64 value_ns = MIN(set[2], TIME_MAX_NS / NS_PER_S) * NS_PER_S + set[3] * NS_PER_US;
    const u64 interval_ns = MIN(set[0], TIME_MAX_NS / NS_PER_S) * NS_PER_S + set[1] * NS_PER_US;
    interval_get(p, a[0], old);
    const u64 now = time_now_ns(), after = value_ns ? clock_sleep_ns(value_ns) : 0;
    spin_lock(&proc_lock);
    if (all) {
        all->cpu[a[0] - ITIMER_VIRTUAL] = (struct interval_timer){
            value_ns ? process_cpu_ns(p, now) + value_ns : 0, interval_ns};
    } else {
        d->alarm_ns = value_ns ? now + after : 0;
        d->alarm_interval_ns = interval_ns;
    }
    wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
    return a[2] ? user_write(p, a[2], old, sizeof old) : 0;
}

SYSCALL(alarm) {
    struct proc_desc *d = proc_desc(p);
    u64 now = time_now_ns();
    u64 left = d->alarm_ns > now ? (d->alarm_ns - now + NS_PER_S - 1) / NS_PER_S : 0;
    d->alarm_interval_ns = 0;
    d->alarm_ns = (u32)a[0] ? now + clock_sleep_ns((u32)a[0] * NS_PER_S) : 0;
    wait_alarm_changed(p);
    return (i64)left;
}
