// The ends of children whose parents are on other nodes: each is told to the parent's node until
// that answers, or hands it to the parent's next one.
// Lock: proc_lock; sending under net_lock.
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/whereabouts.h"
#include "kernel/whereabouts_priv.h"
#include "kernel/x86/cpu.h"

#define EXITS_MAX 1024u
#define EXIT_TRIES_MAX 100u

struct exit_note { bool used; u32 tries; u64 next_ns; struct msg_process p; };

static struct exit_note exit_notes[EXITS_MAX];
static u32 exit_count;

static void exit_note_drop(struct exit_note *n) {
    n->used = false;
    exit_count--;
}

// Those that ended here since the parent runs there.
void end_away_tell(u32 ppid, u8 node) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        const bool mine = n->used && n->p.ppid == ppid;
        const struct cluster_msg m = {.type = MSG_CHILD, .process = n->p};
        if (mine) exit_note_drop(n);
        spin_unlock(&proc_lock);
        if (mine) (void)cluster_send(node, &m);
    }
}

// Those for ppid are told now: it knows its children by now. proc_lock held.
void end_away_hurry(u32 ppid) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++)
        if (exit_notes[i].used && exit_notes[i].p.ppid == ppid) exit_notes[i].next_ns = 0;
}

// The process side's hook: p ended here and its parent is not here. proc_lock held.
void exited_away(struct proc *p, i32 wait_status) {
    const struct proc_desc *d = proc_desc(p);
    const struct msg_process end = {.pid = d->pid, .ppid = d->ppid, .pgid = d->pgid, .sid = d->sid,
                                    .ended = 1, .wait_status = wait_status,
                                    .cpu_ns = d->account.cpu_ns};
    const enum where_kind parent = where_look(d->ppid).kind;
    // Of a parent frozen here: it goes with the parent's others. One that is coming here has
    // them on its giver's list, and may not come after all: that is told where it is by then.
    const bool leaving = parent == WHERE_TRANSIT && !child_parent(d->ppid);
    if (leaving) child_add(&end);
    if (leaving || parent == WHERE_GONE) return;
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (exit_notes[i].used) continue;
        exit_notes[i] = (struct exit_note){.used = true, .p = end};
        exit_count++;
        netpoll_soon();
        return;
    }
    klog("exit: no room to tell the parent of %u\n", d->pid);
}

// A child's end, for a parent that lives here. S_OK: taken, now or before (so that a repeat
// is no second end: the child has no record any more); E_AGAIN: to be told again.
static status_t exit_take(const struct msg_process *m) {
    const u32 ppid = child_parent_pid(m->pid);
    const struct proc *parent = proc_find(ppid ? ppid : m->ppid);
    if (!parent || parent->cl.children_coming || where_in_transit(m->pid)) return E_AGAIN;
    (void)child_end_note(m);
    where_forget(m->pid);
    return S_OK;
}

void end_away_rx(const struct cluster_msg *m) {
    spin_lock(&proc_lock);
    const bool here = proc_find(m->process.ppid) || child_parent_pid(m->process.pid);
    status_t s = here ? exit_take(&m->process) : E_AGAIN;
    spin_unlock(&proc_lock);
    if (!here) s = where_pass_on(m->process.ppid, m);
    // E_SRCH: its parent has ended, and nobody waits.
    const struct cluster_msg ack = {.type = MSG_EXIT_ACK, .process = {.pid = m->process.pid}};
    if ((here && s == S_OK) || s == E_SRCH) where_send_all(&ack);
}

void end_away_rx_ack(u32 pid) {
    spin_lock(&proc_lock);
    for (u32 i = 0; i < EXITS_MAX; i++) {
        if (exit_notes[i].used && exit_notes[i].p.pid == pid) exit_note_drop(&exit_notes[i]);
    }
    where_forget(pid);
    spin_unlock(&proc_lock);
}

// Its end is on its way to its parent's node. proc_lock held.
bool end_is_told(u32 pid) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++)
        if (exit_notes[i].used && exit_notes[i].p.pid == pid) return true;
    return false;
}

// Sends one note, or takes it where the parent is here again. proc_lock held; *node: where it
// is to be sent, WHERE_NONE: nowhere.
static void exit_note_step(struct exit_note *n, u64 now_ns, u8 *node) {
    const struct where_found parent = where_look(n->p.ppid);
    n->next_ns = now_ns + EXIT_REPEAT_NS;
    switch (parent.kind) {
    case WHERE_GONE: exit_note_drop(n); return;  // nobody waits
    case WHERE_HERE:
        if (exit_take(&n->p) == S_OK) exit_note_drop(n);
        return;
    case WHERE_TRANSIT: return;
    case WHERE_THERE:
    case WHERE_GUESS:
        // A parent that never answers: nobody waits.
        if (++n->tries > EXIT_TRIES_MAX) exit_note_drop(n);
        else *node = parent.node;
    }
}

void end_away_poll(u64 now_ns) {
    for (u32 i = 0; i < EXITS_MAX && exit_count; i++) {
        u8 node = WHERE_NONE;
        spin_lock(&proc_lock);
        struct exit_note *n = &exit_notes[i];
        const struct cluster_msg m = {.type = MSG_EXIT, .process = n->p};
        if (n->used && now_ns >= n->next_ns) exit_note_step(n, now_ns, &node);
        spin_unlock(&proc_lock);
        if (node != WHERE_NONE) (void)cluster_send(node, &m);
    }
}

bool end_away_waits(void) { return exit_count != 0; }
