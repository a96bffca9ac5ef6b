// Time as processes see it: the cluster's clock, and what a process's life adds to it.
#pragma once

#include "base/clock_page.h"
#include "kernel/proc_desc.h"
#include "kernel/x86/cpu.h"
#include "proto/cluster/clock.h"

void clock_init(void);               // boot, after time_init: this node's own until it joins
void clock_status_init(void);        // boot, after cluster_init
u64 clock_now_ns(void);              // the cluster's, since its first node's boot; any context
u64 time_wall_ns(void);              // since 1970, by the clock of that node; any context
u64 clock_of_local(u64 local_ns);    // the cluster's time at a time of this node's clock
u64 clock_sleep_ns(u64 ns);          // so long by this node's clock is at least `ns` of it
// What d's process sees; its CPU, or proc_lock.
struct clock_seen { u64 clock_ns, wall_ns; };
struct clock_seen clock_seen(const struct proc_desc *d);
struct proc;
void clock_frozen(struct proc *p);   // it stops seeing time here; proc_lock
void clock_thawed(struct proc *p);   // and goes on here; proc_lock
void clock_arrived(struct proc_desc *d);     // or here, from another node; before it runs
void clock_exec(struct proc_desc *d);        // another program: it sees the cluster's clock
// The page that user mode reads (kernel/vdso.c); nothing else lies in it.
extern union clock_frame { struct clock_page page; u8 bytes[PAGE_SIZE]; } clock_frame;
void clock_word_set(struct cpu *c, u32 word);
// d's process runs on c, the calling CPU, from now on: whether it may compute time by the page.
// The epoch is read first: a step before that is in clock_call, a later one begins another epoch.
static inline void clock_load(struct cpu *c, const struct proc_desc *d) {
    const u32 epoch = __atomic_load_n(&clock_frame.page.epoch, __ATOMIC_ACQUIRE);
    const u32 word = d->clock_call ? d->clock_call : epoch;
    if (c->clock_word != word) clock_word_set(c, word);
}
// A protection fault of p, current here. True: it was an RDTSC of one that has moved, done.
bool clock_tsc_trap(struct proc *p);

// --- kernel/cluster_clock.c; net_lock held ---
void cluster_clock_init(void);
void cluster_clock_tick(u64 up);
u64 cluster_clock_next_ns(u64 up);   // when that has something to do; ~0: never
void cluster_clock_member(u8 node, bool up);
struct cluster_msg;
void cluster_clock_message(u8 from, const struct cluster_msg *m, u64 up);
const struct cluster_clock *cluster_clock_state(void);
// The line is another one, and a step of the machine's has no effect on what processes see.
void clock_publish(const struct cluster_clock *c, const struct clock_step *step);
