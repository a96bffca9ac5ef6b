// epoll: the set lies in an object of one node (kernel/files/epoll.c); whether its members are
// ready is asked from here, wherever they are, as poll does.
// Spec: epoll_create(2), epoll_ctl(2), epoll_wait(2).
#include "base/string.h"
#include "kernel/files/events.h"
#include "kernel/syscall/poll.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define EPOLL_NESTS_MAX 4u           // a set in one in one in one in one, as Linux
#define EPOLL_LOOKS_MAX 16384u       // at members, of one call: sets in sets may multiply them
#define EPOLL_EVENTS_MAX 256u        // of one call; the others have their turn in the next
enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD };
enum { STEP_CLAIM = 2 };             // proc_wait.step: scratch holds what is claimed

struct epoll_event { u32 events; u64 data; } __attribute__((packed));
struct ready { struct object_id object; i32 fd; u32 events, change; u64 data; };
_Static_assert(sizeof(struct ready) <= sizeof(((struct proc_wait *)0)->scratch), "kept there");

// Up to EPOLL_BATCH members from number `from` on; *left: how many there are from there.
static status_t list(struct object_id set, u64 from, struct epoll_member *to, u64 *left) {
    struct p9_call c = {.type = P9_TIOCTL, .object = set, .flags = EPOLL_IOC_LIST, .value = from,
                        .count = EPOLL_BATCH * sizeof *to, .data.buffer = to};
    const status_t s = file_call(&c);
    *left = c.result;
    return s == E_NOTTY ? E_INVAL : s;
}

static status_t change_member(struct object_id set, u32 request, struct epoll_member m) {
    struct p9_call c = {.type = P9_TIOCTL, .object = set, .flags = request, .count = sizeof m,
                        .data.buffer = &m};
    const status_t s = file_call(&c);
    return s == E_NOTTY ? E_INVAL : s;
}

// Calls look(ctx, member) for the members of a set until it returns something else than S_OK and
// S_RESTART, which is then the result. S_RESTART: it was that for some, or the set's node is asked.
static status_t members_each(struct object_id set,
                             status_t (*look)(void *ctx, const struct epoll_member *m), void *ctx) {
    struct epoll_member *m = kmem_alloc(EPOLL_BATCH * sizeof *m);
    if (!m) return E_NOMEM;
    u64 left = 1;
    bool asked = false;
    status_t s = S_OK;
    for (u64 from = 0; left > 0 && s == S_OK; from += EPOLL_BATCH) {
        s = list(set, from, m, &left);
        for (u64 i = 0; i < EPOLL_BATCH && i < left && s == S_OK; i++) {
            s = look(ctx, &m[i]);
            asked |= s == S_RESTART;
            if (s == S_RESTART) s = S_OK;
        }
        left -= MIN(left, EPOLL_BATCH);
    }
    kmem_free(m, EPOLL_BATCH * sizeof *m);
    return s == S_OK && asked ? S_RESTART : s;
}

// Whether a member has something to report: its events, 0 none. One that was closed is dropped.
// E_LOOP: EPOLL_LOOKS_MAX.
static status_t ask_member(struct proc *p, struct object_id set, const struct epoll_member *m,
                           struct poll_walk *walk, struct poll_answer *out) {
    *out = (struct poll_answer){0};
    if (walk->looks++ >= EPOLL_LOOKS_MAX) return E_LOOP;
    if (!(m->events & ~EPOLL_FLAGS)) return S_OK;
    status_t s = poll_object(p, m->object, m->events & ~EPOLL_FLAGS, walk, out);
    if (s == E_BADF) return change_member(set, EPOLL_IOC_DELETE, *m) == S_RESTART ? S_RESTART
                                                                                  : S_OK;
    if (s == S_RESTART || s == E_LOOP) return s;
    if (s != S_OK) out->ready = POLLERR | POLLHUP;       // its node is gone
    if ((m->events & EPOLLET) && m->reported && m->change == out->change) out->ready = 0;
    return S_OK;
}

struct asking {
    struct proc *p;
    struct object_id set;
    struct poll_walk *walk;
    struct poll_answer *all;         // epoll_ready
    struct ready *to;                // find_ready: [max]
    u32 max, count;
};

