// vfork: the parent waits until its child executes a program or ends, and then finds in its
// memory what the child wrote, as if both had had one address space. The child has a copy, on
// write, of its own; when it needs it no longer, that becomes the parent's, and what the parent
// had goes. So neither memory nor page tables ever have two users. Called by fork's system
// calls, exec and the end of a process. Lock: proc_lock.
#include "kernel/vfork.h"

#include "kernel/borrow.h"
#include "kernel/netpoll.h"
#include "mm/aspace.h"

// Waits until the child execs or ends. S_RESTART while it has not.
status_t vfork_wait(struct proc *parent, u32 child_pid) {
    spin_lock(&proc_lock);
    struct proc *c = proc_find(child_pid);
    bool waits = c && c->state != PROC_ZOMBIE && (proc_desc(c)->flags & PROC_FLAG_VFORK);
    if (waits) {
        wait_on_locked(&c->vfork_wait, parent, true);
        parent->thread->wait_killable = true;
    }
    spin_unlock(&proc_lock);
    return waits ? S_RESTART : S_OK;
}

// True: child is one of vfork that gives its parent memory back, so it begins once the parent,
// which is current and about to wait for it, has left its CPU: else it could be over before.
// proc_lock held.
bool vfork_holds(struct proc *child, struct proc *parent) {
    const bool waits = (proc_desc(child)->flags & PROC_FLAG_VFORK) != 0;
    if (!waits || proc_desc(parent)->thread_count != 1) return false;
    child->state = PROC_WAITING;
    parent->vfork_child = child->index + 1;
    return true;
}

// The parent has left its CPU. proc_lock held.
void vfork_begin_held(struct proc *parent) {
    struct proc *child = &procs[parent->vfork_child - 1];
    parent->vfork_child = 0;
    ASSERT(child->state == PROC_WAITING && !child->on_cpu);
    proc_become_ready(child);
}

// The child has a program of its own now or is gone: its parent goes on. proc_lock held.
void vfork_done_locked(struct proc *child) {
    proc_desc(child)->flags &= ~PROC_FLAG_VFORK;
    wait_wake_all_locked(&child->vfork_wait);
}

// vfork_done_locked for a caller without proc_lock.
void vfork_done(struct proc *child) {
    spin_lock(&proc_lock);
    vfork_done_locked(child);
    spin_unlock(&proc_lock);
}

// The parent of a vfork child, where it may be given memory: here, off the CPUs, waiting for this
// child, without other threads, which would have gone on.
static struct proc *parent_that_waits(const struct proc *child) {
    struct proc *parent = proc_find(proc_desc(child)->ppid);
    if (!(proc_desc(child)->flags & PROC_FLAG_VFORK) || !parent) return NULL;
    const bool waits = parent->state == PROC_WAITING && !parent->on_cpu &&
                       list_linked(&parent->thread->wait) && !list_empty(&child->vfork_wait.head) &&
                       LIST_ENTRY(child->vfork_wait.head.next, struct thread, wait)->p == parent;
    return waits && proc_desc(parent)->thread_count == 1 ? parent : NULL;
}

// The address space that a child of vfork leaves goes to its parent; `space` has what the parent
// had then, to be destroyed. Nothing changes where the child is no such child. No CPU has the root
// of `space` loaded.
void vfork_give_back(struct proc *child, struct proc_desc *space) {
    const bool borrows = child->cl.borrows != 0;     // what it borrowed, its parent now does
    if (borrows) netpoll_lock();
    spin_lock(&proc_lock);
    struct proc *parent = parent_that_waits(child);
    if (parent) aspace_swap(proc_desc(parent), space);
    if (parent && borrows) borrow_given_back(parent, child);
    spin_unlock(&proc_lock);
    if (borrows) netpoll_unlock();
}
