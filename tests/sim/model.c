// The kernel's side of a simulated node: places, frames, and processes that write and check
// their pages, fault remote ones in by [READ page, READ owner word], drain the rest, move,
// and end. It implements struct cluster_host, the same for both transports.
#include <string.h>

#include "tests/sim/sim.h"
#include "tests/sim/vm_drive.h"

#define ENTRY_NODE GENMASK(63, 48)
#define ENTRY_ADDR GENMASK(47, 0)
#define STEP_NS 20000
#define SLOW_STEP_NS (30 * NS_PER_MS)   // of every fifth process: it keeps its CPU for long
#define FETCH_STEP_NS (2 * NS_PER_MS)   // while a page is on its way, which may take 268 ms

static u8 self_of(const void *ctx) { return (u8)((const struct sim_node *)ctx - sim.node); }

u8 *frame_at(const struct sim_node *n, u64 addr) {
    if (addr / sim.frame_bytes >= SIM_FRAMES) sim_fail("frame %lx", addr);
    return n->memory + addr;
}

static u32 *frame_owner(struct sim_node *n, u64 addr) {
    (void)frame_at(n, addr);
    return &n->frame_owner[addr / sim.frame_bytes];
}

static u64 frame_find(struct sim_node *n) {
    if (sim.roce) return roce_frame_alloc(self_of(n));
    u64 i = 1;                                  // as in the kernel, 0 is no frame
    while (i < SIM_FRAMES && n->frame_owner[i] != 0) i++;
    return i < SIM_FRAMES ? i * SIM_MODEL_FRAME : 0;
}

static u64 frame_alloc(struct sim_node *n, u32 place) {
    const u64 addr = frame_find(n);
    if (addr == 0) sim_fail("node %u has no frame left", self_of(n));
    if (*frame_owner(n, addr) != 0) sim_fail("frame %lx is in use", addr);
    *frame_owner(n, addr) = place + 1;
    memset(frame_at(n, addr), 0xaa, sim.frame_bytes);
    return addr;
}

static void frame_free(struct sim_node *n, u64 addr) {
    *frame_owner(n, addr) = 0;
    memset(frame_at(n, addr), 0xdd, sim.frame_bytes);
    if (sim.roce) roce_frame_free(self_of(n), addr);
}

static void frames_free(struct sim_node *n, u32 place) {
    for (u64 i = 0; i < SIM_FRAMES; i++)
        if (n->frame_owner[i] == place + 1) frame_free(n, i * sim.frame_bytes);
}

static u64 *root_of(struct sim_node *n, u32 place) {
    return (u64 *)(void *)frame_at(n, desc_of(n, place)->root);
}

static bool is_here(struct sim_node *n, u32 index, u64 entry) {
    return FIELD_GET(ENTRY_NODE, entry) == self_of(n) &&
           *frame_owner(n, FIELD_GET(ENTRY_ADDR, entry)) == index + 1;
}

static u32 place_alloc(struct sim_node *n, u32 pid) {
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        if (p->state != PLACE_FREE) continue;
        *p = (struct place){.state = PLACE_RESERVED, .pid = pid, .life = p->life + 1};
        return i;
    }
    return ~0u;
}

#define DESC_BODY offsetof(struct sim_desc, pid)   // all but the owner word

static void place_free(struct sim_node *n, u32 index) {
    frames_free(n, index);
    memset((u8 *)desc_of(n, index) + DESC_BODY, 0xdd, sizeof(struct sim_desc) - DESC_BODY);
    n->place[index].state = PLACE_FREE;
}

static u64 word_of(struct sim_node *n, u32 index) {
    return word_read(words_ops(), &desc_of(n, index)->owner);
}

static void later(struct sim_node *n, u32 index, enum event_kind kind, u64 delay_ns) {
    struct event ev = {.kind = kind, .node = self_of(n), .a = index, .b = n->place[index].life};
    event_push(&ev, sim.now_ns + delay_ns);
}

static void step_later(struct sim_node *n, u32 index) {
    const struct place *p = &n->place[index];
    u64 step_ns = p->pid % 5 == 0 ? SLOW_STEP_NS : STEP_NS;
    if (sim.roce && p->fetching) step_ns = MAX(step_ns, FETCH_STEP_NS);
    later(n, index, EV_STEP, step_ns / 2 + sim_random(step_ns));
}

