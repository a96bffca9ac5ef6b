// kernel/futex.c and sched/wait.c: named cases, then random calls against a model that keeps
// who waits for what in a plain array. A caller is a descriptor with one thread; several have
// the same pid, as threads of one process. A call that is to run again does so once its caller
// is ready, as at the edge.
// links: kernel/futex.c sched/wait.c kernel/syscall/dispatch.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/clock.h"
#include "kernel/cluster.h"
#include "kernel/futex.h"
#include "kernel/klog.h"
#include "kernel/signal.h"
#include "kernel/syscall/table.h"
#include "kernel/thread.h"
#include "kernel/x86/cpu.h"
#include "mm/aspace.h"
#include "tests/unit/suite_run.h"

enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, WAKE_OP, LOCK_PI, WAIT_BITSET = 9, WAKE_BITSET,
       PRIVATE = 128, REALTIME = 256 };
#define ANY ~0u
#define CALLERS 12u                  // the first half of process 1, the others of process 2
#define ACTOR(pid) (CALLERS + (pid) - 1)           // who never waits, one of each process
#define WORDS 16u                    // the first half private memory, the others shared
#define BASE 0x100000ull
#define SHARED_PAGE(pid) (BASE + PAGE_SIZE * (pid))
#define WALL_AHEAD_NS 5000ull
#define SEEDS 300u
#define STEPS 400u

// --- the kernel around it ---

struct proc *procs;
struct proc_desc *proc_descs;
u32 node_id;
struct spinlock proc_lock;
const struct syscall_entry syscall_table[SYSCALL_COUNT];
static u64 now_ns;
static u32 pages_away;               // so many looks at memory find a page on its way
static u32 private_words[2][WORDS], shared_words[WORDS];
static struct vma shared_map[2];
static u64 locks[8][2];              // robust locks: next, word
static u64 lock_head[3];
static void (*meanwhile)(void);      // another CPU does this as soon as the lock is free

i64 sys_futex(struct proc *p, const u64 *a);
void klog(const char *format, ...) { (void)format; }
void spin_lock(struct spinlock *l) { l->taken++; }
void spin_unlock(struct spinlock *l) {
    void (*const act)(void) = meanwhile;
    l->taken--;
    meanwhile = NULL;
    if (act) act();
}
u64 time_now_ns(void) { return now_ns; }
u64 clock_sleep_ns(u64 ns) { return ns; }
struct clock_seen clock_seen(const struct proc_desc *d) {
    return (void)d, (struct clock_seen){now_ns, now_ns + WALL_AHEAD_NS};
}
u32 cluster_member_count(void) { return 1; }
void futex_tell(const u64 key[2], u32 count, u32 bits) { (void)key, (void)count, (void)bits; }
struct proc *proc_current(void) { return procs; }
u64 proc_timers_next_ns(struct proc *p) { return (void)p, 0; }
void proc_timers_due(struct proc *p, u64 at_ns) { (void)p, (void)at_ns; }
void proc_become_ready(struct proc *p) { p->state = PROC_READY; }
void thread_futex_woken(struct thread *t) { proc_desc(t->p)->futex_woken = 1; }

struct vma *vma_find(const struct proc_desc *d, u64 uva) {
    struct vma *v = &shared_map[d->pid - 1];
    return uva >= v->start && uva < v->end ? v : NULL;
}

static u8 *memory(struct proc *p, u64 uva) {
    const u32 pid = proc_desc(p)->pid;
    const struct vma *v = vma_find(proc_desc(p), uva);
    if (v) return (u8 *)shared_words + uva - v->start;
    if (uva >= BASE && uva < BASE + sizeof private_words[0])
        return (u8 *)private_words[pid - 1] + uva - BASE;
    if (uva - (uintptr_t)locks < sizeof locks) return (u8 *)(uintptr_t)uva;
    return NULL;
}
status_t user_page(struct proc *p, u64 uva, enum fault_access access, u8 **out) {
    (void)access;
    if (pages_away && pages_away--) return S_RESTART;
    *out = memory(p, uva);
    return *out ? S_OK : E_FAULT;
}
status_t user_read(struct proc *p, u64 uva, void *to, u64 len_bytes) {
    (void)p;
    if (uva < 0x1000) return E_FAULT;
    memcpy(to, (const void *)(uintptr_t)uva, len_bytes);
    return S_OK;
}

// --- callers ---

static struct caller { u64 a[6]; bool in_call; i64 result; u64 time[2]; } callers[CALLERS + 2];

