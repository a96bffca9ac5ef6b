// Calls that nobody waits for: REF and CLUNK, which are sent and forgotten, and requests
// whose process does not want the reply any more. What a process counts here holds it on
// this node until it has ended. Called by remote_files.c. Lock: net_lock.
//
// To one node they go out in the order in which they came here: a CLUNK that overtook the
// REF before it would free an object that is in use (test_remote_files).
#include "kernel/remote_files_priv.h"

#include "base/bits.h"
#include "kernel/files/userfs.h"
#include "mm/kmem.h"

static struct list_node orphans = {&orphans, &orphans};      // out
static struct list_node deferred = {&deferred, &deferred};   // to submit when a tag is free
static u64 deferred_nodes;           // bit per node: it has some in `deferred`
static u64 last_order;               // `order` of the newest
// For each process, while it is frozen: it leaves once those up to `upto` have ended.
static struct leaving { u64 freeze_tsc, upto; } *leavings;   // [proc_count]

// Boot.
void remote_orphans_init(void) {
    leavings = kmem_alloc(proc_count * sizeof *leavings);
    ASSERT(leavings);
}

// Puts r behind the others; it keeps its place in time where it was one before.
static void add(struct list_node *list, struct remote_call *r) {
    if (r->order == 0) r->order = ++last_order;
    list_push_back(list, &r->link);
}

static void forget_process(struct remote_call *r) {
    list_remove(&r->link);
    if (r->p) remote_calls_live--;
    r->p = NULL;
}

// r, whose request is out, is wanted by nobody from now on: it is flushed, and ends and
// may be freed within this call.
void remote_orphan_adopt(struct remote_call *r) {
    forget_process(r);
    add(&orphans, r);
    if (r->req) p9_client_flush(&remote_client, r->req);
}

static void defer(struct remote_call *r) {
    add(&deferred, r);
    deferred_nodes |= BIT(r->call.object.node);
}

// Sends r, which nobody waits for: now, or when a tag is free and those before it are sent.
void remote_orphan_submit(struct remote_call *r) {
    forget_process(r);
    if (remote_call_is_user_here(&r->call)) {     // its references are counted here
        (void)userfs_count(&r->call);
        remote_call_free(r);
        return;
    }
    if (r->call.object.node < NODES_MAX && (deferred_nodes & BIT(r->call.object.node))) {
        defer(r);
        return;
    }
    add(&orphans, r);
    const status_t status = remote_call_submit(r);
    if (status == S_OK) return;
    remote_call_release(r);
    list_remove(&r->link);
    if (status == E_NOBUFS || status == E_NOMEM) defer(r);
    else remote_call_free(r);                     // the peer is gone, and its objects with it
}

// Whether any waits for a tag.
bool remote_orphans_deferred(void) { return !list_empty(&deferred); }

// Sends the deferred ones as far as there are tags, in their order.
void remote_orphans_retry(void) {
    struct list_node again;
    list_init(&again);
    while (!list_empty(&deferred)) list_push_back(&again, list_pop_front(&deferred));
    deferred_nodes = 0;
    while (!list_empty(&again))
        remote_orphan_submit(LIST_ENTRY(list_pop_front(&again), struct remote_call, link));
}

static bool ended(const struct list_node *list, u64 upto) {
    LIST_FOR_EACH(it, (struct list_node *)list)
        if (LIST_ENTRY(it, struct remote_call, link)->order <= upto) return false;
    return true;
}

// True: none that frozen process p may have sent before it was frozen is on its way. Those
// of others that came later do not hold it up, or a busy node would never let it go.
bool remote_orphans_of_ended(const struct proc *p) {
    struct leaving *l = &leavings[p->index];
    if (l->freeze_tsc != p->cl.freeze_tsc) *l = (struct leaving){p->cl.freeze_tsc, last_order};
    return ended(&orphans, l->upto) && ended(&deferred, l->upto);
}

// Frozen process p still has calls of its own: count anew when those have ended.
void remote_orphans_of_not_yet(const struct proc *p) { leavings[p->index].freeze_tsc = 0; }
