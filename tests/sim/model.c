// The kernel's side of a simulated node: places, frames, and processes that touch their
// pages, fault remote ones in by [READ page, READ owner word], drain the rest, move, and
// end. It implements struct cluster_host, and checks what no process can see of itself:
// that each runs once, on one node, with its own pages, and is lost only with a death
// that explains it.
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define ENTRY_NODE GENMASK(63, 32)
#define ENTRY_FRAME GENMASK(31, 0)
#define STEP_NS 20000
#define SLOW_STEP_NS (30 * NS_PER_MS)   // of every fifth process: it keeps its CPU for long
#define WAKE_LOST_NS (250 * NS_PER_MS)  // longer than it takes to notice a death

static u64 page_value(u32 pid, u32 page) { return 0x15b3a5ull * (pid + 1) + page * 7919ull; }
static u8 self_of(void *ctx) { return (u8)((struct sim_node *)ctx - sim.node); }

static u32 frame_alloc(struct sim_node *n, u32 place) {
    for (u32 i = 0; i < SIM_FRAMES; i++) {
        if (n->frame_owner[i] != 0) continue;
        n->frame_owner[i] = place + 1;
        memset(&n->frame[i], 0xaa, sizeof n->frame[i]);
        return i;
    }
    sim_fail("node %u has no frame left", self_of(n));
}

static void frames_free(struct sim_node *n, u32 place) {
    for (u32 i = 0; i < SIM_FRAMES; i++) {
        if (n->frame_owner[i] != place + 1) continue;
        n->frame_owner[i] = 0;
        memset(&n->frame[i], 0xdd, sizeof n->frame[i]);
    }
}

static struct sim_frame *root_of(struct sim_node *n, u32 place) {
    return &n->frame[n->desc[place].root_frame];
}

static u32 place_alloc(struct sim_node *n, u32 pid) {
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        if (p->state != PLACE_FREE) continue;
        u32 life = p->life + 1;
        memset(p, 0, sizeof *p);
        p->state = PLACE_RESERVED;
        p->pid = pid;
        p->life = life;
        return i;
    }
    return ~0u;
}

static void place_free(struct sim_node *n, u32 index) {
    frames_free(n, index);
    memset(&n->desc[index], 0xdd, sizeof n->desc[index]);
    n->place[index].state = PLACE_FREE;
}

static u64 word_of(struct sim_node *n, u32 index) {
    return word_read(fabric_words(), &n->owner[index]);
}

static void step_later(struct sim_node *n, u32 index) {
    struct event ev = {.kind = EV_STEP, .node = self_of(n), .a = index, .b = n->place[index].life};
    u64 step_ns = n->place[index].pid % 5 == 0 ? SLOW_STEP_NS : STEP_NS;
    event_push(&ev, sim.now_ns + step_ns / 2 + sim_random(step_ns));
}

// A process begins to run here: nobody else may run it, and nothing it did is undone.
static void proc_enter(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    struct sim_proc *proc = &sim.proc[p->pid];
    if (proc->exited) sim_fail("pid %u runs again after its end", p->pid);
    if (n->desc[index].counter != proc->counter)
        sim_fail("pid %u went back in time: step %lu of %lu", p->pid, n->desc[index].counter,
                 proc->counter);
    p->state = PLACE_RUNNING;
    n->idle = false;
    if (p->steps_left == 0) p->steps_left = 3 + (u32)sim_random(30);
    sim_trace("node %u: pid %u runs at place %u", self_of(n), p->pid, index);
    step_later(n, index);
}

static void host_post(void *ctx, struct chain *c) { fabric_post(self_of(ctx), 0, c); }

static void host_send(void *ctx, u8 to, const struct cluster_msg *m) {
    fabric_send(self_of(ctx), to, m);
}

