// Placement in the kernel: what a process uses is counted (sched/account.c) and told to the
// rule (sched/place.c) at its edge; when that says move, a unit of the target's capacity is
// taken and the process goes by the ordinary way (kernel/move_request.c).
// docs/reference/placement.md.
#pragma once

#include "kernel/proc.h"
#include "mm/frame.h"
#include "proto/p9/p9.h"
#include "sched/account.h"

// What moves with the process: its frame PROC_AUX_PLACE. Belongs to whom the descriptor
// belongs to.
struct proc_place {
    struct place rule;
    struct place_why last;           // the last decision
    struct place_why begun;          // the last that began a move
    struct place_why move;           // the last that ended on this node
    u64 exec_key;                    // which program it runs; 0: none learns from it
    u8 exec_node;                    // where that began
    bool fresh;                      // its program has not been decided on since exec
    u8 unused[6];
    u64 moves, refusals;             // of the rule; moves that ended here or elsewhere
    struct storm { u64 random, due_cpu_ns, asked, refused; } storm;    // kernel/storm.h
    struct account account;
};
_Static_assert(sizeof(struct proc_place) <= PAGE_SIZE, "one frame");

static inline struct proc_place *place_of(const struct proc *p) {
    return phys_to_virt(paddr(proc_desc(p)->aux[PROC_AUX_PLACE]));
}

void placement_init(void);                       // boot, after cluster_init
// --- a process's life ---
void placement_new(struct proc *p);              // its descriptor was made; proc_lock held
void placement_exec(struct proc *p);             // it runs another program now; no lock
void placement_giving(struct proc *p);           // frozen, about to be given; net_lock
void placement_arrived(struct proc *p);          // adopted, not yet run; net_lock
void placement_left(struct proc *p);             // given; proc_lock
void placement_ended(struct proc *p);            // proc_lock
// The rule's move of p has ended: S_OK it runs elsewhere. proc_lock held.
void placement_settled(struct proc *p, status_t status);

// --- what it uses; its CPU, any lock but proc_lock ---
void placement_used_pipe(struct proc *p, u64 bytes);      // of this node
void placement_used_here(struct proc *p, const struct p9_call *c, enum account_kind kind);
void placement_used_there(struct proc *p, const struct p9_call *c, bool one_sided, u64 wait_ns);
// At the edge of a process with placing.due. No lock held.
void placement_edge(struct proc *p);

bool placement_leaves_work(void);                // to nodes with a free CPU; any context

// --- prices and peers; net_lock held ---
void placement_price(enum price which, u64 ns);
void placement_price_of_drive(u64 ns, u64 bytes);   // a one-sided read of that many bytes
// At the tick of the cluster part; left_out: before it so many were, as none was wanted.
void placement_tick(u64 left_out);
bool placement_tick_wanted(void);                // in each period, from now on
void placement_peer_down(u8 node);
struct cluster_msg;
void placement_exec_told(const struct cluster_msg *m);   // MSG_PROFILE

// --- for people (kernel/placement_show.c) ---
extern struct prices placement_prices;
u64 placement_move_ns(const struct proc *p);     // D of p now
bool placement_may_move(const struct proc *p);   // the rule may move it
bool placement_is_on(void);