static void place_end(struct sim_node *n, u32 index);

// A process begins to run here: nobody else may run it, and nothing it did is undone.
static void proc_enter(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    struct sim_proc *proc = &sim.proc[p->pid];
    const u64 counter = desc_of(n, index)->counter;
    if (proc->exited) sim_fail("pid %u runs again after its end", p->pid);
    if (counter != proc->counter)
        sim_fail("pid %u went back in time: step %lu of %lu", p->pid, counter, proc->counter);
    p->state = PLACE_RUNNING;
    n->idle = false;
    if (p->doomed) {
        proc->exited = true;
        place_end(n, index);
        return;
    }
    if (p->steps_left == 0) p->steps_left = 3 + (u32)sim_random(30);
    sim_trace("node %u: pid %u runs at place %u", self_of(n), p->pid, index);
    step_later(n, index);
}

// --- struct cluster_host -----------------------------------------------------------------

static void host_post(void *ctx, struct chain *c) { fabric_post(self_of(ctx), 0, c); }

static void host_send(void *ctx, u8 to, const struct cluster_msg *m) {
    fabric_send(self_of(ctx), to, m);
}

u32 model_room(const struct sim_node *n) {
    u32 used = 0;
    for (u32 i = 0; i < SIM_PLACES; i++) {
        enum place_state s = n->place[i].state;
        used += s == PLACE_RUNNING || (s == PLACE_RESERVED && n->place[i].steps_left == ~0u);
    }
    return used < sim.room_max ? sim.room_max - used : 0;
}

static u32 host_room(void *ctx) { return model_room(ctx); }

// Which boot of `peer` this node knows; 0: none.
static u32 known(const struct sim_node *n, u8 peer) {
    if (sim.roce) return roce_incarnation(self_of(n), peer);
    return n->cn->dq.members & BIT(peer) ? 1 : 0;
}

// The place of an adopted process: the giver joins the lenders of its descriptor.
static void desc_adopt(struct sim_node *n, u32 index, const struct sim_desc *d, u64 slot) {
    struct sim_desc *own = desc_of(n, index);
    memcpy((u8 *)own + DESC_BODY, (const u8 *)d + DESC_BODY, sizeof *own - DESC_BODY);
    own->lender[own->lender_count++] =
        (struct sim_lender){adopt_image_of_slot(slot), self_of(n), 0};
    own->root = frame_alloc(n, index);
}

static status_t host_prepare(void *ctx, u64 slot, void *desc, struct adopt_plan *plan) {
    struct sim_node *n = ctx;
    const struct sim_desc *d = desc;
    sim_step_done(self_of(n));
    // Its word was ours, so its giver keeps it as it is until we are fenced.
    if (d->pid >= sim.pids || d->lender_count > ADOPT_LENDERS_MAX)
        sim_fail("node %u read a descriptor that is none", self_of(n));
    // As kernel/migrate.c: a lender known in an earlier life only could not be told.
    for (u32 i = 0; i < d->lender_count; i++) {
        const u32 incarnation = known(n, d->lender[i].image.node);
        if (incarnation == 0 || incarnation != d->lender[i].incarnation) return E_HOSTUNREACH;
    }
    if (sim_random(16) == 0) return E_NOMEM;   // the seed's own shortage
    u32 index = place_alloc(n, d->pid);
    if (index == ~0u) return E_NOMEM;
    n->place[index].steps_left = ~0u;          // counts against room, not running yet
    desc_adopt(n, index, d, slot);
    plan->index = index;
    plan->own_word = word_of(n, index);
    plan->read_count = 1;
    plan->read[0].frame = d->root;
    plan->read[0].buf = root_of(n, index);
    plan->read[0].len_bytes = sim.frame_bytes;
    plan->lender_count = d->lender_count;
    for (u32 i = 0; i < d->lender_count; i++) plan->lender[i] = d->lender[i].image;
    return S_OK;
}

static void host_drop(void *ctx, u32 index, status_t reason) {
    sim_trace("node %u: adoption at place %u dropped: %d", self_of(ctx), index, reason);
    sim_step_done(self_of(ctx));
    place_free(ctx, index);
}

static void host_start(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    n->place[index].steps_left = 0;
    sim.stats.adoptions++;
    sim_step_done(self_of(n));
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
    sim_step_done(self_of(n));
    n->place[index].state = PLACE_IMAGE;
}

