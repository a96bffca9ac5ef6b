// Clocks as system calls name them (kernel/syscall/time.c).
#pragma once

#include "kernel/proc.h"

enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME, CLOCK_THREAD_CPUTIME,
       CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
       CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, CLOCK_TAI = 11 };
#define TIMER_ABSTIME 1u             // of clock_nanosleep and timer_settime

status_t clock_read(struct proc *p, u64 clock, u64 *ns);   // E_INVAL: no such clock
bool clock_is_wall(u64 clock);
bool clock_has_timers(u64 clock);    // of those that clock_read knows

struct cpu_clock { u32 pid, tid; };  // tid: of that thread of the caller; 0: of the process
bool cpu_clock_of(const struct proc *p, u64 id, struct cpu_clock *out);
status_t cpu_clock_read(struct proc *p, const struct cpu_clock *clock, u64 *ns);
u64 cpu_sleep_left_ns(struct proc *p);       // for kernel/signal.c
