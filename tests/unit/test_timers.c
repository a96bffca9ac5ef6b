// Timers that raise signals: one signal at a time, what was missed, several of one signal, who
// ignores it, CPU time of the process and of its running thread.
// links: kernel/timers.c
#include <check.h>
#include <string.h>

#include "kernel/clock.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timers.h"
#include "kernel/x86/cpu.h"
#include "tests/unit/suite_run.h"

#define CLOCK_AHEAD_NS 7000ull       // the process's clock before the node's

struct proc *procs;
struct proc_desc *proc_descs;
struct spinlock proc_lock;
static struct proc p;
static struct proc_desc desc;
static u8 frame[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u64 now_ns, thread_other_pending;
static struct thread other;
static struct thread_entry other_entry;
static bool ignored;

void spin_lock(struct spinlock *l) { l->taken++; }
void spin_unlock(struct spinlock *l) { l->taken--; }
u64 time_now_ns(void) { return now_ns; }
u64 clock_sleep_ns(u64 ns) { return ns; }
struct clock_seen clock_seen(const struct proc_desc *d) {
    return (void)d, (struct clock_seen){.clock_ns = now_ns + CLOCK_AHEAD_NS};
}
paddr_t frame_alloc(enum frame_use use) { return (void)use, virt_to_phys(frame); }
void wait_alarm_changed_locked(struct proc *q) { (void)proc_timers_next_ns(q); }
struct thread *thread_find(struct proc *q, u32 tid) {
    if (tid == proc_desc(q)->tid) return &q->first;
    return tid == other.tid ? &other : NULL;
}
struct thread_entry *thread_entry(const struct proc_desc *d, u32 slot) {
    return (void)d, (void)slot, &other_entry;
}
u64 thread_cpu_ns(const struct proc *q, u64 at_ns) {
    return proc_desc(q)->thread_cpu_ns + at_ns - q->thread_start_ns;
}
u64 thread_pending(const struct thread *t) {
    return t == &other ? thread_other_pending : desc.thread_pending;
}
void signal_raise_locked(struct proc *q, u32 sig, struct signal_info info) {
    (void)info;
    if (!ignored) proc_desc(q)->signal_pending |= SIGNAL_BIT(sig);
}
void signal_raise_thread_locked(struct thread *t, u32 sig, struct signal_info info) {
    (void)info;
    if (t == &other) thread_other_pending |= SIGNAL_BIT(sig);
    else desc.thread_pending |= SIGNAL_BIT(sig);
}

static void setup(void) {
    memset(&p, 0, sizeof p);
    memset((u8 *)&desc, 0, sizeof desc);
    memset(frame, 0, sizeof frame);
    procs = &p, proc_descs = &desc;
    desc.tid = 5, other.tid = 6;
    thread_other_pending = 0;
    ignored = false;
    p.on_cpu = true;
    now_ns = 1000;
    p.run_start_ns = p.thread_start_ns = now_ns;
    ck_assert_ptr_nonnull(timers_make(&p));
}

static struct proc_timer *add(u32 id, u32 clock, u64 deadline_ns, u64 interval_ns) {
    struct proc_timer *t = &timers_of(&desc)->timer[id];
    *t = (struct proc_timer){.id = id, .flags = PROC_TIMER_USED, .clock = clock, .signal = SIGALRM,
                             .value = 100 + id, .deadline_ns = deadline_ns,
                             .interval_ns = interval_ns};
    return t;
}
static struct proc_timer *add_real(u32 id, u64 after_ns, u64 interval_ns) {
    return add(id, TIMER_CLOCK_REAL, now_ns + CLOCK_AHEAD_NS + after_ns, interval_ns);
}
static void take(i32 id, i32 overrun) {
    struct signal_info info = {0};
    ck_assert(desc.signal_pending & SIGNAL_BIT(SIGALRM));
    ck_assert(timers_told_locked(&p, SIGALRM, false, &info));
    ck_assert_int_eq(info.code, SI_TIMER);
    ck_assert_int_eq(info.pid, id);
    ck_assert_int_eq(info.uid, overrun);
    ck_assert_uint_eq(info.value, 100 + (u64)id);
    if (!timers_taken_locked(&p, SIGALRM, false)) desc.signal_pending &= ~SIGNAL_BIT(SIGALRM);
}

START_TEST(what_is_missed_is_counted) {
    struct proc_timer *t = add_real(3, 10, 10);
    ck_assert_uint_eq(proc_timers_next_ns(&p), now_ns + 10);
    now_ns += 9;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(desc.signal_pending, 0);
    now_ns += 1;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(proc_timers_next_ns(&p), 0);       // it stands still
    now_ns += 35;
    proc_timers_due(&p, now_ns);
    take(3, 3);
    ck_assert_uint_eq(t->overrun, 3);
    ck_assert_uint_eq(desc.signal_pending, 0);
    ck_assert_uint_eq(proc_timers_next_ns(&p), now_ns + 5);
    ck_assert_uint_eq(timers_left_ns(&p, t), 5);
}
END_TEST

START_TEST(once_is_once) {
    struct proc_timer *t = add_real(0, 10, 0);
    now_ns += 50;
    ck_assert_uint_eq(timers_left_ns(&p, t), 1);
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(timers_left_ns(&p, t), 0);
    take(0, 0);
    ck_assert_uint_eq(proc_timers_next_ns(&p), 0);
}
END_TEST

START_TEST(all_of_one_signal_are_told) {
    for (u32 i = 0; i < 5; i++) (void)add_real(i, 10 - i, 0);
    now_ns += 10;
    proc_timers_due(&p, now_ns);
    u32 seen = 0;
    for (u32 i = 0; i < 5; i++) {
        struct signal_info info;
        ck_assert(desc.signal_pending & SIGNAL_BIT(SIGALRM));
        ck_assert(timers_told_locked(&p, SIGALRM, false, &info));
        seen |= 1u << info.pid;
        if (!timers_taken_locked(&p, SIGALRM, false)) desc.signal_pending = 0;
    }
    ck_assert_uint_eq(seen, 31);
    ck_assert_uint_eq(desc.signal_pending, 0);
}
END_TEST

START_TEST(anothers_signal_comes_first) {
    desc.signal_pending = SIGNAL_BIT(SIGALRM);           // by kill
    (void)add_real(1, 10, 0);
    now_ns += 10;
    proc_timers_due(&p, now_ns);
    struct signal_info info;
    ck_assert(!timers_told_locked(&p, SIGALRM, false, &info));
    ck_assert(timers_taken_locked(&p, SIGALRM, false));
    take(1, 0);
    ck_assert_uint_eq(desc.signal_pending, 0);
}
END_TEST

START_TEST(ignored_it_goes_on) {
    struct proc_timer *t = add_real(0, 10, 1);
    ignored = true;
    now_ns += 10;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(desc.signal_pending, 0);
    ck_assert_uint_ge(timers_left_ns(&p, t), 1000000);   // and costs little
    ck_assert_uint_eq(t->flags, PROC_TIMER_USED);
}
END_TEST

START_TEST(a_silent_one_tells_its_time) {
    struct proc_timer *t = add_real(0, 10, 10);
    t->flags |= PROC_TIMER_SILENT;
    now_ns += 43;
    ck_assert_uint_eq(proc_timers_next_ns(&p), 0);
    ck_assert_uint_eq(timers_left_ns(&p, t), 7);
}
END_TEST

START_TEST(cpu_time) {
    (void)add(0, TIMER_CLOCK_PROCESS, 100, 0);
    desc.account.cpu_ns = 70;
    (void)proc_timers_next_ns(&p);
    ck_assert(p.cpu_timers);
    ck_assert_uint_eq(timers_cpu_at_ns(&p), now_ns + 30);
    now_ns += 29;
    timers_edge(&p);
    ck_assert_uint_eq(desc.signal_pending, 0);
    now_ns += 1;
    timers_edge(&p);
    take(0, 0);
    ck_assert(!p.cpu_timers);
}
END_TEST

START_TEST(a_threads_cpu_time) {
    struct proc_timer *t = add(0, TIMER_CLOCK_THREAD, 50, 0);
    t->clock_tid = other.tid;
    other_entry.cpu_ns = 20;
    (void)proc_timers_next_ns(&p);
    now_ns += 1000;                              // another thread's
    timers_edge(&p);
    ck_assert_uint_eq(desc.signal_pending, 0);
    ck_assert_uint_eq(timers_left_ns(&p, t), 30);
    desc.tid = 6, other.tid = 5;                 // its turn
    desc.thread_cpu_ns = 20;
    p.thread_start_ns = now_ns;
    now_ns += 30;
    timers_edge(&p);
    take(0, 0);
}
END_TEST

START_TEST(interval_timers_of_cpu_time) {
    timers_of(&desc)->cpu[1] = (struct interval_timer){10, 10};
    (void)proc_timers_next_ns(&p);
    now_ns += 35;
    timers_edge(&p);
    ck_assert_uint_eq(desc.signal_pending, SIGNAL_BIT(SIGPROF));
    ck_assert_uint_eq(timers_of(&desc)->cpu[1].at_ns, 40);
    timers_exec(&p);                             // goes on
    ck_assert_uint_eq(timers_of(&desc)->cpu[1].at_ns, 40);
}
END_TEST

START_TEST(for_a_thread) {
    struct proc_timer *t = add_real(0, 10, 10);
    t->tid = other.tid;
    now_ns += 10;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(thread_other_pending, SIGNAL_BIT(SIGALRM));
    ck_assert_uint_eq(desc.signal_pending | desc.thread_pending, 0);
    struct proc_timer *gone = add_real(1, 0, 10);
    gone->tid = 99;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(gone->deadline_ns, 0);
}
END_TEST

START_TEST(alarm_does_not_drift) {
    desc.alarm_ns = now_ns + 10, desc.alarm_interval_ns = 10;
    now_ns += 27;
    proc_timers_due(&p, now_ns);
    ck_assert_uint_eq(desc.signal_pending, SIGNAL_BIT(SIGALRM));
    ck_assert_uint_eq(desc.alarm_ns, now_ns + 3);
}
END_TEST

int main(void) {
    Suite *s = suite_create("timers");
    TCase *c = tcase_create("timers");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, what_is_missed_is_counted);
    tcase_add_test(c, once_is_once);
    tcase_add_test(c, all_of_one_signal_are_told);
    tcase_add_test(c, anothers_signal_comes_first);
    tcase_add_test(c, ignored_it_goes_on);
    tcase_add_test(c, a_silent_one_tells_its_time);
    tcase_add_test(c, cpu_time);
    tcase_add_test(c, a_threads_cpu_time);
    tcase_add_test(c, interval_timers_of_cpu_time);
    tcase_add_test(c, for_a_thread);
    tcase_add_test(c, alarm_does_not_drift);
    suite_add_tcase(s, c);
    return suite_run(s);
}
