// Fetches what an adopted process left behind (docs/ARCHITECTURE.md). A fault asks for one page
// or table and the process waits; a drain walks the tables and asks for the rest, at most
// DRAIN_WINDOW at a time. A page READ lands in a frame of its own and is installed only
// where the entry still names the same remote frame: "drop the lock, do I/O, look again".
//
// Locks: fetches under net_lock. Page tables belong to the CPU that runs the process, or
// to the holder of proc_lock while it is on none; so what arrives while it runs elsewhere
// waits for that CPU's edge.
#include "kernel/remote_page.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/cluster.h"
#include "kernel/netpoll.h"
#include "kernel/obituary.h"
#include "kernel/options.h"
#include "kernel/perf.h"
#include "kernel/placement.h"
#include "kernel/precopy.h"
#include "kernel/signal.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"

#define FRESH_NS 1000000000ull       // the drain begins by then
#define BORROW_NS 100000000ull       // a child that lives so long drains: most exec before

struct fetch {
    bool used, on_fault, arrived;
    u32 index;                       // of the process
    u64 generation;                  // of its stay in that place
    u64 va;
    u32 level;                       // 0 a page, 1..3 a table of that level
    pte_t want;                      // the entry that named it
    paddr_t frame;                   // where it lands
    status_t status;
};

struct remote_page_counters remote_page_counters;
static struct fetch fetches[REMOTE_FETCHES_MAX];
static u32 fetches_end;              // all from here on are unused
static u64 generation_next;
// Processes to look at in the next round: drained, or a READ found no room. net_lock.
static struct list_node attention = {&attention, &attention};

// --- tables -----------------------------------------------------------------------------

static u32 index_at(u64 va, u32 level) {
    return (u32)(va >> (PAGE_SHIFT + 9 * (level - 1))) & (PTE_COUNT - 1);
}

// The entry that names the thing of `level` at va; NULL where a table above is not here.
static pte_t *entry_of(const struct proc_desc *d, u64 va, u32 level) {
    pte_t *table = phys_to_virt(d->root_table);
    for (u32 l = PTE_LEVELS; l > level + 1; l--) {
        pte_t e = table[index_at(va, l)];
        if (!(e & PTE_P)) return NULL;
        table = phys_to_virt(pte_frame(e));
    }
    return &table[index_at(va, level + 1)];
}

// Entries of a table read from `node`: what was present there is remote here. Pages of shared
// mappings are asked of their file's home when they are used.
static void table_translate(pte_t *table, u32 count, u32 level, u8 node) {
    enum npte_kind kind = level == 1 ? NPTE_REMOTE_PAGE : NPTE_REMOTE_TABLE;
    for (u32 i = 0; i < count; i++)
        if (level == 1 && (table[i] & PTE_SHARED)) table[i] = 0;
        else if (table[i] & PTE_P) table[i] = npte_make(kind, node, pte_frame(table[i]), table[i]);
}

void remote_page_translate_root(struct proc *p, u8 node) {
    pte_t *root = phys_to_virt(proc_desc(p)->root_table);
    table_translate(root, PTE_COUNT / 2, PTE_LEVELS, node);
}

// What a page's entry becomes. The frame is `private_frame` where nobody else uses it.
static pte_t page_entry(const struct proc_desc *d, u64 va, paddr_t frame, bool private_frame) {
    const struct vma *v = vma_find(d, va);
    pte_t e = frame.v | PTE_P | PTE_A;
    if (v && v->prot) e |= PTE_U;
    if (!v || !(v->prot & PROT_EXEC_BIT)) e |= pt_no_exec();
    if (v && (v->prot & PROT_WRITE_BIT) && private_frame) return e | PTE_W | PTE_D;
    return e | PTE_COW;
}

pte_t remote_page_entry(const struct proc_desc *d, u64 va, paddr_t frame) {
    return page_entry(d, va, frame, true);
}

