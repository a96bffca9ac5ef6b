// /proc/PID/affinity and /proc/PID/why: what a process used of which node, the values of the
// rule, the prices, and the figures behind the last decision and the last move, for people.
// Called by kernel/files/procfs.c. Locks: files_lock held; proc_lock taken for a copy.
#include "kernel/placement_show.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/files/procfs.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/placement.h"
#include "kernel/whereabouts.h"

#define WHY_TEXT_BYTES 2048u
#define LACKS_BYTES 2048u
#define KIBS(bytes) ((u64)((bytes) / KIB))
#define US(ns) ((u64)((ns) / 1000))

// A copy of what is shown; files_lock.
static struct proc_place copy;
static struct { u32 pid, node_wanted; char name[PROC_NAME_MAX]; u64 pages, move_ns, cpu_ns;
                bool unit, may_move, draining; u32 lacks_len; char lacks[LACKS_BYTES]; } of;

// Of an image that waits to be taken too. S_RESTART: another node has it or takes it, as
// /proc/PID/node says by then; the caller waits until it is there. E_SRCH: no such process.
static status_t take_copy(u32 pid) {
    spin_lock(&proc_lock);
    const struct proc *p = proc_here(pid);
    status_t s = p && p->state != PROC_ZOMBIE ? S_OK : E_SRCH;
    if (s == S_OK && p->state == PROC_AWAY && where_leaves(pid)) s = S_RESTART;
    if (s == S_OK) {
        const struct proc_desc *d = proc_desc(p);
        copy = *place_of(p);
        of.pid = d->pid, of.node_wanted = d->node_wanted;
        memcpy(of.name, d->name, sizeof of.name);
        of.pages = d->pages_resident + d->pages_remote;
        of.move_ns = placement_move_ns(p);
        of.cpu_ns = d->account.cpu_ns;
        of.unit = p->placing.unit, of.may_move = placement_may_move(p);
        of.draining = p->cl.draining;
        of.lacks_len = (u32)may_run_lacks(d, cluster_up_mask(), of.lacks, sizeof of.lacks);
    }
    spin_unlock(&proc_lock);
    return s == S_RESTART ? where_wait() : s;
}

static void show_uses(struct text *t) {
    text_add(t, "used since exec, priced from elsewhere:\n"
             "node  messages  one-sided  KiB       blocks    pipe KiB  pages  waited ms  CPU ms\n");
    for (u32 i = 0; i < MIN(copy.account.count, ACCOUNT_NODES); i++) {
        const struct account_node *n = &copy.account.node[i];
        text_add(t, "%-5u %-9lu %-10lu %-9lu %-9lu %-9lu %-6lu %-10lu %lu\n", n->node, n->messages,
                 n->round_trips, KIBS(n->bytes), n->drive_blocks, KIBS(n->pipe_bytes), n->pages,
                 US(n->wait_ns) / 1000, US(n->cpu_ns) / 1000);
    }
}

static void show_rule(struct text *t) {
    const struct place *r = &copy.rule;
    text_add(t, "the rule: had it ended on that node, its best past would have cost more by\n");
    for (u32 i = 0; i < MIN(r->touched, PLACE_TOUCHED_MAX); i++)
        text_add(t, "node %u: %lu us%s\n", r->node[i], US(r->w[i]),
                 r->node[i] == r->at ? " (it is here: moves when this reaches the price of a move)"
                                     : "");
    text_add(t, "other nodes: %lu us\n", US(r->rest));
}

static void show_prices(struct text *t) {
    text_add(t, "prices as measured by node %u:\n", node_id);
    for (u32 i = 0; i < PRICES; i++) {
        const struct price_measured *m = &placement_prices.of[i];
        text_add(t, "%s: %lu ns (%lu measured%s)\n", price_name((enum price)i),
                 prices_now(&placement_prices, (enum price)i), m->samples,
                 m->samples ? "" : ": a guess");
    }
    text_add(t, "moving this process now: %lu us, %lu pages%s\n", US(of.move_ns), of.pages,
             of.draining ? ", of which some are still at its last node" : "");
}

status_t placement_show_affinity(u64 pid, struct text *t) {
    const status_t s = take_copy((u32)pid);
    if (s != S_OK) return s;
    text_add(t, "process %u (%s) on node %u, ", of.pid, of.name, node_id);
    if (of.may_move) text_add(t, "placed by the rule");
    else if (!placement_is_on()) text_add(t, "placement is off");
    else if (of.node_wanted != ~0u) text_add(t, "pinned to node %u", of.node_wanted);
    else text_add(t, "never moved by the rule");
    text_add(t, "%s; %lu moves by the rule, %lu refused\n", of.unit ? ", CPU-bound" : "",
             copy.moves, copy.refusals);
    show_uses(t);
    show_rule(t);
    show_prices(t);
    return S_OK;
}

static void show_decision(struct text *t, const char *title, const struct place_why *why) {
    static char bytes[WHY_TEXT_BYTES];           // files_lock
    if (why->time_ns == 0) {
        text_add(t, "%s: none yet\n", title);
        return;
    }
    const u32 len = place_why_format(why, bytes, sizeof bytes);
    text_add(t, "%s: ", title);
    text_add_bytes(t, bytes, len);
}

// /proc/PID/why: the figures of the last move and of the last decision.
status_t placement_show_why(u64 pid, struct text *t) {
    const status_t s = take_copy((u32)pid);
    if (s != S_OK) return s;
    show_decision(t, "last move", &copy.move);
    show_decision(t, "last decision", &copy.last);
    text_add_bytes(t, of.lacks, of.lacks_len);
    return S_OK;
}
