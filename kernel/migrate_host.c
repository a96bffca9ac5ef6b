// What the machines of proto/cluster ask of the kernel when a process is given away or adopted:
// the table struct cluster_host (proto/cluster/node.h). Callers: netpoll; net_lock held in all.
// Locks: struct proc's `cl` and what was taken from the queue under proc_lock.
#include "kernel/migrate_priv.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/clock.h"
#include "kernel/cluster.h"
#include "kernel/files/holders.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/obituary.h"
#include "kernel/options.h"
#include "kernel/owner.h"
#include "kernel/perf.h"
#include "kernel/placement.h"
#include "kernel/precopy.h"
#include "kernel/proc_index.h"
#include "kernel/remote_page.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "mm/aspace.h"

#define ROOM_RESERVE 32u                 // 1/32 of the memory stays free of what arrives
#define ROOM_PLENTY 4u                   // more than 1/4 free: nothing is added up

static u32 taken_count;                                // proc_lock

static u32 host_room(void *ctx) {
    (void)ctx;
    u32 limit = placement_leaves_work() ? 0 : 2 * cpu_count;
    return taken_count < limit ? limit - taken_count : 0;
}

// One more process taken from the shared queue is here. proc_lock held.
static void taken_more(struct proc *p) {
    p->cl.from_queue = true;
    taken_count++;
    migrate_counters.taken_max = MAX(migrate_counters.taken_max, taken_count);
}

static status_t desc_check(const struct proc_desc *d) {
    if (d->version != PROC_DESC_VERSION) return E_PROTO;
    if (d->vma_count > VMAS_MAX || d->handle_max > HANDLES_MAX) return E_PROTO;
    if (d->thread_count - 1 >= THREADS_MAX || d->thread_slot >= THREADS_MAX) return E_PROTO;
    if (d->lender_count > PROC_LENDERS_MAX || d->xsave_bytes > PROC_XSAVE_MAX) return E_PROTO;
    if (d->nice < FAIR_NICE_MIN || d->nice > FAIR_NICE_MAX) return E_PROTO;
    if (!may_run_on(d, node_id)) return E_OPNOTSUPP;
    if (!(d->flags & PROC_FLAG_FRESH) && (d->xsave_features & ~cpu_features.xcr0))
        return E_OPNOTSUPP;
    if (d->root_table.v == 0 || (d->root_table.v & PAGE_MASK)) return E_PROTO;
    for (u32 i = 0; i < PROC_AUX_COUNT; i++)
        if (d->aux[i] & PAGE_MASK) return E_PROTO;
    // A lender that we do not know, or know in an earlier life only, could not be told.
    for (u32 i = 0; i < d->lender_count; i++) {
        const u32 incarnation = cluster_incarnation(d->lender[i].node);
        if (incarnation == 0 || incarnation != d->lender[i].incarnation) return E_HOSTUNREACH;
    }
    return S_OK;
}

void migrate_place_free(struct proc *p) {
    aspace_destroy_moved(proc_desc(p));
    spin_lock(&proc_lock);
    proc_free(p);
    spin_unlock(&proc_lock);
}

// Makes our descriptor out of the giver's: the same but for what names frames here.
static status_t place_fill(struct proc *p, const struct proc_desc *from,
                           struct adopt_plan *plan) {
    struct proc_desc *d = proc_desc(p);
    u64 aux[PROC_AUX_COUNT];
    status_t s = aspace_create(d);
    if (s != S_OK) return s;
    paddr_t root = d->root_table;
    memcpy(aux, d->aux, sizeof aux);
    memcpy((u8 *)d + sizeof d->owner, (const u8 *)from + sizeof d->owner,
           sizeof *d - sizeof d->owner);
    d->root_table = root;
    memcpy(d->aux, aux, sizeof aux);
    for (u32 i = 0; i < PROC_AUX_COUNT; i++) {
        if (from->aux[i] == 0) continue;
        if (d->aux[i] == 0) d->aux[i] = frame_alloc(FRAME_DESC).v;
        if (d->aux[i] == 0) return E_NOMEM;
        plan->read[plan->read_count].frame = from->aux[i];
        plan->read[plan->read_count].buf = phys_to_virt(paddr(d->aux[i]));
        plan->read[plan->read_count++].len_bytes = PAGE_SIZE;
    }
    plan->read[plan->read_count].frame = from->root_table.v;
    plan->read[plan->read_count].buf = phys_to_virt(root);
    plan->read[plan->read_count++].len_bytes = PAGE_SIZE / 2;   // the user half
    return S_OK;
}

