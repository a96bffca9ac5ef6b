// System calls of no other family: uname, sysinfo, getrandom, scheduling.
#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/klog.h"
#include "kernel/random.h"
#include "kernel/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "sched/runq.h"

struct utsname { char field[6][65]; };
SYSCALL(uname) {
    static const char *const text[6] = {"Isthmus", "",       "6.1.0-isthmus",
                                        "#1 SMP",  "x86_64", "(none)"};
    struct utsname u;
    memset(&u, 0, sizeof u);
    for (u32 i = 0; i < 6; i++) memcpy(u.field[i], text[i], strlen(text[i]));
    ksnprintf(u.field[1], sizeof u.field[1], "node%u", node_id);
    return user_write(p, a[0], &u, sizeof u);
}

struct sysinfo64 {
    i64 uptime;
    u64 loads[3], total, free, shared, buffer, swap, swap_free;
    u16 procs, pad;
    u64 high, high_free;
    u32 unit;
};
SYSCALL(sysinfo) {
    u16 count = 0;
    for (u32 i = 0; i < proc_end; i++) count = (u16)(count + (procs[i].state != PROC_FREE));
    struct sysinfo64 s = {.uptime = (i64)(clock_seen(proc_desc(p)).clock_ns / NS_PER_S),
        .total = frame_count_total() * PAGE_SIZE, .free = frame_count_free() * PAGE_SIZE,
        .procs = count, .unit = 1, .loads = {(u64)runq_running_count() << 16}};
    return user_write(p, a[0], &s, sizeof s);
}

#define RANDOM_CALL_MAX (1 * MIB)     // a caller that wants more loops, as after a signal
SYSCALL(getrandom) {
    u64 len = MIN(a[1], RANDOM_CALL_MAX);
    if (a[2] & ~7ull) return E_INVAL;
    u8 bytes[256];
    for (u64 done = 0; done < len;) {
        u64 n = MIN(len - done, sizeof bytes);
        random_fill(bytes, n);
        status_t s = user_write(p, a[0] + done, bytes, n);
        if (s != S_OK) return done && s != S_RESTART ? (i64)done : s;
        done += n;
    }
    return (i64)len;
}

SYSCALL(sched_yield) {
    UNUSED(a);
    p->slice_over = p->fair.yields = true;
    return 0;
}
SYSCALL(sched_getaffinity) {
    u64 mask = (1ull << cpu_count) - 1;
    if (a[1] < 8) return E_INVAL;
    status_t s = user_write(p, a[2], &mask, 8);
    return s == S_OK ? 8 : s;
}
SYSCALL(sched_setaffinity) { UNUSED(p); UNUSED(a); return 0; }

// Threads of a process never run at once, and a turn orders all that one has done before what
// the next does: there is nothing left to do.
SYSCALL(membarrier) {
    enum { QUERY = 0, PRIVATE_EXPEDITED = 8, REGISTER_PRIVATE_EXPEDITED = 16 };
    UNUSED(p);
    if (a[1] != 0) return E_INVAL;
    switch ((u32)a[0]) {
    case QUERY: return PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED;
    case PRIVATE_EXPEDITED: case REGISTER_PRIVATE_EXPEDITED: return 0;
    default: return E_INVAL;
    }
}

SYSCALL(getcpu) {
    u32 cpu = cpu_this()->index;
    status_t s = a[0] ? user_write(p, a[0], &cpu, 4) : S_OK;
    return s == S_OK && a[1] ? user_write(p, a[1], &node_id, 4) : s;
}
