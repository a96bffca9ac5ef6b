// The transport over real soft RoCE: one copy of the kernel's cluster code a node (vm.h),
// polled when a frame came, a timer is due or a process did something. A boot draws a new
// incarnation; a node may die at any event and boot again. A seed may have a stranger: a
// node with another key, or one that the others' cluster.conf does not list.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/sim.h"
#include "tests/sim/vm.h"

#define MEMORY_BASE 0x200000000000ull    // the same in every run, with and without ASan
#define MEMORY_STRIDE (1ull << 32)
#define MEMORY_BYTES ((u64)SIM_FRAMES * PAGE_SIZE)
#define POLL_ROUNDS 16u
#define GIVEN_MAX 8u                     // connections whose keys are remembered
#define REFUSED_NS (11 * NS_PER_S)       // two calls at the longest waits
#define NODE_IP(k) (0x0a070001u + (k))

// One copy a node, as build.mk makes them.
#define COPIES(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7)
_Static_assert(SIM_NODES == 8, "as many copies as build.mk makes");
#define COPY_DECLARE(k) \
    extern const struct vm_ops vm_ops_##k; \
    extern u64 __start_vm_data_##k[], __stop_vm_data_##k[]; \
    extern u64 __start_vm_bss_##k[], __stop_vm_bss_##k[];
COPIES(COPY_DECLARE)

#define COPY_OPS(k) &vm_ops_##k,
static const struct vm_ops *const copies[SIM_NODES] = {COPIES(COPY_OPS)};

