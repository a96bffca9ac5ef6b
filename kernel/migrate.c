// Moving processes (docs/ARCHITECTURE.md): a request freezes a process at the edge of
// user mode, and the machines of proto/cluster give it away; what they ask of the kernel on
// either side is in migrate_host.c. Callers: the edge (freeze), netpoll (net_lock held).
// Locks: struct proc's `cl` under proc_lock; asks under proc_lock.
#include "kernel/migrate.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/clock.h"
#include "kernel/cluster.h"
#include "kernel/futex.h"
#include "kernel/migrate_priv.h"
#include "kernel/net.h"
#include "kernel/options.h"
#include "kernel/owner.h"
#include "kernel/perf.h"
#include "kernel/placement.h"
#include "kernel/precopy.h"
#include "kernel/remote_files.h"
#include "kernel/remote_page.h"
#include "kernel/share_map.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"
#include "mm/aspace.h"
#include "sched/runq.h"

#define RETRY_NS 2000000ull              // how often what could not be frozen is looked at
#define EXITS_LOOK_NS 100000000ull       // and who ended, but is read from still

struct migrate_counters migrate_counters;
struct list_node migrate_moves = {&migrate_moves, &migrate_moves};
static struct list_node exits = {&exits, &exits};      // ended with lenders; proc_lock

// --- freezing ---------------------------------------------------------------------------

// Why p cannot move as it is, or S_OK. Its CPU or proc_lock.
static status_t freeze_check(const struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    for (u32 i = 0; i < d->vma_count; i++)
        if (vma_at(d, i)->flags & VMA_DEVICE) return E_BUSY;   // that memory is this node's
    if (d->flags & PROC_FLAG_VFORK) return E_BUSY;             // its parent waits for it
    return S_OK;
}

// A request to a server is out or its answer not yet taken: the call ends first. So does
// the drain, where the list of lenders would not hold two more, and where its target had
// no room beside the images that are kept until then; so does what was forked during the drain
// (kernel/borrow.c). Its children are named to it where it is. A copy that goes ahead is of pages
// that are here.
bool migrate_must_finish_first(const struct proc *p) {
    const bool all = p->cl.drain_first || (p->cl.how == MOVE_PRE && p->cl.wanted);
    const u32 lenders_max = all ? 0 : PROC_LENDERS_MAX - 2;
    return thread_call_out(p) || p->cl.children_coming || p->cl.borrows || p->cl.borrowers ||
           (p->cl.in_cluster && proc_desc(p)->lender_count > lenders_max);
}

static void freeze_mark(struct proc *p) {
    PERF_MARK(PERF_FROZEN);
    if (p->state == PROC_STOPPED) proc_desc(p)->flags |= PROC_FLAG_STOPPED;
    thread_all_awake_locked(p);
    p->state = PROC_AWAY;
    p->cl.frozen = true;
    p->freeze_wanted = false;
    p->cl.freeze_tsc = __builtin_ia32_rdtsc();
    clock_frozen(p);
    step_reached(STEP_FROZEN, options.hold_at, proc_desc(p)->name);
    edge_request(EDGE_NETPOLL);
}

// The edge's hook: p has freeze_wanted and is about to return to user mode on this CPU.
// True: it is frozen and off the CPU. Else its running thread may wait now. No lock held.
static bool freeze_at_edge(struct proc *p) {
    if (migrate_must_finish_first(p)) {
        thread_hold(p);
        return false;
    }
    spin_lock(&proc_lock);
    status_t why_not = freeze_check(p);
    if (why_not != S_OK) {
        p->freeze_wanted = false;
        p->cl.refused = why_not;
        edge_request(EDGE_NETPOLL);
    } else {
        freeze_mark(p);
    }
    spin_unlock(&proc_lock);
    if (why_not == S_OK) proc_detach(p);
    return why_not == S_OK;
}

// Freezes a process that is off the CPUs, where that may be. proc_lock held.
static void freeze_off_cpu(struct proc *p) {
    const bool off = p->state == PROC_WAITING || p->state == PROC_READY || p->state == PROC_STOPPED;
    if (p->on_cpu || !off) return;
    if (migrate_must_finish_first(p)) return;
    status_t why_not = freeze_check(p);
    if (why_not != S_OK) {
        p->cl.refused = why_not;
        return;
    }
    runq_remove(p);
    freeze_mark(p);
}