static void setup(void) {
    procs = calloc(CALLERS + 2, sizeof *procs);
    proc_descs = aligned_alloc(PROC_DESC_SIZE, (CALLERS + 2) * PROC_DESC_SIZE);
    memset(proc_descs, 0, (CALLERS + 2) * PROC_DESC_SIZE);
    memset(callers, 0, sizeof callers);
    memset(private_words, 0, sizeof private_words);
    memset(shared_words, 0, sizeof shared_words);
    for (u32 i = 0; i < CALLERS + 2; i++) {
        struct proc *p = &procs[i];
        p->index = i;
        p->state = PROC_RUNNING;
        p->thread = &p->first;
        p->awake = 1;
        p->first.p = p->first.timer.p = p;
        p->first.timer.thread = &p->first;
        list_init(&p->first.wait);
        list_init(&p->first.timer.link);
        proc_descs[i].pid = i < CALLERS ? 1 + i / (CALLERS / 2) : 1 + i - CALLERS;
    }
    for (u32 i = 0; i < 2; i++)
        shared_map[i] = (struct vma){.start = SHARED_PAGE(1 + i), .flags = VMA_SHARED,
                                     .end = SHARED_PAGE(1 + i) + sizeof shared_words,
                                     .file = {0, 4, 9}};
    now_ns = 1000000, pages_away = 0;
}
static void teardown(void) {
    free(procs);
    free(proc_descs);
}

static void run(u32 who) {
    struct caller *c = &callers[who];
    struct proc *p = &procs[who];
    p->state = PROC_RUNNING;
    p->first.woken = false;
    i64 result;
    do result = sys_futex(p, c->a);
    while (result == S_RESTART && p->state == PROC_RUNNING);      // the page has come
    c->in_call = result == S_RESTART;
    if (proc_lock.taken || p->first.waiting != c->in_call ||
        list_linked(&p->first.wait) != c->in_call)
        ck_abort_msg("%s without waiting, or a lock kept", c->in_call ? "a restart" : "an end");
    if (c->in_call) return;
    c->result = result;
    p->first.woken = false;
    proc_desc(p)->wait.step = 0;
}
static void settle(void) {
    for (u32 i = 0; i < CALLERS; i++)
        if (procs[i].state == PROC_READY) run(i);
}
static i64 call(u32 who, u64 uva, u32 op, u32 value, u64 time, u64 uva2, u32 last) {
    struct caller *c = &callers[who];
    if (c->in_call) ck_abort_msg("caller %u waits", who);
    memcpy(c->a, (u64[]){uva, op, value, time, uva2, last}, sizeof c->a);
    run(who);
    settle();
    return c->in_call ? S_RESTART : c->result;
}
static void signal_to(u32 who) {
    wait_wake_thread(&procs[who].first);
    settle();
}
static u64 word_at(u32 pid, u32 i) {
    return i < WORDS / 2 ? BASE + i * 4 : SHARED_PAGE(pid) + (i - WORDS / 2) * 4;
}

// --- named cases ---

START_TEST(what_is_refused) {
    ck_assert_int_eq(call(0, BASE + 2, WAIT, 0, 0, 0, 0), E_INVAL);
    ck_assert_int_eq(call(0, USER_END, WAIT, 0, 0, 0, 0), E_FAULT);
    ck_assert_int_eq(call(0, BASE - 4, WAIT, 0, 0, 0, 0), E_FAULT);
    ck_assert_int_eq(call(0, BASE, WAIT, 1, 0, 0, 0), E_AGAIN);
    ck_assert_int_eq(call(0, BASE, WAIT_BITSET, 0, 0, 0, 0), E_INVAL);
    ck_assert_int_eq(call(0, BASE, WAKE_BITSET, 1, 0, 0, 0), E_INVAL);
    ck_assert_int_eq(call(0, BASE, LOCK_PI, 0, 0, 0, 0), E_NOSYS);
    ck_assert_int_eq(call(0, BASE, REQUEUE, ~0u, 0, BASE, 0), E_INVAL);
    ck_assert_int_eq(call(0, BASE, REQUEUE, 0, 0, BASE + 1, 0), E_INVAL);
    ck_assert_int_eq(call(0, BASE, CMP_REQUEUE, 0, 0, BASE, 7), E_AGAIN);
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 8, 0, 0), E_FAULT);              // its time
    const u64 bad[2] = {0, 1000000000};
    ck_assert_int_eq(call(0, BASE, WAIT, 0, (uintptr_t)bad, 0, 0), E_INVAL);
}
END_TEST