// Pages that processes here have not fetched yet, which will want frames. proc_lock held.
static u64 pages_coming(void) {
    u64 pages = 0;
    for (u32 i = 0; i < proc_end; i++)
        if (procs[i].state != PROC_FREE && procs[i].cl.draining)
            pages += proc_desc(&procs[i])->pages_remote;
    return pages;
}

// Is there memory for all of a process, and for all of those that came before it? One that
// is refused goes on where it was; one let in would be killed for want of memory.
static bool has_room(const struct proc_desc *from) {
    return migrate_room(from->pages_resident + from->pages_remote);
}

bool migrate_room(u64 pages) {
    const u64 total = frame_count_total(), free = frame_count_free();
    const u64 want = pages + pages / PTE_COUNT + total / ROOM_RESERVE;
    if (free >= want + total / ROOM_PLENTY) return true;
    spin_lock(&proc_lock);
    const u64 coming = pages_coming();
    spin_unlock(&proc_lock);
    return free >= want + coming;
}

static status_t host_prepare(void *ctx, u64 slot, void *desc, struct adopt_plan *plan) {
    (void)ctx;
    const struct proc_desc *from = desc;
    status_t s = desc_check(from);
    if (s != S_OK) return s;
    for (u32 i = 0; i < from->lender_count; i++)
        if (from->lender[i].node != node_id && !cluster_is_up(from->lender[i].node))
            return E_HOSTUNREACH;
    if (precopy_base(from) == 0 && !has_room(from)) {    // else most of it is here
        migrate_counters.refused_room++;
        return E_NOMEM;
    }
    struct proc *p = proc_alloc();
    if (!p) return E_NOMEM;
    s = place_fill(p, from, plan);
    if (s == S_OK) s = thread_reserve(p, from->thread_count);
    if (s != S_OK) {
        migrate_place_free(p);
        return s;
    }
    p->cl.giver = slot_home(slot);
    p->cl.children_coming = true;    // the giver may know before us that it runs here
    p->cl.in_cluster = true;
    spin_lock(&proc_lock);
    proc_index_set(p, from->pid);
    if (slot_preferred(slot) != node_id) taken_more(p);
    spin_unlock(&proc_lock);
    step_reached(STEP_PREPARED, options.hold_at, proc_desc(p)->name);
    plan->index = p->index;
    plan->own_word = proc_owner_word(p);
    plan->lender_count = from->lender_count;
    for (u32 i = 0; i < from->lender_count; i++)
        plan->lender[i] = (struct image_id){(u8)from->lender[i].node, from->lender[i].index,
                                            (u32)from->lender[i].epoch};
    return S_OK;
}

void migrate_taken_less(struct proc *p) {
    if (p->cl.from_queue) taken_count--;
    p->cl.from_queue = false;
}

static void host_drop(void *ctx, u32 index, status_t reason) {
    (void)ctx;
    struct proc *p = &procs[index];
    klog("move: process %u not taken from node %u (%d)\n", proc_desc(p)->pid, p->cl.giver, reason);
    spin_lock(&proc_lock);
    migrate_taken_less(p);
    p->cl.in_cluster = false;
    spin_unlock(&proc_lock);
    migrate_place_free(p);
    where_settled();
}

static void host_start(void *ctx, u32 index) {
    (void)ctx;
    struct proc *p = &procs[index];
    struct proc_desc *d = proc_desc(p);
    if (precopy_is_twin(p)) {
        migrate_lenders_write(p);
        precopy_arrived(p);
        return;
    }
    step_reached(STEP_STARTED, options.hold_at, proc_desc(p)->name);
    clock_arrived(d);
    if (d->flags & PROC_FLAG_FRESH) fpu_reset(d);
    else fpu_arrived(d);
    d->pages_remote += d->pages_resident;
    d->pages_resident = 0;
    d->account.moves++;
    d->stay++;
    thread_arrived(p);
    migrate_lenders_write(p);
    holders_taken(p, p->cl.giver);
    placement_arrived(p);
    remote_page_translate_root(p, p->cl.giver);
    spin_lock(&proc_lock);
    proc_set_owner(p, PROC_READY);
    migrate_goes_on(p);
    remote_page_begin(p);
    p->cl.whole = d->move_how != MOVE_POST;
    p->cl.base = precopy_base(d);
    where_runs(p);
    move_request_look(d->pid);
    spin_unlock(&proc_lock);
    wait_alarm_changed(p);
    migrate_counters.adopted++;
    where_tell_here(d);
}