static void host_image_free(void *ctx, u32 index) {
    struct sim_node *n = ctx;
    if (n->place[index].state != PLACE_IMAGE) sim_fail("freed place %u, no image", index);
    sim_step_done(self_of(n));
    place_free(n, index);
}

static void must_be_explained(u32 pid, const char *what) {
    if (sim.proc[pid].exited) return;   // it had ended; its last messages died with the node
    if (!sim.proc[pid].explained) sim_fail("pid %u %s without a death that explains it", pid, what);
    sim.stats.lost++;
}

static void host_lost(void *ctx, u32 index, u8 node) {
    struct sim_node *n = ctx;
    (void)node;
    must_be_explained(n->place[index].pid, "is reported lost");
    sim.proc[n->place[index].pid].lost_at |= BIT(self_of(n));
}

// The end of a process: its word becomes FREE, then its place is free again. The machines
// call host functions and are not entered from there, so that comes later.
static void place_end(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    const u64 word = word_of(n, index);
    p->state = PLACE_ENDING;
    if (p->fetching) return;    // the page that is on its way comes first
    if (sim.roce) {
        later(n, index, EV_END, 1 + sim_random(2000));
        return;
    }
    chain_begin(&p->chain, self_of(n));
    chain_cas(&p->chain, REGION_OWNER, index, word, owner_next(word, OWNER_FREE, self_of(n)));
    fabric_post(self_of(n), 0, &p->chain);
}

static void place_ended(struct sim_node *n, u32 index) {
    place_free(n, index);
    cluster_node_exited(n->cn, index);
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

static const struct cluster_host *model_host(u8 node) {
    static struct cluster_host host;
    host = (struct cluster_host){
        .post = host_post, .send = host_send, .room = host_room, .prepare = host_prepare,
        .drop = host_drop, .start = host_start, .run = host_run, .thaw = host_thaw,
        .given = host_given, .image_free = host_image_free, .lost = host_lost,
        .kill = host_kill, .no_lenders = host_no_lenders, .idle = host_idle,
        .log = host_log, .ctx = &sim.node[node],
    };
    return &host;
}

// A new incarnation: what others counted as dead with the one before is over, and so is what
// this node has said of others.
static void life_begins(u8 node) {
    for (u32 pid = 0; pid < sim.pids; pid++) sim.proc[pid].lost_at &= ~BIT(node);
    memset(sim.node[node].reaped, 0, sizeof sim.node[node].reaped);
    for (u32 k = 0; k < sim.nodes; k++) sim.node[k].reaped[node] = 0;
    sim.node[node].life_ns = sim.now_ns;
}

// Who waits at `node` for a process that runs at `peer` is told that it died with it. A life of
// the peer's that is over has no processes; and whom `node` fences as it joins as new, it knew in
// a life that is over, as is all that waited in it.
void model_fenced(u8 node, u8 peer) {
    const struct sim_node *other = &sim.node[peer];
    struct sim_node *n = &sim.node[node];
    if (other->alive && n->up_ns[peer] > MAX(other->life_ns, n->life_ns) + 1)
        n->reaped[peer] |= other->running;
}

// As kernel/rebirth.c: nothing of this node runs on, and what is in a queue comes back and
// ends. What this node has reported lost itself was said by an incarnation that is over.
void model_reborn(u8 node) {
    struct sim_node *n = &sim.node[node];
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        if (p->state == PLACE_RUNNING) {
            sim.proc[p->pid].exited = true;
            place_end(n, i);
        } else if (p->state == PLACE_GIVING) {
            p->doomed = true;
            cluster_node_cancel(n->cn, i, E_HOSTUNREACH);
        }
    }
    life_begins(node);
}

// A node boots, for the first time or again; nothing of an earlier life is left.
void model_boot(u8 node) {
    struct sim_node *n = &sim.node[node];
    n->alive = n->booted = true;
    n->idle = n->shadowed = false;
    n->born_ns = sim.now_ns;
    n->incarnation++;
    life_begins(node);
    sim.stats.boots++;
    memset(n->frame_owner, 0, sizeof n->frame_owner);
    for (u32 i = 0; i < SIM_PLACES; i++)
        n->place[i] = (struct place){.life = n->place[i].life + 1};
    n->descs = NULL;
    if (sim.roce) roce_boot(node, model_host(node));
    else fabric_boot(node, model_host(node));
    struct event tick = {.kind = EV_TICK, .node = node, .b = (u32)n->incarnation};
    event_push(&tick, sim.now_ns + 1 + sim_random(NODE_SWEEP_NS));
}