START_TEST(woken_in_turn) {
    for (u32 i = 0; i < 4; i++) ck_assert_int_eq(call(i, BASE, WAIT, 0, 0, 0, 0), S_RESTART);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 2, 0, 0, 0), 2);
    ck_assert(!callers[0].in_call && !callers[1].in_call && callers[2].in_call);
    ck_assert(callers[0].result == 0 && callers[1].result == 0);
    ck_assert_int_eq(call(ACTOR(2), BASE, WAKE, 9, 0, 0, 0), 0);       // another's memory
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 9, 0, 0, 0), 2);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 9, 0, 0, 0), 0);
}
END_TEST

START_TEST(a_wake_counts_once_whatever_comes_beside) {
    struct proc *p = &procs[0];
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 0, 0, 0), S_RESTART);
    const u64 wake[6] = {BASE, WAKE, 1};
    ck_assert_int_eq(sys_futex(&procs[ACTOR(1)], wake), 1);
    ck_assert_int_eq(p->state, PROC_READY);
    private_words[0][0] = 1;                       // and a signal, before it runs again
    wait_wake_thread(&p->first);
    settle();
    ck_assert(!callers[0].in_call && callers[0].result == 0);
    private_words[0][0] = 0;                       // the next call owes nothing to that wake
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 0, 0, 0), S_RESTART);
    signal_to(0);
    ck_assert(callers[0].in_call);
    private_words[0][0] = 1;
    signal_to(0);
    ck_assert_int_eq(callers[0].result, E_AGAIN);
}
END_TEST

// Another CPU, right after the caller has come onto the list.
static void change_word(void) { private_words[0][0] = 1; }
static void change_and_wake(void) {
    const u64 wake[6] = {BASE, WAKE, 1};
    change_word();
    ck_assert_int_eq(sys_futex(&procs[ACTOR(1)], wake), 1);
}
static void arm_change(void) { meanwhile = change_word; }
static void arm_wake(void) { meanwhile = change_and_wake; }

START_TEST(a_wake_between_the_list_and_the_look) {
    meanwhile = arm_wake;                          // behind the look at whether it was woken
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 0, 0, 0), 0);
    private_words[0][0] = 0;
    meanwhile = arm_change;
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 0, 0, 0), E_AGAIN);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 1, 0, 0, 0), 0);
}
END_TEST

START_TEST(its_time) {
    const u64 relative[2] = {0, 500}, clock[2] = {0, now_ns + 700},
              wall[2] = {0, now_ns + WALL_AHEAD_NS + 900};
    ck_assert_int_eq(call(0, BASE, WAIT, 0, (uintptr_t)relative, 0, 0), S_RESTART);
    ck_assert_int_eq(call(1, BASE, WAIT_BITSET, 0, (uintptr_t)clock, 0, ANY), S_RESTART);
    ck_assert_int_eq(call(2, BASE, WAIT_BITSET | REALTIME, 0, (uintptr_t)wall, 0, ANY), S_RESTART);
    for (u32 i = 0; i < 3; i++) {
        now_ns += i == 0 ? 499 : 199;
        wait_run_deadlines(now_ns++), settle();
        ck_assert(callers[i].in_call);
        wait_run_deadlines(now_ns), settle();
        ck_assert(!callers[i].in_call);
        ck_assert_int_eq(callers[i].result, E_TIMEDOUT);
    }
    const u64 past[2] = {0, 1};
    ck_assert_int_eq(call(0, BASE, WAIT_BITSET, 0, (uintptr_t)past, 0, ANY), E_TIMEDOUT);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 9, 0, 0, 0), 0);       // none is left behind
}
END_TEST

START_TEST(moved_to_another_word) {
    for (u32 i = 0; i < 4; i++) call(i, BASE, WAIT, 0, 0, 0, 0);
    call(4, BASE + 4, WAIT, 0, 0, 0, 0);
    ck_assert_int_eq(call(ACTOR(1), BASE, REQUEUE, 1, 2, BASE + 4, 0), 3);
    ck_assert(!callers[0].in_call && callers[1].in_call);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE, 9, 0, 0, 0), 1);       // the fourth stayed
    ck_assert(!callers[3].in_call);
    ck_assert_int_eq(call(ACTOR(1), BASE + 4, WAKE, 1, 0, 0, 0), 1);   // who was there is first
    ck_assert(!callers[4].in_call && callers[1].in_call);
    ck_assert_int_eq(call(ACTOR(1), BASE + 4, REQUEUE, 0, 9, BASE + 4, 0), 2);
    ck_assert_int_eq(call(ACTOR(1), BASE + 4, WAKE, 9, 0, 0, 0), 2);
}
END_TEST

