// Asks the members for children whose node died: it may have given them on before, and then
// they live. proto/cluster/where.c decides; the parent's node asks and, when all have said
// "not here", has the exit record written. Callers: whereabouts.c, under net_lock.
// Lock: searches under proc_lock; sending under net_lock. Spec: docs/ARCHITECTURE.md.
#include "kernel/where_search.h"

#include "kernel/cluster.h"
#include "kernel/obituary.h"
#include "kernel/time.h"
#include "kernel/whereabouts.h"

#define SEARCHES_MAX 2048u           // as many as children elsewhere are known
#define ASKED_PER_ROUND 16u          // a peer takes LINK_MSGS of them, and other messages too
#define ROUND_NS 10000000ull

static struct { u32 pid; struct where_search s; } searches[SEARCHES_MAX];   // pid 0: free
static u32 searches_end, live;       // no place from searches_end on was ever used
static u32 next_place;               // where the next round goes on
static u64 round_at_ns;

static u64 others(void) { return cluster_up_mask() & ~BIT(node_id); }

static u32 place_of_pid(u32 pid) {
    u32 i = 0;
    while (i < searches_end && searches[i].pid != pid) i++;
    return i;
}

static void place_end(u32 i) {
    if (searches[i].pid == 0) return;
    searches[i].pid = 0;
    live--;
}

static bool place_alloc(u32 pid, u32 *at) {
    *at = place_of_pid(pid);
    if (*at < searches_end) return true;
    *at = place_of_pid(0);
    if (*at == SEARCHES_MAX) return false;
    searches_end = MAX(searches_end, *at + 1);
    searches[*at].pid = pid;
    searches[*at].s = (struct where_search){0};
    live++;
    return true;
}

// Nobody has it. proc_lock held.
static void lost(u32 pid, u8 gone) {
    obituary_add(pid, "", gone, "it ran there");
    where_forget(pid);
    child_lost(pid);
}

void search_begin(u32 pid, u8 gone) {
    u64 stay;
    struct where_seen seen;
    where_see(pid, &seen, &stay);
    const struct where_found found = where_decide(&seen);
    if (found.kind == WHERE_HERE || seen.frozen) return;     // this node itself says what ends
    u32 i;
    if (!place_alloc(pid, &i)) {
        lost(pid, gone);
        return;
    }
    struct where_search *s = &searches[i].s;
    s->stay = MAX(s->stay, stay);
    if (where_search_begin(s, gone, found.node, others()) == WHERE_LOST) {
        place_end(i);
        lost(pid, gone);
    }
}

void search_end(u32 pid) {
    const u32 i = live ? place_of_pid(pid) : searches_end;
    if (i < searches_end) place_end(i);
}

u8 search_gone(u32 pid) {
    const u32 i = live ? place_of_pid(pid) : searches_end;
    return i < searches_end ? where_search_gone(&searches[i].s) : WHERE_NONE;
}

// Asks what is due of one place. proc_lock held; returns whom to send *m.
static u64 step(u32 i, u64 now_ns, struct cluster_msg *m) {
    const u32 pid = searches[i].pid;
    struct where_search *s = &searches[i].s;
    if (pid == 0) return 0;
    if (!child_waits(pid)) {         // it is back, has ended, or its parent went elsewhere
        place_end(i);
        return 0;
    }
    const u8 gone = where_search_gone(s);
    const u64 to = where_search_due(s, others(), now_ns);
    if (!s->on) {
        place_end(i);
        lost(pid, gone);
        return 0;
    }
    const u8 about = where_search_gone(s);
    *m = (struct cluster_msg){.type = MSG_WHERE, .tag = s->round,
                              .process = {.pid = pid, .node = about, .stay = s->stay,
                                          .incarnation = cluster_fenced(about)}};
    return to;
}

void search_poll(u64 now_ns) {
    if (live == 0 || now_ns < round_at_ns) return;
    round_at_ns = now_ns + ROUND_NS;
    for (u32 k = 0, asked = 0; k < searches_end && asked < ASKED_PER_ROUND; k++) {
        struct cluster_msg m;
        next_place = next_place + 1 < searches_end ? next_place + 1 : 0;
        spin_lock(&proc_lock);
        u64 to = step(next_place, now_ns, &m);
        spin_unlock(&proc_lock);
        asked += to != 0;
        for (; to != 0; to &= to - 1) (void)cluster_send((u32)__builtin_ctzll(to), &m);
    }
}

bool search_waits(void) { return live != 0; }
u64 search_deadline_ns(void) { return live ? round_at_ns : ~0ull; }

// Another node asks. What is HERE has its stay in its descriptor.
void search_rx_asked(u8 from, const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    struct where_seen seen;
    struct where_asked asked = {.stay = p->stay};
    if (p->node >= NODES_MAX) return;
    asked.gone_up = p->incarnation != 0 && cluster_incarnation(p->node) == p->incarnation;
    spin_lock(&proc_lock);
    where_see(p->pid, &seen, &asked.own_stay);
    asked.end_told = end_is_told(p->pid);
    spin_unlock(&proc_lock);
    const struct where_told told = where_answer(&seen, &asked);
    const struct cluster_msg answer = {
        .type = MSG_WHERE_TOLD, .tag = m->tag,
        .status = told.reply == WHERE_LATER ? E_AGAIN
                  : told.reply == WHERE_NOT_HERE ? E_SRCH : S_OK,
        .process = {.pid = p->pid, .node = told.node, .stay = told.stay}};
    (void)cluster_send(from, &answer);
}

// A member answers.
void search_rx_told(u8 from, const struct cluster_msg *m) {
    const struct msg_process *p = &m->process;
    spin_lock(&proc_lock);
    const u32 i = live && p->pid ? place_of_pid(p->pid) : searches_end;
    if (i < searches_end) {
        const struct where_told told = {
            m->status == E_SRCH ? WHERE_NOT_HERE : m->status != S_OK ? WHERE_LATER
            : p->node == from ? WHERE_IS : WHERE_WENT, (u8)p->node, p->stay};
        struct where_search *s = &searches[i].s;
        const u8 gone = where_search_gone(s);
        const enum where_verdict v = where_search_told(s, m->tag, from, &told, others());
        if (v == WHERE_FOUND) where_set(p->pid, from, p->stay);
        if (v != WHERE_OPEN) place_end(i);
        if (v == WHERE_LOST) lost(p->pid, gone);
    }
    spin_unlock(&proc_lock);
}
