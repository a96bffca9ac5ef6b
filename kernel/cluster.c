// This node as a member: boot, the poll that netpoll runs in every round, who is up and
// what happens when somebody dies. Lock: net_lock for all but what cluster.h says.
// docs/reference/join.md: a death is noticed by traffic, once a second at least;
// pairs and keys are destroyed first, then the machines are told.
#include "kernel/cluster.h"

#include "base/string.h"
#include "drivers/rdma/soft.h"
#include "kernel/beat.h"
#include "kernel/clock.h"
#include "kernel/cluster_priv.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/options.h"
#include "kernel/placement.h"
#include "kernel/proc.h"
#include "kernel/panic.h"
#include "kernel/random.h"
#include "kernel/rebirth.h"
#include "kernel/trap.h"
#include "kernel/x86/words.h"
#include "mm/frame.h"

#define WATCHERS_MAX 4
#define ORPHANS_PER_ROUND 64u
#define DESCS_ALONE 16u

struct cluster cluster;
static struct { void (*changed)(void *ctx, u32 node, bool up); void *ctx; } watchers[WATCHERS_MAX];
static u32 watcher_count;

// --- the host's table, where the process side has not set its own ------------------------

static u32 no_room(void *ctx) { (void)ctx; return 0; }
static status_t no_prepare(void *ctx, u64 slot, void *desc, struct adopt_plan *plan) {
    (void)ctx; (void)slot; (void)desc; (void)plan;
    return E_OPNOTSUPP;
}
static void no_drop(void *ctx, u32 index, status_t reason) { (void)ctx; (void)index; (void)reason; }
static void no_given(void *ctx, u32 index, u8 node) { (void)ctx; (void)index; (void)node; }
static void no_index(void *ctx, u32 index) { (void)ctx; (void)index; }

static void host_post(void *ctx, struct chain *c) {
    (void)ctx;
    struct peer *p = peer_up(c->node);
    cluster.counters.chains++;
    if (c->node == cluster.self) {
        self_post(c);                // where local atomics go through the card
        return;
    }
    if (p != NULL) {
        chain_post(p, c);
        return;
    }
    ASSERT(!ring_full(&cluster.orphans));    // node.c has LINK_CHAINS under way at most
    cluster.orphan[ring_tail_index(&cluster.orphans)] = c;
    ring_produce(&cluster.orphans);
}

static void host_send(void *ctx, u8 node, const struct cluster_msg *m) {
    (void)ctx;
    cluster_send(node, m);           // a peer that is not up learns by its own peer_down
}

static void host_idle(void *ctx) {
    (void)ctx;
    cluster.rested = true;           // marked in every shard
}

// Without room the search ends and leaves no marks, so it must be begun again once there is
// room: by an idle CPU.
static u32 host_room(void *ctx) {
    const u32 room = cluster.room(ctx);
    cluster.rested = false;          // asked where a search goes on or a ring came
    if (room == 0) __atomic_store_n(&cluster.looked, false, __ATOMIC_RELAXED);
    return room;
}

static void host_log(void *ctx, const char *what, u64 a, u64 b) {
    (void)ctx;
    klog("cluster: %s (%lu, %lu)", what, a, b);
}

void cluster_set_host(const struct cluster_host *host) { cluster.host = *host; }

static void host_complete(struct cluster_host *h) {
    cluster.room = h->room ? h->room : no_room;
    h->room = host_room;
    if (!h->prepare) h->prepare = no_prepare;
    if (!h->drop) h->drop = no_drop;
    if (!h->start) h->start = no_index;
    if (!h->run) h->run = no_index;
    if (!h->thaw) h->thaw = no_drop;
    if (!h->given) h->given = no_given;
    if (!h->image_free) h->image_free = no_index;
    if (!h->lost) h->lost = no_given;
    if (!h->kill) h->kill = no_index;
    if (!h->no_lenders) h->no_lenders = no_index;
    h->post = host_post;
    h->send = host_send;
    if (!h->idle) h->idle = host_idle;
    if (!h->log) h->log = host_log;
}

// --- boot --------------------------------------------------------------------------------