START_TEST(shared_words_meet_across_processes) {
    const u64 one = SHARED_PAGE(1) + 8, two = SHARED_PAGE(2) + 8;
    const u32 last = CALLERS - 1;                                      // of process 2
    call(last, two, WAIT, 0, 0, 0, 0);
    ck_assert_int_eq(call(ACTOR(1), one + 4, WAKE, 9, 0, 0, 0), 0);
    ck_assert_int_eq(call(ACTOR(1), one, WAKE | PRIVATE, 9, 0, 0, 0), 0);
    ck_assert_int_eq(call(ACTOR(1), one, WAKE, 9, 0, 0, 0), 1);
    call(last, two, WAIT | PRIVATE, 0, 0, 0, 0);
    ck_assert_int_eq(call(ACTOR(1), one, WAKE, 9, 0, 0, 0), 0);
    for (u32 i = 0; i < 2; i++) {                                      // whichever way it waits
        futex_wake_at(&procs[ACTOR(2)], two, 1);
        settle();
        ck_assert(!callers[last].in_call);
        call(last, two, WAIT, 0, 0, 0, 0);
    }
}
END_TEST

START_TEST(a_page_on_its_way_changes_nothing) {
    pages_away = 2;
    ck_assert_int_eq(call(0, BASE, WAIT, 0, 0, 0, 0), S_RESTART);
    ck_assert_uint_eq(pages_away, 0);
    pages_away = 1;
    const u64 add_one[6] = {BASE, WAKE_OP, 1, 0, BASE + 4, 1u << 28 | 1u << 12};
    ck_assert_int_eq(sys_futex(&procs[ACTOR(1)], add_one), S_RESTART);
    ck_assert(private_words[0][1] == 0 && procs[0].state == PROC_WAITING);
    ck_assert_int_eq(call(ACTOR(1), BASE, WAKE_OP, 1, 0, BASE + 4, (u32)add_one[5]), 1);
    ck_assert_uint_eq(private_words[0][1], 1);
}
END_TEST

static i32 sign_12(u32 field) { return (i32)(field & 0xfff) - ((field & 0x800) ? 0x1000 : 0); }

START_TEST(every_wake_op) {
    static const u32 values[] = {0, 5, 0x7fffffff, 0x80000000, 0xffffffff};
    static const u32 fields[] = {0, 5, 31, 0x800, 0xfff};
    for (u32 n = 0; n < 16 * 7 * 5 * 5 * 5; n++) {
        const u32 op = n & 15, cmp = n / 16 % 7, was = values[n / 112 % 5];
        const u32 arg = fields[n / 560 % 5], against = fields[n / 2800 % 5];
        const u32 code = op << 28 | cmp << 24 | arg << 12 | against;
        const u32 x = op & 8 ? 1u << (arg & 31) : (u32)sign_12(arg);
        const u32 made[] = {x, was + x, was | x, was & ~x, was ^ x};
        const i32 a = (i32)was, b = sign_12(against);
        const bool met[] = {a == b, a != b, a < b, a <= b, a > b, a >= b};
        const bool known = (op & 7) <= 4 && cmp <= 5;
        private_words[0][1] = was;
        call(0, BASE, WAIT, 0, 0, 0, 0);
        call(1, BASE + 4, WAIT, was, 0, 0, 0);
        const i64 got = call(ACTOR(1), BASE, WAKE_OP, 1, 1, BASE + 4, code);
        if (got != (known ? 1 + met[cmp] : E_NOSYS) ||
            private_words[0][1] != (known ? made[op & 7] : was))
            ck_abort_msg("word %#x, code %#x: %ld, %#x", was, code, (long)got,
                         private_words[0][1]);
        call(ACTOR(1), BASE, WAKE, 9, 0, 0, 0);
        call(ACTOR(1), BASE + 4, WAKE, 9, 0, 0, 0);
    }
}
END_TEST

// A list of `count` locks; its head says where a lock's word lies behind its link.
static u64 locks_chain(u32 count, u64 pending) {
    const u64 head = (uintptr_t)lock_head;
    memset(locks, 0, sizeof locks);
    for (u32 i = 0; i < count; i++)
        locks[i][0] = i + 1 < count ? (uintptr_t)locks[i + 1] : head;
    lock_head[0] = count ? (uintptr_t)locks[0] : head, lock_head[1] = 8, lock_head[2] = pending;
    return head;
}

