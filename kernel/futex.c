// Futexes. A word is named by what it is, not where it lies: (process, address) where it is
// private memory, (object, offset) where it lies in a shared mapping, so a copied or fetched
// frame changes nothing. A waiter is its thread's shadow on one list; who wakes it notes that
// there, and its call, run again, ends with 0, whatever else has come meanwhile: a signal, its
// time, a move. One that runs again without having been woken looks at the word anew, and waits
// on or ends with EAGAIN, which each caller of futex expects. Called by system calls and at the
// end of a thread. Lock: proc_lock.
// Spec: Linux futex(2), Documentation/locking/robust-futex-ABI.
#include "kernel/futex.h"

#include "kernel/clock.h"
#include "kernel/cluster.h"
#include "kernel/syscall/syscall.h"
#include "kernel/thread.h"
#include "kernel/x86/cpu.h"

#define ROBUST_MAX 2048u             // locks that a thread may hold when it ends
#define FUTEX_BITS_ANY ~0u
#define FUTEX_LOOK_NS 500000000ull   // a word that other nodes may share is looked at so often: a
                                     // waker may die, or a waiter move, between change and wake
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_FD, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP,
       FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET,
       FUTEX_CMD = 127, FUTEX_PRIVATE = 128, FUTEX_CLOCK_REALTIME = 256 };

struct futex_key { u64 a, b; };

static struct wait_list futexes = WAIT_LIST_INIT(futexes);

static struct futex_key key_of(const struct proc *p, u64 uva, bool private) {
    const struct proc_desc *d = proc_desc(p);
    const struct vma *v = private ? NULL : vma_find(d, uva);
    if (!v || !(v->flags & VMA_SHARED)) return (struct futex_key){d->pid, uva};
    const struct object_id *o = &v->file;
    return (struct futex_key){1ull << 63 | (u64)o->node << 48 | (u64)o->index << 16,
                              (v->file_offset + uva - v->start) ^ ((u64)o->generation << 44)};
}

// When a waiter looks at its word again by itself.
static u64 look_at_ns(const struct futex_key *k, u64 deadline_ns) {
    const u64 look = time_now_ns() + FUTEX_LOOK_NS;
    if (!(k->a >> 63) || cluster_member_count() < 2) return deadline_ns;
    return deadline_ns == 0 || deadline_ns > look ? look : deadline_ns;
}

static bool waits_for(const struct thread *t, const struct futex_key *k, u32 bits) {
    return t->futex_key[0] == k->a && t->futex_key[1] == k->b && (t->futex_bits & bits) != 0;
}

// Wakes up to `count` waiters here of k whose bits meet `bits`, and lets up to `move` more wait
// for `to` instead. How many in all.
static u32 wake_here(const struct futex_key *k, u32 count, u32 bits, u32 move,
                const struct futex_key *to) {
    const bool same = to && to->a == k->a && to->b == k->b;
    u32 woken = 0, moved = 0;
    spin_lock(&proc_lock);
    LIST_FOR_EACH_SAFE(it, &futexes.head) {
        struct thread *t = LIST_ENTRY(it, struct thread, wait);
        if (woken == count && moved == move) break;
        if (!waits_for(t, k, bits)) continue;
        if (woken < count) {
            thread_futex_woken(t);
            wait_wake_thread(t);
            woken++;
            continue;
        }
        moved++;
        if (same) continue;                      // it would come by again, for ever
        t->futex_key[0] = to->a, t->futex_key[1] = to->b;
        list_remove(&t->wait);                   // behind those that wait there already
        list_push_back(&futexes.head, &t->wait);
    }
    spin_unlock(&proc_lock);
    return woken + moved;
}

// The same everywhere; elsewhere those that would wait for `to` are woken, and look again. How
// many here. No lock held.
static u32 wake(const struct futex_key *k, u32 count, u32 bits, u32 move,
                const struct futex_key *to) {
    const u32 done = wake_here(k, count, bits, move, to);
    const u64 left = (u64)count + move - done;
    const bool shared = k->a >> 63 && left != 0 && cluster_member_count() > 1;
    if (shared) futex_tell((const u64[]){k->a, k->b}, (u32)MIN(left, (u64)~0u), bits);
    return done;
}

// Another node woke waiters of a word. How many here.
u32 futex_wake_told(const u64 key[2], u32 count, u32 bits) {
    return wake_here(&(struct futex_key){key[0], key[1]}, count, bits, 0, NULL);
}

