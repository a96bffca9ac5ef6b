// See share_map.h. Callers: faults and the memory file server (share_map_may), netpoll, the
// edge. The machine asks for frames, READs, messages, and for mappings to be taken away.
//
// Locks: the machine is entered with net_lock and files_lock held, for it sends; the server of
// a file, which has files_lock alone, only looks, and leaves a note of what it wants to
// netpoll. Mappings lie in page tables: those of a process that runs on another CPU are taken
// away at that CPU's edge, and the right is given back after that.
#include "kernel/share_map.h"

#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"
#include "proto/cluster/share.h"

#define NOTES_MAX 64u                // wanted by this node's own servers
#define RETRY_NS 2000000ull
#define TRIM_NS 100000000ull

static struct share share;
static struct wait_list changed_wait = WAIT_LIST_INIT(changed_wait);
static struct note { struct share_key key; bool used, write, cut; } notes[NOTES_MAX];
static bool noted;
static struct list_node unmapping = {&unmapping, &unmapping};   // pages; files_lock
static u64 unmap_serial;             // of the last one that had to wait for a CPU
static u64 trim_at_ns;

static struct share_key key_of(struct object_id file, u64 page) {
    return (struct share_key){file.node, file.index, file.generation, page};
}

// --- mappings -----------------------------------------------------------------------------

static bool may_touch(const struct proc *p) {
    return !p->on_cpu || p == cpu_this()->current;
}

static void entry_down(struct proc_desc *d, u64 va, const struct share_page *page) {
    pte_t *e = pt_entry(d, va);
    if (!e || !(*e & PTE_P) || !(*e & PTE_SHARED) || pte_frame(*e).v != page->frame.v) return;
    if (page->revoke_to == SHARE_READ) {
        *e &= ~PTE_W;
    } else {
        frame_unref(pte_frame(*e));
        *e = 0;
        if (d->pages_resident) d->pages_resident--;
    }
    pt_flush_page(va);
}

// Takes p's own mappings of the page down. p's tables may be touched.
static void process_down(struct proc *p, const struct share_page *page) {
    struct proc_desc *d = proc_desc(p);
    const struct share_key *k = &page->key;
    const u64 at = k->page << PAGE_SHIFT;
    for (u32 i = 0; i < d->vma_count; i++) {
        const struct vma *v = vma_at(d, i);
        if (!(v->flags & VMA_SHARED) || v->file.node != k->home || v->file.index != k->index ||
            v->file.generation != k->generation || at < v->file_offset ||
            at - v->file_offset >= v->end - v->start)
            continue;
        entry_down(d, v->start + (at - v->file_offset), page);
    }
}

// True: p has no mapping of the page beyond page->revoke_to. proc_lock held.
static bool process_is_down(struct proc *p, const struct share_page *page) {
    struct proc_desc *d = proc_desc(p);
    if (p->state == PROC_FREE || p->state == PROC_ZOMBIE || d->root_table.v == 0) return true;
    // A child that is being made gets its parent's mappings at any moment; in one that is being
    // adopted nothing may be looked at, and it has none.
    if (p->state == PROC_NEW) return p->cl.in_cluster;
    if (may_touch(p)) {
        process_down(p, page);
        return true;
    }
    if (!(d->flags & PROC_FLAG_SHARES) || p->cl.unmapped >= page->host_serial) return true;
    p->cl.unmap = true;
    cpu_kick(p->cpu, EDGE_RESCHED);
    return false;
}

static bool all_are_down(const struct share_page *page) {
    bool down = true;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end; i++) down &= process_is_down(&procs[i], page);
    spin_unlock(&proc_lock);
    return down;
}

static bool ops_revoke(void *ctx, struct share_page *p, enum share_right keep) {
    (void)ctx;
    (void)keep;                      // p->revoke_to
    step_reached(STEP_RECALLED, options.hold_at, NULL);
    p->host_serial = ++unmap_serial;
    if (all_are_down(p)) return true;
    list_push_back(&unmapping, &p->host);
    return false;
}

void share_map_edge(struct proc *p) {
    spin_lock(&files_lock);
    spin_lock(&proc_lock);
    p->cl.unmap = false;
    LIST_FOR_EACH(it, &unmapping) process_down(p, LIST_ENTRY(it, struct share_page, host));
    p->cl.unmapped = unmap_serial;
    spin_unlock(&proc_lock);
    if (!list_empty(&unmapping)) edge_request(EDGE_NETPOLL);
    spin_unlock(&files_lock);
}

