// Time from the TSC, calibrated at boot against the PIT's channel 2, and a list of timers
// for each CPU, sorted by deadline (most are armed near the end). Lock: timer_lock[cpu].
// Spec: Intel 8254 data sheet; MC146818A (RTC); SDM Vol. 3B 18.17 (invariant TSC).
#include "kernel/time.h"

#include "base/assert.h"
#include "base/units.h"
#include "kernel/trap.h"
#include "kernel/klog.h"
#include "kernel/tsc_rate.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/lapic.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/port.h"
#include "kernel/x86/spinlock.h"

#define PIT_HZ 1193182ull
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

// The PIT's channel 2, mode 0: it counts down once, and port 0x61's bit 5 says when it is over.
static void pit_prepare(u16 count) {
    port_out8(0x61, (u8)((port_in8(0x61) & ~2u) | 1));  // gate on, speaker off
    port_out8(0x43, 0xb0);                              // channel 2, mode 0, 16 bits
    port_out8(0x42, (u8)(count & 0xff));
}
static void pit_start(u16 count) { port_out8(0x42, (u8)(count >> 8)); }
static bool pit_over(void) { return port_in8(0x61) & 0x20; }
static u64 pit_tsc(void) { return tsc_read(); }

static u64 tsc_hz_by_cpuid(void) {
    if (cpuid(0, 0).eax < 0x15) return 0;
    const struct cpuid_regs r = cpuid(0x15, 0);
    return r.eax && r.ecx ? (u64)r.ecx * r.ebx / r.eax : 0;
}

// The firmware leaves channel 0 at 18 interrupts a second. Nobody takes them, but an emulated one
// wakes its host for each: mode 0 ends with the next.
static void pit_silence(void) {
    port_out8(0x43, 0x30);                              // channel 0, mode 0, 16 bits
    port_out8(0x40, 1);
    port_out8(0x40, 0);
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
    const struct tsc_rate rate = tsc_rate_measure(&(struct tsc_rate_counter){
        PIT_HZ, pit_tsc, pit_prepare, pit_start, pit_over});
    pit_silence();
    tsc_hz = rate.low_hz ? (rate.low_hz + rate.high_hz) / 2 : tsc_hz_by_cpuid();
    const bool known = tsc_hz != 0;
    if (!known) tsc_hz = TSC_HZ_FALLBACK;
    time_scale.ns_per_tick_q32 = (NS_PER_S << 32) / tsc_hz;
    time_scale.start_tsc = tsc_read();
    wall_start_ns = rtc_read_ns();
    if (rate.low_hz) klog("time: TSC of %lu kHz, known to %lu ppm", tsc_hz / 1000,
                          (rate.high_hz - tsc_hz) * 1000000 / tsc_hz);
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
    bool any = false;
    spin_lock(&timer_lock[cpu]);
    while (!list_empty(&timer_list[cpu])) {      // those armed meanwhile lie after `now`
        struct timer *t = LIST_ENTRY(timer_list[cpu].next, struct timer, link);
        if (t->deadline_ns > now) break;
        any = true;
        void (*fn)(void *arg) = t->fn;
        void *arg = t->arg;
        list_remove(&t->link);
        __atomic_store_n(&t->cpu_plus_one, 0, __ATOMIC_RELEASE);
        spin_unlock(&timer_lock[cpu]);
        fn(arg);
        spin_lock(&timer_lock[cpu]);
    }
    if (!any) {
        cpu_this()->timers_vain++;
        lapic_timer_learn(tsc_hz);
    }
    program(cpu);
    spin_unlock(&timer_lock[cpu]);
}
