// Advisory locks, kept at the node that serves the file, whoever holds them. A POSIX lock
// belongs to a process id, which is the same wherever the process moves; flock and OFD locks to
// the open file description. One that has to wait is a restart: the caller sleeps here, or its
// request is parked, and both try again at each unlock. POSIX locks that wait for each other in
// a circle are refused (E_DEADLK), as far as the waits are at this node.
// Called through file_call by open files (ofd.c, userfs.c). Lock: files_lock.
// Spec: POSIX.1 fcntl(), Linux flock(2) and fcntl(2).
#include "kernel/files/locks.h"

#include "base/owner.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define BUCKETS 64u                  // a power of two
#define LOCKS_MAX 8192u
#define WAITERS_MAX 256u             // more than that wait without a look for circles
#define NR_FCNTL 72

struct file_lock {
    struct file_lock *next;
    u64 space, number;
    u64 owner;                       // POSIX: the process's id; else the description, an address
    u64 description;                 // the last one that it was taken through
    u64 start, end;                  // bytes; end is the last one
    u32 pid;
    bool flock, exclusive;
};
struct waiter { u32 pid, blocker; bool remote; };

static struct file_lock *buckets[BUCKETS];
static u32 lock_count;
static struct waiter waiters[WAITERS_MAX];
static struct wait_list lock_wait = WAIT_LIST_INIT(lock_wait);

static struct file_lock **bucket(u64 space, u64 number) {
    const u64 h = (space * 0x9e3779b97f4a7c15ull) ^ (number * 0xc2b2ae3d27d4eb4full);
    return &buckets[(h >> 40) & (BUCKETS - 1)];
}

static bool is_on(const struct file_lock *l, const struct lock_place *at) {
    return l->space == at->space && l->number == at->number;
}

static void lock_drop(struct file_lock **at) {
    struct file_lock *l = *at;
    *at = l->next;
    lock_count--;
    kmem_free(l, sizeof *l);
}

static bool is_posix(const struct file_lock *l) { return l->owner <= 0xffffffffu; }

// The first in the file of those that `want` must wait for.
static struct file_lock *conflict(const struct lock_place *at, const struct file_lock *want) {
    struct file_lock *first = NULL;
    for (struct file_lock *l = *bucket(at->space, at->number); l; l = l->next) {
        if (!is_on(l, at) || l->owner == want->owner || l->flock != want->flock) continue;
        if (l->start > want->end || l->end < want->start) continue;
        if (!l->exclusive && !want->exclusive) continue;
        if (!first || l->start < first->start) first = l;
    }
    return first;
}

// --- who waits for whom ---

static void waiter_forget(u32 pid) {
    for (u32 i = 0; i < WAITERS_MAX; i++)
        if (waiters[i].pid == pid) waiters[i] = (struct waiter){0};
}

static void waiter_note(u32 pid, u32 blocker, bool remote) {
    for (u32 i = 0; i < WAITERS_MAX; i++) {
        if (waiters[i].pid) continue;
        waiters[i] = (struct waiter){pid, blocker, remote};
        return;
    }
}

// The process that pid waits for, 0: none. One of another node is forgotten when its request
// ends; one of this node is looked at.
static u32 waits_for(u32 pid) {
    for (u32 i = 0; i < WAITERS_MAX; i++) {
        const struct waiter *w = &waiters[i];
        if (w->pid != pid) continue;
        if (w->remote) return w->blocker;
        spin_lock(&proc_lock);
        const struct proc *p = proc_find(pid);
        const bool waits = p && p->state == PROC_WAITING && proc_desc(p)->wait.nr == NR_FCNTL;
        spin_unlock(&proc_lock);
        return waits ? w->blocker : 0;
    }
    return 0;
}

static bool is_circle(u32 pid, u32 blocker) {
    for (u32 i = 0; i < WAITERS_MAX && blocker; i++) {
        if (blocker == pid) return true;
        blocker = waits_for(blocker);
    }
    return false;
}

static status_t lock_wait_for(const struct file_lock *want, const struct file_lock *held,
                              const struct p9_call *c) {
    if (!(c->lock.flags & P9_LOCK_WAIT)) return E_AGAIN;
    const bool posix = is_posix(want) && is_posix(held);
    if (posix && is_circle(want->pid, held->pid)) return E_DEADLK;
    if (posix) waiter_note(want->pid, held->pid, proc_current() == NULL);
    file_wait(&lock_wait);
    return S_RESTART;
}

// --- set and unlock ---

// Takes [want->start, want->end] out of what the owner has; locks of the same kind that touch
// it become part of want. `spare` is used where one lock becomes two. Returns what is left.
static struct file_lock *carve(const struct lock_place *at, struct file_lock *want, bool unlock,
                               struct file_lock *spare) {
    for (struct file_lock **p = bucket(at->space, at->number); *p;) {
        struct file_lock *l = *p;
        const bool mine = is_on(l, at) && l->owner == want->owner && l->flock == want->flock;
        const bool joins = mine && !unlock && l->exclusive == want->exclusive;
        const bool apart = l->start > want->end || l->end < want->start;
        const bool touches = joins && ((want->end != ~0ull && l->start == want->end + 1) ||
                                       (want->start != 0 && l->end == want->start - 1));
        if (!mine || (apart && !touches)) {
            p = &l->next;
        } else if (joins) {
            want->start = MIN(want->start, l->start);
            want->end = MAX(want->end, l->end);
            lock_drop(p);
        } else if (l->start >= want->start && l->end <= want->end) {
            lock_drop(p);
        } else if (l->start < want->start && l->end > want->end) {
            *spare = *l;                         // it is cut in two
            spare->start = want->end + 1;
            l->end = want->start - 1;
            l->next = spare;
            lock_count++;
            return NULL;                         // nothing else of its owner is in the range
        } else {
            if (l->start < want->start) l->end = want->start - 1;
            else l->start = want->end + 1;
            p = &l->next;
        }
    }
    return spare;
}