static void *frames_for(u64 len_bytes, enum frame_use use) {
    const paddr_t pa = frame_alloc_contiguous((len_bytes + PAGE_MASK) >> PAGE_SHIFT, use);
    if (pa.v == 0) panic("cluster: no memory for %lu bytes at boot", len_bytes);
    return phys_to_virt(pa);
}

static u64 nonzero_random(void) {
    const u64 r = rng_u64(&kernel_rng);
    return r ? r : 1;
}

// The card, the key, and a line of our own in cluster.conf make a member.
static bool find_self(void) {
    struct net_card *card = net_own();
    for (u32 i = 0; i < NODES_MAX && cluster_conf.valid; i++)
        if (roster_taken(&cluster_conf.node[i])) cluster.known |= BIT(i);
    if (card == NULL) return false;          // net.c has said why
    cluster.self = (u8)card->node;
    if (!cluster_conf.key_set) {
        klog("cluster: cluster.conf has no key; this node works alone");
        return false;
    }
    cluster.rdma = card->rdma;
    cluster.ipv4 = soft_ipv4(card->rdma);
    return true;
}

static void poll(void *ctx, u64 now_ns);
static u64 deadline_ns(void *ctx);

// Members that have a card of their own to READ by see why; then the card stops.
static void on_panic(const char *cause) {
    (void)cause;
    word_add(&cpu_word_ops, &cluster.words->heartbeat, PULSE_DEAD);
    net_stop();
}

void cluster_init(void *descs, u32 desc_count) {
    cluster.incarnation = nonzero_random();
    cluster.node = frames_for(sizeof *cluster.node, FRAME_KERNEL);
    cluster.words = frames_for(sizeof *cluster.words, FRAME_KERNEL);
    if (descs == NULL) {
        desc_count = DESCS_ALONE;
        descs = frames_for(desc_count * PAGE_SIZE, FRAME_DESC);
    }
    cluster.descs = descs;
    cluster.desc_count = MIN(desc_count, DESCS_MAX);
    ring_init(&cluster.orphans, ARRAY_COUNT(cluster.orphan));
    const bool member = find_self();
    cluster.known |= BIT(cluster.self);
    cluster.up = BIT(cluster.self);
    host_complete(&cluster.host);
    const struct cluster_node_config config = {
        .self = cluster.self, .incarnation = cluster.incarnation,
        .shard = &cluster.words->shard, .owner_base = cluster.descs, .owner_stride = PAGE_SIZE,
        .desc_count = cluster.desc_count, .desc_bytes = PAGE_SIZE,
        .words = cluster_word_ops(), .rng = &kernel_rng, .host = cluster.host,
    };
    cluster_node_init(cluster.node, &config);
    cluster_clock_init();
    status_init();
    self_init();
    nodes_init();
    for (u32 i = 0; i < NODES_MAX; i++) {
        cluster.peers[i].node = (u8)i;
        member_peer_init(&cluster.peers[i].member, 0);
        cluster.peers[i].down_since_ns = time_now_ns();
    }
    panic_hook = on_panic;
    beat_init();
    net_add_poller(poll, deadline_ns, NULL);
    proc_hooks.idle = cluster_work_wanted;
    if (member && join_init() == S_OK)
        klog("cluster: node %u, incarnation %016lx, looks for the others", cluster.self,
             cluster.incarnation);
    edge_request(EDGE_NETPOLL);
}

// --- who is there ------------------------------------------------------------------------

struct cluster_node *cluster_node(void) { return cluster.node; }
u32 cluster_self(void) { return cluster.self; }

static u64 up_mask(void) { return __atomic_load_n(&cluster.up, __ATOMIC_ACQUIRE); }
u64 cluster_up_mask(void) { return up_mask(); }

bool cluster_is_up(u32 node) { return node < NODES_MAX && (up_mask() & BIT(node)); }

u32 cluster_member_count(void) {
    u32 count = 0;
    for (u64 left = up_mask(); left != 0; left &= left - 1) count++;
    return count;
}

bool cluster_node_known(u32 node) {
    return node < NODES_MAX && (__atomic_load_n(&cluster.known, __ATOMIC_ACQUIRE) & BIT(node));
}

void cluster_watch(void (*changed)(void *ctx, u32 node, bool up), void *ctx) {
    ASSERT(watcher_count < WATCHERS_MAX);
    watchers[watcher_count].changed = changed;
    watchers[watcher_count++].ctx = ctx;
}

