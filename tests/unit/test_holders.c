// The books of references that other nodes hold (kernel/files/holders.c) at node 0, against three
// nodes whose processes open, share and close its objects and move, with two pairs of queue pairs
// a node: files' calls on one, words of moves on the other, in any order between them. Nodes die,
// or are fenced and come back with the handles that they had. What must hold at every step: an
// object has at least the references that its directory and processes of node 0 hold; without a
// fence, whoever has a handle finds its object, and in the end nothing is left over.
// links: kernel/files/holders.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cluster.h"
#include "kernel/file.h"
#include "kernel/files/holders.h"
#include "kernel/klog.h"
#include "mm/aspace.h"
#include "mm/kmem.h"
#include "proto/cluster/cluster_msg.h"
#include "tests/unit/suite_run.h"

enum { NODES = 4, OBJECTS = 4, PROCS = 6, HANDLES = 12, QUEUE = 256, STEPS = 1000, SEEDS = 40 };

struct spinlock files_lock;
struct proc *procs;
struct proc_desc *proc_descs;
u32 node_id;

static struct proc proc_table[PROCS];
static struct proc_desc desc_table[PROCS];

static struct holding { struct object object; u32 base; } objects[OBJECTS];   // base: directory's
static struct process {
    u32 node, out;                   // calls on the way
    struct handle handle[HANDLES];
} world[PROCS];
enum kind { OPEN, REF, CLUNK, GIVEN, REFS };
struct note {
    enum kind kind;
    u32 proc, object;
    struct process was;              // as it moved
    struct cluster_msg m;
};
static struct queue { struct note note[QUEUE]; u32 head, tail; } calls[NODES], words[NODES];
static u32 incarnation[NODES];       // as node 0 knows them; 0: down
static u32 lives;
static bool fenced_ever, kmem_full;
static u64 state;
static u32 heap;
static const struct process *shown;  // what handle_any shows of a process
static struct cluster_msg told;      // by holders_taken: not used at node 0
static void (*refs_come)(u8 from, const struct cluster_msg *m);

static u32 draw(u32 below) {         // splitmix64
    u64 z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (u32)((z ^ (z >> 31)) % below);
}

// --- the kernel around it ----------------------------------------------------------------

void spin_lock(struct spinlock *l) { (void)l; }
void spin_unlock(struct spinlock *l) { (void)l; }
void klog(const char *format, ...) { (void)format; }
void *kmem_alloc(u64 len_bytes) {
    if (kmem_full) return NULL;
    heap++;
    return calloc(1, len_bytes);
}
void kmem_free(void *p, u64 len_bytes) {
    (void)len_bytes;
    heap--;
    free(p);
}
struct handle *handle_any(const struct proc *p, i64 fd) {
    (void)p;
    const struct handle *h = &shown->handle[fd];
    return h->object.generation ? (struct handle *)(uintptr_t)h : NULL;
}
struct vma *vma_at(const struct proc_desc *d, u32 i) { return (void)d, (void)i, NULL; }
u32 cluster_incarnation(u32 node) { return incarnation[node]; }
status_t cluster_send(u32 node, const struct cluster_msg *m) {
    (void)node;
    told = *m;
    return S_OK;
}
void cluster_on_refs(void (*rx)(u8 from, const struct cluster_msg *m)) { refs_come = rx; }
void cluster_status_add_u64(const char *name, const u64 *figure) { (void)name, (void)figure; }

struct object *object_find(struct object_id id) {
    struct object *o = id.index < OBJECTS ? &objects[id.index].object : NULL;
    return o && o->generation == id.generation ? o : NULL;
}
void object_get(struct object *o) { o->refs++; }
void object_put(struct object *o) {
    ck_assert_uint_gt(o->refs, 0);
    if (--o->refs == 0) o->generation = 0;
}

// --- the world ---------------------------------------------------------------------------

static struct object_id id_of(u32 i) { return (struct object_id){0, i, 100 + i}; }

static u32 handles_of(const struct process *p, u32 object) {
    u32 count = 0;
    for (u32 k = 0; k < HANDLES; k++)
        count += p->handle[k].object.generation == id_of(object).generation;
    return count;
}

static u32 handles_free(const struct process *p) {
    u32 count = 0;
    for (u32 k = 0; k < HANDLES; k++) count += p->handle[k].object.generation == 0;
    return count;
}

static struct handle *handle_new(struct process *p, u32 object) {
    for (u32 k = 0; k < HANDLES; k++)
        if (p->handle[k].object.generation == 0) {
            p->handle[k].object = id_of(object);
            return &p->handle[k];
        }
    return NULL;
}

static struct handle *handle_of(struct process *p, u32 object) {
    for (u32 k = 0; k < HANDLES; k++)
        if (p->handle[k].object.generation == id_of(object).generation) return &p->handle[k];
    return NULL;
}

static void push(struct queue *q, const struct note *n) {
    ck_assert_uint_lt(q->tail - q->head, QUEUE);
    q->note[q->tail++ % QUEUE] = *n;
}

