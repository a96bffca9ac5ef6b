// System calls of no other family: uname, sysinfo, getrandom, futex, scheduling.
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

// --- futex: words are named by the frame they lie in ---
static struct wait_list futexes = WAIT_LIST_INIT(futexes);
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10,
       FUTEX_CMD = 127, FUTEX_CLOCK_REALTIME = 256, FUTEX_WOKEN_STEP = 2 };

static bool futex_match(struct proc *p, u64 key) {
    struct proc_wait *w = &proc_desc(p)->wait;
    if (w->scratch[0] != key) return false;
    w->step = FUTEX_WOKEN_STEP;
    return true;
}

static i64 futex_wait(struct proc *p, const u64 *a, const u8 *word, u64 key) {
    struct proc_wait *w = &proc_desc(p)->wait;
    u64 timeout = ~0ull;
    if (w->step == FUTEX_WOKEN_STEP) return 0;
    status_t s = a[3] ? user_timespec(p, a[3], &timeout) : S_OK;
    if (s != S_OK) return s;
    const struct clock_seen seen = clock_seen(proc_desc(p));
    const u64 by = a[1] & FUTEX_CLOCK_REALTIME ? seen.wall_ns : seen.clock_ns;
    const bool absolute = (a[1] & FUTEX_CMD) == FUTEX_WAIT_BITSET && a[3];
    if (absolute) timeout = timeout > by ? timeout - by : 0;
    u64 deadline = call_deadline(p, timeout);
    w->scratch[0] = key;
    wait_on(&futexes, p);
    if (__atomic_load_n((const u32 *)(const void *)word, __ATOMIC_SEQ_CST) != (u32)a[2]) {
        wait_cancel(p);
        return E_AGAIN;
    }
    if (deadline && time_now_ns() >= deadline) {
        wait_cancel(p);
        return E_TIMEDOUT;
    }
    if (deadline) wait_until(p, deadline);
    return S_RESTART;
}

SYSCALL(futex) {
    u32 command = a[1] & FUTEX_CMD;
    u8 *word;
    if (a[0] & 3) return E_INVAL;
    status_t s = user_page(p, a[0], ACCESS_READ, &word);
    if (s != S_OK) return s;
    u64 key = virt_to_phys(word).v;
    if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) return futex_wait(p, a, word, key);
    if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET)
        return wait_wake_some(&futexes, (u32)a[2], futex_match, key);
    return E_NOSYS;
}

SYSCALL(sched_yield) { UNUSED(a); p->slice_over = true; return 0; }
SYSCALL(sched_getaffinity) {
    u64 mask = (1ull << cpu_count) - 1;
    if (a[1] < 8) return E_INVAL;
    status_t s = user_write(p, a[2], &mask, 8);
    return s == S_OK ? 8 : s;
}
SYSCALL(sched_setaffinity) { UNUSED(p); UNUSED(a); return 0; }
SYSCALL(getcpu) {
    u32 cpu = cpu_this()->index;
    status_t s = a[0] ? user_write(p, a[0], &cpu, 4) : S_OK;
    return s == S_OK && a[1] ? user_write(p, a[1], &node_id, 4) : s;
}