static void install(struct proc *p, const struct fetch *f) {
    struct proc_desc *d = proc_desc(p);
    pte_t *e = entry_of(d, f->va, f->level);
    if (!e || *e != f->want) {
        frame_unref(f->frame);
        return;
    }
    if (f->status != S_OK) {
        remote_page_counters.failed++;
        *e = npte_make(NPTE_LOST, npte_node(*e), paddr(0), 0);
        frame_unref(f->frame);
    } else if (f->level > 0) {
        remote_page_counters.tables++;
        table_translate(phys_to_virt(f->frame), PTE_COUNT, f->level, (u8)npte_node(f->want));
        *e = f->frame.v | PTE_P | PTE_W | PTE_U;
    } else {
        *e = page_entry(d, f->va, f->frame, true);
        if (precopy_is_twin(p)) precopy_note(p, f->va, f->want);
        account_page(&place_of(p)->account, (u8)npte_node(f->want));
        d->pages_resident++;
        if (d->pages_remote) d->pages_remote--;
        step_reached(STEP_PAGE, options.hold_at, proc_desc(p)->name);
        if (f->on_fault) {
            remote_page_counters.pages_on_fault++;
            d->account.remote_faults++;
        } else {
            remote_page_counters.pages_drained++;
            d->account.drained_pages++;
        }
    }
}

// The frame lies here, in an image that this node kept: no wire. DONE, or NOMEM.
static enum fault_result take_local(struct proc_desc *d, u64 va, u32 level, pte_t *e) {
    paddr_t frame = pte_frame(*e);
    if (level == 0) {
        frame_ref(frame);
        *e = page_entry(d, va, frame, false);
        d->pages_resident++;
        if (d->pages_remote) d->pages_remote--;
    } else {
        paddr_t copy = frame_alloc_raw(FRAME_TABLE);
        if (copy.v == 0) return FAULT_NOMEM;
        memcpy(phys_to_virt(copy), phys_to_virt(frame), PAGE_SIZE);
        table_translate(phys_to_virt(copy), PTE_COUNT, level, (u8)node_id);
        *e = copy.v | PTE_P | PTE_W | PTE_U;
    }
    remote_page_counters.local++;
    return FAULT_DONE;
}

// --- fetches ----------------------------------------------------------------------------

static struct fetch *fetch_find(const struct proc *p, u64 va, u32 level) {
    for (u32 i = 0; i < fetches_end; i++) {
        struct fetch *f = &fetches[i];
        if (f->used && f->index == p->index && f->generation == p->cl.generation &&
            f->va == va && f->level == level)
            return f;
    }
    return NULL;
}

static struct fetch *fetch_alloc(void) {
    for (u32 i = 0; i < fetches_end; i++)
        if (!fetches[i].used) return &fetches[i];
    return fetches_end < REMOTE_FETCHES_MAX ? &fetches[fetches_end] : NULL;
}

static void fetch_free(struct fetch *f) {
    f->used = false;
    while (fetches_end != 0 && !fetches[fetches_end - 1].used) fetches_end--;
}

static bool may_touch(const struct proc *p) {
    return !p->on_cpu || p == cpu_this()->current;
}

// Throws away what came for a process that ended. net_lock and proc_lock held.
static void arrivals_drop(struct proc *p) {
    for (u32 i = 0; i < fetches_end; i++) {
        struct fetch *f = &fetches[i];
        if (!f->used || !f->arrived || f->index != p->index) continue;
        frame_unref(f->frame);
        fetch_free(f);
        p->cl.fetches--;
    }
}

void remote_page_attend(struct proc *p) {
    if (!list_linked(&p->cl.attention)) list_push_back(&attention, &p->cl.attention);
}

// p is on another CPU, which it may not leave for long: that CPU's edge pumps it, or the poll
// once it has left. net_lock and proc_lock held.
static void at_its_edge(struct proc *p) {
    p->cl.arrived = true;
    remote_page_attend(p);
    cpu_kick(p->cpu, EDGE_RESCHED);
}

// A READ has completed, or its node is gone. net_lock held.
static void fetch_done(void *ctx, status_t status) {
    struct fetch *f = ctx;
    struct proc *p = &procs[f->index];
    spin_lock(&proc_lock);
    ASSERT(p->cl.generation == f->generation);   // its place is kept until then
    f->status = status;
    f->arrived = true;
    if (p->cl.ended) {
        arrivals_drop(p);
        edge_request(EDGE_NETPOLL);  // its lenders may be released now
    } else if (may_touch(p)) {
        remote_page_pump(p);
    } else {
        at_its_edge(p);
    }
    spin_unlock(&proc_lock);
}

// The image that *e's frame belongs to: the READ is followed by one of its owner word.
static bool image_of(const struct proc *p, u32 node, struct cluster_frame_read *r) {
    const struct proc_desc *d = proc_desc(p);
    for (u32 i = 0; i < d->lender_count; i++) {
        if (d->lender[i].node != node) continue;
        r->desc_index = d->lender[i].index;
        r->expected = owner_word(OWNER_RUNNING, (u8)d->lender[i].taker, d->lender[i].epoch);
        return true;
    }
    return false;
}

