// The shadow of a process descriptor: what needs pointers and never moves. One array
// of the descriptors' index. Also the seam between the trap code (kernel/trap.c) and
// the process side; each function's contract stands above its definition in
// kernel/proc.c, kernel/edge.c and sched/runq.c.
//
// Locks: state, run, wait, timer, children under proc_lock; the descriptor of a process
// that is RUNNING belongs to its CPU; page tables too (one thread an address space).
#pragma once

#include "base/list.h"
#include "base/status.h"
#include "kernel/proc_desc.h"
#include "kernel/x86/spinlock.h"
#include "sched/fair.h"

enum proc_state {
    PROC_FREE = 0, PROC_NEW, PROC_READY, PROC_RUNNING, PROC_WAITING, PROC_STOPPED,
    PROC_ZOMBIE, PROC_AWAY,          // AWAY: frozen image of a process that moved
};

// Those who wait for one thing. Lock: proc_lock.
struct wait_list { struct list_node head; };

// Where the read that a process waits in wants its bytes: who has them may put them there and
// end the call (wait_complete), which then does not run again. Lock: proc_lock.
// In one page; at NULL: it runs again. serial: of what it waits for, where that has one.
struct wait_offer { u8 *at; u32 len; u64 serial; };

// A deadline: of a thread that waits, or of the first timer of its process. Lock: proc_lock.
struct deadline {
    struct list_node link;           // sorted by at_ns
    u64 at_ns;                       // time_now_ns
    struct proc *p;
    struct thread *thread;           // NULL: the timers of p
};

// The shadow of one thread. Lock: proc_lock.
struct thread {
    struct proc *p;
    u32 tid, slot;
    bool waiting;                    // for a wait list, a deadline or a signal
    bool woken;                      // since its call began to wait: it waits no more
    bool wait_uninterruptible;       // signals leave this wait alone
    bool wait_killable;              // but for those that end its process
    bool reply_waits;                // a remote reply is taken before signals are delivered
    u32 futex_bits;
    u64 futex_key[2];
    struct list_node wait;           // a wait list
    struct deadline timer;
    struct list_node link;           // of its process's threads, in the order of their turns
};

// What the direct calls of a process found last (kernel/syscall/direct.c): for a call with the same
// arguments it is the same. It holds while the process makes no other call, has no exception and
// nothing is due for it at the edge, for only so can its handles and private pages change, and
// comes onto no CPU by a run queue. Its own.
enum { DIRECT_READ = 1, DIRECT_REPLY = 2 };
struct direct_memo {
    u32 valid;                       // bits: which of the two
    u32 in_len;
    u64 fd, uva;                     // pread64
    u8 *at;
    const struct user_file *file;
    u64 in_fd, in_uva, in_size, out_fd, out_uva;     // reply_recv
    u8 *in_at;
    const u8 *out_at;
    struct pipe *in, *out;
    const struct object *in_ofd;
    u64 switches;                    // it left its CPU directly
};

// The cluster part's view of a process here (kernel/migrate.c, kernel/remote_page.c).
struct proc_cluster {
    bool wanted;                     // it is to move to `target`, until that is settled
    bool automatic;                  // the rule wants it
    bool frozen, giving;             // off the CPUs to move; handed to the machines
    bool precopying;                 // it runs on while a copy of its pages goes ahead
    bool whole;                      // it runs here only once all of its pages are here
    u8 how, rounds;                  // enum move_how; copies that went ahead
    u32 twin, base;                  // 1 + the place of such a copy: leaving; come before it
    u64 twin_id;
    bool from_queue;                 // counts against what this node may take
    bool drain_first;                // its target has no room before its lenders are free
    bool in_cluster;                 // lenders hold something of it
    struct clock_offsets { u64 clock_ns, wall_ns; } steps;   // of this node when it was frozen
    bool free_wanted;                // its place is free once they are released
    bool draining, drain_seen, drain_report;
    bool arrived;                    // its edge is to install pages, or go on with its drain
    bool fresh;                      // no instruction has run here yet: the drain waits
    bool unmap;                      // shared pages are to be unmapped at its edge: share_map.c
    bool ended;                      // what still comes is thrown away
    bool children_coming;            // its giver still names its children: whereabouts.c
    bool orphaned;                   // its parent ended while it was frozen: to be told so
    u8 target, giver, asker_node;
    status_t refused;
    u64 deadline_ns, freeze_tsc;
    u64 drain_left;                  // fewest pages that drain_first still found away
    u64 fresh_until_ns;              // then the drain begins anyway
    u32 fresh_fetches;               // READs that its first instruction needed
    u64 generation;                  // of its stay in this place; 0: none
    u32 fetches;                     // READs that are out
    u32 borrows;                     // 1 + the place of whose lenders it reads; 0: kernel/borrow.c
    u32 borrowers;                   // children that read of its lenders
    u64 drain_at_ns;                 // its drain begins then
    u64 unmapped;                    // up to that one they are
    u64 drain_va;                    // where the drain goes on
    struct list_node move;           // the list of moves wanted, or of ends to report
    struct list_node attention;      // remote_page.c's
    struct wait_list page_wait;      // this process, for a page or for its drain
    struct wait_list whole_wait;     // for the end of its drain
};