static status_t look_any(void *ctx, const struct epoll_member *m) {
    struct asking *a = ctx;
    struct poll_answer one;
    const status_t s = ask_member(a->p, a->set, m, a->walk, &one);
    if (one.ready) a->all->ready = POLLIN;
    a->all->change += one.change;
    return s;
}

// As the header says. out->change: of all members together.
status_t epoll_ready(struct proc *p, struct object_id set, struct poll_walk *walk,
                     struct poll_answer *out) {
    struct asking a = {.p = p, .set = set, .walk = walk, .all = out};
    *out = (struct poll_answer){0};
    if (walk->depth > EPOLL_NESTS_MAX) return S_OK;      // two were put into each other at a time
    walk->depth++;
    const status_t s = members_each(set, look_any, &a);
    walk->depth--;
    return s;
}

static status_t look_ready(void *ctx, const struct epoll_member *m) {
    struct asking *a = ctx;
    struct poll_answer one;
    if (a->count == a->max) return S_OK;
    const status_t s = ask_member(a->p, a->set, m, a->walk, &one);
    if (one.ready)
        a->to[a->count++] = (struct ready){m->object, m->fd, one.ready, one.change, m->data};
    return s;
}

// Finds up to `max` members that have something to report. S_RESTART: nodes have been asked.
static status_t find_ready(struct proc *p, struct object_id set, struct ready *to, u32 max,
                           u32 *count) {
    struct poll_walk walk = {.depth = 1};
    struct asking a = {.p = p, .set = set, .walk = &walk, .to = to, .max = max};
    const status_t s = members_each(set, look_ready, &a);
    *count = a.count;
    return s;
}

// Takes from the set the right to report these; those that another waiter took are left out.
static status_t claim(struct object_id set, struct ready *r, u32 *count) {
    u32 kept = 0;
    for (u32 at = 0; at < *count; at += EPOLL_BATCH) {
        struct epoll_claim one[EPOLL_BATCH];
        const u32 n = MIN(*count - at, EPOLL_BATCH);
        for (u32 i = 0; i < n; i++)
            one[i] = (struct epoll_claim){r[at + i].object, r[at + i].fd, r[at + i].change};
        struct p9_call c = {.type = P9_TIOCTL, .object = set, .flags = EPOLL_IOC_CLAIM,
                            .count = n * sizeof one[0], .data.buffer = one};
        const status_t s = file_call(&c);
        if (s != S_OK) return s;
        for (u32 i = 0; i < n; i++)
            if (c.result & BIT(i)) r[kept++] = r[at + i];
    }
    *count = kept;
    return S_OK;
}

struct taking { struct proc *p; struct object_id set; struct ready *to; u32 max; };

// What may be reported now. Of a set on another node one at a time: the wait record keeps it
// while that node is asked, so an edge that was claimed is never lost.
static status_t take_ready(void *ctx, u32 *count) {
    const struct taking *t = ctx;
    struct proc_wait *w = &proc_desc(t->p)->wait;
    const bool away = t->set.node != node_id;
    status_t s = S_OK;
    *count = 1;
    if (w->step == STEP_CLAIM) memcpy(t->to, w->scratch, sizeof *t->to);
    else s = find_ready(t->p, t->set, t->to, away ? 1 : t->max, count);
    if (s != S_OK || *count == 0) return s;
    if (away) memcpy(w->scratch, t->to, sizeof *t->to);
    if (away) w->step = STEP_CLAIM;
    s = claim(t->set, t->to, count);
    if (away && s == S_OK) w->step = 1;
    return s;
}

static i64 do_wait(struct proc *p, const u64 *a, u64 timeout_ns) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if ((i32)a[2] <= 0) return E_INVAL;
    if (!h) return E_BADF;
    const u32 max = MIN((u32)a[2], EPOLL_EVENTS_MAX);
    const status_t pinned = user_pin(p, a[1], max * sizeof(struct epoll_event), ACCESS_WRITE);
    if (pinned != S_OK) return pinned;
    struct ready *r = kmem_alloc(max * sizeof *r);
    if (!r) return E_NOMEM;
    struct taking t = {p, h->object, r, max};
    const i64 count = poll_until(p, take_ready, &t, timeout_ns);
    for (i64 i = 0; i < count; i++) {
        const struct epoll_event e = {r[i].events, r[i].data};
        (void)user_write(p, a[1] + (u64)i * sizeof e, &e, sizeof e);
    }
    kmem_free(r, max * sizeof *r);
    return count;
}