static void tell_watchers(u32 node, bool up) {
    for (u32 i = 0; i < watcher_count; i++) watchers[i].changed(watchers[i].ctx, node, up);
}

struct peer *peer_up(u32 node) {
    if (node >= NODES_MAX || node == cluster.self) return NULL;
    struct peer *p = &cluster.peers[node];
    return p->member.state == MEMBER_UP && !p->failing ? p : NULL;
}

u32 cluster_incarnation(u32 node) {
    const struct peer *p = peer_up(node);
    if (node == cluster.self) return (u32)cluster.incarnation | 1;
    return p == NULL ? 0 : (u32)p->them.incarnation | 1;
}

u32 cluster_fenced(u32 node) {
    const u64 fenced = node < NODES_MAX ? cluster.peers[node].fenced : 0;
    return fenced == 0 ? 0 : (u32)fenced | 1;
}

// Keys are here both ways and all pairs are ready.
void peer_joined(struct peer *p) {
    member_joined(&p->member);
    pulse_begin(&p->pulse, cluster.now_ns);
    cluster.counters.joins++;
    cluster.view++;
    __atomic_or_fetch(&cluster.known, BIT(p->node), __ATOMIC_RELEASE);
    __atomic_or_fetch(&cluster.up, BIT(p->node), __ATOMIC_RELEASE);
    klog("cluster: node %u joined, %u members", p->node, cluster_member_count());
    cluster_node_peer_up(cluster.node, p->node);
    if (cluster.bulk.peer_up) cluster.bulk.peer_up(cluster.bulk.ctx, p->node);
    roster_send(p);
    cluster_clock_member(p->node, true);
    tell_watchers(p->node, true);
    link_bulk_early(p);
}

//   why: what happened; code: of the CM or a completion, logged with it
void peer_fail(struct peer *p, const char *why, i32 code) {
    if (p->failing) return;
    p->failing = true;
    ksnprintf(p->why, sizeof p->why, "%s (%d)", why, code);
}

// Fences the peer: pairs and keys first, then everything that was out comes back, then the
// machines. Its next call, or ours, begins a new connection.
void peer_close(struct peer *p) {
    const enum member_state was = p->member.state;
    if (p->failing && was >= MEMBER_KEYS)
        klog("cluster: node %u is down: %s", p->node, p->why);
    const u64 now_ns = time_now_ns();            // the CM's events come before the poll
    p->failing = false;
    member_failed(&p->member, now_ns, rng_u32(&kernel_rng));
    tick_look();
    __atomic_and_fetch(&cluster.up, ~BIT(p->node), __ATOMIC_RELEASE);
    link_close(p);
    if (was < MEMBER_KEYS) return;
    chain_fail_all(p);
    page_fail_all(p);
    bulk_fail_all(p);
    bench_peer_down(p->node);
    if (was != MEMBER_UP) return;
    cluster.counters.downs++;
    p->down_since_ns = now_ns;
    p->fenced = p->them.incarnation;
    cluster.fenced_at_ns = now_ns;
    cluster.view++;
    cluster_node_peer_down(cluster.node, p->node);
    if (cluster.bulk.peer_down) cluster.bulk.peer_down(cluster.bulk.ctx, p->node);
    status_peer_down(p);
    cluster_clock_member(p->node, false);
    tell_watchers(p->node, false);
}

// --- the poll ----------------------------------------------------------------------------

// A CPU is idle. Once it has looked through all shards the node is marked in each, and is
// rung when something comes; it looks again after it was full.
void cluster_work_wanted(void) {
    if (__atomic_load_n(&cluster.looked, __ATOMIC_RELAXED)) return;
    if (cluster.room(cluster.host.ctx) == 0) return;
    __atomic_store_n(&cluster.looked, true, __ATOMIC_RELAXED);
    __atomic_store_n(&cluster.work_wanted, 1, __ATOMIC_RELEASE);
    edge_request(EDGE_NETPOLL);
}

// A search that ended because adoptions under way filled the room leaves no marks either:
// with room again and nothing going on, one more look each tick costs one window.
static bool look_again_due(void) {
    return cluster.node->seek.state == SEEK_NONE && !cluster.rested &&
           cluster.room(cluster.host.ctx) != 0;
}

