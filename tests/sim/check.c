// The promises, checked by one who sees all nodes at once: a process runs once, on one
// node, with its own pages, and is lost only with a death that explains it; entries do not
// lie while somebody sleeps; at the end nothing is held by anybody.
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

// Words of a page: a function of who writes it how often, and of the place in the page.
static u64 page_word(u32 pid, u32 page, u32 i) {
    u64 z = (u64)(pid + 1) << 40 ^ (u64)page << 32 ^ sim.proc[pid].version[page];
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull + i;
    return (z ^ (z >> 27)) * 0x94d049bb133111ebull;
}

void page_fill(struct sim_node *n, u64 addr, u32 pid, u32 page) {
    u64 *word = (u64 *)(void *)frame_at(n, addr);
    for (u32 i = 0; i < sim.frame_bytes / 8; i++) word[i] = page_word(pid, page, i);
}

// All bytes are those that the process wrote last, wherever that was.
void page_check(struct sim_node *n, u64 addr, u32 pid, u32 page) {
    const u64 *word = (const u64 *)(const void *)frame_at(n, addr);
    for (u32 i = 0; i < sim.frame_bytes / 8; i++)
        if (word[i] != page_word(pid, page, i))
            sim_fail("pid %u page %u has wrong bytes at node %lu, word %u", pid, page,
                     (u64)(n - sim.node), i);
}

_Static_assert(SIM_PIDS <= 64, "sets of processes are words");

static void running_note(struct sim_node *n, u32 i) {
    const u8 k = (u8)(n - sim.node);
    const u32 pid = n->place[i].pid;
    n->held |= BIT(pid);
    if (n->place[i].state != PLACE_RUNNING) return;
    if (n->running & BIT(pid)) sim_fail("pid %u runs twice on node %u", pid, k);
    n->running |= BIT(pid);
    const u64 word = words_value(&desc_of(n, i)->owner);
    if (owner_state(word) != OWNER_RUNNING || owner_node(word) != k)
        sim_fail("pid %u runs on node %u against its owner word %lx", pid, k, word);
}

// After every event: one owner. An event changes the processes of its own node alone; what
// the others have was noted after theirs.
void check_running(u8 node) {
    struct sim_node *n = &sim.node[node];
    n->running = n->held = 0;
    for (u32 i = 0; n->alive && i < SIM_PLACES; i++)
        if (n->place[i].state != PLACE_FREE) running_note(n, i);
    for (u8 k = 0; k < sim.nodes; k++) {
        const u64 both = k == node ? 0 : n->running & sim.node[k].running;
        if (both != 0)
            sim_fail("pid %u runs on nodes %u and %u at once", (u32)__builtin_ctzll(both), k, node);
    }
}

// Both know each other, for so long that a ring lost in between has been made good.
static bool are_joined(u32 a, u32 b) {
    if (a == b) return true;
    const u64 since = MAX(sim.node[a].up_ns[b], sim.node[b].up_ns[a]);
    return sim.node[a].up_ns[b] != 0 && sim.node[b].up_ns[a] != 0 &&
           sim.now_ns > since + sim.wake_lost_ns;
}

// No entry stays behind while a node that is up has room and sleeps.
void check_wake_ups(struct sim_node *n) {
    const u32 self = (u32)(n - sim.node);
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        const u64 word = words_value(&desc_of(n, i)->owner);
        if (owner_state(word) != OWNER_QUEUED || word != p->queued_word) {
            p->queued_word = word;
            p->queued_ns = sim.now_ns;
        }
        if (owner_state(word) != OWNER_QUEUED || sim.now_ns - p->queued_ns <= sim.wake_lost_ns)
            continue;
        for (u32 k = 0; k < sim.nodes; k++) {
            const struct sim_node *other = &sim.node[k];
            if (other->alive && other->idle && other->cn->seek.state == SEEK_NONE &&
                model_room(other) > 0 && are_joined(self, k))
                sim_fail("pid %u waits in the queue while node %u sleeps with room", p->pid, k);
        }
    }
}

// A death explains the loss of what ran there, lay there, or still had pages there.
void sim_explain(u8 node) {
    const struct sim_node *n = &sim.node[node];
    for (u32 i = 0; i < SIM_PLACES; i++)
        if (n->place[i].state != PLACE_FREE && !sim.proc[n->place[i].pid].exited)
            sim.proc[n->place[i].pid].explained = true;
}

static bool node_settled(const struct sim_node *n) {
    for (u32 i = 0; i < SIM_PLACES; i++)
        if (n->place[i].state != PLACE_FREE) return false;
    return true;
}