static status_t lock_set(const struct lock_place *at, struct file_lock *want, struct p9_call *c) {
    const bool unlock = c->lock.type == P9_LOCK_UNLOCK;
    waiter_forget(want->pid);
    const struct file_lock *held = unlock ? NULL : conflict(at, want);
    if (held && want->flock) {                   // as Linux: the old one is given up first
        (void)carve(at, want, true, NULL);       // whole files: none is cut in two
        file_wake(&lock_wait);
    }
    if (held) return lock_wait_for(want, held, c);
    if (lock_count + 2 > LOCKS_MAX && !unlock) return E_NOLCK;
    struct file_lock *spare = kmem_alloc(sizeof *spare), *made = kmem_alloc(sizeof *made);
    if (!spare || !made) {
        if (spare) kmem_free(spare, sizeof *spare);
        if (made) kmem_free(made, sizeof *made);
        return E_NOLCK;
    }
    spare = carve(at, want, unlock, spare);
    if (spare) kmem_free(spare, sizeof *spare);
    if (unlock) {
        kmem_free(made, sizeof *made);
    } else {
        struct file_lock **first = bucket(at->space, at->number);
        *made = *want;
        made->next = *first;
        *first = made;
        lock_count++;
    }
    file_wake(&lock_wait);
    return S_OK;
}

static void lock_get(const struct lock_place *at, const struct file_lock *want,
                     struct p9_call *c) {
    const struct file_lock *held = conflict(at, want);
    if (!held) {
        c->lock.type = P9_LOCK_UNLOCK;
        return;
    }
    const u64 length = held->end == ~0ull ? 0 : held->end - held->start + 1;
    c->lock = (struct p9_lock){held->exclusive ? P9_LOCK_WRITE : P9_LOCK_READ, 0, held->start,
                               length, is_posix(held) ? held->pid : ~0u};
}

// Carries out P9_TLOCK or P9_TGETLOCK: c->lock has the type, the range (length 0: to the end
// of any file) and the owner's process, 0 with P9_TGETLOCK for the description itself.
// Errors: E_AGAIN another has it; E_DEADLK; E_NOLCK too many; E_BADF not opened for that;
// E_INVAL; S_RESTART where it waits.
status_t locks_call(const struct lock_place *at, struct p9_call *c) {
    const struct p9_lock *l = &c->lock;
    const bool set = c->type == P9_TLOCK, flock = set && (l->flags & P9_LOCK_FLOCK);
    const bool posix = set ? !(l->flags & (P9_LOCK_FLOCK | P9_LOCK_OFD)) : l->proc_id != 0;
    if (l->type > P9_LOCK_UNLOCK || (!set && l->type == P9_LOCK_UNLOCK)) return E_INVAL;
    if (l->length != 0 && l->start > ~0ull - (l->length - 1)) return E_INVAL;
    if (posix && l->proc_id == 0) return E_INVAL;
    if (set && !flock && at->mode == (l->type == P9_LOCK_READ ? (u32)O_WRONLY : 0u) &&
        l->type != P9_LOCK_UNLOCK)
        return E_BADF;
    struct file_lock want = {
        .space = at->space, .number = at->number, .description = at->description,
        .owner = posix ? l->proc_id : at->description, .pid = l->proc_id,
        .start = l->start, .end = l->length ? l->start + (l->length - 1) : ~0ull,
        .flock = flock, .exclusive = l->type == P9_LOCK_WRITE};
    if (set) return lock_set(at, &want, c);
    lock_get(at, &want, c);
    return S_OK;
}

// --- ends ---

// Drops those for which `which` says so, and wakes who waits.
static void drop_where(bool (*which)(const struct file_lock *l, u64 a, u64 b, u64 c), u64 a,
                       u64 b, u64 c) {
    bool any = false;
    for (u32 i = 0; i < BUCKETS && lock_count; i++) {
        for (struct file_lock **p = &buckets[i]; *p;) {
            if (!which(*p, a, b, c)) {
                p = &(*p)->next;
                continue;
            }
            lock_drop(p);
            any = true;
        }
    }
    if (any) file_wake(&lock_wait);
}

static bool of_process(const struct file_lock *l, u64 owner, u64 space, u64 number) {
    return l->owner == owner && l->space == space && l->number == number;
}
// POSIX.1: with any handle on a file that a process closes, its locks on that file go.
void locks_closed(const struct lock_place *at, u32 pid) {
    if (pid) drop_where(of_process, pid, at->space, at->number);
}

static bool of_description(const struct file_lock *l, u64 description, u64 b, u64 c) {
    (void)b, (void)c;
    return l->description == description;
}
// Nobody has it open any more: what was taken through it is nobody's.
void locks_description_gone(u64 description) { drop_where(of_description, description, 0, 0); }

void locks_wait_ended(u32 pid) {
    spin_lock(&files_lock);
    waiter_forget(pid);
    spin_unlock(&files_lock);
}

static bool of_dead(const struct file_lock *l, u64 node, u64 b, u64 c) {
    (void)b, (void)c;
    u8 where = 0;
    if (!is_posix(l) || !proc_hooks.where) return false;
    spin_lock(&proc_lock);
    const bool known = proc_hooks.where(l->pid, &where);
    spin_unlock(&proc_lock);
    return !known || where == node;
}
// The node is dead, and its processes with it.
void locks_peer_down(u32 node) {
    spin_lock(&files_lock);
    drop_where(of_dead, node, 0, 0);
    spin_unlock(&files_lock);
}