// Asks for what *e names. net_lock held. FAULT_WAIT: under way, or no room for it now
// (then cl.fetches is as before and p is looked at again). FAULT_BUS: no such lender.
static enum fault_result fetch_begin(struct proc *p, u64 va, u32 level, const pte_t *e,
                                     bool on_fault) {
    struct fetch *f = fetch_alloc();
    if (!f) {
        remote_page_attend(p);
        return FAULT_WAIT;
    }
    paddr_t frame = frame_alloc_raw(level ? FRAME_TABLE : FRAME_USER);
    if (frame.v == 0) return FAULT_NOMEM;
    *f = (struct fetch){.used = true, .on_fault = on_fault, .index = p->index,
                        .generation = p->cl.generation, .va = va, .level = level, .want = *e,
                        .frame = frame};
    fetches_end = MAX(fetches_end, (u32)(f - fetches) + 1);
    struct cluster_frame_read r = {
        .node = npte_node(*e), .remote = pte_frame(*e), .local = frame, .done = fetch_done,
        .ctx = f,
    };
    status_t s = image_of(p, r.node, &r) ? cluster_read_frame(&r) : E_HOSTUNREACH;
    if (s == S_OK) {
        p->cl.fetches++;
        p->cl.fresh_fetches += p->cl.fresh;
        return FAULT_WAIT;
    }
    frame_unref(frame);
    fetch_free(f);
    if (s != E_AGAIN) return FAULT_BUS;
    remote_page_attend(p);
    return FAULT_WAIT;
}

