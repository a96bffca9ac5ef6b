// What a node's processes owe to a cut: when it joins as new, all that the other side knew of
// is ended, since that side has said so long ago. Called by cluster.c under net_lock.
// DESIGN 3 "Membership and failure".
#include "kernel/rebirth.h"

#include "kernel/obituary.h"
#include "kernel/proc.h"
#include "kernel/signal.h"

#define PID_NODE_SHIFT 16            // a pid carries its birth node

static bool runs_here(const struct proc *p) {
    return p->state == PROC_READY || p->state == PROC_RUNNING || p->state == PROC_WAITING;
}

// Another node bore it, or has its parent: it counts as dead there.
static bool known_beyond(const struct proc_desc *d) {
    return d->pid >> PID_NODE_SHIFT != node_id || (d->ppid != 0 && !proc_find(d->ppid));
}

u32 rebirth_reap(u32 node) {
    u32 ended = 0;
    for (u32 i = 0; i < proc_count; i++) {
        spin_lock(&proc_lock);
        struct proc *p = &procs[i];
        const struct proc_desc *d = proc_desc(p);
        const bool end = runs_here(p) && known_beyond(d);
        if (end) signal_raise_locked(p, SIGKILL, (struct signal_info){.code = SI_KERNEL});
        if (end) obituary_add(d->pid, d->name, node, "this side of a cut joins as new");
        ended += end;
        spin_unlock(&proc_lock);
    }
    return ended;
}
