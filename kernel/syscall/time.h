// Clocks as system calls name them (kernel/syscall/time.c).
#pragma once

#include "kernel/proc.h"

enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME, CLOCK_THREAD_CPUTIME,
       CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
       CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM };

status_t clock_read(struct proc *p, u64 clock, u64 *ns);   // E_INVAL: no such clock
bool clock_is_wall(u64 clock);
bool clock_has_timers(u64 clock);    // of those that clock_read knows