static u32 host_room(void *ctx) {
    struct sim_node *n = ctx;
    u32 used = 0;
    for (u32 i = 0; i < SIM_PLACES; i++) {
        enum place_state s = n->place[i].state;
        used += s == PLACE_RUNNING || (s == PLACE_RESERVED && n->place[i].steps_left == ~0u);
    }
    return used < sim.room_max ? sim.room_max - used : 0;
}

static status_t host_prepare(void *ctx, u64 slot, void *desc, struct adopt_plan *plan) {
    struct sim_node *n = ctx;
    const struct sim_desc *d = desc;
    if (d->pid >= sim.pids || d->lender_count > ADOPT_LENDERS_MAX) {
        // Its giver died or freed it while we read: the last CAS could not succeed.
        sim_fail("node %u read a descriptor that is none", self_of(n));
    }
    for (u32 i = 0; i < d->lender_count; i++)
        if (!(n->cn.dq.members & BIT(d->lender[i].node))) return E_HOSTUNREACH;
    if (sim_random(16) == 0) return E_NOMEM;   // the seed's own shortage
    u32 index = place_alloc(n, d->pid);
    if (index == ~0u) return E_NOMEM;
    n->place[index].steps_left = ~0u;          // counts against room, not running yet
    n->desc[index] = *d;
    n->desc[index].root_frame = frame_alloc(n, index);
    plan->index = index;
    plan->own_word = word_of(n, index);
    plan->read_count = 1;
    plan->read[0].frame = d->root_frame;
    plan->read[0].buf = root_of(n, index);
    plan->read[0].len_bytes = sizeof(struct sim_frame);
    plan->lender_count = d->lender_count;
    memcpy(plan->lender, d->lender, sizeof plan->lender);
    (void)slot;
    return S_OK;
}

static void host_drop(void *ctx, u32 index, status_t reason) {
    sim_trace("node %u: adoption at place %u dropped: %d", self_of(ctx), index, reason);
    place_free(ctx, index);
}

static void host_start(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    n->place[index].steps_left = 0;
    sim.adoptions++;
    proc_enter(n, index);
}

static void host_run(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    if (n->place[index].state != PLACE_GIVING) sim_fail("took place %u, not in the queue", index);
    proc_enter(n, index);
}

static void host_thaw(void *ctx, u32 index, status_t reason) {
    sim_trace("node %u: place %u thaws: %d", self_of(ctx), index, reason);
    host_run(ctx, index);
}

static void host_given(void *ctx, u32 index, u8 node) {
    struct sim_node *n = ctx;
    sim_trace("node %u: pid %u is at node %u now", self_of(n), n->place[index].pid, node);
    n->place[index].state = PLACE_IMAGE;
}

static void host_image_free(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    if (n->place[index].state != PLACE_IMAGE) sim_fail("freed place %u, no image", index);
    place_free(n, index);
}

static void must_be_explained(u32 pid, const char *what) {
    if (sim.proc[pid].exited) return;   // it had ended; its last messages died with the node
    if (!sim.proc[pid].explained) sim_fail("pid %u %s without a death that explains it", pid, what);
    sim.lost++;
}

static void host_lost(void *ctx, u32 index, u8 node) {
    struct sim_node *n = ctx;
    (void)node;
    must_be_explained(n->place[index].pid, "is reported lost");
}

static void place_end(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    u64 word = word_of(n, index);
    p->state = PLACE_ENDING;
    if (p->fetching) return;    // the page that is on its way comes first
    chain_begin(&p->chain, self_of(n));
    chain_cas(&p->chain, REGION_OWNER, index, word, owner_next(word, OWNER_FREE, self_of(n)));
    fabric_post(self_of(n), 0, &p->chain);
}

static void host_kill(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    must_be_explained(n->place[index].pid, "is killed");
    if (n->place[index].state == PLACE_ENDING) return;
    sim.proc[n->place[index].pid].exited = true;
    place_end(n, index);
}

static void host_no_lenders(void *ctx, u32 index) {
    (void)ctx;
    (void)index;
}

static void host_idle(void *ctx) { ((struct sim_node *)ctx)->idle = true; }