// What kernel/placement.c keeps of a process here; what moves with it lies in
// struct proc_place.
enum place_step { PLACE_IDLE, PLACE_RESERVING, PLACE_MOVING };
struct proc_placing {
    bool due;                        // the rule is to be told at the next edge
    bool ticked;                     // a tick has passed: its CPU time is charged
    bool exec;                       // another program begins at its next edge
    bool unit;                       // counts in this node's capacity word
    bool reserved;                   // a unit of `target` is its own
    u8 ticks;                        // as proc_desc.place_ticks
    u8 target;
    enum place_step step;            // net_lock
    status_t refused;                // of the last move; S_OK: taken note of
    u64 charged_ns;                  // CPU time charged so far
};

struct proc {
    u32 index;                       // of the descriptor
    u32 indexed_pid, index_next;     // kernel/proc_index.c
    enum proc_state state;
    bool on_cpu;                     // its registers are in a CPU
    bool kill_pending;               // dies at its next edge
    bool stop_report, cont_report;   // for wait4 WAIT_UNTRACED, WAIT_CONTINUED
    u32 continued;                   // how often SIGCONT was raised in it here
    bool slice_over;                 // its time slice ended
    bool freeze_wanted;              // stops at the edge for the hook below
    u32 cpu;                         // runs there now or ran there last
    u64 slice_end_ns, run_start_ns;
    struct fair_entity fair;         // its place in a run queue, its share of a CPU
    struct thread *thread;           // whose context is in the descriptor
    struct thread first;             // the one it began with; the only one of most
    struct list_node threads;        // all that live
    u32 awake;                       // threads that do not wait
    u32 exit_waits;                  // for pages, of its exit
    u64 thread_start_ns;             // when `thread` went on its CPU
    bool cpu_timers;                 // some are set by its CPU time (kernel/timers.c)
    struct deadline alarm;           // the first of its timers that is not
    struct wait_offer offer;         // of the wait it is in
    struct direct_memo direct;
    struct wait_list child_wait;     // this process in wait4
    struct wait_list vfork_wait;     // the parent until this one execs or exits
    u32 vfork_child;                 // 1 + the place of one that begins when this leaves its CPU
    struct proc_cluster cl;
    struct proc_placing placing;
};

extern struct spinlock proc_lock;
extern struct proc *procs;           // [proc_count]
extern struct proc_desc *proc_descs; // the registered table: contiguous FRAME_DESC frames
extern u32 proc_count;
extern u32 proc_end;                 // all from here on are free; proc_lock
extern u32 node_id;                  // of this node; 0 until the cluster part sets it

static inline struct proc_desc *proc_desc(const struct proc *p) {
    return &proc_descs[p->index];
}

// --- called by boot and the trap code (kernel/init.c, kernel/trap.c) ---
void proc_init(void);                          // after frames, heap, options, modules
void proc_start_init(void);                    // makes process 1
void proc_syscall(void);                       // cpu->regs hold the call
void proc_exception(u32 vector, u64 error_code, u64 fault_va);   // from user mode
u64 proc_next_deadline_ns(void);               // ~0: none; for the idle CPU's timer
// Picks what this CPU runs next, delivers signals. True: return to user mode with
// cpu->regs; false: nothing to run, halt.
bool proc_edge(void);

// --- processes ---
struct proc *proc_current(void);
struct proc *proc_alloc(void);
struct proc *proc_find(u32 pid);
u32 proc_pid_new(void);                        // proc_lock held
void proc_free(struct proc *p);
struct fork_args { u64 flags, stack, parent_tid, child_tid, tls; };
status_t proc_fork(struct proc *parent, const struct fork_args *args, u32 *pid_out);
void proc_exit(struct proc *p, i32 wait_status);
status_t proc_try_exit(struct proc *p, i32 wait_status);
// Options of wait4 and waitid (Linux: WNOHANG, ...; those names are macros of the tests' host).
enum {
    WAIT_NOHANG = 1, WAIT_UNTRACED = 2, WAIT_EXITED = 4, WAIT_CONTINUED = 8,
    WAIT_NOWAIT = 0x1000000, WAIT_CLONES = 0xe0000000,   // all children are alike here
};
#define WAIT_STATUS_STOPPED(sig) ((i32)((sig) & 0xff) << 8 | 0x7f)
#define WAIT_STATUS_CONTINUED 0xffff
struct child_end { u32 pid; i32 status; u64 cpu_ns; };
status_t proc_wait_child(struct proc *p, i64 which, u32 options, struct child_end *out);
void proc_detach(struct proc *p);              // takes the current process off this CPU
void proc_set_owner(struct proc *p, u32 state);   // the one place that touches the word
void proc_become_ready(struct proc *p);        // the one way onto a CPU; proc_lock held