// --- what the machine asks --------------------------------------------------------------------

static void ops_send(void *ctx, u32 node, const struct share_msg *m) {
    (void)ctx;
    const struct cluster_msg msg = {.type = MSG_SHARE, .share = *m};
    (void)cluster_send(node, &msg);  // where it is gone, share_map_peer_down follows
}

static void fetch_done(void *ctx, status_t status) {
    step_reached(STEP_FETCHED, options.hold_at, NULL);
    spin_lock(&files_lock);
    share_fetched(&share, ctx, status, time_now_ns());
    spin_unlock(&files_lock);
}

static status_t ops_fetch(void *ctx, struct share_page *p, u32 node, paddr_t from) {
    (void)ctx;
    const struct cluster_frame_read r = {.node = node, .remote = from, .local = p->frame,
                                         .any_owner = true, .done = fetch_done, .ctx = p};
    return cluster_read_frame(&r);
}

static status_t ops_home_frame(void *ctx, const struct share_key *key, paddr_t *frame) {
    (void)ctx;
    const struct object_id id = {key->home, key->index, key->generation};
    struct object *o = key->page < 1ull << (63 - PAGE_SHIFT) ? object_find(id) : NULL;
    struct p9_call c = {.type = P9_TPAGE, .object = id, .offset = key->page << PAGE_SHIFT,
                        .flags = P9_PAGE_SHARED};
    if (!o) return E_BADF;
    const status_t status = object_call_alone(o, &c);
    *frame = paddr(c.result);
    return status == S_RESTART ? E_BUSY : status;
}

static paddr_t ops_frame_new(void *ctx) {
    (void)ctx;
    return frame_alloc_raw(FRAME_SHARED);
}

static void ops_frame_put(void *ctx, paddr_t frame) {
    (void)ctx;
    frame_unref(frame);
}

static struct share_page *ops_page_new(void *ctx) {
    (void)ctx;
    return kmem_alloc(sizeof(struct share_page));
}

static void ops_page_free(void *ctx, struct share_page *p) {
    (void)ctx;
    ASSERT(!list_linked(&p->host));
    kmem_free(p, sizeof *p);
}

static bool ops_mapped(void *ctx, struct share_page *p) {
    (void)ctx;
    return p->frame.v != 0 && frame_refs(p->frame) != 1;
}

static void ops_changed(void *ctx, struct share_page *p) {
    (void)ctx;
    (void)p;
    file_wake(&changed_wait);
}

static void ops_lost(void *ctx, const struct share_page *p, u32 node) {
    (void)ctx;
    klog("share: page %lu of file %u is lost: node %u had the only copy\n", p->key.page,
         p->key.index, node);
}

static const struct share_ops ops = {
    ops_send, ops_revoke, ops_fetch, ops_home_frame, ops_frame_new, ops_frame_put,
    ops_page_new, ops_page_free, ops_mapped, ops_changed, ops_lost,
};

// --- the server of a file ---------------------------------------------------------------------

static bool machine_is_idle(void) { return share.ops == NULL || share.pages == 0; }

bool share_map_used(void) { return !machine_is_idle(); }

// Leaves word for netpoll; with no place for it the caller is woken to try again.
static void note(const struct share_key *key, bool write, bool cut) {
    struct note *free = NULL;
    noted = true;
    edge_request(EDGE_NETPOLL);
    for (u32 i = 0; i < NOTES_MAX; i++) {
        struct note *n = &notes[i];
        if (!n->used) free = n;
        else if (n->key.page == key->page && n->key.generation == key->generation &&
                 n->write == write && n->cut == cut)
            return;
    }
    if (free) *free = (struct note){*key, true, write, cut};
}

status_t share_map_may(const struct object *file, u64 page, bool write) {
    if (machine_is_idle()) return S_OK;
    const struct share_key key = key_of(object_id_of(file), page);
    const status_t status = share_may(&share, &key, write ? SHARE_WRITE : SHARE_READ);
    if (status != S_RESTART) return status;
    note(&key, write, false);
    file_wait(&changed_wait);
    return S_RESTART;
}

bool share_map_writable(const struct object *file, u64 page) {
    const struct share_key key = key_of(object_id_of(file), page);
    return machine_is_idle() || share_may(&share, &key, SHARE_WRITE) == S_OK;
}