static void host_log(void *ctx, const char *what, u64 a, u64 b) {
    sim_trace("node %u: %s %lu %lu", self_of(ctx), what, a, b);
}

static void rng_fill(void *ctx, void *to, size_t len_bytes) {
    (void)ctx;
    for (size_t i = 0; i < len_bytes; i++) ((u8 *)to)[i] = (u8)sim_random(256);
}

void model_init_node(u8 node) {
    static const struct rng rng = {.fill = rng_fill};
    struct sim_node *n = &sim.node[node];
    struct cluster_node_config config = {
        .self = node, .incarnation = 1, .shard = &n->shard, .owner_base = n->owner,
        .owner_stride = 8, .desc_count = SIM_PLACES, .desc_bytes = sizeof(struct sim_desc),
        .words = fabric_words(), .rng = &rng,
        .host = {
            .post = host_post, .send = host_send, .room = host_room, .prepare = host_prepare,
            .drop = host_drop, .start = host_start, .run = host_run, .thaw = host_thaw,
            .given = host_given, .image_free = host_image_free, .lost = host_lost,
            .kill = host_kill, .no_lenders = host_no_lenders, .idle = host_idle,
            .log = host_log, .ctx = n,
        },
    };
    n->alive = true;
    for (u32 i = 0; i < SIM_PLACES; i++) {
        u64 word = owner_word(OWNER_FREE, node, (u32)sim_random(1u << 24));
        memcpy(&n->owner[i], &word, 8);   // boot, before any peer has a key
        n->shadow_owner[i] = word;
    }
    cluster_node_init(&n->cn, &config);
}

static u32 remote_entry(struct sim_node *n, u32 index) {
    const struct sim_frame *root = root_of(n, index);
    u32 start = (u32)sim_random(SIM_PAGES);
    for (u32 i = 0; i < SIM_PAGES; i++) {
        u32 page = (start + i) % SIM_PAGES;
        u64 frame = FIELD_GET(ENTRY_FRAME, root->word[page]);
        if (FIELD_GET(ENTRY_NODE, root->word[page]) != self_of(n)) return page;
        if (n->frame_owner[frame] != index + 1) return page;   // in an image of our own
    }
    return SIM_PAGES;
}

static const struct image_id *image_at(const struct image_id *list, u32 count, u8 node) {
    for (u32 i = 0; i < count; i++)
        if (list[i].node == node) return &list[i];
    return NULL;
}

// Tells the machines which lenders no entry names any more. Two images of one node (A to
// B to A to B) are told apart by neither entry nor drain: both wait for the last page.
static void drained(struct sim_node *n, u32 index) {
    bool named[SIM_NODES] = {false};
    const struct sim_frame *root = root_of(n, index);
    for (u32 page = 0; page < SIM_PAGES; page++) {
        u64 node = FIELD_GET(ENTRY_NODE, root->word[page]);
        u64 frame = FIELD_GET(ENTRY_FRAME, root->word[page]);
        if (node != self_of(n) || n->frame_owner[frame] != index + 1) named[node] = true;
    }
    for (u8 node = 0; node < sim.nodes; node++)
        if (!named[node]) cluster_node_drained(&n->cn, index, node);
}

// Reads a remote page, and behind it, on the same pair, the owner word of each image
// that may hold it: only one whose word has not moved proves that the page was whole.
static void fetch(struct sim_node *n, u32 index, u32 page) {
    struct place *p = &n->place[index];
    struct image_id images[ADOPT_LENDERS_MAX + 1];
    u32 count = cluster_node_lenders(&n->cn, index, images);
    u64 entry = root_of(n, index)->word[page];
    u8 node = (u8)FIELD_GET(ENTRY_NODE, entry);
    const struct image_id *image = image_at(images, count, node);
    if (image == NULL && (n->cn.dq.members & BIT(node)))
        sim_fail("pid %u needs pages of node %u, which it has released", p->pid, node);
    if (image == NULL) return;   // that lender is dead: kill is on its way
    p->fetch_page = page;
    p->fetching = true;
    chain_begin(&p->chain, node);
    chain_read(&p->chain, REGION_FRAME, FIELD_GET(ENTRY_FRAME, entry), &p->fetched,
               sizeof p->fetched);
    chain_read(&p->chain, REGION_OWNER, image->index, &p->fetched_word, 8);
    p->chain.wr[0].imm = image->epoch;
    fabric_post(self_of(n), 1, &p->chain);
}