// All processes have come to their end, and all places have been given back.
bool check_settled(void) {
    for (u32 pid = 0; pid < sim.pids; pid++)
        if (!sim.proc[pid].spawned || !(sim.proc[pid].exited || sim.proc[pid].explained))
            return false;
    for (u32 k = 0; k < sim.nodes; k++)
        if (sim.node[k].alive && !node_settled(&sim.node[k])) return false;
    return !sim.roce || (drive_settled() && roce_settled());
}

static bool in_held(const struct sim_node *n, u32 i) { return n->cn->ins[i].used; }

static bool out_held(const struct sim_node *n, u32 i) {
    return n->cn->outs[i].used && n->cn->outs[i].m.state != OUT_ENDED;
}

bool check_rested(void) {
    bool held = false;
    for (u32 k = 0; k < sim.nodes && !held; k++) {
        const struct sim_node *n = &sim.node[k];
        if (!n->alive) continue;
        for (u32 i = 0; i < NODE_INS_MAX; i++) held |= in_held(n, i);
        for (u32 i = 0; i < NODE_OUTS_MAX; i++) held |= out_held(n, i);
    }
    return !held && (!sim.roce || roce_settled());
}

// It wants its tick while it gives something, or has put something off, and not else.
static void tick_check(const struct sim_node *n, u32 k) {
    u32 outs = 0;
    for (u32 i = 0; i < NODE_OUTS_MAX; i++) outs += n->cn->outs[i].used;
    if (outs != n->cn->outs_used)
        sim_fail("node %u counts %u images of %u", k, n->cn->outs_used, outs);
    if (outs == 0 && !n->cn->work_wanted && cluster_node_next_ns(n->cn) != ~0ull)
        sim_fail("node %u wants a tick for nothing", k);
}

// At the end: frames conserved, and no machine holds anything.
void check_end(void) {
    for (u32 k = 0; k < sim.nodes; k++) {
        const struct sim_node *n = &sim.node[k];
        if (!n->alive) continue;
        tick_check(n, k);
        for (u32 i = 0; i < SIM_FRAMES; i++)
            if (n->frame_owner[i] != 0) sim_fail("node %u leaked frame %u", k, i);
        for (u32 i = 0; i < NODE_INS_MAX; i++)
            if (in_held(n, i))
                sim_fail("node %u still holds an adoption in state %s", k,
                         adopt_in_state_name(n->cn->ins[i].m.state));
        for (u32 i = 0; i < NODE_OUTS_MAX; i++)
            if (out_held(n, i))
                sim_fail("node %u still keeps an image in state %s", k,
                         adopt_out_state_name(n->cn->outs[i].m.state));
    }
    if (sim.roce) roce_check_end();
}

static void dump_place(const struct sim_node *n, u8 k, u32 i) {
    const struct place *p = &n->place[i];
    struct image_id images[ADOPT_LENDERS_MAX + 1];
    printf("#   node %u place %u: state %d, word %lx, fetching %d, steps left %u\n", k, i,
           (int)p->state, n->shadow_owner[i], p->fetching, p->steps_left);
    const u32 count = cluster_node_lenders(n->cn, i, images);
    for (u32 j = 0; j < count; j++)
        printf("#     lender node %u place %u epoch %x\n", images[j].node, images[j].index,
               images[j].epoch);
    for (u32 j = 0; j < NODE_OUTS_MAX; j++)
        if (n->cn->outs[j].used && n->cn->outs[j].m.index == i)
            printf("#     out %s offers %u offering %d\n",
                   adopt_out_state_name(n->cn->outs[j].m.state), n->cn->outs[j].offers,
                   n->cn->outs[j].offering);
}

// Prints, as comments, where anything of a process lies; for the first one the nodes too.
void check_dump(u32 pid) {
    printf("# pid %u: exited %d, explained %d, step %lu\n", pid, sim.proc[pid].exited,
           sim.proc[pid].explained, sim.proc[pid].counter);
    for (u8 k = 0; k < sim.nodes; k++) {
        const struct sim_node *n = &sim.node[k];
        if (n->cn == NULL || n->descs == NULL) continue;
        if (pid == 0)
            printf("# node %u: %s, honest %d, idle %d, seek %d, members %lx, hungry %lx, "
                   "depth %u\n", k, n->alive ? "alive" : "dead", n->honest, n->idle,
                   n->cn->seek.state, n->cn->dq.members, n->shadow_words[DQ_SLOTS],
                   dqueue_depth(&n->cn->dq));
        for (u32 i = 0; i < SIM_PLACES; i++)
            if (n->place[i].state != PLACE_FREE && n->place[i].pid == pid) dump_place(n, k, i);
    }
}
