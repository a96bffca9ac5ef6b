// Sessions over nodes. A terminal knows its session (kernel/files/terminal.c), a process its
// terminal, and both may be on different nodes: what either loses is told to all nodes, since
// nobody knows who has members of a session.
// Locks: proc_lock inside; session_rx has net_lock, and takes files_lock.
// Spec: Linux's tty_jobctrl.c for who is told what.
#include "kernel/session.h"

#include "kernel/files/terminal.h"
#include "kernel/klog.h"
#include "kernel/signal.h"
#include "kernel/whereabouts.h"
#include "kernel/whereabouts_priv.h"

static const struct signal_info by_kernel = {.code = SI_KERNEL};

static void note(const struct away_note *n) {
    if (away_note_add(n) != S_OK) klog("tty: no room to tell of the end of session %u\n", n->sid);
    netpoll_soon();
}

// One process of the session. It may have another terminal by now. proc_lock held.
static void lose(struct proc *p, const struct session_loss *loss) {
    struct proc_desc *d = proc_desc(p);
    if (d->sid != loss->sid || !object_id_equal(d->tty, loss->tty)) return;
    d->tty = (struct object_id){0};
    if (!loss->hang_up || d->pid != d->sid) return;
    d->tty_group = loss->pgid;
    signal_raise_locked(p, SIGHUP, by_kernel);
    signal_raise_locked(p, SIGCONT, by_kernel);
}

static struct away_note note_of(const struct session_loss *loss, u32 pid) {
    return (struct away_note){.type = MSG_SESSION, .pid = pid, .sid = loss->sid,
                              .signal = loss->hang_up ? SIGHUP : 0, .pgid = loss->pgid,
                              .tty = loss->tty};
}

// All of the session that are here; those on their way lose it where they get.
static void lose_here(const struct session_loss *loss) {
    for (u32 i = 0; i < proc_end; i++) {
        const struct proc_desc *d = &proc_descs[i];
        if (procs[i].state == PROC_FREE || d->sid != loss->sid) continue;
        const struct away_note n = note_of(loss, d->pid);
        if (away_moves(&procs[i])) note(&n);
        else if (procs[i].state != PROC_AWAY) lose(&procs[i], loss);
    }
}

// The session's processes on all nodes have no controlling terminal any more.
void session_lost(const struct session_loss *loss) {
    const struct away_note all = note_of(loss, 0);
    spin_lock(&proc_lock);
    lose_here(loss);
    if (cluster_member_count() > 1) note(&all);
    spin_unlock(&proc_lock);
}

// The leader of a session ends: its terminal, wherever that is, is free, and its foreground group
// is told; where the line went before, the group that was that. Context: its exit, no lock held.
void session_ended(struct proc *leader) {
    struct proc_desc *d = proc_desc(leader);
    const struct object_id tty = d->tty;
    const struct away_note n = {.type = MSG_SESSION, .sid = d->sid, .ended = true, .tty = tty};
    if (tty.generation == 0 && d->tty_group) {
        signal_raise_group(d->tty_group, SIGHUP, by_kernel);
        signal_raise_group(d->tty_group, SIGCONT, by_kernel);
    } else if (tty.generation && tty.node == node_id) {
        terminal_session_ended(d->sid);
    } else if (tty.generation) {
        spin_lock(&proc_lock);
        note(&n);
        spin_unlock(&proc_lock);
    }
}

// Whether the leader of a session lives, as far as this node can say.
bool session_is_led(u32 sid) {
    spin_lock(&proc_lock);
    const struct where_found found = where_look(sid);
    spin_unlock(&proc_lock);
    const bool there = found.kind == WHERE_THERE || found.kind == WHERE_GUESS;
    return there ? cluster_is_up(found.node) : found.kind != WHERE_GONE;
}

static bool leader_was_there(u32 sid, u32 node) {
    spin_lock(&proc_lock);
    const struct where_found found = where_look(sid);
    spin_unlock(&proc_lock);
    return (found.kind == WHERE_THERE || found.kind == WHERE_GUESS) && found.node == node;
}

// A node is gone, and what is known of where processes were is not forgotten yet: the leaders of
// sessions that were there have ended. net_lock held.
void session_peer_down(u32 node) {
    for (u32 sid = terminal_session_next(0); sid; sid = terminal_session_next(sid))
        if (leader_was_there(sid, node)) terminal_session_ended(sid);
}

// Word of another node, or of this one for a process that was on its way. net_lock held.
void session_rx(const struct cluster_msg *m) {
    const struct msg_process *s = &m->process;
    const struct session_loss loss = {.sid = s->sid, .hang_up = s->signal != 0, .pgid = s->pgid,
                                      .tty = {s->node, s->how, s->stay}};
    if (s->ended) {
        if (s->node == node_id) terminal_session_ended(s->sid);
        return;
    }
    spin_lock(&proc_lock);
    struct proc *p = s->pid ? proc_find(s->pid) : NULL;
    const struct away_note later = note_of(&loss, s->pid);
    const bool kept = s->pid && !p && where_in_transit(s->pid);
    if (s->pid == 0) lose_here(&loss);
    else if (p) lose(p, &loss);
    else if (kept && away_note_add(&later) != S_OK) klog("tty: no room for %u\n", s->pid);
    spin_unlock(&proc_lock);
    if (s->pid && !p && !kept) (void)where_pass_on(s->pid, m);
}