static void fetched(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    p->fetching = false;
    if (p->state == PLACE_ENDING) {
        place_end(n, index);
        return;
    }
    if (p->chain.status != S_OK) return;   // the lender is dead: kill follows
    if (owner_state(p->fetched_word) != OWNER_RUNNING ||
        owner_epoch(p->fetched_word) != p->chain.wr[0].imm)
        sim_fail("pid %u: node %u took its image back under us", p->pid, p->chain.node);
    if (p->fetched.word[0] != page_value(p->pid, p->fetch_page))
        sim_fail("pid %u page %u has wrong bytes from node %u", p->pid, p->fetch_page,
                 p->chain.node);
    u32 frame = frame_alloc(n, index);
    n->frame[frame] = p->fetched;
    root_of(n, index)->word[p->fetch_page] = FIELD_PREP(ENTRY_NODE, self_of(n)) | frame;
    drained(n, index);
}

static void migrate(struct sim_node *n, u32 index) {
    struct image_id images[ADOPT_LENDERS_MAX + 1];
    u8 target = sim_random(8) == 0 ? NODE_ANY : (u8)sim_random(sim.nodes);
    struct place *p = &n->place[index];
    if (!cluster_node_settled(&n->cn, index)) return;
    u32 count = cluster_node_lenders(&n->cn, index, images);
    if (count > ADOPT_LENDERS_MAX) return;
    n->desc[index].lender_count = count;
    memcpy(n->desc[index].lender, images, sizeof n->desc[index].lender);
    p->state = PLACE_GIVING;
    status_t status = cluster_node_give(&n->cn, index, target, 3);
    if (status == S_OK) {
        sim.migrations++;
        if (sim_random(10) == 0) cluster_node_cancel(&n->cn, index, E_INTR);
    } else {
        p->state = PLACE_RUNNING;
    }
}

static void step(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    struct sim_proc *proc = &sim.proc[p->pid];
    if (n->desc[index].counter != proc->counter || proc->exited)
        sim_fail("pid %u runs twice: node %u is at step %lu, it has made %lu", p->pid,
                 self_of(n), n->desc[index].counter, proc->counter);
    n->desc[index].counter = ++proc->counter;
    p->steps_left -= p->steps_left > 0;
    if (!p->fetching) {
        u32 page = remote_entry(n, index);
        if (page != SIM_PAGES && sim_random(4) != 0) fetch(n, index, page);
        if (page == SIM_PAGES) drained(n, index);
    }
    if (!p->fetching && proc->moves > 0 && sim_random(4) == 0) {
        proc->moves--;
        migrate(n, index);
        if (p->state != PLACE_RUNNING) return;
    }
    if (p->steps_left == 0 && !p->fetching) {
        proc->exited = true;
        sim_trace("node %u: pid %u ends", self_of(n), p->pid);
        place_end(n, index);
        return;
    }
    step_later(n, index);
}

