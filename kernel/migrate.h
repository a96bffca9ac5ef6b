// Moving processes: requests to move, freezing, what the hand-over machines ask of the
// kernel (struct cluster_host), and what is told to other nodes about a process.
#pragma once

#include "kernel/proc.h"
#include "proto/cluster/cluster_msg.h"
#include "proto/cluster/node.h"

#define MOVE_AUTO 0xfe                   // a target: it stays, and is placed by the rule
#define MOVE_WAIT_MAX_NS 5000000000ull   // a request that is out must be answered by then
#define MOVE_DRAIN_MAX_NS 60000000000ull // a drain that a move waits for: by then one more page

// Hooks, owner words, the host's table of the machines; after proc_init, before
// cluster_init.
void migrate_init(void);
// `echo TEXT > /proc/PID/node` by the process asker_pid (0: nobody). files_lock held.
// S_OK, S_RESTART (the caller waits), or why it does not move.
status_t migrate_request(u32 asker_pid, u32 pid, const char *text);
// A request that came from node `from`; how: enum move_how, MOVE_HOWS: as the option says. True: it
// is taken or answered; false: the process is
// not here, and who called passes it on. net_lock held.
bool migrate_asked(u8 from, u32 pid, u8 target, u32 how);
// The rule's move of a process here; proc_lock held. S_RESTART: placement_settled follows.
status_t migrate_auto(struct proc *p, u8 target);
// The same for who waits for no answer. S_RESTART: it is under way; else why not.
status_t migrate_begin(struct proc *p, u8 target);
// p has become another program: it begins where `exec N` said. No lock held.
void migrate_exec(struct proc *p);
// Tells `asker` what became of its request. net_lock held, proc_lock not.
void migrate_answer(u8 asker, u32 pid, u8 target, status_t status);
// MSG_MOVED: what became of a request of ours; MSG_TWIN: a copy has arrived. net_lock held.
void migrate_answered(const struct cluster_msg *m);

// Is there memory for `pages` more, beside what processes here still fetch? No lock held.
bool migrate_room(u64 pages);

struct migrate_counters {
    u64 given, adopted, images_freed, lost, refused_busy;
    u64 refused_room;                    // not let in: no memory for all of it
    u64 forks_away;                      // children made while their parents' pages were away
    u64 precopy_reused;                  // pages that a copy had brought before
    u64 taken_max;                       // processes of the shared queue here at once
    u64 freeze_tsc_last, freeze_tsc_sum;
};
extern struct migrate_counters migrate_counters;