static u32 taker_of(const struct proc_desc *d, const struct image_id *image) {
    for (u32 i = 0; i < d->lender_count && i < PROC_LENDERS_MAX; i++) {
        const struct proc_lender *l = &d->lender[i];
        if (l->node == image->node && l->index == image->index && l->epoch == image->epoch)
            return l->taker;
    }
    return node_id;                  // a new one: it gave to us
}

void migrate_lenders_write(struct proc *p) {
    struct image_id to[ADOPT_LENDERS_MAX + 1];
    struct proc_lender list[ADOPT_LENDERS_MAX + 1];
    struct proc_desc *d = proc_desc(p);
    u32 count = cluster_node_lenders(cluster_node(), p->index, to);
    for (u32 i = 0; i < count; i++)
        list[i] = (struct proc_lender){to[i].node, to[i].index, to[i].epoch, taker_of(d, &to[i]),
                                       cluster_incarnation(to[i].node)};
    memcpy(d->lender, list, MIN(count, (u32)PROC_LENDERS_MAX) * sizeof list[0]);
    d->lender_count = count;
}

static u32 size_class(const struct proc_desc *d) {
    u64 pages = d->pages_resident + d->pages_remote;
    u32 log2 = pages > 1 ? 63 - (u32)__builtin_clzll(pages) : 0;
    return MIN(log2, 15u);
}

// Its target had no memory for it: images of its earlier stays, kept for what it has not
// fetched yet, may fill it, there and here. It drains, and tries once more. proc_lock held.
static bool drain_and_retry(struct proc *p, status_t why) {
    struct proc_cluster *cl = &p->cl;
    const bool wanted = cl->wanted && !cl->automatic && proc_desc(p)->lender_count != 0;
    if (why != E_NOMEM || cl->drain_first || !wanted) return false;
    cl->drain_first = true;
    cl->drain_left = proc_desc(p)->pages_remote;
    cl->deadline_ns = time_now_ns() + MOVE_DRAIN_MAX_NS;
    p->freeze_wanted = true;
    list_push_back(&migrate_moves, &cl->move);
    return true;
}

void migrate_goes_on(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    const bool killed = d->signal_pending & SIGNAL_BIT(SIGKILL);
    const bool stopped = (d->flags & PROC_FLAG_STOPPED) && !killed;
    d->flags &= ~PROC_FLAG_STOPPED;
    p->state = stopped ? PROC_STOPPED : PROC_WAITING;
    if (!stopped) proc_become_ready(p);
}

void migrate_thaw(struct proc *p, status_t why) {
    spin_lock(&proc_lock);
    p->cl.frozen = p->cl.giving = false;
    clock_thawed(p);
    migrate_goes_on(p);
    where_runs(p);
    if (!drain_and_retry(p, why)) migrate_settle(p, why);
    spin_unlock(&proc_lock);
    wait_alarm_changed(p);
    remote_page_thawed(p);
}

void migrate_thaw_meanwhile(struct proc *p) {
    spin_lock(&proc_lock);
    p->cl.frozen = false;
    clock_thawed(p);
    p->cl.deadline_ns = time_now_ns() + MOVE_DRAIN_MAX_NS;
    list_push_back(&migrate_moves, &p->cl.move);
    migrate_goes_on(p);
    where_runs(p);
    spin_unlock(&proc_lock);
    wait_alarm_changed(p);
    remote_page_thawed(p);
}

void migrate_freeze_again(struct proc *p) {
    p->cl.precopying = false;
    p->cl.deadline_ns = time_now_ns() + MOVE_WAIT_MAX_NS;
    p->freeze_wanted = true;
    if (p->on_cpu && p->cpu != cpu_this()->index) cpu_kick(p->cpu, EDGE_STOP);
    edge_request(EDGE_NETPOLL);
}

