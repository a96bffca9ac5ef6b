// Time from the TSC, calibrated at boot against the PIT's channel 2, and a list of timers
// for each CPU, sorted by deadline (most are armed near the end). Lock: timer_lock[cpu].
// Spec: Intel 8254 data sheet; MC146818A (RTC); SDM Vol. 3B 18.17 (invariant TSC).
#include "kernel/time.h"

#include "base/assert.h"
#include "base/units.h"
#include "kernel/trap.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/lapic.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/port.h"
#include "kernel/x86/spinlock.h"

#define PIT_HZ 1193182ull
#define PIT_COUNT 11932u             // 10 ms
#define PIT_POLLS_MAX 10000000u
#define PIT_TRIES 32
#define PIT_DOUBT 2000u              // good enough: a measure known to one part in so many
#define TSC_HZ_FALLBACK 1000000000ull
#define DEADLINE_NS_MAX (100ull * 365 * 86400 * NS_PER_S)   // later is never
#define RTC_POLLS_MAX 1000000u

static u64 tsc_hz;
struct time_scale time_scale;
static u64 wall_start_ns;            // of tsc_start
static struct spinlock timer_lock[CPU_MAX];
static struct list_node timer_list[CPU_MAX];     // under timer_lock of the same index
static bool timers_ready[CPU_MAX];

// Since boot of this node; 0 before time_init. Any context.
u64 time_now_ns(void) {
    return time_ns_of(tsc_read());
}

// How fast the TSC counts, as measured at boot.
u64 time_tsc_hz(void) { return tsc_hz; }
u64 time_rtc_ns(void) { return wall_start_ns; }

void time_delay_us(u32 us) {
    const u64 until = time_now_ns() + us * NS_PER_US;
    while (time_now_ns() < until) cpu_relax();
}

// One count of 10 ms by the PIT, in TSC ticks, and how far that may be off: the counting began
// within one access to it and was seen to have ended within another, and either may take long
// (a host that runs something else). ticks 0: none came of it.
struct pit_measure { u64 ticks, doubt; };
static struct pit_measure pit_measure(void) {
    port_out8(0x61, (u8)((port_in8(0x61) & ~2u) | 1));  // gate on, speaker off
    port_out8(0x43, 0xb0);                              // channel 2, mode 0, 16 bits
    port_out8(0x42, PIT_COUNT & 0xff);
    const u64 before = tsc_read();
    port_out8(0x42, PIT_COUNT >> 8);
    const u64 after = tsc_read();
    u64 last = after;
    for (u32 i = 0; i < PIT_POLLS_MAX; i++) {    // over at once: no PIT, or it was missed
        const bool over = port_in8(0x61) & 0x20;
        const u64 seen = tsc_read();
        if (over && i == 0) break;
        if (over) return (struct pit_measure){(last + seen) / 2 - (before + after) / 2,
                                              (after - before + seen - last) / 2};
        last = seen;
    }
    return (struct pit_measure){0};
}

static bool good(const struct pit_measure *m) { return m->doubt <= m->ticks / PIT_DOUBT; }

static bool agree(const struct pit_measure *a, const struct pit_measure *b) {
    const u64 apart = a->ticks > b->ticks ? a->ticks - b->ticks : b->ticks - a->ticks;
    return apart <= a->ticks / PIT_DOUBT;
}

// The better of the first two good counts that agree; where no two do, the middle of all.
static struct pit_measure pit_calibrate(void) {
    struct pit_measure all[PIT_TRIES];
    u32 count = 0;
    for (u32 i = 0; i < PIT_TRIES; i++) {
        const struct pit_measure m = pit_measure();
        if (m.ticks == 0) continue;
        u32 at = count++;
        for (; at > 0 && all[at - 1].ticks > m.ticks; at--) all[at] = all[at - 1];
        all[at] = m;                             // sorted: who agrees stands beside it
        for (u32 k = at ? at : 1; k < count && k <= at + 1; k++)
            if (good(&all[k]) && good(&all[k - 1]) && agree(&all[k - 1], &all[k]))
                return all[k].doubt < all[k - 1].doubt ? all[k] : all[k - 1];
    }
    return count ? all[count / 2] : (struct pit_measure){0};
}

static u64 tsc_hz_by_cpuid(void) {
    if (cpuid(0, 0).eax < 0x15) return 0;
    const struct cpuid_regs r = cpuid(0x15, 0);
    return r.eax && r.ecx ? (u64)r.ecx * r.ebx / r.eax : 0;
}

static u32 rtc_register(u8 index) {
    port_out8(0x70, index);
    return port_in8(0x71);
}

static u32 from_bcd(u32 v, u32 status_b) {
    return status_b & 4 ? v : (v >> 4) * 10 + (v & 15);
}