// --- waiting ---
#define WAIT_LIST_INIT(name) {{&(name).head, &(name).head}}
void wait_list_init(struct wait_list *w);
void wait_on(struct wait_list *w, struct proc *p);      // then return S_RESTART
void wait_on_uninterruptible(struct wait_list *w, struct proc *p);
void wait_on_locked(struct wait_list *w, struct proc *p, bool uninterruptible);
void wait_until(struct proc *p, u64 deadline_ns);       // beside wait_on or alone
void wait_wake_all(struct wait_list *w);
void wait_wake_all_locked(struct wait_list *w);         // proc_lock held
void wait_wake_thread(struct thread *t);                // proc_lock held
// Takes a thread off what it waits for; its process's state stays. proc_lock held.
static inline void wait_end_locked(struct thread *t) {
    if (list_linked(&t->wait)) list_remove(&t->wait);
    if (list_linked(&t->timer.link)) list_remove(&t->timer.link);
    t->wait_uninterruptible = false;
    if (!t->waiting) return;
    t->waiting = false;
    t->p->awake++;
}
// Whether wait_complete may end p's call: it waits, with an offer, and has left its CPU, so its
// registers stand before the call. One with other threads makes no use of it: they could unmap
// the page. proc_lock held.
static inline bool wait_offers(const struct proc *p) {
    const struct proc_desc *d = proc_desc(p);
    return p->offer.at && p->state == PROC_WAITING && !p->on_cpu && d->wait.nr >= 0 &&
           d->thread_count == 1;
}
// p's call, for which wait_offers(p), has ended: it goes on behind it with `result`. proc_lock.
static inline void wait_call_end(struct proc *p, struct proc_desc *d, i64 result) {
    d->regs.rip += SYSCALL_BYTES;
    d->regs.rax = (u64)result;
    d->wait.nr = -1;
    p->offer.at = NULL;
}
void wait_complete(struct proc *p, i64 result);
void wait_alarm_changed(struct proc *p);                // its timers have changed
void wait_alarm_changed_locked(struct proc *p);         // proc_lock held
void wait_run_deadlines(u64 now_ns);
u64 proc_timers_next_ns(struct proc *p);                // kernel/timers.c; proc_lock held
void proc_timers_due(struct proc *p, u64 now_ns);
extern struct wait_list poll_wait;                      // woken with every pollable change

// --- hooks of the cluster part; NULL until it sets them ---
struct proc_hooks {
    // At the edge of a process with freeze_wanted: true, it was taken off this CPU; else its
    // running thread may wait now.
    bool (*freeze)(struct proc *p);
    // `echo TEXT > /proc/PID/node` by asker_pid; pid may be on any node. files_lock held.
    status_t (*node_write)(u32 asker_pid, u32 pid, const char *text);
    // Whether pid may be alive, and the node that runs it then. proc_lock held.
    bool (*where)(u32 pid, u8 *node);
    // At the edge of a process that may go on. No lock held.
    void (*edge)(struct proc *p);
    // p ends, its children here have init for a parent; its own is told next. proc_lock held.
    void (*exiting)(struct proc *p);
    // wait4 over children on other nodes: E_CHILD, S_RESTART, S_OK with *out. proc_lock.
    status_t (*child_wait_away)(const struct proc_desc *me, i64 which, u32 wait_options,
                                struct child_end *out);
    // No process with this pid here: where is it, and signal it there.
    status_t (*kill_remote)(struct proc *caller, u32 pid, u32 sig);
    // A signal for a group, by user uid: children elsewhere of processes here. How many;
    // proc_lock held.
    u32 (*kill_group_away)(u32 pgid, u32 sig, u32 uid);
    // The scheduler's state of p changed: the owner word follows. proc_lock held.
    void (*owner_changed)(struct proc *p, u32 state);
    // p ended and no process here is its parent; its descriptor is still there. proc_lock.
    void (*exited_remote)(struct proc *p, i32 wait_status);
    // p stopped or goes on, and no process here is its parent. proc_lock.
    void (*stopped_remote)(struct proc *p, i32 wait_status);
    // This CPU has nothing to run. At the edge, no lock held.
    void (*idle)(void);
};
extern struct proc_hooks proc_hooks;
