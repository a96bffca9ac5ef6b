// kernel/files/locks.c against a model that has one letter for each byte of a file and owner;
// circles, ends of descriptions, of processes and of nodes.
// links: kernel/files/locks.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/files/locks.h"
#include "mm/kmem.h"
#include "tests/unit/suite_run.h"

// --- the kernel around it ---

struct proc *procs;
struct proc_desc *proc_descs;
u32 node_id, proc_end;
struct proc_hooks proc_hooks;
struct spinlock files_lock, proc_lock;
static i64 heap_live;
static u32 waits, wakes;
static bool heap_fails;
static struct proc sleeper;

void *kmem_alloc(u64 len_bytes) { return heap_fails ? NULL : (heap_live++, calloc(1, len_bytes)); }
void kmem_free(void *p, u64 len_bytes) {
    (void)len_bytes;
    heap_live--;
    free(p);
}
void spin_lock(struct spinlock *l) { (void)l; }
void spin_unlock(struct spinlock *l) { (void)l; }
struct proc *proc_current(void) { return NULL; }        // all callers are of other nodes
struct proc *proc_find(u32 pid) { return (void)pid, &sleeper; }
void file_wait(struct wait_list *w) { (void)w, waits++; }
void file_wake(struct wait_list *w) { (void)w, wakes++; }

#define OWNERS 4u
#define BYTES 40u
#define SEEDS 100u
#define DESCRIPTION(n) (0xffff800000001000ull + (n) * 64)

static struct lock_place place(u64 description, u32 mode) {
    return (struct lock_place){0, 77, DESCRIPTION(description), mode};
}

static status_t call(u32 pid, u32 flags, u8 type, u64 start, u64 length) {
    const struct lock_place at = place(pid, O_RDWR);
    struct p9_call c = {.type = P9_TLOCK, .lock = {type, flags, start, length, pid}};
    return locks_call(&at, &c);
}

static void end_all(void) {
    for (u32 i = 0; i <= OWNERS + 1; i++) locks_description_gone(DESCRIPTION(i));
    ck_assert_int_eq(heap_live, 0);
}

// --- the model: 0 none, 1 read, 2 write ---

static u8 model[OWNERS + 1][BYTES];

static bool model_conflict(u32 owner, u8 type, u64 start, u64 end, u64 *first) {
    for (u64 b = start; b < end; b++)
        for (u32 o = 1; o <= OWNERS; o++)
            if (o != owner && model[o][b] && (model[o][b] == 2 || type == P9_LOCK_WRITE)) {
                *first = b;
                return true;
            }
    return false;
}

// What a stranger is told of byte b: a lock of one owner, whole and no longer.
static bool told_is_model(u64 b) {
    const struct lock_place at = place(OWNERS + 1, O_RDWR);
    struct p9_call c = {.type = P9_TGETLOCK, .lock = {P9_LOCK_WRITE, 0, b, 1, 999}};
    u8 most = 0;
    for (u32 o = 1; o <= OWNERS; o++) most = model[o][b] > most ? model[o][b] : most;
    if (locks_call(&at, &c) != S_OK) return false;
    if (most == 0) return c.lock.type == P9_LOCK_UNLOCK;
    if (c.lock.type != (most == 2 ? P9_LOCK_WRITE : P9_LOCK_READ)) return false;
    if (c.lock.proc_id < 1 || c.lock.proc_id > OWNERS) return false;
    const u8 *mine = model[c.lock.proc_id];
    const u64 first = c.lock.start, after = first + c.lock.length;
    for (u64 i = first; i < after; i++)
        if (i >= BYTES || mine[i] != mine[b]) return false;
    return (first == 0 || mine[first - 1] != mine[b]) && (after == BYTES || mine[after] != mine[b]);
}

// Check's assertions write to a file each time: one for all bytes.
static void same_as_model(void) {
    bool good = true;
    for (u64 b = 0; b < BYTES; b++) good &= told_is_model(b);
    ck_assert(good);
}

static void seed_run(u32 seed) {
    srand(seed);
    memset(model, 0, sizeof model);
    for (u32 step = 0; step < 120; step++) {
        const u32 owner = 1 + (u32)rand() % OWNERS;
        const u8 type = (u8)(rand() % 3);
        const u64 start = (u64)rand() % BYTES, end = start + 1 + (u64)rand() % (BYTES - start);
        u64 first = 0;
        const bool busy = type != P9_LOCK_UNLOCK && model_conflict(owner, type, start, end, &first);
        ck_assert_int_eq(call(owner, 0, type, start, end - start), busy ? E_AGAIN : S_OK);
        if (!busy)
            memset(model[owner] + start, type == P9_LOCK_UNLOCK ? 0 : type + 1, end - start);
        same_as_model();
    }
    const u32 closes = 1 + (u32)rand() % OWNERS;         // through another description
    const struct lock_place at = place(OWNERS + 1, 0);
    locks_closed(&at, closes);
    memset(model[closes], 0, BYTES);
    same_as_model();
    end_all();
}

START_TEST(as_the_model) {
    for (u32 seed = 0; seed < SEEDS; seed++) seed_run(seed);
}
END_TEST