static void check(void) {
    for (u32 i = 0; i < OBJECTS; i++) {
        u32 here = objects[i].base, all = here;
        for (u32 k = 0; k < PROCS; k++) {
            const u32 count = handles_of(&world[k], i);
            here += world[k].node == 0 ? count : 0;
            all += count;
        }
        const struct object *o = &objects[i].object;
        const u32 refs = o->generation ? o->refs : 0;
        // A handle that outlived a fence may come home, and its object may be gone.
        if (objects[i].base || !fenced_ever) ck_assert_uint_ge(refs, here);
        if (!fenced_ever && all != 0) ck_assert_uint_ne(refs, 0);
    }
}

static void begin(u64 seed) {
    holders_init();
    state = seed;
    fenced_ever = kmem_full = false;
    lives = 1;
    memset(world, 0, sizeof world);
    memset(calls, 0, sizeof calls);
    memset(words, 0, sizeof words);
    procs = proc_table;
    proc_descs = desc_table;
    for (u32 i = 0; i < PROCS; i++) {
        world[i].node = draw(NODES);
        desc_table[i].handle_max = HANDLES;
    }
    for (u32 i = 0; i < NODES; i++) incarnation[i] = lives++;
    for (u32 i = 0; i < OBJECTS; i++)
        objects[i] = (struct holding){
            {.index = i, .generation = id_of(i).generation, .refs = 1}, .base = 1};
}

// A process of node 0 acts on the object itself; of another one by a call.
static void act(u32 k, enum kind kind, u32 object) {
    struct process *p = &world[k];
    struct object *o = object_find(id_of(object));
    struct handle *h = handle_of(p, object);
    if (p->node != 0 && incarnation[p->node] == 0) return;
    if (kind != OPEN && !h) return;
    if (kind == OPEN && (!o || p->out != 0)) return;
    if (kind != CLUNK && handles_free(p) <= p->out) return;
    if (kind == REF) (void)handle_new(p, object);
    if (kind == CLUNK) h->object.generation = 0;
    if (p->node != 0) {
        const struct note n = {.kind = kind, .proc = k, .object = object};
        push(&calls[p->node], &n);
        p->out++;
        return;
    }
    if (kind == OPEN) (void)handle_new(p, object);
    if (!o) return;
    if (kind == CLUNK) object_put(o);
    else object_get(o);
}

static void call_runs(u32 node) {
    struct queue *q = &calls[node];
    if (q->head == q->tail || incarnation[node] == 0) return;
    const struct note n = q->note[q->head++ % QUEUE];
    struct object *o = object_find(id_of(n.object));
    struct p9_call c = {.object = id_of(n.object)};
    world[n.proc].out--;
    if (n.kind == OPEN) {
        if (!o || !handle_new(&world[n.proc], n.object)) return;
        object_get(o);
        c.type = P9_TLOPEN;
        c.made = id_of(n.object);
    } else if (n.kind == REF) {
        if (!o) return;
        object_get(o);
        c.type = P9_TREF;
    } else {
        c.type = P9_TCLUNK;
        holders_clunk(node, &c);
        if (!(o = object_find(id_of(n.object)))) return;
        object_put(o);
    }
    holders_called(node, &c);
}

static void word_comes(u32 node) {
    struct queue *q = &words[node];
    if (q->head == q->tail || incarnation[node] == 0) return;
    const struct note n = q->note[q->head++ % QUEUE];
    shown = &n.was;
    if (n.kind == GIVEN) holders_given(&procs[n.proc], node);
    else refs_come((u8)node, &n.m);
}

// A process leaves once its calls have ended. Who has it then tells the nodes it has things of.
static void move(u32 k, u32 to) {
    struct process *p = &world[k];
    const u32 from = p->node;
    if (from == to || p->out != 0 || incarnation[from] == 0 || incarnation[to] == 0) return;
    struct note n = {.kind = from == 0 ? GIVEN : REFS, .proc = k, .was = *p};
    p->node = to;
    if (to == 0) {
        shown = p;
        holders_taken(&procs[k], from);
        return;
    }
    n.m = (struct cluster_msg){.type = MSG_REFS};
    n.m.refs.from = (u8)from;
    n.m.refs.incarnation = incarnation[from];
    for (u32 i = 0; i < HANDLES; i++)
        if (p->handle[i].object.generation)
            n.m.refs.entry[n.m.refs.count++] =
                (struct msg_ref){p->handle[i].object.index, p->handle[i].object.generation};
    push(&words[to], &n);
}

// Node 0 fences a node: what it gave it has given. The processes there are gone, or go on and
// have the handles that they had.
static void fence(u32 node, bool dies) {
    fenced_ever = true;
    for (; words[node].head != words[node].tail; words[node].head++) {
        const struct note *n = &words[node].note[words[node].head % QUEUE];
        shown = &n->was;
        if (n->kind == GIVEN) holders_given(&procs[n->proc], node);
    }
    for (; calls[node].head != calls[node].tail; calls[node].head++)
        world[calls[node].note[calls[node].head % QUEUE].proc].out--;
    incarnation[node] = 0;
    holders_peer_down(node);
    for (u32 k = 0; dies && k < PROCS; k++)
        if (world[k].node == node) world[k] = (struct process){.node = 0};
}