// Wakes waiters for a word of p's memory, private or shared as its mapping says.
void futex_wake_at(struct proc *p, u64 uva, u32 count) {
    const struct futex_key private = key_of(p, uva, true), shared = key_of(p, uva, false);
    wake(&private, count, FUTEX_BITS_ANY, 0, NULL);
    if (shared.a != private.a) wake(&shared, count, FUTEX_BITS_ANY, 0, NULL);
}

// The deadline of a waiting call (0: none), in time_now_ns. E_INVAL, E_FAULT, S_RESTART.
static status_t deadline_of(struct proc *p, const u64 *a, bool absolute, u64 *deadline_ns) {
    u64 timeout = ~0ull;
    status_t s = a[3] ? user_timespec(p, a[3], &timeout) : S_OK;
    if (s != S_OK) return s;
    if (absolute && a[3]) {
        const struct clock_seen seen = clock_seen(proc_desc(p));
        const u64 by = a[1] & FUTEX_CLOCK_REALTIME ? seen.wall_ns : seen.clock_ns;
        timeout = timeout > by ? timeout - by : 0;
    }
    *deadline_ns = call_deadline(p, timeout);
    return S_OK;
}

// Whether a waker chose the running thread, whose futex call has not ended yet: then that ends
// with 0. True once only.
bool futex_was_woken(struct proc *p) {
    spin_lock(&proc_lock);
    const bool woken = proc_desc(p)->futex_woken;
    proc_desc(p)->futex_woken = 0;
    spin_unlock(&proc_lock);
    return woken;
}

static i64 futex_wait(struct proc *p, const u64 *a, const struct futex_key *k, u32 bits) {
    struct thread *t = p->thread;
    const bool absolute = (a[1] & FUTEX_CMD) == FUTEX_WAIT_BITSET;
    if (bits == 0) return E_INVAL;
    if (futex_was_woken(p)) return 0;
    u64 deadline_ns;
    u8 *word;
    status_t s = deadline_of(p, a, absolute, &deadline_ns);
    if (s == S_OK) s = user_page(p, a[0], ACCESS_READ, &word);
    if (s != S_OK) return s;
    spin_lock(&proc_lock);
    t->futex_key[0] = k->a, t->futex_key[1] = k->b;
    t->futex_bits = bits;
    wait_on_locked(&futexes, p, false);
    spin_unlock(&proc_lock);
    // Who changes the word wakes afterwards: either it is seen here, or the wake comes.
    const u32 now = __atomic_load_n((const u32 *)(const void *)word, __ATOMIC_SEQ_CST);
    const bool late = deadline_ns && time_now_ns() >= deadline_ns;
    if (now == (u32)a[2] && !late) {
        wait_until(p, look_at_ns(k, deadline_ns));
        return S_RESTART;
    }
    wait_cancel(p);
    if (futex_was_woken(p)) return 0;            // who did counts on it
    return now != (u32)a[2] ? E_AGAIN : E_TIMEDOUT;
}

