// Which place of the table a pid is in, and who may have one more: the reserve that leaves a
// session's leader, as a console's shell, able to act when a fork bomb has taken the rest.
// Called by fork, by ends of processes and by the arrival of one. Lock: proc_lock.
#include "kernel/proc.h"
#include "kernel/proc_index.h"
#include "mm/frame.h"

#define BUCKETS 1024u                    // a power of two
#define NO_PLACE 0u                      // else 1 + the place

static u32 first_in[BUCKETS];
static u32 used;                         // places that are taken

static u32 *bucket_of(u32 pid) { return &first_in[(pid ^ pid >> 16) & (BUCKETS - 1)]; }

// Makes p be found by `pid`, instead of the pid it was found by; 0: by none, its place is free.
// Two places may have one pid: an image of a process that moved, and what came back.
void proc_index_set(struct proc *p, u32 pid) {
    if (p->indexed_pid) {
        u32 *at = bucket_of(p->indexed_pid);
        while (*at != p->index + 1) at = &procs[*at - 1].index_next;
        *at = p->index_next;
        used--;
    }
    p->indexed_pid = pid;
    if (pid == 0) return;
    p->index_next = *bucket_of(pid);
    *bucket_of(pid) = p->index + 1;
    used++;
}

// The process with that pid on this node, zombies too; NULL: none, or one that is being made
// or comes from another node and has not run here yet. proc_lock held.
struct proc *proc_find(u32 pid) {
    for (u32 at = *bucket_of(pid); at != NO_PLACE; at = procs[at - 1].index_next) {
        struct proc *p = &procs[at - 1];
        if (p->state == PROC_AWAY || p->state == PROC_NEW) continue;
        if (p->indexed_pid == pid) return p;
    }
    return NULL;
}

static u32 count_of_user(u32 uid) {
    u32 n = 0;
    for (u32 i = 0; i < proc_end; i++)
        n += procs[i].state != PROC_FREE && procs[i].state != PROC_AWAY &&
             proc_descs[i].uid == uid;
    return n;
}

// Whether the current process may fork. False: its user has as many processes as its limit says
// (not for uid 0; one that is being made counts), or what is left of the table and of memory is
// kept for the leaders of sessions. proc_lock held, until the child's place has its uid.
bool proc_may_fork_locked(const struct proc *parent) {
    const struct proc_desc *d = proc_desc(parent);
    bool may = d->uid == 0 || d->rlimit_nproc == 0 || count_of_user(d->uid) < d->rlimit_nproc - 1;
    if (d->pid != d->sid) {
        may = may && used + PROC_RESERVE < proc_count;
        may = may && frame_count_free() > frame_count_total() / PROC_FORK_FRAMES;
    }
    return may;
}