static void orphans_fail(void) {
    for (u32 i = 0; i < ORPHANS_PER_ROUND && !ring_empty(&cluster.orphans); i++) {
        struct chain *c = cluster.orphan[ring_peek_index(&cluster.orphans, 0)];
        ring_consume(&cluster.orphans);
        c->status = E_HOSTUNREACH;
        cluster_node_posted(cluster.node, c);
    }
}

u64 peer_bound_ns(const struct peer *p) {
    return pulse_bound_ns(&p->pulse, options.dead_after, options.dead_floor_s * NS_PER_S);
}

void cluster_sides(struct member_side *us) {
    us->members = (u8)cluster_member_count();
    us->lowest = (u8)__builtin_ctzll(up_mask());
}

bool cluster_sides_hold(const struct member_side *us, u64 now_ns) {
    struct member_side now = {0};
    cluster_sides(&now);
    return now.members == us->members && now.lowest == us->lowest &&
           now_ns - cluster.fenced_at_ns > options.dead_floor_s * NS_PER_S + PULSE_PERIOD_MAX_NS;
}

// Looks how a peer that is up does, and asks it when that is due.
static void pulse_check(struct peer *p, u64 now_ns) {
    const enum pulse_verdict v = pulse_verdict(&p->pulse, p->last_seen_ns, peer_bound_ns(p),
                                               now_ns);
    if (v != PULSE_ALIVE) peer_fail(p, pulse_verdict_name(v), 0);
    else if (pulse_due(&p->pulse, now_ns)) probe_post(p);
}

// This node itself stood still (a debugger, a paused virtual machine): those who waited for
// it longer than the bound have fenced it. So it fences them before it does anything else,
// above all before it sends: what it was about to do counts as never done. That it rested is
// no standing still: while a peer is proved there is a tick in each period; one that was proved
// since the last poll has waited for nothing.
static void stood_still(u64 now_ns) {
    const u64 still_ns = now_ns - cluster.now_ns;
    if (cluster.now_ns == 0 || still_ns <= options.dead_floor_s * NS_PER_S) return;
    u32 peers = 0;
    for (u64 left = cluster.live; left != 0; left &= left - 1) {
        struct peer *p = &cluster.peers[__builtin_ctzll(left)];
        if (p->member.state < MEMBER_KEYS || p->proved_ns > cluster.now_ns) continue;
        if (still_ns <= peer_bound_ns(p)) continue;
        peer_fail(p, "this node stood still, ms", (i32)(still_ns / NS_PER_MS));
        peers++;
    }
    if (peers == 0) return;
    cluster.counters.stood_still++;
    klog("cluster: this node stood still for %lu ms: it is fenced, and fences %u members",
         (u64)(still_ns / NS_PER_MS), peers);
}

bool cluster_in_rebirth(void) { return cluster.reborn_for != 0; }

void cluster_rebirth(u32 node) {
    if (cluster.reborn_for == 0) cluster.reborn_for = node + 1;
    tick_look();
}

// Ends all processes and connections; once they have ended, the next call comes from a new
// incarnation. Until then nobody is called or let in (cluster_in_rebirth).
static void rebirth_begin(u32 node) {
    cluster.reaped = rebirth_reap(node);
    cluster.reaping = true;
    for (u64 left = cluster.live; left != 0; left &= left - 1) {
        struct peer *p = &cluster.peers[__builtin_ctzll(left)];
        if (p->member.state == MEMBER_DOWN) continue;
        peer_fail(p, "this node joins as new", 0);
        peer_close(p);
    }
}

static void rebirth(void) {
    const u32 node = cluster.reborn_for - 1;
    if (!cluster.reaping) rebirth_begin(node);
    if (!rebirth_over()) return;
    cluster.reborn_for = 0;
    cluster.reaping = false;
    tick_look();
    for (u32 i = 0; i < NODES_MAX; i++) cluster.peers[i].fenced = 0;
    cluster.incarnation = nonzero_random();
    cluster.node->incarnation = cluster.incarnation;
    cluster.counters.rebirths++;
    klog("cluster: joins as new, incarnation %016lx: node %u's side counts this one as dead, "
         "and all %u processes are ended", cluster.incarnation, node, cluster.reaped);
}