static void step(bool fences) {
    const u32 k = draw(PROCS), node = 1 + draw(NODES - 1);
    switch (draw(8)) {
    case 0: act(k, OPEN, draw(OBJECTS)); break;
    case 1: act(k, REF, draw(OBJECTS)); break;
    case 2: act(k, CLUNK, draw(OBJECTS)); break;
    case 3: case 4: call_runs(node); break;
    case 5: word_comes(node); break;
    case 6: move(k, draw(NODES)); break;
    default:
        if (incarnation[node] == 0) incarnation[node] = lives++;
        else if (fences && draw(30) == 0) fence(node, draw(2));
        // A file is removed, and lives as long as somebody has it open.
        if (draw(60) != 0) break;
        struct holding *o = &objects[draw(OBJECTS)];
        if (o->base == 0) break;
        o->base = 0;
        object_put(&o->object);
    }
    check();
}

static void drain(void) {
    for (u32 round = 0; round < QUEUE; round++)
        for (u32 i = 1; i < NODES; i++) call_runs(i), word_comes(i);
}

// All that is on the way comes, and all close what they have.
static void end(void) {
    for (u32 i = 0; i < NODES; i++)
        if (incarnation[i] == 0) incarnation[i] = lives++;
    drain();
    for (u32 k = 0; k < PROCS; k++)
        for (u32 i = 0; i < OBJECTS; i++)
            while (handle_of(&world[k], i)) act(k, CLUNK, i);
    drain();
    check();
    for (u32 i = 0; i < OBJECTS && !fenced_ever; i++) {
        const struct object *o = &objects[i].object;
        ck_assert_uint_eq(o->generation ? o->refs : 0, objects[i].base);
    }
    if (!fenced_ever) ck_assert_uint_eq(heap, 0);
    for (u32 i = 1; i < NODES; i++) holders_peer_down(i);
    for (u32 i = 0; i < OBJECTS; i++)
        if (objects[i].base) ck_assert_uint_ge(objects[i].object.refs, 1);
    ck_assert_uint_eq(heap, 0);
}

static void seeds(bool fences) {
    for (u64 seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        for (u32 i = 0; i < STEPS; i++) step(fences);
        end();
    }
}

START_TEST(nothing_is_lost_or_left_without_a_fence) { seeds(false); }
END_TEST
START_TEST(a_fence_costs_others_nothing) { seeds(true); }
END_TEST

// Process 1 of node 2 has a handle through a cut; node 0 dropped what node 2 had. Process 2 of
// node 3 has the same open file, and keeps it though process 1 closes its own, and forks first.
START_TEST(a_handle_that_outlived_a_cut_closes_nobody_elses) {
    begin(1);
    objects[0].base = 0;
    world[1].node = 2;
    world[2].node = 3;
    act(1, OPEN, 0), call_runs(2);
    act(2, OPEN, 0), call_runs(3);
    object_put(&objects[0].object);              // the directory's
    fence(2, false);
    ck_assert_uint_eq(objects[0].object.refs, 1);
    incarnation[2] = lives++;
    act(1, REF, 0), act(1, CLUNK, 0), act(1, CLUNK, 0);
    for (u32 i = 0; i < 3; i++) call_runs(2);
    ck_assert_uint_eq(objects[0].object.refs, 1);
    act(2, CLUNK, 0), call_runs(3);
    ck_assert_uint_eq(objects[0].object.generation, 0);
    end();
}
END_TEST

// A process that came from node 0 closes before node 0 has word that it runs there.
START_TEST(a_close_that_overtakes_the_word_of_a_move_waits) {
    begin(1);
    world[1].node = 0;
    act(1, OPEN, 2);
    move(1, 3);
    act(1, CLUNK, 2), call_runs(3);
    ck_assert_uint_eq(objects[2].object.refs, 2);
    word_comes(3);
    ck_assert_uint_eq(objects[2].object.refs, 1);
    end();
}
END_TEST

// Without memory for its books a node's reference stays, and nobody else's goes.
START_TEST(without_memory_a_reference_stays) {
    begin(1);
    world[1].node = 1;
    kmem_full = true;
    act(1, OPEN, 1), call_runs(1);
    act(1, CLUNK, 1), call_runs(1);
    ck_assert_uint_eq(objects[1].object.refs, 2);
    kmem_full = false;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("holders");
    TCase *tc = tcase_create("holders");
    tcase_add_test(tc, nothing_is_lost_or_left_without_a_fence);
    tcase_add_test(tc, a_fence_costs_others_nothing);
    tcase_add_test(tc, a_handle_that_outlived_a_cut_closes_nobody_elses);
    tcase_add_test(tc, a_close_that_overtakes_the_word_of_a_move_waits);
    tcase_add_test(tc, without_memory_a_reference_stays);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
