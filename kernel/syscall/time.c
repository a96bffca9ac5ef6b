// System calls on time: clocks and sleeping.
#include "kernel/clock.h"
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/syscall/time.h"
#include "kernel/thread.h"
#include "kernel/timers.h"
#include "kernel/x86/cpu.h"

#define CPU_SLEEP_MIN_NS NS_PER_MS
#define CPU_SLEEP_MAX_NS (1000 * NS_PER_S)

static u64 wall_ns(const struct proc *p) { return clock_seen(proc_desc(p)).wall_ns; }

// A clock of CPU time by its id: the fixed two, and Linux's ids that name a process or a thread
// (bits 31..3: its number's complement; bit 2: a thread's; bits 1..0: which time, of which the
// kinds that leave out time in the kernel are the whole here). False: it is none.
bool cpu_clock_of(const struct proc *p, u64 id, struct cpu_clock *out) {
    const i32 clock = (i32)id;
    const struct proc_desc *d = proc_desc(p);
    *out = (struct cpu_clock){.pid = d->pid};
    if (clock == CLOCK_THREAD_CPUTIME) out->tid = d->tid;
    if (clock == CLOCK_THREAD_CPUTIME || clock == CLOCK_PROCESS_CPUTIME) return true;
    if (clock >= 0 || (clock & 3) == 3) return false;
    const u32 number = ~(u32)(clock >> 3);
    if (clock & 4) out->tid = number ? number : d->tid;
    else if (number) out->pid = number;
    return true;
}

// E_INVAL: no such process here, or no such thread of p.
status_t cpu_clock_read(struct proc *p, const struct cpu_clock *clock, u64 *ns) {
    const u64 now = time_now_ns();
    status_t s = S_OK;
    spin_lock(&proc_lock);
    const struct proc *of = clock->pid == proc_desc(p)->pid ? p : proc_find(clock->pid);
    const struct thread *t = clock->tid ? thread_find(p, clock->tid) : p->thread;
    if (!of || !t) s = E_INVAL;
    else if (!clock->tid) *ns = process_cpu_ns(of, now);
    else if (t == p->thread) *ns = thread_cpu_ns(p, now);
    else *ns = thread_entry(proc_desc(p), t->slot)->cpu_ns;
    spin_unlock(&proc_lock);
    return s;
}

// What the process reads of a clock; E_INVAL: there is none of that number.
status_t clock_read(struct proc *p, u64 clock, u64 *ns) {
    struct cpu_clock cpu;
    switch (clock) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: case CLOCK_REALTIME_ALARM: case CLOCK_TAI:
        *ns = wall_ns(p); return S_OK;
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: case CLOCK_BOOTTIME_ALARM:
        *ns = clock_seen(proc_desc(p)).clock_ns;
        return S_OK;
    default: return cpu_clock_of(p, clock, &cpu) ? cpu_clock_read(p, &cpu, ns) : E_INVAL;
    }
}

// Follows the wall, so that absolute times of it are.
bool clock_is_wall(u64 clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

// Timers may be set by it; by the coarse ones, the raw one and CPU time they may not.
bool clock_has_timers(u64 clock) {
    return clock <= CLOCK_MONOTONIC || (clock >= CLOCK_BOOTTIME && clock <= CLOCK_TAI);
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
    const u64 no_zone = 0;                       // struct timezone: minutes west, kind of summer
    status_t s = a[0] ? user_write(p, a[0], t, sizeof t) : S_OK;
    return s == S_OK && a[1] ? user_write(p, a[1], &no_zone, sizeof no_zone) : s;
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

// Until CPU time has reached a value, which is the same over restarts. It cannot before as much
// time has passed; then it is looked at again.
static i64 cpu_sleep(struct proc *p, const struct cpu_clock *clock, u64 ns, bool absolute) {
    u64 *until = &proc_desc(p)->wait.scratch[0], now = 0;
    const status_t s = cpu_clock_read(p, clock, &now);
    if (s != S_OK || (clock->tid && clock->tid == proc_desc(p)->tid)) return E_INVAL;
    if (!*until) *until = absolute ? ns : now + ns;
    if (now >= *until) return 0;
    wait_until(p, time_now_ns() + MAX(MIN(*until - now, CPU_SLEEP_MAX_NS), CPU_SLEEP_MIN_NS));
    return S_RESTART;
}

// How much of a call of clock_nanosleep by CPU time is left; 0: it does not sleep by that.
u64 cpu_sleep_left_ns(struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    struct cpu_clock clock;
    u64 now = 0;
    if (!d->wait.scratch[0] || !cpu_clock_of(p, d->regs.rdi, &clock)) return 0;
    (void)cpu_clock_read(p, &clock, &now);
    return d->wait.scratch[0] - MIN(now, d->wait.scratch[0] - 1);
}

SYSCALL(clock_nanosleep) {
    u64 ns, now;
    struct cpu_clock cpu;
    const bool by_cpu = cpu_clock_of(p, a[0], &cpu);
    status_t s = clock_read(p, a[0], &now);
    if (s == S_OK && !by_cpu && !clock_has_timers(a[0])) s = E_OPNOTSUPP;
    if (s == S_OK && a[0] == CLOCK_THREAD_CPUTIME) s = E_OPNOTSUPP;
    if (s == S_OK) s = user_timespec(p, a[2], &ns);
    if (s != S_OK) return s;
    if (by_cpu) return cpu_sleep(p, &cpu, ns, a[1] & TIMER_ABSTIME);
    if (!(a[1] & TIMER_ABSTIME)) return sleep_until(p, call_deadline(p, ns));
    if (now >= ns) return 0;                     // looked at again at each waking
    wait_until(p, time_now_ns() + clock_sleep_ns(ns - now));
    return S_RESTART;
}

SYSCALL(times) {
    const struct proc_desc *d = proc_desc(p);
    u64 t[4] = {d->account.cpu_ns / 10000000, 0, d->account.children_ns / 10000000, 0};
    status_t s = a[0] ? user_write(p, a[0], t, sizeof t) : S_OK;
    return s == S_OK ? (i64)(clock_seen(d).clock_ns / 10000000) : s;
}
