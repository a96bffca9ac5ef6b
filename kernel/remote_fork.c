// Remote fork: `fork N` in /proc/self/node, and the next child that the process makes begins on
// node N. It is an ordinary fork whose child moves before its first instruction: its address space
// is the parent's copy on write, the frozen image that this node keeps of it shares the frames with
// the parent, and the child's faults READ them one-sided from N; the parent goes on at once.
// A child of vfork has its parent's memory until it execs: there its program begins on N.
// Called by procfs and fork. Lock: proc_lock where said.
#include "kernel/remote_fork.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/migrate_priv.h"

// `text`: a node, `any`, or `here` to take it back. Only of the asker itself. files_lock held.
// E_HOSTUNREACH, E_OPNOTSUPP (its CPU lacks what the program may have chosen by), E_INVAL, E_NXIO.
status_t remote_fork_choose(u32 asker_pid, u32 pid, const char *text) {
    u8 target = (u8)node_id;
    const bool here = strncmp(text, "here", 4) == 0;
    status_t s = here ? S_OK : move_target_parse(text, &target, NULL);
    if (s != S_OK) return s;
    if (asker_pid != pid) return E_INVAL;
    if (target != NODE_ANY && !cluster_is_up(target)) return E_HOSTUNREACH;
    spin_lock(&proc_lock);
    struct proc *p = proc_find(pid);
    if (!p) s = E_SRCH;
    else if (may_run_check(proc_desc(p), target) != S_OK) s = E_OPNOTSUPP;
    else proc_desc(p)->fork_node = here ? 0 : target + 1u;
    spin_unlock(&proc_lock);
    return s;
}

// Before a fork: the node that was chosen may have gone since. Then the choice is gone too.
// E_HOSTUNREACH. The parent is current.
status_t remote_fork_check(struct proc *parent) {
    const u32 chosen = proc_desc(parent)->fork_node;
    if (chosen == 0 || chosen == NODE_ANY + 1u || cluster_is_up((u8)(chosen - 1))) return S_OK;
    proc_desc(parent)->fork_node = 0;
    return E_HOSTUNREACH;
}

// The child is ready and has not run: it goes where the parent, which is current, has chosen for
// it, if anywhere; one that is not let in there begins here, and the log says why. proc_lock held.
void remote_fork_go(struct proc *child, struct proc *parent) {
    struct proc_desc *d = proc_desc(child);
    const u32 chosen = proc_desc(parent)->fork_node;
    if (chosen == 0) return;
    proc_desc(parent)->fork_node = 0;
    if (d->flags & PROC_FLAG_VFORK) {
        d->exec_node = chosen;
        return;
    }
    const u8 target = (u8)(chosen - 1);
    const status_t s = target == node_id ? S_OK : migrate_begin(child, target);
    child->cl.how = MOVE_POST;       // another would let it run here first
    if (s == S_RESTART || s == S_OK) d->node_wanted = target == NODE_ANY ? ~0u : target;
    else
        klog("fork: process %u begins here, not on node %u (%d)", d->pid, target, s);
}