// --- the tick: what has a time of its own; docs/ARCHITECTURE.md, "What is due" ---------------

// A peer has the keys to READ this node's heartbeat, or soon will: while there is one, there is
// a tick in each period.
static bool has_proved(void) {
    for (u64 left = cluster.live; left != 0; left &= left - 1)
        if (cluster.peers[__builtin_ctzll(left)].member.state >= MEMBER_KEYS) return true;
    return false;
}

// When the next tick has to do with what changes at any time, beside the network.
static u64 often_next_ns(void) {
    if (placement_tick_wanted() || look_again_due()) return 0;
    return cluster_node_next_ns(cluster.node);
}

void tick_look(void) { cluster.tick_looks = true; }

// One tick a period at most; none in those in which nothing is due. They go on meanwhile, so that
// the time of a tick is not that of what wanted it: placement looks who wants the CPU just then.
static void tick_set(u64 now_ns) {
    const u64 periods = (now_ns - cluster.ticked_ns) / CLUSTER_TICK_NS + 1;
    const u64 period_at_ns = cluster.ticked_ns + periods * CLUSTER_TICK_NS;
    u64 at = has_proved() || cluster.reborn_for != 0 ? 0 : often_next_ns();
    if (at != 0 && cluster.rdma != NULL)
        at = MIN(at, MIN(join_next_ns(), cluster_clock_next_ns(up_mask())));
    cluster.tick_at_ns = MAX(at, period_at_ns);
    cluster.tick_rests |= at > period_at_ns;
    cluster.tick_looks = false;
}

static void tick_peers(u64 now_ns) {
    if (has_proved()) beat_tick();
    cluster_clock_tick(up_mask());
    join_tick(now_ns);
    for (u32 i = 0; i < NODES_MAX; i++) {
        struct peer *p = &cluster.peers[i];
        if (p->member.state == MEMBER_KEYS && now_ns >= p->proved_ns + LINK_KEYS_NS)
            peer_fail(p, "the exchange of keys did not end", 0);
        if (p->member.state == MEMBER_UP) pulse_check(p, now_ns);
    }
}

static void tick(u64 now_ns) {
    if (now_ns < cluster.tick_at_ns) return;
    const u64 since_ns = now_ns - cluster.ticked_ns;
    const u64 left_out = cluster.tick_rests && since_ns > CLUSTER_TICK_NS
                         ? since_ns / CLUSTER_TICK_NS - 1 : 0;
    cluster.ticked_ns = now_ns;
    cluster.tick_rests = false;
    cluster.counters.ticks++;
    cluster_node_tick(cluster.node, now_ns);
    if (look_again_due()) cluster_node_work(cluster.node);
    placement_tick(left_out);
    if (cluster.rdma != NULL) tick_peers(now_ns);
    tick_look();
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    stood_still(now_ns);
    cluster.now_ns = now_ns;
    cluster.more = false;
    for (u64 left = cluster.live; left != 0; left &= left - 1)
        link_poll(&cluster.peers[__builtin_ctzll(left)]);
    tick(now_ns);
    for (u64 left = cluster.live; left != 0; left &= left - 1) {
        struct peer *p = &cluster.peers[__builtin_ctzll(left)];
        if (p->failing) peer_close(p);
        else link_flush(p);
    }
    if (cluster.reborn_for != 0) rebirth();
    orphans_fail();
    self_poll();
    if (__atomic_exchange_n(&cluster.work_wanted, 0, __ATOMIC_ACQUIRE))
        cluster_node_work(cluster.node);
    status_poll(now_ns);
    if (cluster.bulk.poll) cluster.bulk.poll(cluster.bulk.ctx, now_ns);
}

static u64 deadline_ns(void *ctx) {
    (void)ctx;
    if (cluster.more || !ring_empty(&cluster.orphans) || self_waits()) return 0;
    for (u64 left = cluster.live; left != 0; left &= left - 1)
        if (cluster.peers[__builtin_ctzll(left)].failing) return 0;
    const bool wanted = cluster.tick_rests && often_next_ns() != ~0ull;
    if (cluster.tick_looks || wanted) tick_set(cluster.now_ns);
    return cluster.tick_at_ns;
}