static u64 milliseconds(u64 ms) { return (i32)ms < 0 ? ~0ull : (u64)(u32)ms * NS_PER_MS; }

SYSCALL(epoll_wait) { return do_wait(p, a, milliseconds(a[3])); }
SYSCALL(epoll_pwait) {
    const status_t s = poll_mask(p, a[4], a[5]);
    return s == S_OK ? do_wait(p, a, milliseconds(a[3])) : s;
}
SYSCALL(epoll_pwait2) {
    u64 ns = ~0ull;
    status_t s = a[3] ? user_timespec(p, a[3], &ns) : S_OK;
    if (s == S_OK) s = poll_mask(p, a[4], a[5]);
    return s == S_OK ? do_wait(p, a, ns) : s;
}

// --- epoll_ctl ---

// What is about to become a member, and the sets below it.
struct nesting {
    struct object_id wanted;         // the set that gets it: not to be found below
    u32 depth, looks;
    bool mark;                       // tells the sets how deep they are now
};
static status_t look_below(void *ctx, const struct epoll_member *m);

// E_LOOP: `from` is the set that gets it, or one too deep, or there is too much below it.
static status_t nest(struct nesting *n, struct object_id from) {
    if (n->looks++ >= EPOLL_LOOKS_MAX || object_id_equal(from, n->wanted)) return E_LOOP;
    struct p9_call c = {.type = P9_TPOLL, .object = from};
    status_t s = file_call(&c);
    if (s != S_OK || !(c.result & POLL_MEMBERS)) return s == S_RESTART ? s : S_OK;
    if (n->depth > EPOLL_NESTS_MAX) return E_LOOP;
    struct p9_call mark = {.type = P9_TIOCTL, .object = from, .flags = EPOLL_IOC_NEST,
                           .value = n->depth};
    if (n->mark) s = file_call(&mark);
    if (s == S_RESTART) return s;
    n->depth++;
    s = members_each(from, look_below, n);
    n->depth--;
    return s;
}

static status_t look_below(void *ctx, const struct epoll_member *m) { return nest(ctx, m->object); }

// Whether the set may have this member: files and directories are always ready, so Linux
// refuses them; sets in sets have a limit.
static status_t may_add(struct object_id set, struct object_id object) {
    struct p9_call c = {.type = P9_TGETATTR, .object = object};
    status_t s = file_call(&c);
    if (s != S_OK) return s;
    const u32 type = c.attr.mode & S_IFMT;
    if (type == S_IFREG || type == S_IFDIR) return E_PERM;
    struct p9_call ask = {.type = P9_TPOLL, .object = set};
    s = file_call(&ask);
    if (s != S_OK) return s;
    if (!(ask.result & POLL_MEMBERS)) return E_INVAL;
    const u32 depth = (u32)(ask.result >> POLL_CHANGE_SHIFT) + 1;
    struct nesting n = {.wanted = set, .depth = depth};
    s = nest(&n, object);
    n = (struct nesting){.wanted = set, .depth = depth, .mark = true};
    return s == S_OK ? nest(&n, object) : s;
}

SYSCALL(epoll_ctl) {
    struct epoll_event e = {0, 0};
    const i32 op = (i32)a[1];
    status_t s = op != EPOLL_CTL_DEL ? user_read(p, a[3], &e, sizeof e) : S_OK;
    if (s != S_OK) return s;
    const struct handle *set = handle_get(p, (i32)a[0]), *h = handle_get(p, (i32)a[2]);
    if (!set || !h) return E_BADF;
    if (object_id_equal(set->object, h->object)) return E_INVAL;
    if (op == EPOLL_CTL_MOD && (e.events & EPOLLEXCLUSIVE)) return E_INVAL;
    const struct epoll_member m = {.object = h->object, .fd = (i32)a[2], .data = e.data,
                                   .events = e.events | POLLERR | POLLHUP};
    switch (op) {
    case EPOLL_CTL_ADD:
        s = may_add(set->object, h->object);
        return s == S_OK ? change_member(set->object, EPOLL_IOC_ADD, m) : s;
    case EPOLL_CTL_MOD: return change_member(set->object, EPOLL_IOC_MODIFY, m);
    case EPOLL_CTL_DEL: return change_member(set->object, EPOLL_IOC_DELETE, m);
    default: return E_INVAL;
    }
}