// Taken out of the shared queue by this node itself: goes on where it was.
static void host_run(void *ctx, u32 index) {
    (void)ctx;
    struct proc *p = &procs[index];
    spin_lock(&proc_lock);
    if (!p->cl.from_queue) taken_more(p);
    spin_unlock(&proc_lock);
    migrate_thaw(p, S_OK);
}

static void host_thaw(void *ctx, u32 index, status_t reason) {
    (void)ctx;
    if (precopy_is_twin(&procs[index])) {
        precopy_refused(&procs[index]);
        return;
    }
    klog("move: process %u stays here (%d)\n", proc_descs[index].pid, reason);
    migrate_thaw(&procs[index], reason);
}

static void host_given(void *ctx, u32 index, u8 node) {
    (void)ctx;
    struct proc *p = &procs[index];
    if (precopy_is_twin(p)) return;
    u64 cycles = __builtin_ia32_rdtsc() - p->cl.freeze_tsc;
    migrate_counters.freeze_tsc_last = cycles;
    migrate_counters.freeze_tsc_sum += cycles;
    migrate_counters.given++;
    step_reached(STEP_GIVEN, options.hold_at, proc_desc(p)->name);
    placement_price(PRICE_MOVE, time_now_ns() - proc_desc(p)->frozen_ns);
    spin_lock(&proc_lock);
    migrate_taken_less(p);
    placement_left(p);
    remote_page_given(p);
    p->cl.frozen = false;
    where_set(proc_desc(p)->pid, node, proc_desc(p)->stay + 1);
    where_left(proc_desc(p)->pid);
    child_away_add(p);
    migrate_settle(p, S_OK);
    spin_unlock(&proc_lock);
    holders_given(p, node);
    children_tell(proc_desc(p)->pid, node);
}

static void host_image_free(void *ctx, u32 index) {
    (void)ctx;
    struct proc *p = &procs[index];
    ASSERT(p->state == PROC_AWAY && remote_page_quiet(p));
    if (precopy_is_twin(p)) precopy_gone(p);
    migrate_counters.images_freed++;
    step_reached(STEP_FREED, options.hold_at, proc_desc(p)->name);
    p->cl.in_cluster = false;
    migrate_place_free(p);
}

// It ran on `node`, which is gone: its exit record names that node.
static void host_lost(void *ctx, u32 index, u8 node) {
    (void)ctx;
    struct proc_desc *d = proc_desc(&procs[index]);
    if (precopy_is_twin(&procs[index])) return;
    obituary_add(d->pid, d->name, node, "it ran there");
    migrate_counters.lost++;
    spin_lock(&proc_lock);
    where_forget(d->pid);
    child_lost(d->pid);
    spin_unlock(&proc_lock);
}

static void host_kill(void *ctx, u32 index) {
    (void)ctx;
    struct proc *p = &procs[index];
    const struct proc_desc *d = proc_desc(p);
    u32 node = p->cl.giver;
    if (precopy_is_twin(p)) {
        precopy_drop(p);
        return;
    }
    for (u32 i = 0; i < d->lender_count && i < PROC_LENDERS_MAX; i++)
        if (!cluster_is_up(d->lender[i].node)) node = d->lender[i].node;
    borrow_lender_died(p, node);
    if (p->cl.ended) return;                                  // only its children needed them
    if (p->cl.borrowers != 0 && !p->cl.draining) return;      // it has all of its own
    obituary_add(d->pid, d->name, node, "it had pages there");
    spin_lock(&proc_lock);
    signal_raise_locked(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
    spin_unlock(&proc_lock);
}

static void host_no_lenders(void *ctx, u32 index) {
    (void)ctx;
    struct proc *p = &procs[index];
    step_reached(STEP_DRAINED, options.hold_at, proc_desc(p)->name);
    spin_lock(&proc_lock);
    if (!p->cl.ended && p->cl.borrowers == 0) p->cl.in_cluster = false;  // else later
    proc_desc(p)->lender_count = 0;
    wait_wake_all_locked(&p->cl.page_wait);
    spin_unlock(&proc_lock);
}

void migrate_host_fill(struct cluster_host *host) {
    host->room = host_room;
    host->prepare = host_prepare;
    host->drop = host_drop;
    host->start = host_start;
    host->run = host_run;
    host->thaw = host_thaw;
    host->given = host_given;
    host->image_free = host_image_free;
    host->lost = host_lost;
    host->kill = host_kill;
    host->no_lenders = host_no_lenders;
}