START_TEST(circles) {
    for (u32 i = 1; i <= OWNERS; i++) ck_assert_int_eq(call(i, 0, P9_LOCK_WRITE, i, 1), S_OK);
    for (u32 i = 1; i < OWNERS; i++)
        ck_assert_int_eq(call(i, P9_LOCK_WAIT, P9_LOCK_WRITE, i + 1, 1), S_RESTART);
    ck_assert_int_eq(call(OWNERS, P9_LOCK_WAIT, P9_LOCK_WRITE, 1, 1), E_DEADLK);
    ck_assert_int_eq(call(OWNERS, 0, P9_LOCK_WRITE, 1, 1), E_AGAIN);
    locks_wait_ended(2);                                 // its request was flushed: no circle
    ck_assert_int_eq(call(OWNERS, P9_LOCK_WAIT, P9_LOCK_WRITE, 1, 1), S_RESTART);
    ck_assert_int_eq(call(2, P9_LOCK_WAIT, P9_LOCK_WRITE, 3, 1), E_DEADLK);
    for (u32 i = 1; i <= OWNERS; i++) locks_wait_ended(i);
    end_all();
}
END_TEST

START_TEST(flocks_and_descriptions) {
    ck_assert_int_eq(call(1, P9_LOCK_FLOCK, P9_LOCK_READ, 0, 0), S_OK);
    ck_assert_int_eq(call(2, P9_LOCK_FLOCK, P9_LOCK_READ, 0, 0), S_OK);
    ck_assert_int_eq(call(3, 0, P9_LOCK_WRITE, 0, 0), S_OK);             // another kind
    ck_assert_int_eq(call(2, P9_LOCK_FLOCK, P9_LOCK_WRITE, 0, 0), E_AGAIN);
    ck_assert_int_eq(call(1, P9_LOCK_FLOCK, P9_LOCK_WRITE, 0, 0), S_OK); // 2's was given up
    ck_assert_int_eq(call(4, P9_LOCK_OFD, P9_LOCK_READ, 5, 1), E_AGAIN); // 3's
    wakes = 0;
    locks_description_gone(DESCRIPTION(3));
    ck_assert_int_eq(wakes, 1);
    ck_assert_int_eq(call(4, P9_LOCK_OFD, P9_LOCK_READ, 5, 1), S_OK);
    ck_assert_int_eq(call(3, 0, P9_LOCK_WRITE, 5, 1), E_AGAIN);
    const struct lock_place read_only = place(1, 0);
    struct p9_call c = {.type = P9_TLOCK, .lock = {P9_LOCK_WRITE, 0, 0, 1, 1}};
    ck_assert_int_eq(locks_call(&read_only, &c), E_BADF);
    end_all();
}
END_TEST

// Bad input, and no memory: an error, and nothing has changed.
START_TEST(refusals) {
    ck_assert_int_eq(call(1, 0, P9_LOCK_WRITE, 10, 10), S_OK);
    ck_assert_int_eq(call(1, 0, 3, 0, 1), E_INVAL);
    ck_assert_int_eq(call(0, 0, P9_LOCK_WRITE, 0, 1), E_INVAL);
    ck_assert_int_eq(call(1, 0, P9_LOCK_WRITE, ~0ull, 2), E_INVAL);
    heap_fails = true;
    ck_assert_int_eq(call(1, 0, P9_LOCK_UNLOCK, 12, 2), E_NOLCK);
    ck_assert_int_eq(call(2, 0, P9_LOCK_READ, 0, 1), E_NOLCK);
    heap_fails = false;
    ck_assert_int_eq(call(2, 0, P9_LOCK_READ, 12, 2), E_AGAIN);
    ck_assert_int_eq(call(2, 0, P9_LOCK_WRITE, ~0ull, 1), S_OK);
    end_all();
    u64 many = 0;
    while (call(1, 0, P9_LOCK_WRITE, many * 2, 1) == S_OK) many++;
    ck_assert(many > 1000 && many < 100000);             // a limit of its own
    end_all();
}
END_TEST

static u8 where_is[OWNERS + 1];
static bool where(u32 pid, u8 *node) {
    *node = where_is[pid];
    return where_is[pid] != 99;
}

START_TEST(a_node_dies) {
    proc_hooks.where = where;
    for (u32 i = 1; i <= OWNERS; i++) ck_assert_int_eq(call(i, 0, P9_LOCK_WRITE, i, 1), S_OK);
    where_is[1] = 2, where_is[2] = 3, where_is[3] = 99, where_is[4] = 0;
    locks_peer_down(2);
    ck_assert_int_eq(call(4, 0, P9_LOCK_WRITE, 1, 1), S_OK);
    ck_assert_int_eq(call(4, 0, P9_LOCK_WRITE, 2, 1), E_AGAIN);
    ck_assert_int_eq(call(4, 0, P9_LOCK_WRITE, 3, 1), S_OK);
    end_all();
}
END_TEST

int main(void) {
    Suite *s = suite_create("locks");
    TCase *t = tcase_create("locks");
    tcase_add_test(t, as_the_model);
    tcase_set_timeout(t, 300);                   // a hang detector
    tcase_add_test(t, circles);
    tcase_add_test(t, flocks_and_descriptions);
    tcase_add_test(t, refusals);
    tcase_add_test(t, a_node_dies);
    suite_add_tcase(s, t);
    return suite_run(s);
}