// The atomic change and the comparison of FUTEX_WAKE_OP. S_OK: *met says what came of it.
static status_t wake_op(struct proc *p, u64 uva, u32 code, bool *met) {
    enum { OP_SET, OP_ADD, OP_OR, OP_ANDN, OP_XOR, OP_ARG_SHIFT = 8 };
    enum { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };
    u32 op = code >> 28 & 7, cmp = code >> 24 & 15;
    i32 arg = (i32)(code << 8) >> 20, against = (i32)(code << 20) >> 20;
    u8 *at;
    if (code >> 28 & OP_ARG_SHIFT) arg = (i32)(1u << (arg & 31));
    if (op > OP_XOR || cmp > CMP_GE) return E_NOSYS;
    status_t s = user_page(p, uva, ACCESS_WRITE, &at);
    if (s != S_OK) return s;
    u32 *word = (u32 *)(void *)at, old = __atomic_load_n(word, __ATOMIC_SEQ_CST), want;
    do {
        want = op == OP_SET ? (u32)arg : op == OP_ADD ? old + (u32)arg
             : op == OP_OR ? old | (u32)arg : op == OP_ANDN ? old & ~(u32)arg : old ^ (u32)arg;
    } while (!__atomic_compare_exchange_n(word, &old, want, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    const i32 was = (i32)old;
    *met = cmp == CMP_EQ ? was == against : cmp == CMP_NE ? was != against
         : cmp == CMP_LT ? was < against : cmp == CMP_LE ? was <= against
         : cmp == CMP_GT ? was > against : was >= against;
    return S_OK;
}

static i64 futex_two(struct proc *p, const u64 *a, u32 command, const struct futex_key *k) {
    const struct futex_key other = key_of(p, a[4], (a[1] & FUTEX_PRIVATE) != 0);
    u8 *word;
    if (a[4] & 3) return E_INVAL;
    if (command == FUTEX_WAKE_OP) {
        bool met;
        status_t s = wake_op(p, a[4], (u32)a[5], &met);
        if (s != S_OK) return s;
        const u32 woken = wake(k, (u32)a[2], FUTEX_BITS_ANY, 0, NULL);
        return woken + (met ? wake(&other, (u32)a[3], FUTEX_BITS_ANY, 0, NULL) : 0);
    }
    if ((i32)a[2] < 0 || (i32)a[3] < 0) return E_INVAL;
    status_t s = user_page(p, a[0], ACCESS_READ, &word);
    if (s != S_OK) return s;
    if (command == FUTEX_CMP_REQUEUE &&
        __atomic_load_n((const u32 *)(const void *)word, __ATOMIC_SEQ_CST) != (u32)a[5])
        return E_AGAIN;
    return wake(k, (u32)a[2], FUTEX_BITS_ANY, (u32)a[3], &other);
}

SYSCALL(futex) {
    const u32 command = a[1] & FUTEX_CMD;
    if (a[0] & 3) return E_INVAL;
    if (a[0] >= USER_END) return E_FAULT;
    const struct futex_key k = key_of(p, a[0], (a[1] & FUTEX_PRIVATE) != 0);
    switch (command) {
    case FUTEX_WAIT: return futex_wait(p, a, &k, FUTEX_BITS_ANY);
    case FUTEX_WAIT_BITSET: return futex_wait(p, a, &k, (u32)a[5]);
    case FUTEX_WAKE: return wake(&k, (u32)a[2], FUTEX_BITS_ANY, 0, NULL);
    case FUTEX_WAKE_BITSET:
        if ((u32)a[5] == 0) return E_INVAL;
        return wake(&k, (u32)a[2], (u32)a[5], 0, NULL);
    case FUTEX_REQUEUE: case FUTEX_CMP_REQUEUE: case FUTEX_WAKE_OP:
        return futex_two(p, a, command, &k);
    default: return E_NOSYS;                     // those with priority inheritance
    }
}

// --- robust locks ----------------------------------------------------------------------------

// A lock of the thread that ends: marked, and one waiter woken.
//   pending  it was taking or giving back this one: given back, the waiter may not be woken yet
static status_t robust_one(struct proc *p, u64 uva, u32 tid, bool pending) {
    u8 *at;
    if ((uva & 3) || uva >= USER_END) return E_FAULT;
    status_t s = user_page(p, uva, ACCESS_WRITE, &at);
    if (s != S_OK) return s;
    u32 *word = (u32 *)(void *)at, old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if (pending && old == 0) futex_wake_at(p, uva, 1);
    do {                                         // another process may mark that it waits
        if ((old & FUTEX_TID_MASK) != tid) return S_OK;
    } while (!__atomic_compare_exchange_n(word, &old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    if (old & FUTEX_WAITERS) futex_wake_at(p, uva, 1);
    return S_OK;
}

// Marks the robust locks that a thread of the current process still holds. S_RESTART: a page is
// on its way; else all is done, or the list is the user's own nonsense.
//   head  of its list, as set_robust_list gave it; 0: none
status_t futex_robust_exit(struct proc *p, u64 head, u32 tid) {
    u64 words[3], next;                          // first lock, offset of its word, one pending
    if (head == 0) return S_OK;
    status_t s = user_read(p, head, words, sizeof words);
    next = words[0];
    for (u32 n = 0; s == S_OK && n < ROBUST_MAX && (next & ~1ull) != head; n++) {
        const u64 at = next & ~1ull;
        if (at != (words[2] & ~1ull)) s = robust_one(p, at + words[1], tid, false);
        if (s == S_OK) s = user_read(p, at, &next, sizeof next);
    }
    if (s == S_OK && words[2] != 0) s = robust_one(p, (words[2] & ~1ull) + words[1], tid, true);
    return s == S_RESTART ? s : S_OK;
}
