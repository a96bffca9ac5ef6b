// What a node's processes owe to a cut: its side is the smaller one, which the others count as
// dead as a whole, so nothing of it runs on when it joins as new. Only init stays, which is a
// part of the node as its kernel is, and starts its shell anew. Called by cluster.c under
// net_lock. docs/reference/join.md: a new incarnation, as one boot of a node.
#include "kernel/rebirth.h"

#include "kernel/cluster.h"
#include "kernel/obituary.h"
#include "kernel/proc.h"
#include "kernel/signal.h"

static bool is_init(const struct proc *p) { return (proc_desc(p)->pid & 0xffff) == 1; }

static bool lives(const struct proc *p) {
    return p->state == PROC_READY || p->state == PROC_RUNNING || p->state == PROC_WAITING ||
           p->state == PROC_STOPPED;
}

// Frozen on its way, and nobody else's yet: it comes back and dies at its first edge.
static bool leaves(const struct proc *p) { return p->state == PROC_AWAY && p->cl.frozen; }

u32 rebirth_reap(u32 node) {
    u32 ended = 0;
    for (u32 i = 0; i < proc_end; i++) {
        spin_lock(&proc_lock);
        struct proc *p = &procs[i];
        const struct proc_desc *d = proc_desc(p);
        const bool left = leaves(p), end = (lives(p) || left) && !is_init(p);
        if (end) p->kill_pending = true;         // what it forks now has it too
        if (end && !left)
            signal_raise_locked(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
        if (end) obituary_add(d->pid, d->name, node, "this side of a cut joins as new");
        ended += end;
        spin_unlock(&proc_lock);
        if (end && left) cluster_node_cancel(cluster_node(), i, E_HOSTUNREACH);
    }
    return ended;
}

bool rebirth_over(void) {
    bool any = false;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_count; i++)
        any |= procs[i].kill_pending && (lives(&procs[i]) || leaves(&procs[i]));
    spin_unlock(&proc_lock);
    return !any;
}