// p, the current process, needs what lay on `node`, which is gone: it ends. No lock held.
static enum fault_result lost(struct proc *p, u32 node) {
    obituary_add(proc_desc(p)->pid, proc_desc(p)->name, node, "it had pages there");
    signal_raise(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
    return FAULT_LOST;
}

// The hook of mm/fault.c: the current process needs what r->entry names.
static enum fault_result fetch_for_fault(struct proc_desc *d, const struct fault_remote *r) {
    struct proc *p = &procs[d - proc_descs];
    enum fault_result result = FAULT_WAIT;
    if (npte_kind(*r->entry) == NPTE_LOST) return lost(p, r->node);
    if (r->node == node_id) return take_local(d, r->va, r->level, r->entry);
    netpoll_lock();
    struct fetch *f = fetch_find(p, r->va, r->level);
    if (f) f->on_fault = true;
    else result = fetch_begin(p, r->va, r->level, r->entry, true);
    if (result == FAULT_WAIT) wait_on_uninterruptible(&p->cl.page_wait, p);
    netpoll_unlock();
    return result == FAULT_BUS ? lost(p, r->node) : result;
}

bool remote_page_quiet(const struct proc *p) { return p->cl.fetches == 0; }

// --- the drain ----------------------------------------------------------------------------

struct drain_walk {
    struct proc *p;
    u64 from;                        // first address to look at
    u64 stop_va;                     // where the walk was cut short; ~0: it ran to the end
    bool any;                        // a remote entry was seen
};

// Starts the fetch of what *e names. False: no room or no memory now; the next completion
// or tick goes on at va.
static bool drain_fetch(struct drain_walk *w, u64 va, u32 level, pte_t *e) {
    struct proc *p = w->p;
    if (fetch_find(p, va, level)) return true;
    u32 before = p->cl.fetches;
    enum fault_result result = fetch_begin(p, va, level, e, false);
    if (p->cl.fetches != before) return true;
    if (result == FAULT_BUS) {                   // its lender is gone
        remote_page_counters.failed++;
        *e = npte_make(NPTE_LOST, npte_node(*e), paddr(0), 0);
        return true;
    }
    w->stop_va = va;
    remote_page_attend(p);
    return false;
}

// Starts fetches of remote entries below `table` in address order while the window
// allows. Takes what lies on this node at once.
static void drain_table(struct drain_walk *w, pte_t *table, u32 level, u64 base) {
    u64 span = PAGE_SIZE << (9 * (level - 1));
    u32 count = level == PTE_LEVELS ? PTE_COUNT / 2 : PTE_COUNT;
    for (u32 i = 0; i < count; i++) {
        u64 va = base + i * span;
        pte_t *e = &table[i];
        if (*e == 0 || va + span <= w->from) continue;
        if (!(*e & PTE_P)) {
            enum npte_kind kind = npte_kind(*e);
            if (kind != NPTE_REMOTE_PAGE && kind != NPTE_REMOTE_TABLE) continue;
            w->any = true;
            if (npte_node(*e) == node_id) {
                if (take_local(proc_desc(w->p), va, level - 1, e) != FAULT_DONE) {
                    w->stop_va = va;                      // no memory: a later round
                    remote_page_attend(w->p);
                    return;
                }
            } else if (level == 1 && precopy_take(w->p, va, e)) {
                continue;
            } else {
                if (w->p->cl.fetches >= DRAIN_WINDOW) {
                    w->stop_va = va;
                    return;
                }
                if (!drain_fetch(w, va, level - 1, e)) return;
                continue;
            }
        }
        if (level > 1 && (*e & PTE_P)) {
            drain_table(w, phys_to_virt(pte_frame(*e)), level - 1, va);
            if (w->stop_va != ~0ull) return;
        }
    }
}

static void drained(struct proc *p) {
    p->cl.draining = false;
    proc_desc(p)->pages_remote = 0;
    precopy_drained(p);
    wait_wake_all_locked(&p->cl.whole_wait);
    if (precopy_is_twin(p)) return;
    if (p->cl.borrows) {             // its holder has the agreement with the lenders
        list_remove(&p->cl.attention);
        borrow_end(p);
        return;
    }
    p->cl.drain_report = true;
    remote_page_attend(p);
    edge_request(EDGE_NETPOLL);      // the machine is told in the next round
}

static void drain_step(struct proc *p) {
    ASSERT(!p->cl.ended && proc_desc(p)->root_table.v != 0);
    struct drain_walk w = {.p = p, .from = p->cl.drain_va, .stop_va = ~0ull};
    drain_table(&w, phys_to_virt(proc_desc(p)->root_table), PTE_LEVELS, 0);
    if (w.any) p->cl.drain_seen = true;
    if (w.stop_va != ~0ull) {
        p->cl.drain_va = w.stop_va;
    } else if (p->cl.fetches == 0) {             // the end of a round
        bool again = p->cl.drain_seen;
        p->cl.drain_va = 0;
        p->cl.drain_seen = false;
        if (!again) drained(p);
        else drain_step(p);                      // ends: the tables have four levels
    } else {
        p->cl.drain_va = USER_END;               // rest of the round: wait for the READs
    }
}

static void arrivals_install(struct proc *p) {
    for (u32 i = 0; i < fetches_end; i++) {
        struct fetch *f = &fetches[i];
        if (!f->used || !f->arrived || f->index != p->index) continue;
        if (f->generation != p->cl.generation) continue;
        install(p, f);
        fetch_free(f);
        p->cl.fetches--;
    }
    p->cl.arrived = false;
}

static bool drain_due(const struct proc *p) {
    if (p->cl.drain_at_ns != 0 && time_now_ns() < p->cl.drain_at_ns) return false;
    const bool leaves_wire = p->cl.fresh && !p->cl.whole;
    return p->cl.draining && !leaves_wire && !p->cl.frozen && p->state != PROC_ZOMBIE;
}

void remote_page_pump(struct proc *p) {
    if (p->cl.ended) return;                     // remote_page_forget has the rest
    arrivals_install(p);
    if (drain_due(p)) drain_step(p);
    wait_wake_all_locked(&p->cl.page_wait);
}

// Tells the machine that p names no lender's frames any more. net_lock held, no other.
static void report(struct proc *p) {
    struct image_id lenders[ADOPT_LENDERS_MAX + 1];
    u32 count = cluster_node_lenders(cluster_node(), p->index, lenders);
    p->cl.drain_report = false;
    for (u32 i = 0; i < count; i++)
        cluster_node_drained(cluster_node(), p->index, lenders[i].node);
}

bool remote_page_waits(void) { return !list_empty(&attention); }

// The drain leaves the wire to what the first instruction needs; a process that is not run
// (stopped, or its CPU is busy) is drained all the same, after a while.
static bool still_fresh(struct proc *p) {
    if (!p->cl.draining || p->cl.arrived || p->cl.whole) return false;
    if (p->cl.fresh && time_now_ns() >= p->cl.fresh_until_ns) p->cl.fresh = false;
    return p->cl.fresh || (p->cl.drain_at_ns != 0 && time_now_ns() < p->cl.drain_at_ns);
}

void remote_page_poll(void) {
    struct list_node todo;
    list_init(&todo);
    for (struct list_node *n; (n = list_pop_front(&attention)) != NULL;) list_push_back(&todo, n);
    for (struct list_node *n; (n = list_pop_front(&todo)) != NULL;) {
        struct proc *p = LIST_ENTRY(n, struct proc, cl.attention);
        if (p->cl.drain_report && p->cl.borrowers == 0) report(p);
        if (still_fresh(p)) {
            remote_page_attend(p);
            continue;
        }
        spin_lock(&proc_lock);
        const bool due = p->cl.draining || p->cl.arrived;
        if (due && may_touch(p)) remote_page_pump(p);
        else if (due) at_its_edge(p);
        else wait_wake_all_locked(&p->cl.page_wait);
        spin_unlock(&proc_lock);
    }
}

bool remote_page_forget(struct proc *p) {
    arrivals_drop(p);
    list_remove(&p->cl.attention);               // it has no tables any more
    p->cl.draining = p->cl.drain_report = p->cl.fresh = p->cl.arrived = false;
    if (p->cl.fetches != 0) return false;
    p->cl.generation = 0;
    return true;
}

// Whether what names the current process's next instruction is here.
static bool instruction_is_here(const struct proc_desc *d) {
    const pte_t *table = phys_to_virt(d->root_table);
    for (u32 l = PTE_LEVELS; l > 0; l--) {
        const pte_t e = table[index_at(d->regs.rip, l)];
        const enum npte_kind kind = e & PTE_P ? NPTE_NONE : npte_kind(e);
        if (kind == NPTE_REMOTE_PAGE || kind == NPTE_REMOTE_TABLE) return false;
        if (!(e & PTE_P)) return true;           // nothing remote: a fault of its own
        table = phys_to_virt(pte_frame(e));
    }
    return true;
}

// p runs its first instruction here: the freeze is over. One trip is the offer's.
static void first_instruction(struct proc *p) {
    const struct cluster_mark offer = cluster_mark_offer(), now = cluster_mark_now();
    p->cl.fresh = false;
    remote_page_counters.freeze_trips_last = 1 + now.chains - offer.chains + p->cl.fresh_fetches;
    remote_page_counters.freeze_bytes_last = now.bytes - offer.bytes;
    PERF_MARK(PERF_RESUMED);
}

// p is not to run before all of its pages are here. True: it waits for them.
static bool whole_waits(struct proc *p) {
    spin_lock(&proc_lock);
    p->cl.whole = p->cl.draining;
    if (p->cl.whole) wait_on_locked(&p->cl.whole_wait, p, true);
    spin_unlock(&proc_lock);
    return p->cl.whole;
}

void remote_page_edge(struct proc *p) {
    if (p->cl.whole && whole_waits(p)) return;
    if (p->cl.fresh && instruction_is_here(proc_desc(p))) first_instruction(p);
    if (!p->cl.arrived) return;
    netpoll_lock();
    spin_lock(&proc_lock);
    remote_page_pump(p);
    spin_unlock(&proc_lock);
    netpoll_unlock();
}

void remote_page_begin(struct proc *p) {
    p->cl.generation = ++generation_next;
    p->cl.fetches = 0;
    p->cl.draining = true;
    p->cl.drain_va = 0;
    p->cl.drain_seen = false;
    p->cl.fresh = true;
    p->cl.fresh_fetches = 0;
    p->cl.fresh_until_ns = time_now_ns() + FRESH_NS;
    remote_page_attend(p);
}

void remote_page_borrow(struct proc *p) {
    p->cl.generation = ++generation_next;
    p->cl.draining = true;
    p->cl.drain_at_ns = time_now_ns() + BORROW_NS;
    remote_page_attend(p);
}

void remote_page_again(struct proc *p) {
    p->cl.draining = true;
    p->cl.drain_report = p->cl.drain_seen = false;
    p->cl.drain_va = 0;
    remote_page_attend(p);
}

void remote_page_given(struct proc *p) { list_remove(&p->cl.attention); }

void remote_page_thawed(struct proc *p) {
    if (p->cl.draining) remote_page_attend(p);
}

void remote_page_init(void) { aspace_hooks.remote_fetch = fetch_for_fault; }
