// Signals and other words for processes of other nodes: one for a process that is on its way waits
// here and finds it where it gets to; one for a group goes to all nodes, since nobody knows who
// has some.
// Lock: proc_lock; sending under net_lock.
#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/groups.h"
#include "kernel/klog.h"
#include "kernel/permission.h"
#include "kernel/signal.h"
#include "kernel/whereabouts.h"
#include "kernel/whereabouts_priv.h"
#include "kernel/x86/cpu.h"

#define SIGNALS_MAX 64u

static struct away_note signal_notes[SIGNALS_MAX];
static u32 signal_count;

// E_AGAIN: no room.
status_t away_note_add(const struct away_note *note) {
    if (signal_count == SIGNALS_MAX) return E_AGAIN;
    signal_notes[signal_count++] = *note;
    return S_OK;
}

// It has this node's init for a parent; sid: of the one before, 0 where that is not known.
void orphan_tell(u32 pid, u32 sid) {
    const struct away_note note = {.type = MSG_PARENT, .pid = pid, .ppid = init_pid(), .sid = sid};
    if (away_note_add(&note) != S_OK) klog("wait: no room to tell %u that its parent ended\n", pid);
    netpoll_soon();
}

// proc_hooks.kill_remote. E_SRCH; E_AGAIN: too many wait to be sent.
status_t kill_away(struct proc *caller, u32 pid, u32 signal) {
    (void)caller;
    spin_lock(&proc_lock);
    const struct where_found found = where_look(pid);
    const bool there = found.kind == WHERE_THERE || found.kind == WHERE_GUESS;
    const bool gone = found.kind == WHERE_GONE || (there && !cluster_is_up(found.node));
    const struct away_note note = {.type = MSG_SIGNAL, .pid = pid, .signal = signal};
    status_t s = gone ? E_SRCH : signal ? away_note_add(&note) : S_OK;
    spin_unlock(&proc_lock);
    if (s == S_OK) netpoll_soon();
    return s;
}

// Tells p's parent, where that is. proc_lock held.
void stopped_away(struct proc *p, i32 wait_status) {
    const struct away_note note = {.type = MSG_STOP, .pid = proc_desc(p)->ppid,
                                   .ppid = proc_desc(p)->pid, .stop = wait_status};
    if (away_note_add(&note) != S_OK)
        klog("wait: no room to tell the parent of %u that it stopped\n", proc_desc(p)->pid);
    netpoll_soon();
}

// It is on its way from or to here. proc_lock held.
bool away_moves(const struct proc *p) {
    return (p->state == PROC_AWAY && p->cl.frozen) || (p->state == PROC_NEW && p->cl.in_cluster);
}

// Those of a group that are on their way from or to here have the signal where they get.
static u32 group_on_its_way(u32 pgid, u32 signal, u32 uid) {
    u32 count = 0;
    for (u32 i = 0; i < proc_end; i++) {
        const struct away_note note = {.type = MSG_SIGNAL, .pid = proc_descs[i].pid,
                                       .signal = signal};
        const bool may = permission_signal(uid, &proc_descs[i]) && away_moves(&procs[i]);
        if (proc_descs[i].pgid != pgid || !may) continue;
        if (signal == 0 || away_note_add(&note) == S_OK) count++;
    }
    return count;
}

// A group's members that are not here: all nodes are told, since nobody knows who has some.
// Counted are those whose parent is here. proc_lock held.
u32 kill_group_away(u32 pgid, u32 signal, u32 uid) {
    u32 count = group_on_its_way(pgid, signal, uid);
    const struct away_note note = {.type = MSG_SIGNAL, .signal = signal, .pgid = pgid, .uid = uid};
    const bool told = signal == 0 || cluster_member_count() == 1 || away_note_add(&note) == S_OK;
    if (told) count += children_of_group(pgid);
    if (signal) netpoll_soon();
    return count;
}

// A signal for a group, from another node. One that moves meanwhile may have it twice.
static void rx_group(const struct msg_process *g) {
    spin_lock(&proc_lock);
    (void)group_on_its_way(g->pgid, g->signal, g->asker);
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state state = procs[i].state;
        if (state == PROC_FREE || state == PROC_AWAY || proc_descs[i].pgid != g->pgid) continue;
        if (permission_signal(g->asker, &proc_descs[i]))
            signal_raise_locked(&procs[i], g->signal, (struct signal_info){.code = SI_KERNEL});
    }
    spin_unlock(&proc_lock);
}

// A signal for a process, or its new parent. What is on its way has it later.
void signal_away_rx(const struct cluster_msg *m) {
    const struct away_note note = {.type = m->type, .pid = m->process.pid,
                                   .signal = m->process.signal, .ppid = m->process.ppid,
                                   .sid = m->process.sid, .stop = m->process.wait_status};
    if (m->type == MSG_SIGNAL && (note.signal == 0 || note.signal > SIGNAL_COUNT)) return;
    if (note.pid == 0) {
        if (m->type == MSG_SIGNAL && m->process.pgid != 0) rx_group(&m->process);
        return;
    }
    spin_lock(&proc_lock);
    struct proc *p = proc_find(note.pid);
    if (p && m->type == MSG_STOP) child_stopped(p, note.ppid, note.stop);
    else if (p && m->type == MSG_PARENT) groups_parent_ended_locked(p, note.ppid, note.sid);
    else if (p) signal_raise_locked(p, note.signal, (struct signal_info){.code = SI_KERNEL});
    bool kept = !p && where_in_transit(note.pid) && away_note_add(&note) == S_OK;
    spin_unlock(&proc_lock);
    if (!p && !kept) (void)where_pass_on(note.pid, m);
}

// Signals to processes that are not here, or were not when they were raised.
void signal_away_poll(void) {
    static struct away_note notes[SIGNALS_MAX];  // net_lock
    if (signal_count == 0) return;
    spin_lock(&proc_lock);
    u32 count = signal_count;
    memcpy(notes, signal_notes, count * sizeof notes[0]);
    signal_count = 0;
    spin_unlock(&proc_lock);
    for (u32 i = 0; i < count; i++) {
        const struct away_note *n = &notes[i];
        const struct cluster_msg m = {.type = n->type, .process = {
            .pid = n->pid, .signal = n->signal, .ppid = n->ppid, .pgid = n->pgid, .sid = n->sid,
            .asker = n->uid, .wait_status = n->stop, .ended = n->ended,
            .node = n->tty.node, .how = n->tty.index, .stay = n->tty.generation}};
        if (n->pid == 0) where_send_all(&m);
        else if (n->type == MSG_SESSION) session_rx(&m);     // here, kept, or passed on
        else signal_away_rx(&m);
    }
}

bool signal_away_waits(void) { return signal_count != 0; }
