// References on this node's objects that other nodes hold: handles, directories and mapped
// files of processes there. A node comes to them by calls (what a call made, REF and CLUNK)
// and by processes that move with theirs. The giver of a process, or its new node for objects
// of a third, tells; a message that overtakes another makes a count negative for a while.
// Callers: remote_serve.c, migrate.c, remote_files.c. Lock: files_lock.
#include "kernel/files/holders.h"

#include "kernel/cluster.h"
#include "kernel/file.h"
#include "kernel/klog.h"
#include "mm/aspace.h"
#include "mm/kmem.h"

#define BUCKETS 1024u                // a power of two

struct holder {
    struct holder *next;
    struct object_id id;
    u32 node;
    i32 count;
};
static struct holder *buckets[BUCKETS];
static u64 returned;                 // references that the dead held

static struct holder **place(struct object_id id, u32 node) {
    const u64 h = (id.generation * 0x9e3779b97f4a7c15ull) ^ ((u64)node * 0x100000001b3ull);
    struct holder **at = &buckets[(h >> 32) & (BUCKETS - 1)];
    while (*at && ((*at)->id.generation != id.generation || (*at)->id.index != id.index ||
                   (*at)->node != node))
        at = &(*at)->next;
    return at;
}

static void drop(struct holder **at) {
    struct holder *h = *at;
    *at = h->next;
    kmem_free(h, sizeof *h);
}

static bool counted(struct object_id id) {
    return id.generation != 0 && id.generation != OBJECT_GENERATION_ROOT && id.node == node_id;
}

// `count` more (or fewer) references on the object are that node's. files_lock held.
static void holders_note(struct object_id id, u32 node, i32 count) {
    if (!counted(id) || node == node_id) return;
    struct holder **at = place(id, node);
    if (!*at) {
        struct holder *h = kmem_alloc(sizeof *h);
        if (!h) {
            klog("files: no memory to note what node %u holds; it stays if that dies", node);
            return;
        }
        *h = (struct holder){NULL, id, node, 0};
        *at = h;
    }
    (*at)->count += count;
    if ((*at)->count == 0) drop(at);
}

void holders_called(u32 node, const struct p9_call *c) {
    spin_lock(&files_lock);
    if (c->type == P9_TCLUNK) holders_note(c->object, node, -1);
    else if (c->type == P9_TREF) holders_note(c->object, node, 1);
    else if (c->made.generation != 0) holders_note(c->made, node, 1);
    spin_unlock(&files_lock);
}

// --- processes that move -----------------------------------------------------------------

// Calls `each` for every reference that p holds.
static void refs_walk(const struct proc *p, void (*each)(void *ctx, struct object_id id),
                      void *ctx) {
    const struct proc_desc *d = proc_desc(p);
    each(ctx, d->root);
    each(ctx, d->cwd);
    each(ctx, d->exe);
    for (u32 fd = 0; fd < d->handle_max; fd++) {
        const struct handle *h = handle_get(p, fd);
        if (h) each(ctx, h->object);
    }
    for (u32 i = 0; i < d->vma_count; i++) each(ctx, vma_at(d, i)->file);
}

struct note { u32 node; i32 count; };

static void note_one(void *ctx, struct object_id id) {
    const struct note *n = ctx;
    holders_note(id, n->node, n->count);
}

void holders_given(const struct proc *p, u32 node) {
    struct note n = {node, 1};
    spin_lock(&files_lock);
    refs_walk(p, note_one, &n);
    spin_unlock(&files_lock);
}

struct telling { u32 giver, home; u64 homes; struct cluster_msg m; };

static void tell_flush(struct telling *t) {
    if (t->m.refs.count != 0) (void)cluster_send(t->home, &t->m);
    t->m.refs.count = 0;
}

static void home_add(void *ctx, struct object_id id) {
    struct telling *t = ctx;
    const bool third = id.node != node_id && id.node != t->giver && id.node < NODES_MAX;
    if (third && id.generation > OBJECT_GENERATION_ROOT) t->homes |= BIT(id.node);
}

static void tell_one(void *ctx, struct object_id id) {
    struct telling *t = ctx;
    if (id.node != t->home || id.generation <= OBJECT_GENERATION_ROOT) return;
    if (t->m.refs.count == MSG_REFS_MAX) tell_flush(t);
    t->m.refs.entry[t->m.refs.count++] = (struct msg_ref){id.index, id.generation};
}

void holders_taken(const struct proc *p, u32 giver) {
    struct note n = {giver, -1};
    struct telling t = {.giver = giver, .m = {.type = MSG_REFS}};
    spin_lock(&files_lock);
    refs_walk(p, note_one, &n);
    spin_unlock(&files_lock);
    refs_walk(p, home_add, &t);
    t.m.refs.from = (u8)giver;
    t.m.refs.incarnation = cluster_incarnation(giver);
    for (; t.homes != 0; t.homes &= t.homes - 1) {
        t.home = (u32)__builtin_ctzll(t.homes);
        refs_walk(p, tell_one, &t);
        tell_flush(&t);
    }
}

// References went from m->refs.from to `to`. Where that giver is dead here already, what it
// held was dropped, these among it: they are taken anew, if the object is still there.
static void holders_receive(u8 to, const struct cluster_msg *m) {
    const bool reaped = m->refs.from != node_id &&
                        (m->refs.incarnation == 0 ||
                         cluster_incarnation(m->refs.from) != m->refs.incarnation);
    spin_lock(&files_lock);
    for (u32 i = 0; i < m->refs.count; i++) {
        const struct object_id id = {node_id, m->refs.entry[i].index,
                                     m->refs.entry[i].generation};
        struct object *o = object_find(id);
        if (!o) continue;
        if (reaped) object_get(o);
        else holders_note(id, m->refs.from, -1);
        holders_note(id, to, 1);
    }
    spin_unlock(&files_lock);
}

// --- death ---------------------------------------------------------------------------------

void holders_peer_down(u32 node) {
    spin_lock(&files_lock);
    for (u32 b = 0; b < BUCKETS; b++) {
        for (struct holder **at = &buckets[b]; *at;) {
            if ((*at)->node != node) {
                at = &(*at)->next;
                continue;
            }
            const struct holder h = **at;
            drop(at);
            // Fewer than noted only if the books are wrong: then nobody else's are dropped.
            for (i32 i = 0; i < h.count && object_find(h.id); i++) {
                object_put(object_find(h.id));
                returned++;
            }
        }
    }
    spin_unlock(&files_lock);
}

void holders_init(void) {
    cluster_on_refs(holders_receive);
    cluster_status_add_u64("refs_of_dead", &returned);
}
