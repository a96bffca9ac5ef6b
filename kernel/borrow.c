// Forks of a process whose pages are still away. The child gets the same entries,
// names of frames in its lenders' images, and reads for itself what it uses; nobody waits. The
// agreement with the lenders stays with the process that moved, the holder: it reports its drain,
// moves on, and gives up its place only when no child that borrowed through it has anything left
// to read. A child of such a child borrows through the same holder. A child that execs or ends has
// nothing left at once; one that lives on drains, which ends, so all of these waits do.
// Callers: fork, vfork, the drain, migrate.c. Locks: cl.borrows, cl.borrowers under proc_lock.
#include "kernel/borrow.h"

#include "base/string.h"
#include "kernel/migrate.h"
#include "kernel/netpoll.h"
#include "kernel/obituary.h"
#include "kernel/options.h"
#include "kernel/remote_page.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "mm/aspace.h"

#define THREAD_PAGES_SPAN (512 * 512 * PAGE_SIZE)   // nothing else lies there

static struct proc *holder_of(const struct proc *p) { return &procs[p->cl.borrows - 1]; }

// True: p, the current process, cannot fork yet and waits: its pages are away, and there is no
// memory for them twice, or its child is to begin on another node. Ends with its drain.
// No lock held.
bool borrow_must_wait(struct proc *p) {
    const bool remote = proc_desc(p)->fork_node != 0;
    if (!p->cl.draining) return false;
    const bool room = migrate_room(proc_desc(p)->pages_remote);
    spin_lock(&proc_lock);
    const bool waits = p->cl.draining && (remote || !room);
    if (waits) wait_on_locked(&p->cl.page_wait, p, false);
    spin_unlock(&proc_lock);
    return waits;
}

// Before the tables are copied: what the lenders keep is kept for this child too. Nothing where
// the parent, which is current, has all its pages. No lock held.
void borrow_reserve(struct proc *child, struct proc *parent) {
    if (!parent->cl.draining) return;
    spin_lock(&proc_lock);
    if (parent->cl.draining) {
        child->cl.borrows = parent->cl.borrows ? parent->cl.borrows : parent->index + 1;
        holder_of(child)->cl.borrowers++;
        migrate_counters.forks_away++;
    }
    spin_unlock(&proc_lock);
}

// p has nothing left to read, or has ended. net_lock and proc_lock held.
void borrow_end(struct proc *p) {
    if (p->cl.borrows == 0) return;
    struct proc *holder = holder_of(p);
    ASSERT(holder->cl.borrowers != 0);
    p->cl.borrows = 0;
    p->cl.in_cluster = false;
    p->cl.drain_report = false;
    proc_desc(p)->lender_count = 0;
    if (--holder->cl.borrowers != 0) return;
    step_reached(STEP_REPAID, options.hold_at, proc_desc(holder)->name);
    if (!holder->cl.ended) {
        if (proc_desc(holder)->lender_count == 0) holder->cl.in_cluster = false;
        remote_page_attend(holder);
    }
    edge_request(EDGE_NETPOLL);
}

// The fork failed. No lock held.
void borrow_cancel(struct proc *child) {
    if (child->cl.borrows == 0) return;
    netpoll_lock();
    spin_lock(&proc_lock);
    borrow_end(child);
    spin_unlock(&proc_lock);
    netpoll_unlock();
}

static void lenders_copy(struct proc *to, const struct proc *holder) {
    struct proc_desc *d = proc_desc(to);
    memcpy(d->lender, proc_desc(holder)->lender, sizeof d->lender);
    d->lender_count = proc_desc(holder)->lender_count;
}

// The child is complete and about to be made ready: from now on it faults and drains as one that
// moved here does. net_lock and proc_lock held.
void borrow_start(struct proc *child) {
    pt_clear_range(proc_desc(child), THREAD_PAGES_VA, THREAD_PAGES_VA + THREAD_PAGES_SPAN);
    lenders_copy(child, holder_of(child));
    child->cl.in_cluster = true;
    remote_page_borrow(child);
    step_reached(STEP_BORROWED, options.hold_at, proc_desc(child)->name);
}

// p execs, or is to move: its drain, and those that hold it up, begin at once. proc_lock held.
void borrow_hurry(struct proc *p) {
    if (p->cl.borrows) p->cl.drain_at_ns = 0;
    for (u32 i = 0; p->cl.borrowers != 0 && i < proc_end; i++)
        if (procs[i].cl.borrows == p->index + 1) procs[i].cl.drain_at_ns = 0;
    if (p->cl.borrows || p->cl.borrowers) edge_request(EDGE_NETPOLL);
}

// p is another program now, and names no lender. No lock held.
void borrow_exec(struct proc *p) {
    if (p->cl.borrows == 0) return;
    spin_lock(&proc_lock);
    borrow_hurry(p);
    spin_unlock(&proc_lock);
}

// A child of vfork has given its address space to its parent, which waits for it: entries of it
// may name lenders' frames, so the parent drains again, through the same holder. net_lock and
// proc_lock held.
void borrow_given_back(struct proc *parent, struct proc *child) {
    if (child->cl.borrows == 0) return;
    struct proc *holder = holder_of(child);
    if (parent != holder && parent->cl.borrows == 0) {
        parent->cl.borrows = child->cl.borrows;
        parent->cl.in_cluster = true;
        holder->cl.borrowers++;
        lenders_copy(parent, holder);
    }
    remote_page_again(parent);
    child->cl.drain_at_ns = 0;
}

// `node`, which held pages for `holder`, is gone. Those that borrowed and have not read all of
// theirs end. net_lock held.
void borrow_lender_died(struct proc *holder, u32 node) {
    spin_lock(&proc_lock);
    for (u32 i = 0; holder->cl.borrowers != 0 && i < proc_end; i++) {
        struct proc *p = &procs[i];
        if (p->cl.borrows != holder->index + 1 || !p->cl.draining || p->cl.ended) continue;
        if (p->state == PROC_NEW) continue;          // not made ready yet: reads will fail
        obituary_add(proc_desc(p)->pid, proc_desc(p)->name, node, "it had pages there");
        signal_raise_locked(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
    }
    spin_unlock(&proc_lock);
}
