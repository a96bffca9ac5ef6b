// Pages and page tables that lie on other nodes: fetched one-sided on a fault, and by a
// drain in the background until no entry names another node.
#pragma once

#include "kernel/proc.h"
#include "mm/aspace.h"

#define REMOTE_FETCHES_MAX 256u      // of all processes of this node
#define DRAIN_WINDOW 16u             // fetches that one drain has under way

void remote_page_init(void);
// A process was adopted: its drain begins once it runs here. net_lock and proc_lock held, not
// on a CPU.
void remote_page_begin(struct proc *p);
// A child has entries that name lenders of its parent's holder: it drains later, as it has no
// use yet for most. net_lock and proc_lock held; it is not ready yet.
void remote_page_borrow(struct proc *p);
// p, off the CPUs, may have such entries again. net_lock and proc_lock held.
void remote_page_again(struct proc *p);
// p is looked at in the next round. net_lock held.
void remote_page_attend(struct proc *p);
// The entry for a page of d at va whose frame is nobody else's.
pte_t remote_page_entry(const struct proc_desc *d, u64 va, paddr_t frame);
// Translates the user half of a root table just read from `node`.
void remote_page_translate_root(struct proc *p, u8 node);
// Installs what has arrived and goes on draining. net_lock and proc_lock held; p is off
// the CPUs, or current on this one.
void remote_page_pump(struct proc *p);
// At the edge of p's CPU, when something arrived while it ran, or it is fresh. No lock held.
void remote_page_edge(struct proc *p);
// One round of netpoll: reports finished drains, retries what found no room. net_lock.
void remote_page_poll(void);
// p has cl.ended. False: READs of it are still out, so its lenders may not be released
// yet; netpoll comes again when they are done. net_lock and proc_lock held.
bool remote_page_forget(struct proc *p);
// True: some process is to be looked at by the poll. net_lock held.
bool remote_page_waits(void);
// p runs elsewhere now: nothing of it is looked at here any more. net_lock held.
void remote_page_given(struct proc *p);
// p was frozen and stays: its drain goes on. net_lock held.
void remote_page_thawed(struct proc *p);
// True: no READ of p is under way.
bool remote_page_quiet(const struct proc *p);

struct remote_page_counters {
    u64 pages_on_fault, pages_drained, tables, local, failed;
    // Of the last process taken: dependent round trips, and bytes on the wire, from the
    // arrival of the offer to the first user instruction.
    u64 freeze_trips_last, freeze_bytes_last;
};
extern struct remote_page_counters remote_page_counters;
