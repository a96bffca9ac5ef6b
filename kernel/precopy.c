// Pre-copy (docs/reference/moves.md), built of what moves are built of. A *twin* is a place with a
// copy on write of a process's page tables and nothing else: no number, no handles, no thread; it
// never runs. It is given to the target as a process is, and drains there, while the process goes
// on. What the process writes meanwhile gets frames of its own, since the twin's image keeps the
// old ones; so a page has not changed exactly if its entry still names the same frame. The taker
// notes which frame each page of the twin came from, and what comes later, the next twin or the
// process itself, takes a page whose entry names that frame from there, and READs the others.
// After PRECOPY_ROUNDS twins the process is frozen and given as by stop-and-copy.
//
// A twin that nothing comes after is dropped after a while, so a process that ends meanwhile, or
// whose move fails, need tell nobody. Callers: migrate.c, remote_page.c. Locks: net_lock; a twin's
// tables belong to the holder of proc_lock, as those of any process that is on no CPU.
#include "kernel/precopy.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/klog.h"
#include "kernel/migrate_priv.h"
#include "kernel/options.h"
#include "kernel/proc_index.h"
#include "kernel/remote_page.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "mm/aspace.h"
#include "mm/kmem.h"

#define PRECOPY_ROUNDS 2u            // copies that go ahead: of all pages, of what changed since
#define TWINS_MAX 16u                // at a node at a time
#define TWIN_KEEP_NS 10000000000ull  // one whose successor does not come

// A twin that came here. net_lock.
struct twin {
    bool used, complete;
    u32 index;                       // of its place
    u64 id;
    u64 drop_at_ns;                  // where complete
    struct proc_desc *origin;        // its tables name the frame that each page was read from
};

static struct twin twins[TWINS_MAX];
static u32 serial;

static struct twin *twin_at(u32 index) {
    for (u32 i = 0; i < TWINS_MAX; i++)
        if (twins[i].used && twins[i].index == index) return &twins[i];
    return NULL;
}

// --- the giver ------------------------------------------------------------------------------

static struct proc *mover_of(const struct proc *twin) {
    for (u32 i = 0; i < proc_end; i++)
        if (procs[i].cl.precopying && procs[i].cl.twin == twin->index + 1) return &procs[i];
    return NULL;
}

// A frozen process's twin; NULL: no place or no memory. files_lock keeps pages that are shared
// between processes where they are while the tables are read.
static struct proc *twin_make(struct proc *p) {
    const struct proc_desc *f = proc_desc(p);
    struct proc *t = proc_alloc();
    if (!t) return NULL;
    struct proc_desc *d = proc_desc(t);
    spin_lock(&proc_lock);
    proc_index_set(t, 0);
    d->pid = d->tid = t->first.tid = 0;
    t->state = PROC_AWAY;
    spin_unlock(&proc_lock);
    memcpy(d->name, f->name, sizeof d->name);
    d->cpu = f->cpu;
    d->xsave_features = f->xsave_features;
    d->flags = PROC_FLAG_TWIN | (f->flags & PROC_FLAG_FRESH);
    d->twin = (u64)node_id << 32 | ++serial;
    d->twin_base = p->cl.rounds ? p->cl.twin_id : 0;
    status_t s = aspace_create(d);
    if (s == S_OK) {
        spin_lock(&files_lock);
        s = pt_copy_cow(d, proc_desc(p));
        spin_unlock(&files_lock);
    }
    if (s == S_OK) return t;
    migrate_place_free(t);
    return NULL;
}

// p is frozen and could be given. True: a copy of its pages goes ahead, and p runs on. False: it
// is to be given now; one that cannot be copied ahead goes by stop-and-copy.
bool precopy_round(struct proc *p) {
    struct proc_cluster *cl = &p->cl;
    if (cl->how != MOVE_PRE) return false;
    if (cl->target == NODE_ANY || cl->target == node_id) cl->how = MOVE_POST;
    if (cl->how != MOVE_PRE || cl->rounds == PRECOPY_ROUNDS || p->kill_pending) return false;
    struct proc *t = twin_make(p);
    if (!t) {
        cl->how = MOVE_STOP;
        return false;
    }
    const u64 pages = proc_desc(t)->pages_resident | 1;
    cl->twin = t->index + 1;
    cl->twin_id = proc_desc(t)->twin;
    cl->precopying = true;
    cl->rounds++;
    const status_t s = cluster_node_give(cluster_node(), t->index, cl->target,
                                         63 - (u32)__builtin_clzll(pages));
    if (s != S_OK) precopy_refused(t);
    else step_reached(STEP_AHEAD, options.hold_at, proc_desc(p)->name);
    if (!cl->precopying) return false;
    migrate_thaw_meanwhile(p);
    return true;
}

// The twin has got no further: p's move goes on without.
static void mover_goes_on(const struct proc *twin) {
    spin_lock(&proc_lock);
    struct proc *p = mover_of(twin);
    if (p) {
        p->cl.how = MOVE_STOP;
        if (p->cl.frozen) p->cl.precopying = false;
        else migrate_freeze_again(p);
    }
    spin_unlock(&proc_lock);
}

// The target did not take it, or cannot be reached.
void precopy_refused(struct proc *twin) {
    mover_goes_on(twin);
    migrate_place_free(twin);
}

// Its image is about to be freed: the target needs it no more, or is gone.
void precopy_gone(struct proc *twin) { mover_goes_on(twin); }