// Days since 1970-01-01 of a date in the Gregorian calendar.
static u64 days_of(u32 year, u32 month, u32 day) {
    const u32 y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static u64 rtc_read_ns(void) {
    for (u32 i = 0; i < RTC_POLLS_MAX && (rtc_register(10) & 0x80); i++) cpu_relax();
    const u32 b = rtc_register(11);
    const u32 second = from_bcd(rtc_register(0), b), minute = from_bcd(rtc_register(2), b);
    const u32 raw_hour = rtc_register(4);
    u32 hour = from_bcd(raw_hour & 0x7f, b);
    if (!(b & 2)) hour = hour % 12 + (raw_hour & 0x80 ? 12 : 0);
    const u32 day = from_bcd(rtc_register(7), b), month = from_bcd(rtc_register(8), b);
    const u32 year = 2000 + from_bcd(rtc_register(9), b);
    const u64 seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return seconds * NS_PER_S;
}

// Finds the TSC's rate. Boot, CPU 0. Without PIT and CPUID leaf 0x15 it assumes 1 GHz
// and says so.
void time_init(void) {
    const struct pit_measure best = pit_calibrate();
    tsc_hz = best.ticks ? best.ticks * PIT_HZ / PIT_COUNT : tsc_hz_by_cpuid();
    const bool known = tsc_hz != 0;
    if (!known) tsc_hz = TSC_HZ_FALLBACK;
    time_scale.ns_per_tick_q32 = (NS_PER_S << 32) / tsc_hz;
    time_scale.start_tsc = tsc_read();
    wall_start_ns = rtc_read_ns();
    if (best.ticks) klog("time: TSC of %lu kHz, known to %lu ppm", tsc_hz / 1000,
                         best.doubt * 1000000 / best.ticks);
    if (!known) klog("time: no PIT and no CPUID leaf 0x15; taking the TSC for 1 GHz");
    for (u32 i = 0; i < CPU_MAX; i++) {
        spin_init(&timer_lock[i], LOCK_RANK_TIMER, "timer");
        list_init(&timer_list[i]);
    }
}

static u64 tsc_of(u64 ns) {
    return ns >= DEADLINE_NS_MAX ? ~0ull : time_scale.start_tsc + mul_div64(ns, tsc_hz, NS_PER_S);
}

// Sets this CPU's hardware to its first deadline. Under timer_lock.
static void program(u32 cpu) {
    if (!timers_ready[cpu]) return;
    if (list_empty(&timer_list[cpu])) {
        lapic_timer_stop();
        return;
    }
    lapic_timer_arm(tsc_of(LIST_ENTRY(timer_list[cpu].next, struct timer, link)->deadline_ns),
                    tsc_hz);
}

// Each CPU, once its LAPIC timer works.
void timers_cpu_init(void) {
    const u32 cpu = cpu_this()->index;
    spin_lock(&timer_lock[cpu]);
    timers_ready[cpu] = true;
    program(cpu);
    spin_unlock(&timer_lock[cpu]);
}

// Runs fn(arg) once at the edge of this CPU when time_now_ns() >= deadline_ns.
//   t: zeroed before its first use; one that is armed is moved
// Takes timer_lock; any context but another timer lock's.
void timer_arm(struct timer *t, u64 deadline_ns, void (*fn)(void *arg), void *arg) {
    timer_cancel(t);
    const u32 cpu = cpu_this()->index;
    spin_lock(&timer_lock[cpu]);
    t->deadline_ns = deadline_ns;
    t->fn = fn;
    t->arg = arg;
    list_init(&t->link);
    struct list_node *at = timer_list[cpu].prev;
    while (at != &timer_list[cpu] && LIST_ENTRY(at, struct timer, link)->deadline_ns > deadline_ns)
        at = at->prev;
    list_insert_before(at->next, &t->link);
    __atomic_store_n(&t->cpu_plus_one, cpu + 1, __ATOMIC_RELEASE);
    if (timer_list[cpu].next == &t->link) program(cpu);
    spin_unlock(&timer_lock[cpu]);
}

// Takes the timer off whatever CPU has it. False where it was not armed (its function
// may be running on that CPU).
bool timer_cancel(struct timer *t) {
    const u32 cpu_plus_one = __atomic_load_n(&t->cpu_plus_one, __ATOMIC_ACQUIRE);
    if (!cpu_plus_one) return false;
    const u32 cpu = cpu_plus_one - 1;
    spin_lock(&timer_lock[cpu]);
    const bool armed = t->cpu_plus_one == cpu_plus_one;
    if (armed) {
        list_remove(&t->link);
        __atomic_store_n(&t->cpu_plus_one, 0, __ATOMIC_RELEASE);
    }
    spin_unlock(&timer_lock[cpu]);
    return armed;
}

// Runs this CPU's due timers, each without the lock. Called at the edge (EDGE_TIMER).
void timers_run(void) {
    const u32 cpu = cpu_this()->index;
    const u64 now = time_now_ns();
    spin_lock(&timer_lock[cpu]);
    while (!list_empty(&timer_list[cpu])) {      // those armed meanwhile lie after `now`
        struct timer *t = LIST_ENTRY(timer_list[cpu].next, struct timer, link);
        if (t->deadline_ns > now) break;
        void (*fn)(void *arg) = t->fn;
        void *arg = t->arg;
        list_remove(&t->link);
        __atomic_store_n(&t->cpu_plus_one, 0, __ATOMIC_RELEASE);
        spin_unlock(&timer_lock[cpu]);
        fn(arg);
        spin_lock(&timer_lock[cpu]);
    }
    program(cpu);
    spin_unlock(&timer_lock[cpu]);
}