status_t share_map_cut(const struct object *file, u64 from_page) {
    if (machine_is_idle() || !share_used(&share, file->index, file->generation, from_page))
        return S_OK;
    const struct share_key key = key_of(object_id_of(file), from_page);
    note(&key, true, true);
    file_wait(&changed_wait);
    return S_RESTART;
}

void share_map_gone(const struct object *file) {
    if (machine_is_idle()) return;
    share_forget(&share, file->index, file->generation);
}

static void note_run(const struct note *n, u64 now_ns) {
    paddr_t frame;
    status_t status;
    if (n->cut) status = share_clear(&share, n->key.index, n->key.generation, n->key.page, now_ns);
    else status = share_want(&share, &n->key, n->write ? SHARE_WRITE : SHARE_READ, now_ns, &frame);
    if (status != S_RESTART) file_wake(&changed_wait);
}

// files_lock held.
static void notes_run(u64 now_ns) {
    if (!noted) return;
    noted = false;
    bool full = true;
    for (u32 i = 0; i < NOTES_MAX; i++) {
        const struct note n = notes[i];
        notes[i].used = false;
        full &= n.used;
        if (n.used) note_run(&n, now_ns);
    }
    if (full) file_wake(&changed_wait);
}

// --- faults -----------------------------------------------------------------------------------

// A right that is not here is asked for, and the process waits, as for any page.
enum fault_result share_map_page(struct object_id file, u64 offset, bool write,
                                 struct file_page *out) {
    const struct share_key key = key_of(file, offset >> PAGE_SHIFT);
    if (!cluster_is_up(file.node)) return FAULT_BUS;
    netpoll_lock();
    spin_lock(&files_lock);
    const status_t status = share_want(&share, &key, write ? SHARE_WRITE : SHARE_READ,
                                       time_now_ns(), &out->frame);
    if (status == S_OK) {
        frame_ref(out->frame);
        out->writable = share_may(&share, &key, SHARE_WRITE) == S_OK;
    } else if (status == S_RESTART) {
        wait_on_uninterruptible(&changed_wait, proc_current());
    }
    spin_unlock(&files_lock);
    netpoll_unlock();
    return status == S_OK ? FAULT_DONE : status == S_RESTART ? FAULT_WAIT
           : status == E_NOMEM ? FAULT_NOMEM : FAULT_BUS;
}

// --- netpoll ------------------------------------------------------------------------------------

static void unmapping_run(u64 now_ns) {
    LIST_FOR_EACH_SAFE(it, &unmapping) {
        struct share_page *p = LIST_ENTRY(it, struct share_page, host);
        if (!all_are_down(p)) continue;
        list_remove(&p->host);
        share_revoked(&share, p, now_ns);
    }
}

void share_map_poll(u64 now_ns) {
    if (machine_is_idle()) return;
    spin_lock(&files_lock);
    notes_run(now_ns);
    unmapping_run(now_ns);
    if (share_next_ns(&share) <= now_ns) share_tick(&share, now_ns);
    if (now_ns >= trim_at_ns) {
        trim_at_ns = now_ns + TRIM_NS;
        share_trim(&share, now_ns);
    }
    spin_unlock(&files_lock);
}

u64 share_map_deadline_ns(u64 now_ns) {
    if (machine_is_idle()) return ~0ull;
    spin_lock(&files_lock);
    u64 at = MIN(share_next_ns(&share), trim_at_ns);
    if (!list_empty(&unmapping)) at = MIN(at, now_ns + RETRY_NS);
    spin_unlock(&files_lock);
    return at;
}

void share_map_peer_down(u32 node) {
    if (machine_is_idle()) return;
    spin_lock(&files_lock);
    const u64 before = share.count.homeless;
    share_peer_down(&share, node, time_now_ns());
    const u64 lost = share.count.homeless - before;
    if (lost) klog("share: %lu pages that were in use here are lost: node %u had their files",
                   lost, node);
    spin_unlock(&files_lock);
}

static void receive(u32 from, const struct share_msg *m) {
    spin_lock(&files_lock);
    share_receive(&share, from, m, time_now_ns());
    spin_unlock(&files_lock);
}

void share_map_init(void) {
    share_init(&share, (u8)node_id, &ops, NULL);
    cluster_on_share(receive);
    cluster_status_add_u64("shared_pages", &share.pages);
    cluster_status_add_u64("shared_fetches", &share.count.fetches);
    cluster_status_add_u64("shared_recalls", &share.count.recalls);
    cluster_status_add_u64("shared_lost", &share.count.lost);
}