START_TEST(locks_of_who_ends) {
    enum { OWNER = 77, OTHER = 78 };
    const u32 waits = 0x80000000u, died = 0x40000000u;
    const u64 head = locks_chain(4, (uintptr_t)locks[5]);
    const u32 before[] = {OWNER, OWNER | waits, OTHER | waits, 0, 0, OWNER | waits},
              after[] = {died, died | waits, OTHER | waits, 0, 0, died | waits};
    for (u32 i = 0; i < 6; i++) locks[i][1] = before[i];
    static const u32 waited[] = {1, 2, 5};
    for (u32 i = 0; i < 3; i++)
        call(i, (uintptr_t)&locks[waited[i]][1], WAIT, before[waited[i]], 0, 0, 0);
    pages_away = 1;
    ck_assert_int_eq(futex_robust_exit(&procs[ACTOR(1)], head, OWNER), S_RESTART);
    ck_assert_int_eq(futex_robust_exit(&procs[ACTOR(1)], head, OWNER), S_OK);
    settle();
    for (u32 i = 0; i < 6; i++) ck_assert_uint_eq(locks[i][1], after[i]);
    ck_assert(!callers[0].in_call && callers[1].in_call && !callers[2].in_call);
    locks_chain(0, (uintptr_t)locks[2]);           // given back, its waiter not woken yet
    locks[2][1] = 0;
    ck_assert_int_eq(futex_robust_exit(&procs[ACTOR(1)], head, OWNER), S_OK);
    settle();
    ck_assert(!callers[1].in_call && locks[2][1] == 0);
}
END_TEST

START_TEST(a_list_that_is_nonsense_has_an_end) {
    u64 head = locks_chain(3, 0);
    locks[2][0] = (uintptr_t)locks[0];                                 // round and round
    ck_assert_int_eq(futex_robust_exit(&procs[0], head, 77), S_OK);
    head = locks_chain(3, 0);
    locks[1][0] = 16;                                                  // into nothing
    ck_assert_int_eq(futex_robust_exit(&procs[0], head, 77), S_OK);
    ck_assert_int_eq(futex_robust_exit(&procs[0], 16, 77), S_OK);
    ck_assert_int_eq(futex_robust_exit(&procs[0], 0, 77), S_OK);
}
END_TEST

// --- against a model ---

static struct waiter { u32 who, key, first_key, bits; u64 until_ns; u32 *word, value; }
    model[CALLERS];                  // in the order in which they are woken
static u32 model_count;
static i64 wanted[CALLERS];          // what each call that has ended gave

static u32 draw(u64 *seed, u32 below) {
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(*seed >> 33) % below;
}
static void model_remove(u32 at) {
    memmove(&model[at], &model[at + 1], (--model_count - at) * sizeof model[0]);
}
static void model_end(u32 at, i64 result) {
    wanted[model[at].who] = result;
    model_remove(at);
}
// Runs the call of the waiter again, not woken by a futex: it looks, and waits behind the others.
static void model_look(u32 at) {
    struct waiter w = model[at];
    if (*w.word != w.value) return model_end(at, E_AGAIN);
    if (w.until_ns && now_ns >= w.until_ns) return model_end(at, E_TIMEDOUT);
    model_remove(at);
    w.key = w.first_key;
    model[model_count++] = w;
}
static u32 model_wake(u32 key, u32 count, u32 bits, u32 move, u32 to) {
    u32 woken = 0, moved = 0, end = model_count;
    for (u32 i = 0; i < end;) {
        if (model[i].key != key || !(model[i].bits & bits)) i++;
        else if (woken < count) model_end(i, 0), woken++, end--;
        else if (moved == move) break;
        else if (moved++, to == key) i++;
        else {
            const struct waiter w = model[i];
            model_remove(i), end--;
            model[model_count++] = w;
            model[model_count - 1].key = to;
        }
    }
    return woken + moved;
}
static u32 key_of(u32 pid, u32 i, bool private) {
    return i < WORDS / 2 || private ? pid * 1000 + i : i;
}
static u32 *word_of(u32 pid, u32 i) {
    return i < WORDS / 2 ? &private_words[pid - 1][i] : &shared_words[i - WORDS / 2];
}