// --- pages -------------------------------------------------------------------------------

static u32 remote_page(struct sim_node *n, u32 index) {
    const u32 start = (u32)sim_random(SIM_PAGES);
    for (u32 i = 0; i < SIM_PAGES; i++) {
        const u32 page = (start + i) % SIM_PAGES;
        if (!is_here(n, index, root_of(n, index)[page])) return page;
    }
    return SIM_PAGES;
}

// Tells the machines which lenders no entry names any more. Two images of one node (A to
// B to A to B) are told apart by neither entry nor drain: both wait for the last page.
static void drained(struct sim_node *n, u32 index) {
    bool named[SIM_NODES] = {false};
    for (u32 page = 0; page < SIM_PAGES; page++) {
        const u64 entry = root_of(n, index)[page];
        if (!is_here(n, index, entry)) named[FIELD_GET(ENTRY_NODE, entry)] = true;
    }
    for (u8 node = 0; node < sim.nodes; node++)
        if (!named[node]) cluster_node_drained(n->cn, index, node);
}

// An image that is still kept at that node.
static const struct sim_lender *lender_at(struct sim_node *n, u32 index, u8 node) {
    struct image_id images[ADOPT_LENDERS_MAX + 1];
    const struct sim_desc *d = desc_of(n, index);
    const u32 count = cluster_node_lenders(n->cn, index, images);
    for (u32 i = 0; i < count; i++) {
        if (images[i].node != node) continue;
        for (u32 k = 0; k < d->lender_count; k++) {
            const struct image_id *l = &d->lender[k].image;
            if (l->node == node && l->index == images[i].index && l->epoch == images[i].epoch)
                return &d->lender[k];
        }
        sim_fail("a lender that the descriptor does not list");
    }
    return NULL;
}

static void fetch_start(struct sim_node *n, u32 index, u64 from, u32 lender_index) {
    struct place *p = &n->place[index];
    p->fetching = true;
    sim.stats.fetches++;
    if (!sim.roce) {
        chain_begin(&p->chain, p->fetch_node);
        chain_read(&p->chain, REGION_FRAME, from, frame_at(n, p->fetch_addr), sim.frame_bytes);
        chain_read(&p->chain, REGION_OWNER, lender_index, &p->fetched_word, 8);
        fabric_post(self_of(n), 1, &p->chain);
        return;
    }
    if (p->fetch_node == self_of(n)) {       // an image of our own: no card in between
        memcpy(frame_at(n, p->fetch_addr), frame_at(n, from), sim.frame_bytes);
        model_fetched(n, index, word_of(n, lender_index) == p->expected_word ? S_OK : E_IO);
        return;
    }
    p->fetched_word = lender_index;
    const status_t status = roce_fetch(n, index, from);
    if (status == S_OK) return;
    p->fetching = false;                     // E_AGAIN: later; E_HOSTUNREACH: kill follows
    frame_free(n, p->fetch_addr);
}

// Reads a remote page, and behind it, on the same pair, the owner word of an image that
// holds it: only where that word has not moved was the page whole.
static void fetch(struct sim_node *n, u32 index, u32 page) {
    struct place *p = &n->place[index];
    const u64 entry = root_of(n, index)[page];
    const u8 node = (u8)FIELD_GET(ENTRY_NODE, entry);
    const struct sim_lender *l = lender_at(n, index, node);
    if (l == NULL && (n->cn->dq.members & BIT(node)))
        sim_fail("pid %u needs pages of node %u, which it has released", p->pid, node);
    if (l == NULL) return;   // that lender is dead: kill is on its way
    p->fetch_page = page;
    p->fetch_node = node;
    p->fetch_addr = frame_alloc(n, index);
    p->expected_word = owner_word(OWNER_RUNNING, l->taker, l->image.epoch);
    fetch_start(n, index, FIELD_GET(ENTRY_ADDR, entry), l->image.index);
}