// Gives a frozen process to the machines. net_lock held, proc_lock not.
static void give(struct proc *p) {
    proc_desc(p)->move_how = p->cl.how;
    proc_desc(p)->twin_base = p->cl.how == MOVE_PRE && p->cl.rounds ? p->cl.twin_id : 0;
    migrate_lenders_write(p);
    placement_giving(p);
    p->cl.giving = true;
    if (p->cl.target == node_id || p->kill_pending) {
        migrate_thaw(p, p->kill_pending ? E_SRCH : S_OK);
        return;
    }
    status_t s = E_BUSY;
    if (proc_desc(p)->lender_count <= PROC_LENDERS_MAX)
        s = cluster_node_give(cluster_node(), p->index, p->cl.target,
                              size_class(proc_desc(p)));
    if (s == S_OK) step_reached(STEP_OFFERED, options.hold_at, proc_desc(p)->name);
    if (s == S_OK) return;
    migrate_counters.refused_busy++;
    migrate_thaw(p, s);
}

// One look at a process that is to move. True: it may be given now. proc_lock held.
static bool move_step(struct proc *p, u64 now_ns) {
    struct proc_cluster *cl = &p->cl;
    if (cl->precopying && now_ns < cl->deadline_ns && cluster_is_up(cl->target)) return false;
    if (cl->precopying) cl->refused = E_HOSTUNREACH;
    if (!cl->frozen && cl->refused == S_OK) freeze_off_cpu(p);
    if (cl->drain_first && proc_desc(p)->pages_remote < cl->drain_left) {
        cl->drain_left = proc_desc(p)->pages_remote;
        cl->deadline_ns = now_ns + MOVE_DRAIN_MAX_NS;
    }
    if (!cl->frozen) {
        status_t why = cl->refused != S_OK ? cl->refused
                       : p->state == PROC_ZOMBIE ? E_SRCH
                       : now_ns < cl->deadline_ns ? S_OK
                       : cl->drain_first ? E_NOMEM : E_BUSY;
        if (why != S_OK) migrate_settle(p, why);
        return false;
    }
    if (cl->giving || p->on_cpu || !remote_page_quiet(p)) return false;
    return cluster_node_settled(cluster_node(), p->index);
}

// What this node still has to tell a server about p's files must not be overtaken by what
// its next node tells the same server. net_lock held; p is frozen.
static bool files_settled(struct proc *p, u64 now_ns) {
    if (remote_files_settled(p)) return true;
    if (now_ns < p->cl.deadline_ns) return false;
    migrate_counters.refused_busy++;
    migrate_thaw(p, E_BUSY);
    return false;
}

// The next process that may be given, off the list.
static struct proc *move_ready(u64 now_ns) {
    struct proc *found = NULL;
    spin_lock(&proc_lock);
    LIST_FOR_EACH_SAFE(it, &migrate_moves) {
        struct proc *p = LIST_ENTRY(it, struct proc, cl.move);
        if (move_step(p, now_ns)) {
            list_remove(&p->cl.move);
            found = p;
            break;
        }
    }
    spin_unlock(&proc_lock);
    return found;
}

static struct proc *exited_pop(void) {
    struct proc *found = NULL;
    spin_lock(&proc_lock);
    LIST_FOR_EACH_SAFE(it, &exits) {
        struct proc *p = LIST_ENTRY(it, struct proc, cl.move);
        // Its READs, and its children's, name frames of the lenders.
        if (p->cl.borrowers != 0 || !remote_page_forget(p)) continue;
        migrate_settle(p, E_SRCH);
        list_remove(&p->cl.move);
        found = p;
        break;
    }
    spin_unlock(&proc_lock);
    return found;
}

// Lenders of those that ended are released; then their places may be used again.
static void exits_run(void) {
    for (struct proc *p; (p = exited_pop()) != NULL;) {
        cluster_node_exited(cluster_node(), p->index);
        spin_lock(&proc_lock);
        borrow_end(p);
        p->cl.in_cluster = false;
        if (p->cl.free_wanted) proc_free(p);
        spin_unlock(&proc_lock);
    }
}

static void migrate_poll(u64 now_ns) {
    struct list_node unsettled = {&unsettled, &unsettled};
    exits_run();
    remote_page_poll();
    move_request_poll(now_ns);
    for (struct proc *p; (p = move_ready(now_ns)) != NULL;) {
        if (files_settled(p, now_ns)) {
            if (!precopy_round(p)) give(p);
        } else if (p->cl.frozen) {
            list_push_back(&unsettled, &p->cl.move);
        }
    }
    spin_lock(&proc_lock);
    for (struct list_node *n; (n = list_pop_front(&unsettled)) != NULL;)
        list_push_back(&migrate_moves, n);
    spin_unlock(&proc_lock);
    move_request_wake();
}

