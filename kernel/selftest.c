// Self-tests that tests/system/ asks for by option: panic, assert, overflow and write-text
// end in a panic, sync and sync-fault do so when a process calls sync(); timers and kicks
// log "selftest: NAME ok" when all of their events came, in order. Called by kernel_main,
// CPU 0, and by sync().
#include "kernel/selftest.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"
#include "kernel/init.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"

#define OVERFLOW_DEPTH 100000u       // far more than a kernel stack holds
#define TIMERS 4u
#define KICKS 1000u

static u32 recurse(u32 depth) {
    volatile u8 room[256];
    room[0] = (u8)depth;
    return depth < OVERFLOW_DEPTH ? recurse(depth + 1) + room[0] : 0;
}

// ---- timers: armed out of order, one moved, one cancelled
static struct timer timers[TIMERS];
static u32 timers_ran;

static void timer_ran(void *arg) {
    const u64 expected[] = {2, 0, 3};
    const u64 which = (u64)arg;
    if (timers_ran >= ARRAY_COUNT(expected) || which != expected[timers_ran])
        panic("selftest: timer %lu ran as number %u", which, timers_ran);
    if (time_now_ns() < timers[which].deadline_ns) panic("selftest: timer %lu ran early", which);
    if (++timers_ran == ARRAY_COUNT(expected)) klog("selftest: timers ok");
}

static void test_timers(void) {
    const u64 now = time_now_ns();
    timer_arm(&timers[0], now + 20 * NS_PER_MS, timer_ran, (void *)0);
    timer_arm(&timers[1], now + 15 * NS_PER_MS, timer_ran, (void *)1);
    timer_arm(&timers[2], now + 60 * NS_PER_MS, timer_ran, (void *)2);
    timer_arm(&timers[3], now + 40 * NS_PER_MS, timer_ran, (void *)3);
    timer_arm(&timers[2], now + 10 * NS_PER_MS, timer_ran, (void *)2);
    if (!timer_cancel(&timers[1]) || timer_cancel(&timers[1]))
        panic("selftest: a timer cannot be cancelled once");
}

// ---- kicks: two CPUs wake each other KICKS times; a lost wake-up ends it
static u32 kicks;

static void kicked(void) {
    const u32 n = __atomic_add_fetch(&kicks, 1, __ATOMIC_RELAXED);
    if (n == KICKS) klog("selftest: kicks ok");
    if (n < KICKS) cpu_kick((cpu_this()->index + 1) % cpu_count, EDGE_RESCHED);
}

static void test_kicks(void) {
    edge_hook_set(EDGE_RESCHED, kicked);
    cpu_kick(1 % cpu_count, EDGE_RESCHED);
}

// A bug on purpose in a system call, where the option asks for one.
void selftest_sync(void) {
    if (strcmp(options.selftest, "sync") == 0) panic("selftest: a panic in a system call");
    if (strcmp(options.selftest, "sync-fault") == 0) *(volatile u8 *)(u64)&kernel_main = 0;
}

void selftest_run(const char *name) {
    if (strcmp(name, "panic") == 0) panic("selftest: a panic on purpose");
    if (strcmp(name, "assert") == 0) ASSERT(name[0] == 0);
    if (strcmp(name, "overflow") == 0) recurse(0);
    if (strcmp(name, "write-text") == 0) *(volatile u8 *)(u64)&kernel_main = 0;
    if (strcmp(name, "timers") == 0) test_timers();
    if (strcmp(name, "kicks") == 0) test_kicks();
}