// The page at fetch_addr is here, or not.
void model_fetched(struct sim_node *n, u32 index, status_t status) {
    struct place *p = &n->place[index];
    p->fetching = false;
    // Its holder died before it heard of us: it answers so to our HOLDER, and kill follows.
    if (status == E_IO && !sim.proc[p->pid].explained)
        sim_fail("pid %u: node %u took its image back under us", p->pid, p->fetch_node);
    if (status != S_OK) frame_free(n, p->fetch_addr);
    if (p->state == PLACE_ENDING) {
        place_end(n, index);
        return;
    }
    if (status != S_OK) return;      // the lender is dead: kill follows
    page_check(n, p->fetch_addr, p->pid, p->fetch_page);
    root_of(n, index)[p->fetch_page] = FIELD_PREP(ENTRY_NODE, self_of(n)) | p->fetch_addr;
    sim_step_done(self_of(n));
    if (!sim.roce) drained(n, index);        // roce: with the next step, outside of the poll
}

// --- a process ---------------------------------------------------------------------------

static u8 next_node(const struct sim_node *n, u32 pid) {
    const u8 self = self_of(n), a = (u8)(pid % sim.nodes), b = (u8)((pid + 1) % sim.nodes);
    switch (sim.proc[pid].route) {
    case ROUTE_BACK_AND_FORTH: return self == a ? b : a;
    case ROUTE_ROUND: return (u8)((self + 1) % sim.nodes);
    case ROUTE_RANDOM: break;
    }
    return sim_random(8) == 0 ? NODE_ANY : (u8)sim_random(sim.nodes);
}

// What the next node finds in the descriptor: the lenders that still hold something.
static bool lenders_write(struct sim_node *n, u32 index) {
    struct image_id images[ADOPT_LENDERS_MAX + 1];
    struct sim_desc *d = desc_of(n, index);
    struct sim_lender list[ADOPT_LENDERS_MAX + 1];
    const u32 count = cluster_node_lenders(n->cn, index, images);
    if (count > ADOPT_LENDERS_MAX) return false;
    for (u32 i = 0; i < count; i++) {
        list[i] = (struct sim_lender){images[i], NODE_ANY, known(n, images[i].node)};
        for (u32 k = 0; k < d->lender_count; k++)
            if (d->lender[k].image.node == images[i].node &&
                d->lender[k].image.index == images[i].index &&
                d->lender[k].image.epoch == images[i].epoch)
                list[i].taker = d->lender[k].taker;
    }
    d->lender_count = count;
    memcpy(d->lender, list, count * sizeof list[0]);
    return true;
}

static void migrate(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    const u8 target = next_node(n, p->pid);
    if (!cluster_node_settled(n->cn, index) || !lenders_write(n, index)) return;
    p->state = PLACE_GIVING;
    sim_step_done(self_of(n));
    if (cluster_node_give(n->cn, index, target, 3) != S_OK) {
        p->state = PLACE_RUNNING;
        return;
    }
    sim.stats.migrations++;
    if (sim_random(10) == 0) cluster_node_cancel(n->cn, index, E_INTR);
}

// Checks and writes one of its pages, if it is here.
static void touch(struct sim_node *n, u32 index) {
    const u32 pid = n->place[index].pid, page = (u32)sim_random(SIM_PAGES);
    const u64 entry = root_of(n, index)[page];
    if (!is_here(n, index, entry)) return;
    page_check(n, FIELD_GET(ENTRY_ADDR, entry), pid, page);
    sim.proc[pid].version[page]++;
    page_fill(n, FIELD_GET(ENTRY_ADDR, entry), pid, page);
}

// No process goes on at a node while a member has told its kin that it is dead: it lost the
// process, or had fenced that node, as it is now, when the process ran there. Two that cannot
// hear each other, and have not noticed yet, are members by name alone.
static void not_reported_lost(const struct sim_node *n, u32 pid) {
    const u8 self = self_of(n);
    for (u8 k = 0; k < sim.nodes; k++) {
        const struct sim_node *other = &sim.node[k];
        if (k == self || n->up_ns[k] == 0 || other->up_ns[self] == 0 || cut_between(self, k))
            continue;
        if (sim.proc[pid].lost_at & BIT(k))
            sim_fail("pid %u goes on at node %u, though member %u has reported it lost", pid,
                     self, k);
        if (other->reaped[self] & BIT(pid))
            sim_fail("pid %u goes on at node %u, though it counts as dead at member %u, which had "
                     "fenced node %u as it is", pid, self, k, self);
    }
}

