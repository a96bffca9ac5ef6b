// What whereabouts.c, child_away.c, end_away.c, signal_away.c and family.c share.
#pragma once

#include "base/status.h"
#include "kernel/cluster.h"
#include "kernel/proc.h"
#include "kernel/x86/cpu.h"

#define PID_NODE_SHIFT 16
#define EXIT_REPEAT_NS 100000000ull
#define SIGNAL_REPEAT_NS 2000000ull

static inline void netpoll_soon(void) {
    __atomic_fetch_or(&cpu_this()->edge_work, EDGE_NETPOLL, __ATOMIC_RELAXED);
}
static inline u32 init_pid(void) { return node_id << PID_NODE_SHIFT | 1; }

// whereabouts.c
bool where_in_transit(u32 pid);                      // proc_lock held
void where_send_all(const struct cluster_msg *m);    // net_lock held
status_t where_pass_on(u32 pid, const struct cluster_msg *m);        // net_lock held

// child_away.c; proc_lock held but for the message and the wait's own.
void child_add(const struct msg_process *m);
bool child_end_note(const struct msg_process *m);
u32 child_parent_pid(u32 pid);
struct proc *child_parent(u32 pid);
void child_stopped(struct proc *parent, u32 child, i32 wait_status);
u32 children_of_group(u32 pgid);
void child_away_set(u32 pid, u32 pgid, u32 sid);
u32 child_away_group(u32 pgid);
void child_away_peer_down(u8 node);
status_t child_wait_away(const struct proc_desc *me, i64 which, u32 wait_options,
                         struct child_end *out);
void child_away_rx(const struct msg_process *m);     // net_lock held

// end_away.c
void exited_away(struct proc *p, i32 wait_status);   // proc_lock held
void end_away_hurry(u32 ppid);                       // proc_lock held
void end_away_tell(u32 ppid, u8 node);               // net_lock held, as all below
void end_away_rx(const struct cluster_msg *m);
void end_away_rx_ack(u32 pid);
void end_away_poll(u64 now_ns);
bool end_away_waits(void);

// Word of or for a process elsewhere, sent in the next round. By type:
//   MSG_SIGNAL   for pid, or, pid 0, for those of the group pgid that user uid may send it to
//   MSG_PARENT   ppid is the parent of pid now: the one before, of session sid, has ended
//   MSG_STOP     pid's child `ppid` stopped or goes on
//   MSG_SESSION  session sid lost its terminal tty; pid 0: all of it. signal: its leader is to
//                know, and that pgid was in the foreground; ended: its leader ended instead
struct away_note {
    enum cluster_msg_type type;
    u32 pid, signal, ppid, pgid, sid, uid;
    i32 stop;
    bool ended;
    struct object_id tty;
};

// signal_away.c
status_t away_note_add(const struct away_note *note);        // proc_lock held
bool away_moves(const struct proc *p);               // proc_lock held
void orphan_tell(u32 pid, u32 sid);                  // proc_lock held
status_t kill_away(struct proc *caller, u32 pid, u32 signal);
void stopped_away(struct proc *p, i32 wait_status);  // proc_lock held
u32 kill_group_away(u32 pgid, u32 signal, u32 uid);  // proc_lock held
void signal_away_rx(const struct cluster_msg *m);    // net_lock held, as below
void signal_away_poll(void);
bool signal_away_waits(void);

// session.c
void session_rx(const struct cluster_msg *m);        // net_lock held
void session_peer_down(u32 node);                    // net_lock held
