// The vDSO: what the C libraries call instead of a system call, in user mode (AT_SYSINFO_EHDR).
// It computes by the page of the node that it runs on (base/clock_page.h), which lies before it,
// and makes the system call where that cannot be. All calls are Linux's. No state, no relocation.
#include "base/clock_page.h"

#define SYS_GETTIMEOFDAY 96
#define SYS_TIME 201
#define SYS_CLOCK_GETTIME 228
#define SYS_CLOCK_GETRES 229
#define SEL_CPU_WORD 0x3b            // kernel/x86/entry_asm.h
#define EXPORT __attribute__((visibility("default")))

struct timespec { i64 seconds, ns; };
struct timeval { i64 seconds, us; };
struct timezone { i32 minutes_west, dst; };

// Not const: the kernel writes it, and what is const may be read before it is looked at.
extern struct clock_page clock_page __attribute__((visibility("hidden")));

EXPORT int __vdso_clock_gettime(i32 clock, struct timespec *t);
EXPORT int __vdso_clock_getres(i32 clock, struct timespec *t);
EXPORT int __vdso_gettimeofday(struct timeval *t, struct timezone *zone);
EXPORT i64 __vdso_time(i64 *t);
EXPORT int __vdso_getcpu(u32 *cpu, u32 *node, void *unused);

static u32 cpu_word(void) {
    u32 word = CLOCK_WORD_CALL;
    __asm__ volatile("lsl %1, %0" : "+r"(word) : "r"(SEL_CPU_WORD) : "cc", "memory");
    return word;
}

static u64 read_tsc(void) {
    u32 low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (u64)high << 32 | low;
}

static i64 call(i64 number, u64 a, u64 b) {
    i64 result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b)
                     : "rcx", "r11", "memory");
    return result;
}

static inline __attribute__((always_inline)) bool now(bool wall, u64 *ns) {
    return clock_page_read(&clock_page, cpu_word, read_tsc, wall, ns);
}

// Which clocks are the page's: kernel/syscall/time.c has the same. CPU time is not.
enum kind { KIND_WALL, KIND_CLUSTER, KIND_CALL };
static enum kind kind_of(i32 clock) {
    enum { REALTIME = 0, MONOTONIC = 1, MONOTONIC_RAW = 4, REALTIME_COARSE = 5,
           MONOTONIC_COARSE = 6, BOOTTIME = 7, REALTIME_ALARM = 8, BOOTTIME_ALARM = 9, TAI = 11 };
    const u32 walls = 1u << REALTIME | 1u << REALTIME_COARSE | 1u << REALTIME_ALARM | 1u << TAI;
    const u32 ours = 1u << MONOTONIC | 1u << MONOTONIC_RAW | 1u << MONOTONIC_COARSE |
                     1u << BOOTTIME | 1u << BOOTTIME_ALARM;
    if ((u32)clock > TAI) return KIND_CALL;
    if (walls >> clock & 1) return KIND_WALL;
    return ours >> clock & 1 ? KIND_CLUSTER : KIND_CALL;
}

int __vdso_clock_gettime(i32 clock, struct timespec *t) {
    const enum kind kind = kind_of(clock);
    u64 ns;
    if (kind == KIND_CALL || !now(kind == KIND_WALL, &ns))
        return (int)call(SYS_CLOCK_GETTIME, (u64)clock, (u64)t);
    t->seconds = (i64)(ns / NS_PER_S);
    t->ns = (i64)(ns % NS_PER_S);
    return 0;
}

int __vdso_clock_getres(i32 clock, struct timespec *t) {
    if (kind_of(clock) == KIND_CALL) return (int)call(SYS_CLOCK_GETRES, (u64)clock, (u64)t);
    if (t) *t = (struct timespec){0, 1};
    return 0;
}

int __vdso_gettimeofday(struct timeval *t, struct timezone *zone) {
    u64 ns;
    if (!now(true, &ns)) return (int)call(SYS_GETTIMEOFDAY, (u64)t, (u64)zone);
    if (t) *t = (struct timeval){(i64)(ns / NS_PER_S), (i64)(ns % NS_PER_S / NS_PER_US)};
    if (zone) *zone = (struct timezone){0, 0};
    return 0;
}

i64 __vdso_time(i64 *t) {
    u64 ns;
    if (!now(true, &ns)) return call(SYS_TIME, (u64)t, 0);
    if (t) *t = (i64)(ns / NS_PER_S);
    return (i64)(ns / NS_PER_S);
}

// Where it moves between the looks, the number is of a CPU that both nodes have, or it looks again.
int __vdso_getcpu(u32 *cpu, u32 *node, void *unused) {
    (void)unused;
    u32 word, on, tries = 0;
    do {
        word = cpu_word();
        on = __atomic_load_n(&clock_page.node, __ATOMIC_ACQUIRE);
    } while (cpu_word() != word && ++tries < CLOCK_TRIES_MAX);
    if (cpu) *cpu = word & CLOCK_WORD_CPU;
    if (node) *node = on;
    return 0;
}