static void step(struct sim_node *n, u32 index) {
    struct place *p = &n->place[index];
    struct sim_proc *proc = &sim.proc[p->pid];
    struct sim_desc *d = desc_of(n, index);
    if (d->counter != proc->counter || proc->exited)
        sim_fail("pid %u runs twice: node %u is at step %lu, it has made %lu", p->pid,
                 self_of(n), d->counter, proc->counter);
    not_reported_lost(n, p->pid);
    d->counter = ++proc->counter;
    p->steps_left -= p->steps_left > 0;
    touch(n, index);
    if (!p->fetching) {
        const u32 page = remote_page(n, index);
        if (page != SIM_PAGES && sim_random(4) != 0) fetch(n, index, page);
        if (!p->fetching) drained(n, index);
    }
    if (p->state != PLACE_RUNNING) return;
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
    const u32 index = place_alloc(n, pid);
    const u32 route = (u32)sim_random(4);
    if (index == ~0u) sim_fail("no place for pid %u", pid);
    struct sim_desc *d = desc_of(n, index);
    memset((u8 *)d + DESC_BODY, 0, sizeof *d - DESC_BODY);
    d->pid = pid;
    d->root = frame_alloc(n, index);
    sim.proc[pid] = (struct sim_proc){.spawned = true, .moves = (u32)sim_random(6)};
    if (route >= 2) {
        sim.proc[pid].route = route == 2 ? ROUTE_BACK_AND_FORTH : ROUTE_ROUND;
        sim.proc[pid].moves += 4;
    }
    for (u32 page = 0; page < SIM_PAGES; page++) {
        const u64 addr = frame_alloc(n, index);
        page_fill(n, addr, pid, page);
        root_of(n, index)[page] = FIELD_PREP(ENTRY_NODE, self_of(n)) | addr;
    }
    n->place[index].state = PLACE_GIVING;
    const u8 target = sim_random(4) == 0 ? (u8)sim_random(sim.nodes) : NODE_ANY;
    if (cluster_node_give(n->cn, index, target, 3) != S_OK &&
        cluster_node_give(n->cn, index, NODE_ANY, 3) != S_OK)
        sim_fail("pid %u could not be queued", pid);
}

// --- events ------------------------------------------------------------------------------

static void tick(struct sim_node *n, const struct event *ev) {
    struct event next = *ev;
    if (ev->b != (u32)n->incarnation) return;
    if (!sim.roce) cluster_node_tick(n->cn, sim.now_ns);
    if (sim.drives) roce_drive(self_of(n))->tick();
    check_wake_ups(n);
    event_push(&next, sim.now_ns + NODE_SWEEP_NS / 2);
}

static void end(struct sim_node *n, u32 index) {
    const u64 word = word_of(n, index);
    if (word_cas(words_ops(), &desc_of(n, index)->owner, word,
                 owner_next(word, OWNER_FREE, self_of(n))) != word)
        sim_fail("place %u could not be freed", index);
    place_ended(n, index);
}

void model_event(const struct event *ev) {
    struct sim_node *n = &sim.node[ev->node];
    if (!n->alive) return;
    const struct place *p = &n->place[ev->a];
    switch (ev->kind) {
    case EV_SPAWN: spawn(n, ev->a); break;
    case EV_TICK: tick(n, ev); return;
    case EV_STEP:
        if (p->state == PLACE_RUNNING && p->life == ev->b) step(n, ev->a);
        break;
    case EV_END:
        if (p->state == PLACE_ENDING && p->life == ev->b) end(n, ev->a);
        break;
    default: return;
    }
    if (sim.roce) roce_poll_soon(ev->node);
}

// A chain of the model transport is back.
void model_posted(u8 node, struct chain *c) {
    struct sim_node *n = &sim.node[node];
    for (u32 i = 0; i < SIM_PLACES; i++) {
        struct place *p = &n->place[i];
        if (c != &p->chain) continue;
        if (p->fetching) {
            const bool stale = c->status == S_OK && p->fetched_word != p->expected_word;
            model_fetched(n, i, stale ? E_IO : c->status);
            return;
        }
        if (!chain_cas_won(c, 0)) sim_fail("place %u could not be freed", i);
        place_ended(n, i);
        return;
    }
    cluster_node_posted(n->cn, c);
}

void model_imm(u8 node, u8 from, u32 imm) {
    struct sim_node *n = &sim.node[node];
    n->idle = false;
    cluster_node_rx_imm(n->cn, from, imm, &n->inbox[from]);
}
