// Time of this node: the TSC, calibrated once, and the timers of each CPU.
#pragma once

#include "base/clock_line.h"
#include "base/list.h"
#include "base/types.h"

void time_init(void);                // calibrates the TSC; boot, CPU 0
u64 time_tsc_hz(void);
void time_delay_us(u32 us);          // spins; boot and drivers' resets only
u64 time_rtc_ns(void);               // since 1970, by the RTC at boot: when time_now_ns was 0

// How the TSC becomes nanoseconds since boot; set once, at boot.
extern struct time_scale { u64 start_tsc, ns_per_tick_q32; } time_scale;   // 32.32 fixed point
static inline u64 time_ns_of(u64 tsc) {
    return clock_ticks_ns(tsc - time_scale.start_tsc, time_scale.ns_per_tick_q32);
}

// A timer belongs to whoever embeds it; fn runs at the edge of the CPU that armed it,
// with no lock held, once.
struct timer {
    struct list_node link;
    u64 deadline_ns;                 // time_now_ns
    void (*fn)(void *arg);
    void *arg;
    u32 cpu_plus_one;                // whose list; 0: not armed
};
void timer_arm(struct timer *t, u64 deadline_ns, void (*fn)(void *arg), void *arg);
bool timer_cancel(struct timer *t);  // true: it was armed and will not run
void timers_run(void);               // at the edge: those that are due, then the next is set
void timers_cpu_init(void);          // each CPU, after its LAPIC timer works