static void spawn(struct sim_node *n, u32 pid) {
    u32 index = place_alloc(n, pid);
    if (index == ~0u) sim_fail("no place for pid %u", pid);
    struct sim_desc *d = &n->desc[index];
    memset(d, 0, sizeof *d);
    d->pid = pid;
    d->root_frame = frame_alloc(n, index);
    for (u32 page = 0; page < SIM_PAGES; page++) {
        u32 frame = frame_alloc(n, index);
        n->frame[frame].word[0] = page_value(pid, page);
        root_of(n, index)->word[page] = FIELD_PREP(ENTRY_NODE, self_of(n)) | frame;
    }
    sim.proc[pid] = (struct sim_proc){.spawned = true, .moves = (u32)sim_random(6)};
    n->place[index].state = PLACE_GIVING;
    u8 target = sim_random(4) == 0 ? (u8)sim_random(sim.nodes) : NODE_ANY;
    if (cluster_node_give(&n->cn, index, target, 3) != S_OK &&
        cluster_node_give(&n->cn, index, NODE_ANY, 3) != S_OK)
        sim_fail("pid %u could not be queued", pid);
}

// No entry stays behind while a node that is up has room and sleeps.
static void check_wake_ups(struct sim_node *n) {
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        u64 word = word_of(n, i);
        if (owner_state(word) != OWNER_QUEUED || word != p->queued_word) {
            p->queued_word = word;
            p->queued_ns = sim.now_ns;
        }
        bool old = owner_state(word) == OWNER_QUEUED && sim.now_ns - p->queued_ns > WAKE_LOST_NS;
        for (u32 k = 0; old && k < sim.nodes; k++) {
            struct sim_node *other = &sim.node[k];
            if (other->alive && other->idle && other->cn.seek.state == SEEK_NONE &&
                host_room(other) > 0)
                sim_fail("pid %u waits in the queue while node %u sleeps with room", p->pid, k);
        }
    }
}

void model_event(const struct event *ev) {
    struct sim_node *n = &sim.node[ev->node];
    if (!n->alive) return;
    if (ev->kind == EV_SPAWN) {
        spawn(n, ev->a);
    } else if (ev->kind == EV_TICK && ev->b == 0) {
        struct event next = *ev;
        cluster_node_tick(&n->cn, sim.now_ns);
        check_wake_ups(n);
        event_push(&next, sim.now_ns + NODE_SWEEP_NS / 2);
    } else if (ev->kind == EV_STEP) {
        struct place *p = &n->place[ev->a];
        if (p->state == PLACE_RUNNING && p->life == ev->b) step(n, ev->a);
    } else if (ev->kind == EV_DETECT && !(n->down & BIT(ev->from))) {
        fabric_fence(ev->node, ev->from);
        cluster_node_peer_down(&n->cn, ev->from);
    }
}

void model_posted(u8 node, struct chain *c) {
    struct sim_node *n = &sim.node[node];
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        if (c != &p->chain) continue;
        if (p->fetching) {
            fetched(n, i);
            return;
        }
        if (!chain_cas_won(c, 0)) sim_fail("place %u could not be freed", i);
        place_free(n, i);
        cluster_node_exited(&n->cn, i);
        return;
    }
    cluster_node_posted(&n->cn, c);
}

void model_imm(u8 node, u8 from, u32 imm) {
    struct sim_node *n = &sim.node[node];
    n->idle = false;
    cluster_node_rx_imm(&n->cn, from, imm, &n->inbox[from]);
}

// A death explains the loss of what ran there, lay there, or still had pages there.
void model_kill(u8 node) {
    struct sim_node *n = &sim.node[node];
    n->alive = false;
    n->last_packet_ns = sim.now_ns + sim_random(10000);
    sim.kills++;
    for (u32 i = 0; i < SIM_PLACES; i++)
        if (n->place[i].state != PLACE_FREE && !sim.proc[n->place[i].pid].exited)
            sim.proc[n->place[i].pid].explained = true;
    for (u8 k = 0; k < sim.nodes; k++) {
        struct event ev = {.kind = EV_DETECT, .node = k, .from = node};
        if (k != node) event_push(&ev, n->last_packet_ns + 1 + sim_random(50 * NS_PER_MS));
    }
}