static void random_wait(u64 *seed) {
    const u32 who = draw(seed, CALLERS), pid = proc_descs[who].pid, i = draw(seed, WORDS);
    const bool private = draw(seed, 3) == 0;
    const u32 bits = 1 + draw(seed, 7), value = draw(seed, 8) == 0, after = draw(seed, 90);
    if (callers[who].in_call) return;
    u64 *until = callers[who].time;
    until[1] = now_ns + after;
    model[model_count++] = (struct waiter){
        who, key_of(pid, i, private), key_of(pid, i, private), bits,
        after > 30 ? now_ns + after : 0, word_of(pid, i), value};
    model_look(model_count - 1);
    call(who, word_at(pid, i), WAIT_BITSET | (private ? PRIVATE : 0), value,
         after > 30 ? (uintptr_t)until : 0, 0, bits);
}
static void random_signal(u32 at) {
    const u32 who = model[at].who;
    model_look(at);
    signal_to(who);
}
static void random_step(u64 *seed) {
    const u32 pid = 1 + draw(seed, 2), i = draw(seed, WORDS), j = draw(seed, WORDS);
    const u32 n = draw(seed, 4), m = draw(seed, 4), bits = 1 + draw(seed, 7);
    const bool private = draw(seed, 3) == 0;
    const u32 flag = private ? PRIVATE : 0, a = key_of(pid, i, private);
    const u32 b = key_of(pid, j, private);
    switch (draw(seed, 9)) {
    case 0: case 1: case 2: case 3: random_wait(seed); return;
    case 4:
        ck_assert_int_eq(call(ACTOR(pid), word_at(pid, i), WAKE | flag, n, 0, 0, 0),
                         model_wake(a, n, ANY, 0, 0));
        return;
    case 5:
        ck_assert_int_eq(call(ACTOR(pid), word_at(pid, i), WAKE_BITSET | flag, n, 0, 0, bits),
                         model_wake(a, n, bits, 0, 0));
        return;
    case 6:
        ck_assert_int_eq(call(ACTOR(pid), word_at(pid, i), REQUEUE | flag, n, m,
                              word_at(pid, j), 0), model_wake(a, n, ANY, m, b));
        return;
    case 7:                                        // a store, or a signal for one that waits
        if (n == 0) *word_of(pid, i) ^= 1;
        if (n == 0 || model_count == 0) return;
        random_signal(m % model_count);
        return;
    default:
        now_ns += n * 7;
        for (u32 k = model_count; k-- > 0;)
            if (model[k].until_ns && now_ns >= model[k].until_ns) model_look(k);
        wait_run_deadlines(now_ns), settle();
        return;
    }
}

// All that the model and the kernel know, side by side.
static void compare(u32 seed, u32 step) {
    bool waits[CALLERS] = {false};
    for (u32 i = 0; i < model_count; i++) waits[model[i].who] = true;
    for (u32 i = 0; i < CALLERS; i++)
        if (callers[i].in_call != waits[i] || (!waits[i] && callers[i].result != wanted[i]))
            ck_abort_msg("seed %u step %u caller %u: waits %d, wanted %d; gave %ld, wanted %ld",
                         seed, step, i, callers[i].in_call, waits[i], (long)callers[i].result,
                         (long)wanted[i]);
}

START_TEST(random_calls_agree_with_a_model) {
    for (u32 seed = 1; seed <= SEEDS; seed++) {
        u64 state = seed;
        teardown();
        setup();
        memset(wanted, 0, sizeof wanted);
        model_count = 0;
        for (u32 step = 0; step < STEPS; step++) {
            random_step(&state);
            compare(seed, step);
        }
        for (u32 i = 0; i < CALLERS; i++) wait_cancel(&procs[i]);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("futex");
    TCase *t = tcase_create("futex");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_refused);
    tcase_add_test(t, woken_in_turn);
    tcase_add_test(t, a_wake_counts_once_whatever_comes_beside);
    tcase_add_test(t, a_wake_between_the_list_and_the_look);
    tcase_add_test(t, its_time);
    tcase_add_test(t, moved_to_another_word);
    tcase_add_test(t, shared_words_meet_across_processes);
    tcase_add_test(t, a_page_on_its_way_changes_nothing);
    tcase_add_test(t, every_wake_op);
    tcase_add_test(t, locks_of_who_ends);
    tcase_add_test(t, a_list_that_is_nonsense_has_an_end);
    tcase_add_test(t, random_calls_agree_with_a_model);
    suite_add_tcase(s, t);
    return suite_run(s);
}
