// System calls on time: clocks, sleeping, interval timers.
#include "kernel/clock.h"
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/syscall/time.h"
#include "kernel/thread.h"
#include "kernel/x86/cpu.h"

#define TIMER_ABSTIME 1u

static u64 wall_ns(const struct proc *p) { return clock_seen(proc_desc(p)).wall_ns; }

// What the process reads of a clock; E_INVAL: there is none of that number.
status_t clock_read(struct proc *p, u64 clock, u64 *ns) {
    switch (clock) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: case CLOCK_REALTIME_ALARM:
        *ns = wall_ns(p); return S_OK;
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: case CLOCK_BOOTTIME_ALARM:
        *ns = clock_seen(proc_desc(p)).clock_ns;
        return S_OK;
    case CLOCK_THREAD_CPUTIME: *ns = thread_cpu_ns(p, time_now_ns()); return S_OK;
    case CLOCK_PROCESS_CPUTIME:
        *ns = proc_desc(p)->account.cpu_ns + time_now_ns() - p->run_start_ns;
        return S_OK;
    default: return E_INVAL;
    }
}

// Follows the wall, so that absolute times of it are.
bool clock_is_wall(u64 clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM; }

// Timers may be set by it; by the coarse ones, the raw one and CPU time they may not.
bool clock_has_timers(u64 clock) {
    return clock <= CLOCK_MONOTONIC || (clock >= CLOCK_BOOTTIME && clock <= CLOCK_BOOTTIME_ALARM);
}

SYSCALL(clock_gettime) {
    u64 ns;
    status_t s = clock_read(p, a[0], &ns);
    u64 t[2] = {ns / NS_PER_S, ns % NS_PER_S};
    return s == S_OK ? user_write(p, a[1], t, sizeof t) : s;
}
SYSCALL(clock_getres) {
    u64 ns, t[2] = {0, 1};
    status_t s = clock_read(p, a[0], &ns);
    return s == S_OK && a[1] ? user_write(p, a[1], t, sizeof t) : s;
}
SYSCALL(gettimeofday) {
    u64 ns = wall_ns(p), t[2] = {ns / NS_PER_S, ns % NS_PER_S / NS_PER_US};
    return a[0] ? user_write(p, a[0], t, sizeof t) : 0;
}
SYSCALL(time) {
    u64 s = wall_ns(p) / NS_PER_S;
    status_t r = a[0] ? user_write(p, a[0], &s, sizeof s) : S_OK;
    return r == S_OK ? (i64)s : r;
}

static i64 sleep_until(struct proc *p, u64 deadline) {
    if (!deadline || time_now_ns() < deadline) {
        wait_until(p, deadline);
        return S_RESTART;
    }
    return 0;
}
// The time left is told where a handler ends it (kernel/signal.c).
SYSCALL(nanosleep) {
    u64 ns;
    status_t s = user_timespec(p, a[0], &ns);
    return s == S_OK ? sleep_until(p, call_deadline(p, ns)) : s;
}
SYSCALL(clock_nanosleep) {
    u64 ns, now;
    status_t s = user_timespec(p, a[2], &ns);
    if (s == S_OK) s = clock_read(p, a[0], &now);
    if (s != S_OK) return s;
    if (!(a[1] & TIMER_ABSTIME)) return sleep_until(p, call_deadline(p, ns));
    if (now >= ns) return 0;                     // looked at again at each waking
    wait_until(p, time_now_ns() + clock_sleep_ns(ns - now));
    return S_RESTART;
}

static void timeval_of(u64 ns, u64 *t) {
    t[0] = ns / NS_PER_S;
    t[1] = ns % NS_PER_S / NS_PER_US;
}
static void timer_now(const struct proc_desc *d, u64 t[4]) {
    u64 now = time_now_ns();
    timeval_of(d->alarm_interval_ns, t);
    timeval_of(d->alarm_ns > now ? d->alarm_ns - now : 0, t + 2);
}
SYSCALL(getitimer) {
    u64 t[4];
    if (a[0] != 0) return E_INVAL;
    timer_now(proc_desc(p), t);
    return user_write(p, a[1], t, sizeof t);
}
SYSCALL(setitimer) {
    struct proc_desc *d = proc_desc(p);
    u64 set[4] = {0}, old[4];
    if (a[0] != 0) return E_INVAL;
    status_t s = a[1] ? user_read(p, a[1], set, sizeof set) : S_OK;
    timer_now(d, old);
    if (s == S_OK && a[2]) s = user_write(p, a[2], old, sizeof old);
    if (s != S_OK) return s;
    if (set[1] >= 1000000 || set[3] >= 1000000 || set[0] > 1ull << 33 || set[2] > 1ull << 33)
        return E_INVAL;
    u64 value = set[2] * NS_PER_S + set[3] * NS_PER_US;
    d->alarm_interval_ns = set[0] * NS_PER_S + set[1] * NS_PER_US;
    d->alarm_ns = value ? time_now_ns() + clock_sleep_ns(value) : 0;
    wait_alarm_changed(p);
    return 0;
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
SYSCALL(times) {
    const struct proc_desc *d = proc_desc(p);
    u64 t[4] = {d->account.cpu_ns / 10000000, 0, d->account.children_ns / 10000000, 0};
    status_t s = a[0] ? user_write(p, a[0], t, sizeof t) : S_OK;
    return s == S_OK ? (i64)(clock_seen(d).clock_ns / 10000000) : s;
}