// All of it has arrived: the process is frozen, for the next round or to go itself.
void precopy_told(u64 twin_id) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) {
        if (!procs[i].cl.precopying || procs[i].cl.twin_id != twin_id) continue;
        step_reached(STEP_CAUGHT_UP, options.hold_at, proc_desc(&procs[i])->name);
        migrate_freeze_again(&procs[i]);
    }
    spin_unlock(&proc_lock);
}

// --- the taker --------------------------------------------------------------------------------

static void origin_free(struct proc_desc *origin) {
    if (!origin) return;
    pt_free_user(origin);
    if (origin->root_table.v) frame_unref(origin->root_table);
    kmem_free(origin, sizeof *origin);
}

// No page is taken from it any more; its lenders are released. proc_lock held.
static void drop(struct proc *t) {
    struct twin *twin = twin_at(t->index);
    for (u32 i = 0; i < proc_end; i++)
        if (procs[i].cl.base == t->index + 1) procs[i].cl.base = 0;
    if (twin) {
        origin_free(twin->origin);
        *twin = (struct twin){0};
    }
    if (t->cl.ended) return;
    aspace_destroy_moved(proc_desc(t));
    migrate_forget(t);
}

void precopy_drop(struct proc *t) {
    spin_lock(&proc_lock);
    drop(t);
    spin_unlock(&proc_lock);
}

static struct twin *twin_new(struct proc *t) {
    struct proc_desc *origin = kmem_alloc(sizeof *origin);
    struct twin *twin = NULL;
    for (u32 i = 0; i < TWINS_MAX && origin && !twin; i++)
        if (!twins[i].used) twin = &twins[i];
    if (!twin || aspace_create(origin) != S_OK) {
        if (origin) kmem_free(origin, sizeof *origin);
        return NULL;
    }
    *twin = (struct twin){.used = true, .index = t->index, .id = proc_desc(t)->twin,
                          .origin = origin};
    return twin;
}

// A twin is ours now: its drain begins. Its place stays PROC_NEW, which nobody looks at.
void precopy_arrived(struct proc *t) {
    struct proc_desc *d = proc_desc(t);
    const bool known = twin_new(t) != NULL;
    d->pages_remote = d->pages_resident;
    d->pages_resident = 0;
    t->cl.children_coming = false;
    remote_page_translate_root(t, t->cl.giver);
    spin_lock(&proc_lock);
    if (known) {
        remote_page_begin(t);
        t->cl.fresh = false;
        t->cl.base = precopy_base(d);
    } else {
        drop(t);
    }
    spin_unlock(&proc_lock);
}

// 1 + the place of the twin that went before d; 0: there is none here. net_lock held.
u32 precopy_base(const struct proc_desc *d) {
    for (u32 i = 0; i < TWINS_MAX && d->twin_base; i++)
        if (twins[i].used && twins[i].complete && twins[i].id == d->twin_base)
            return twins[i].index + 1;
    return 0;
}

// The twin's page at va came from the frame that `named` names. proc_lock held. Without memory for
// a table the page is READ again.
void precopy_note(struct proc *t, u64 va, pte_t named) {
    const struct twin *twin = twin_at(t->index);
    pte_t *e;
    if (twin && pt_entry_make(twin->origin, va, &e) == FAULT_DONE) *e = named;
}

// p's entry names a page on another node: where the twin before p has that very frame's bytes,
// they become p's. proc_lock held.
bool precopy_take(struct proc *p, u64 va, pte_t *e) {
    if (p->cl.base == 0) return false;
    struct proc *t = &procs[p->cl.base - 1];
    const struct twin *twin = twin_at(t->index);
    pte_t *from = twin ? pt_entry(twin->origin, va) : NULL;
    pte_t *have = from ? pt_entry(proc_desc(t), va) : NULL;
    if (!have || !(*have & PTE_P)) return false;
    if (npte_kind(*from) != NPTE_REMOTE_PAGE || npte_node(*from) != npte_node(*e) ||
        pte_frame(*from).v != pte_frame(*e).v)
        return false;
    const pte_t named = *e;
    *e = remote_page_entry(proc_desc(p), va, pte_frame(*have));
    *have = *from = 0;
    proc_desc(t)->pages_resident--;
    proc_desc(p)->pages_resident++;
    if (proc_desc(p)->pages_remote) proc_desc(p)->pages_remote--;
    if (precopy_is_twin(p)) precopy_note(p, va, named);
    migrate_counters.precopy_reused++;
    return true;
}

// p's pages are all here: what went before it is of no use any more; p's giver is told of a twin.
// proc_lock held.
void precopy_drained(struct proc *p) {
    if (p->cl.base) drop(&procs[p->cl.base - 1]);
    struct twin *twin = precopy_is_twin(p) ? twin_at(p->index) : NULL;
    if (!twin) return;
    step_reached(STEP_COPIED, options.hold_at, proc_desc(p)->name);
    twin->complete = true;
    twin->drop_at_ns = time_now_ns() + TWIN_KEEP_NS;
    list_remove(&p->cl.attention);
    const struct cluster_msg m = {.type = MSG_TWIN, .process = {.stay = twin->id}};
    (void)cluster_send(p->cl.giver, &m);
}

// Drops those whose successors did not come.
void precopy_poll(u64 now_ns) {
    for (u32 i = 0; i < TWINS_MAX; i++)
        if (twins[i].used && twins[i].complete && now_ns >= twins[i].drop_at_ns)
            precopy_drop(&procs[twins[i].index]);
}

// When to poll again. Any lock.
u64 precopy_deadline_ns(void) {
    u64 at = ~0ull;
    for (u32 i = 0; i < TWINS_MAX; i++)
        if (twins[i].used && twins[i].complete) at = MIN(at, twins[i].drop_at_ns);
    return at;
}