// --- the end of a process; proc_lock held ---------------------------------------------------

static void on_exit(struct proc *p) {
    migrate_taken_less(p);
    where_ended(p);
    placement_ended(p);
    p->cl.ended = true;
    p->cl.precopying = false;
    list_remove(&p->cl.move);
    // Its place is kept until the asker is told, and its children have read what is theirs.
    if (p->cl.wanted || p->cl.borrowers || p->cl.draining || p->cl.drain_report)
        p->cl.in_cluster = true;
    borrow_hurry(p);
    if (!p->cl.in_cluster) return;
    list_push_back(&exits, &p->cl.move);
    edge_request(EDGE_NETPOLL);
}

void migrate_forget(struct proc *p) {
    p->cl.ended = p->cl.in_cluster = p->cl.free_wanted = true;
    p->state = PROC_AWAY;
    list_remove(&p->cl.move);
    list_push_back(&exits, &p->cl.move);
    edge_request(EDGE_NETPOLL);
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    migrate_poll(now_ns);
    precopy_poll(now_ns);
    share_map_poll(now_ns);
    whereabouts_poll(now_ns);
}

static u64 deadline_ns(void *ctx) {
    (void)ctx;
    const u64 now = time_now_ns();               // every packet comes this way
    u64 at = MIN(MIN(share_map_deadline_ns(now), precopy_deadline_ns()),
                 move_request_deadline_ns());
    if (!list_empty(&migrate_moves) || remote_page_waits()) at = MIN(at, now + RETRY_NS);
    if (whereabouts_waits()) at = MIN(at, whereabouts_deadline_ns(now));
    if (!list_empty(&exits)) at = MIN(at, now + EXITS_LOOK_NS);
    return at;
}

static void member_changed(void *ctx, u32 node, bool up) {
    (void)ctx;
    if (up) return;
    move_request_peer_down((u8)node);
    placement_peer_down((u8)node);
    where_peer_down((u8)node);
    share_map_peer_down(node);
}

static u64 tsc_to_us(const void *tsc) { return *(const u64 *)tsc / (time_tsc_hz() / 1000000); }

static void status_add(void) {
    const struct migrate_counters *m = &migrate_counters;
    const struct remote_page_counters *r = &remote_page_counters;
    cluster_status_add_u64("taken_max", &m->taken_max);
    cluster_status_add_u64("moves_out", &m->given);
    cluster_status_add_u64("moves_in", &m->adopted);
    cluster_status_add_u64("images_freed", &m->images_freed);
    cluster_status_add_u64("moves_no_room", &m->refused_room);
    cluster_status_add_u64("forks_away", &m->forks_away);
    cluster_status_add_u64("moves_busy", &m->refused_busy);
    cluster_status_add_u64("precopy_reused", &m->precopy_reused);
    cluster_status_add_u64("processes_lost", &m->lost);
    cluster_status_add("freeze_us_last", tsc_to_us, &m->freeze_tsc_last);
    cluster_status_add("freeze_us_sum", tsc_to_us, &m->freeze_tsc_sum);
    cluster_status_add_u64("pages_on_fault", &r->pages_on_fault);
    cluster_status_add_u64("pages_drained", &r->pages_drained);
    cluster_status_add_u64("tables_fetched", &r->tables);
    cluster_status_add_u64("pages_local", &r->local);
    cluster_status_add_u64("pages_failed", &r->failed);
    cluster_status_add_u64("freeze_trips_last", &r->freeze_trips_last);
    cluster_status_add_u64("freeze_bytes_last", &r->freeze_bytes_last);
}

void migrate_init(void) {
    struct cluster_host host = {0};
    owner_init();
    proc_hooks.freeze = freeze_at_edge;
    proc_hooks.node_write = migrate_request;
    proc_hooks.exiting = on_exit;
    proc_hooks.edge = remote_page_edge;
    remote_page_init();
    whereabouts_init();
    share_map_init();
    futex_init();
    migrate_host_fill(&host);
    cluster_set_host(&host);
    cluster_watch(member_changed, NULL);
    net_add_poller(poll, deadline_ns, NULL);
    status_add();
}