// After every event: one owner.
void model_check(void) {
    u8 runs_at[SIM_PIDS];
    memset(runs_at, 0xff, sizeof runs_at);
    for (u8 k = 0; k < sim.nodes; k++) {
        struct sim_node *n = &sim.node[k];
        for (u32 i = 0; n->alive && i < SIM_PLACES; i++) {
            if (n->place[i].state != PLACE_RUNNING) continue;
            u32 pid = n->place[i].pid;
            if (runs_at[pid] != 0xff)
                sim_fail("pid %u runs on nodes %u and %u at once", pid, runs_at[pid], k);
            runs_at[pid] = k;
            u64 word = word_of(n, i);
            if (owner_state(word) != OWNER_RUNNING || owner_node(word) != k)
                sim_fail("pid %u runs on node %u against its owner word %lx", pid, k, word);
        }
    }
}

static bool node_settled(const struct sim_node *n) {
    for (u32 i = 0; i < SIM_PLACES; i++)
        if (n->place[i].state != PLACE_FREE) return false;
    return true;
}

// All processes have come to their end, and all places have been given back.
bool model_settled(void) {
    for (u32 pid = 0; pid < sim.pids; pid++)
        if (!sim.proc[pid].spawned || !(sim.proc[pid].exited || sim.proc[pid].explained))
            return false;
    for (u32 k = 0; k < sim.nodes; k++)
        if (sim.node[k].alive && !node_settled(&sim.node[k])) return false;
    return true;
}

// At the end: frames conserved, and no machine holds anything.
void model_check_end(void) {
    for (u32 k = 0; k < sim.nodes; k++) {
        struct sim_node *n = &sim.node[k];
        for (u32 i = 0; n->alive && i < SIM_FRAMES; i++)
            if (n->frame_owner[i] != 0) sim_fail("node %u leaked frame %u", k, i);
        for (u32 i = 0; n->alive && i < NODE_INS_MAX; i++)
            if (n->cn.ins[i].used)
                sim_fail("node %u still holds an adoption in state %s", k,
                         adopt_in_state_name(n->cn.ins[i].m.state));
        for (u32 i = 0; n->alive && i < NODE_OUTS_MAX; i++)
            if (n->cn.outs[i].used && n->cn.outs[i].m.state != OUT_ENDED)
                sim_fail("node %u still keeps an image in state %s", k,
                         adopt_out_state_name(n->cn.outs[i].m.state));
    }
}

// Prints, as comments, where anything of a process lies.
void model_dump(u32 pid) {
    printf("# pid %u: exited %d, explained %d, step %lu\n", pid, sim.proc[pid].exited,
           sim.proc[pid].explained, sim.proc[pid].counter);
    for (u8 k = 0; k < sim.nodes; k++) {
        struct sim_node *n = &sim.node[k];
        if (pid == 0)
            printf("# node %u: %s, idle %d, seek %d, members %lx, hungry word %lx, depth %u\n",
                   k, n->alive ? "alive" : "dead", n->idle, n->cn.seek.state,
                   n->cn.dq.members, n->shadow_shard[DQ_SLOTS], dqueue_depth(&n->cn.dq));
        for (u32 i = 0; i < SIM_PLACES; i++) {
            const struct place *p = &n->place[i];
            if (p->state == PLACE_FREE || p->pid != pid) continue;
            printf("#   node %u place %u: state %d, word %lx, fetching %d, steps left %u\n", k, i,
                   (int)p->state, n->shadow_owner[i], p->fetching, p->steps_left);
            struct image_id images[ADOPT_LENDERS_MAX + 1];
            u32 count = cluster_node_lenders(&n->cn, i, images);
            for (u32 j = 0; j < count; j++)
                printf("#     lender node %u place %u epoch %x\n", images[j].node,
                       images[j].index, images[j].epoch);
            for (u32 j = 0; j < NODE_OUTS_MAX; j++)
                if (n->cn.outs[j].used && n->cn.outs[j].m.index == i)
                    printf("#     out %s offers %u offering %d\n",
                           adopt_out_state_name(n->cn.outs[j].m.state), n->cn.outs[j].offers,
                           n->cn.outs[j].offering);
        }
    }
}
