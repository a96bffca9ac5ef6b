// References on this node's objects that other nodes hold: handles, directories and mapped
// files of processes there. A node comes to them by calls (what a call made, REF and CLUNK)
// and by processes that move with theirs. The giver of a process, or its new node for objects
// of a third, tells.
//
// A node gives back only what it was given: its CLUNK, and a process that leaves it, drop a
// reference where the books have one of it. Else that is owed: word of a reference that was
// overtaken comes and settles it; for one that was dropped when its node was fenced (its handle
// outlived a cut) nothing comes. So nobody drops what others hold, or processes and directories
// of this node: an object's references are never fewer than those and all counts here.
//
// Callers: remote_serve.c, migrate_host.c, remote_files.c. Lock: files_lock.
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
    u32 count, owed;                 // references; to be dropped once they come
};
static struct holder *buckets[BUCKETS];
static u64 returned;                 // references that the dead held
static u64 owed_now;

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

// The node's entry for the object, made where there is none; NULL: no memory. Then what would be
// noted is not: what the node holds stays if it dies.
static struct holder **entry(struct object_id id, u32 node) {
    struct holder **at = place(id, node);
    if (*at) return at;
    struct holder *h = kmem_alloc(sizeof *h);
    if (!h) {
        klog("files: no memory to note what node %u holds; it stays if that dies", node);
        return NULL;
    }
    *h = (struct holder){NULL, id, node, 0, 0};
    *at = h;
    return at;
}

// One more of the object's references is that node's.
static void came(struct object_id id, u32 node) {
    if (!counted(id) || node == node_id) return;
    struct holder **at = entry(id, node);
    if (!at) return;
    if ((*at)->owed == 0) {
        (*at)->count++;
        return;
    }
    owed_now--;
    if (--(*at)->owed == 0 && (*at)->count == 0) drop(at);
    struct object *o = object_find(id);
    if (o) object_put(o);
}

// That node has one less. True: its reference is to be dropped; false: that is owed.
static bool went(struct object_id id, u32 node) {
    struct holder **at = entry(id, node);
    if (!at) return false;
    const bool has = (*at)->count > 0;
    if (has) (*at)->count--;
    else (*at)->owed++;
    owed_now += !has;
    if ((*at)->count == 0 && (*at)->owed == 0) drop(at);
    return has;
}

void holders_called(u32 node, const struct p9_call *c) {
    spin_lock(&files_lock);
    if (c->type == P9_TREF) came(c->object, node);
    else if (c->type != P9_TCLUNK && c->made.generation != 0) came(c->made, node);
    spin_unlock(&files_lock);
}

// One that is owed runs as any, but with a reference of its own to drop.
void holders_clunk(u32 node, const struct p9_call *c) {
    spin_lock(&files_lock);
    struct object *o = object_find(c->object);
    if (o && counted(c->object) && node != node_id && !went(c->object, node)) object_get(o);
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
        const struct handle *h = handle_any(p, fd);
        if (h) each(ctx, h->object);
    }
    for (u32 i = 0; i < d->vma_count; i++) each(ctx, vma_at(d, i)->file);
}

static void given_one(void *ctx, struct object_id id) {
    const u32 *node = ctx;
    came(id, *node);
}

void holders_given(const struct proc *p, u32 node) {
    spin_lock(&files_lock);
    refs_walk(p, given_one, &node);
    spin_unlock(&files_lock);
}

// A reference went from node `from` to this node's processes.
static void taken_one(void *ctx, struct object_id id) {
    const u32 *from = ctx;
    if (!counted(id) || *from == node_id) return;
    struct object *o = object_find(id);
    if (o && !went(id, *from)) object_get(o);
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
    struct telling t = {.giver = giver, .m = {.type = MSG_REFS}};
    spin_lock(&files_lock);
    refs_walk(p, taken_one, &giver);
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
        if (reaped || !went(id, m->refs.from)) object_get(o);
        came(id, to);
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
            owed_now -= h.owed;
            for (u32 i = 0; i < h.count && object_find(h.id); i++) {
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
    cluster_status_add_u64("refs_owed", &owed_now);
}