struct span { u64 *from, *to, *pristine; };
#define COPY_SPANS(k) \
    {__start_vm_data_##k, __stop_vm_data_##k, NULL}, {__start_vm_bss_##k, __stop_vm_bss_##k, NULL},
static struct span spans[2 * SIM_NODES] = {COPIES(COPY_SPANS)};

struct block { struct block *next, *prev; } __attribute__((aligned(64)));

static struct block blocks[SIM_NODES];   // what each node has allocated
static u64 poll_at_ns[SIM_NODES];        // 0: no poll under way
static struct cluster_conf confs[SIM_NODES];
static u64 refused[SIM_NODES];
static struct given { u32 count, key[GIVEN_MAX][VM_KEYS]; } given[SIM_NODES][SIM_NODES];

// --- what a copy asks for ----------------------------------------------------------------

u64 vm_now_ns(void) { return sim.now_ns; }

void vm_random(void *to, u64 len_bytes) {
    for (u64 i = 0; i < len_bytes; i++) ((u8 *)to)[i] = (u8)sim_random(256);
}

void vm_log(u8 node, const char *text) { sim_trace("node %u: %s", node, text); }

void *vm_alloc(u8 node, u64 len_bytes) {
    struct block *b = aligned_alloc(64, sizeof *b + ALIGN_UP(len_bytes, 64ull));
    if (b == NULL) sim_fail("the host has no memory");
    memset(b, 0, sizeof *b + ALIGN_UP(len_bytes, 64ull));
    b->next = blocks[node].next;
    b->prev = &blocks[node];
    b->next->prev = b->prev->next = b;
    return b + 1;
}

// The node ends its connections, and with them what has something beyond.
void vm_reborn(u8 node) {
    sim_trace("node %u joins as new", node);
    sim.stats.reborn++;
    if (!cut_may_part()) sim_fail("node %u joins as new without a cut", node);
    sim_explain(node);
    model_reborn(node);
}

void vm_free(u8 node, void *ptr) {
    struct block *b = (struct block *)ptr - 1;
    (void)node;
    b->next->prev = b->prev;
    b->prev->next = b->next;
    free(b);
}

// --- boot --------------------------------------------------------------------------------

// Between the globals of a copy lies what the address sanitizer forbids to touch.
__attribute__((no_sanitize("address", "undefined")))
static void copy_plain(volatile u64 *to, const volatile u64 *from, u64 count) {
    for (u64 i = 0; i < count; i++) to[i] = from[i];
}

static void spans_save(void) {
    for (u32 i = 0; i < ARRAY_COUNT(spans); i++) {
        const u64 words = ((u64)spans[i].to - (u64)spans[i].from) / 8;
        spans[i].pristine = malloc(words * 8);
        copy_plain(spans[i].pristine, spans[i].from, words);
    }
    for (u32 k = 0; k < SIM_NODES; k++) {
        blocks[k].next = blocks[k].prev = &blocks[k];
        void *at = (void *)(MEMORY_BASE + k * MEMORY_STRIDE);
        if (mmap(at, MEMORY_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
            sim_fail("no memory at %p", at);
    }
}

static void copy_reset(u8 node) {
    for (u32 i = 2u * node; i < 2u * node + 2; i++)
        copy_plain(spans[i].from, spans[i].pristine,
                   ((u64)spans[i].to - (u64)spans[i].from) / 8);
    while (blocks[node].next != &blocks[node]) vm_free(node, blocks[node].next + 1);
}

// cluster.conf of each node. By the seed, the last node has another key, or no line in the
// others' files.
void roce_begin(void) {
    if (spans[0].pristine == NULL) spans_save();
    const u64 odd = sim_random(6);
    net_begin();
    memset(confs, 0, sizeof confs);
    memset(poll_at_ns, 0, sizeof poll_at_ns);
    memset(refused, 0, sizeof refused);
    for (u8 k = 0; k < sim.nodes; k++) {
        struct cluster_conf *conf = &confs[k];
        conf->valid = conf->key_set = true;
        memset(conf->key, 0x5a, sizeof conf->key);
        sim.node[k].honest = k + 1u < sim.nodes || odd > 1;
        if (!sim.node[k].honest && odd == 0) conf->key[sim_random(CLUSTER_KEY_BYTES)] ^= 1;
        for (u8 i = 0; i < sim.nodes; i++) {
            conf->node[i].listed = true;
            conf->node[i].ipv4 = NODE_IP(i);
            net_mac(i, conf->node[i].mac);
        }
        if (k + 1u < sim.nodes && odd == 1) conf->node[sim.nodes - 1].listed = false;
    }
}

// A peer's keys, of this connection and of those before, are no good once it is fenced.
static void keys_check(u8 self, u8 peer, bool up) {
    struct given *g = &given[self][peer];
    if (up) {
        copies[self]->keys(peer, g->key[g->count % GIVEN_MAX]);
        for (u32 i = 0; i < VM_KEYS; i++)
            if (!copies[self]->key_valid(peer, g->key[g->count % GIVEN_MAX][i]))
                sim_fail("node %u gave node %u a key that is none", self, peer);
        g->count++;
        return;
    }
    for (u32 k = 0; k < MIN(g->count, GIVEN_MAX); k++)
        for (u32 i = 0; i < VM_KEYS; i++)
            if (copies[self]->key_valid(peer, g->key[k][i]))
                sim_fail("node %u has fenced node %u, whose key %x is still good", self, peer,
                         g->key[k][i]);
}

u64 roce_bad_qpn(u8 node) { return copies[node]->bad_qpn(); }

static void changed(void *ctx, u32 peer, bool up) {
    struct sim_node *n = ctx;
    const u8 self = (u8)(n - sim.node);
    const struct sim_node *other = &sim.node[peer];
    if (up && !(n->honest && other->honest)) sim_fail("node %u let stranger %u in", self, peer);
    // A pair breaks only by a death: with the chances used here, eight losses in a row
    // do not happen.
    if (!up && other->alive && n->up_ns[peer] > other->born_ns + 1 && !cut_may_part())
        sim_fail("node %u lost node %u, which is well", self, peer);
    if (!up) model_fenced(self, (u8)peer);
    n->up_ns[peer] = up ? sim.now_ns + 1 : 0;
    keys_check(self, (u8)peer, up);
    if (up) drive_joined(self, (u8)peer);
    else net_fenced(self, (u8)peer);
}

void roce_boot(u8 node, const struct cluster_host *host) {
    struct sim_node *n = &sim.node[node];
    const struct vm_ops *ops = copies[node];
    copy_reset(node);
    memset(given[node], 0, sizeof given[node]);
    const struct vm_boot args = {
        .self = node, .map_base = MEMORY_BASE + node * MEMORY_STRIDE,
        .memory_bytes = MEMORY_BYTES, .desc_count = SIM_PLACES, .conf = &confs[node],
        .card = net_card(node), .words = words_ops(), .words_card = sim.words_card, .host = host,
        .changed = changed, .changed_ctx = n, .drive = sim.drives};
    n->memory = (u8 *)args.map_base;
    ops->boot(&args);
    n->cn = ops->node();
    n->descs = ops->descs();
    n->desc_stride = n->desc_bytes = PAGE_SIZE;
    n->words = ops->words();
    n->word_count = sizeof(struct dq_shard) / 8 + 3;      // capacity, cpus, heartbeat
    words_shadow(n);
    roce_poll_soon(node);
}

void roce_kill(u8 node) {
    struct sim_node *n = &sim.node[node];
    refused[node] += copies[node]->refused();
    memset(n->up_ns, 0, sizeof n->up_ns);
    net_drop(node);
    drive_kill(node);
    poll_at_ns[node] = 0;
}

// --- polling -----------------------------------------------------------------------------

static void poll_at(u8 node, u64 at_ns) {
    if (poll_at_ns[node] != 0 && poll_at_ns[node] <= at_ns) return;
    struct event ev = {.kind = EV_POLL, .node = node, .b = (u32)sim.node[node].incarnation};
    if (poll_at_ns[node] != 0) event_hurry_poll(node, at_ns);
    else event_push(&ev, at_ns);
    poll_at_ns[node] = at_ns;
}

void roce_poll_soon(u8 node) {
    if (sim.node[node].alive) poll_at(node, sim.now_ns + 1 + sim_random(2000));
}

static void poll(u8 node) {
    struct sim_node *n = &sim.node[node];
    const struct vm_ops *ops = copies[node];
    poll_at_ns[node] = 0;
    bool more = true;
    for (u32 round = 0; round < POLL_ROUNDS && more; round++) {
        const u32 batch = 1 + (u32)sim_random(8);
        const bool full = net_receive(node, batch, ops->rx) == batch;
        more = ops->poll() || full;
        if (model_room(n) > 0) ops->idle();
    }
    if (more) {
        roce_poll_soon(node);
        return;
    }
    const u64 next_ns = ops->deadline_ns();
    if (next_ns != ~0ull) poll_at(node, next_ns > sim.now_ns ? next_ns : sim.now_ns + 1);
}

void roce_event(const struct event *ev) {
    const struct sim_node *n = &sim.node[ev->node];
    if (ev->kind != EV_POLL) {
        net_event(ev);
    } else if (n->alive && ev->b == (u32)n->incarnation) {
        poll(ev->node);
    }
}

const struct vm_drive_ops *roce_drive(u8 node) { return copies[node]->drive; }

// --- memory and pages --------------------------------------------------------------------

u64 roce_frame_alloc(u8 node) { return copies[node]->frame_alloc(); }
void roce_frame_free(u8 node, u64 addr) { copies[node]->frame_free(addr); }

u32 roce_incarnation(u8 node, u8 peer) { return copies[node]->incarnation(peer); }

static void read_done(void *ctx, status_t status) {
    struct place *p = ctx;
    for (u32 k = 0; k < sim.nodes; k++) {
        struct sim_node *n = &sim.node[k];
        if (p >= n->place && p < n->place + SIM_PLACES)
            model_fetched(n, (u32)(p - n->place), status);
    }
}

// READs the page of place `index` from its lender, then the lender's owner word.
status_t roce_fetch(struct sim_node *n, u32 index, u64 from) {
    struct place *p = &n->place[index];
    const struct cluster_frame_read r = {
        .node = p->fetch_node, .remote = paddr(from), .local = paddr(p->fetch_addr),
        .desc_index = (u32)p->fetched_word, .expected = p->expected_word, .done = read_done,
        .ctx = p};
    return copies[n - sim.node]->read_frame(&r);
}

// --- what must be at the end -------------------------------------------------------------

// All that live and are honest have found each other.
bool roce_settled(void) {
    for (u32 a = 0; a < sim.nodes; a++)
        for (u32 b = 0; b < sim.nodes; b++)
            if (a != b && sim.node[a].alive && sim.node[b].alive && sim.node[a].honest &&
                sim.node[b].honest && sim.node[a].up_ns[b] == 0)
                return false;
    return true;
}

// A stranger that had the time to call has been refused; nobody else ever is.
void roce_check_end(void) {
    u64 refusals = 0;
    bool stranger = false, must = false;
    for (u8 k = 0; k < sim.nodes; k++) {
        const struct sim_node *n = &sim.node[k];
        refusals += refused[k] + (n->alive ? copies[k]->refused() : 0);
        stranger |= !n->honest;
        must |= !n->honest && n->alive && sim.now_ns > n->born_ns + REFUSED_NS;
        if (n->alive && copies[k]->frames_lent() != 0)
            sim_fail("node %u still lends %lu frames", k, copies[k]->frames_lent());
    }
    sim.stats.refused += refusals;
    if (refusals != 0 && !stranger) sim_fail("a member was refused");
    if (refusals == 0 && must) sim_fail("a stranger was not refused");
    for (u8 k = 0; k < sim.nodes; k++) copy_reset(k);
}
