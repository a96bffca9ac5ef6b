// The figures of /nodes/N/status: a table of names and where their values are, the same on
// every node as all run one image, so that a MSG_STATUS is the values alone. Readers hold
// locks below net_lock: they ask by a bit, the poll asks the node, and the answer lies in
// a snapshot under status_lock (a leaf) until it is old.
#include "base/string.h"
#include "drivers/console/console.h"
#include "drivers/rdma/soft.h"
#include "kernel/cluster_priv.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/net.h"
#include "kernel/obituary.h"
#include "kernel/options.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "proto/roce/cm.h"
#include "sched/runq.h"

#define STATUS_FRESH_NS (200ull * 1000 * 1000)

struct figure {
    const char *name;
    u64 (*get)(const void *ctx);
    const void *ctx;
    bool is_signed;
};
struct snapshot { bool valid; u64 at_ns; u32 count; u64 word[STATUS_WORDS]; };

static struct figure figures[STATUS_WORDS];      // written at boot
static u32 figure_count;
static struct spinlock status_lock = SPINLOCK_INIT(LOCK_RANK_STATUS, "status");
static struct snapshot snapshots[NODES_MAX];     // status_lock
static u64 asked;                                // atomic: bit n, somebody reads node n's
static void (*on_changed)(void *ctx);
static void *on_changed_ctx;

void cluster_status_add(const char *name, u64 (*get)(const void *ctx), const void *ctx) {
    ASSERT(figure_count < STATUS_WORDS);
    figures[figure_count++] = (struct figure){name, get, ctx, false};
}

void cluster_status_add_signed(const char *name, u64 (*get)(const void *ctx), const void *ctx) {
    cluster_status_add(name, get, ctx);
    figures[figure_count - 1].is_signed = true;
}

static u64 get_u64(const void *ctx) { return *(const u64 *)ctx; }

void cluster_status_add_u64(const char *name, const u64 *figure) {
    cluster_status_add(name, get_u64, figure);
}

void cluster_on_status(void (*changed)(void *ctx), void *ctx) {
    on_changed = changed;
    on_changed_ctx = ctx;
}

static u64 get_cpus(const void *ctx) { (void)ctx; return cpu_count; }
// Of all CPUs together; ctx: where it is in CPU 0's.
static u64 get_all_cpus(const void *ctx) {
    const u64 offset = (u64)ctx - (u64)&cpus[0];
    u64 sum = 0;
    for (u32 i = 0; i < cpu_count; i++) sum += *(const u64 *)((u64)&cpus[i] + offset);
    return sum;
}
static u64 get_mem(const void *ctx) { (void)ctx; return frame_count_total(); }
static u64 get_free(const void *ctx) { (void)ctx; return frame_count_free(); }
static u64 get_heap(const void *ctx) { (void)ctx; return kmem_frames(); }
static u64 get_queue(const void *ctx) { (void)ctx; return dqueue_depth(&cluster.node->dq); }
static u64 get_console_lost(const void *ctx) {
    (void)ctx;
    return kbd_dropped() + serial_dropped(SERIAL_COM1) + serial_dropped(SERIAL_COM2);
}
static u64 get_members(const void *ctx) { (void)ctx; return cluster_member_count(); }

#define ADD(prefix, from, name) cluster_status_add_u64(prefix #name, &(from)->name)

static void add_machines(void) {
    const struct dq_counters *q = &cluster.node->dq.counters;
    const struct node_counters *n = &cluster.node->counters;
    const struct cluster_counters *c = &cluster.counters;
    ADD("", q, puts_local); ADD("", q, puts_remote); ADD("", q, takes_local);
    ADD("", q, takes_remote); ADD("", q, rings); ADD("", q, rings_failed); ADD("", q, marks);
    ADD("queue_", q, full); ADD("queue_", q, empty); ADD("queue_", q, stale);
    ADD("queue_", q, lost_race); ADD("queue_", q, tries_exceeded);
    ADD("", n, offers); ADD("", n, offers_repeated); ADD("", n, adopted); ADD("", n, dropped);
    ADD("adoptions_", n, refused); ADD("", n, thawed); ADD("", n, given); ADD("", n, released);
    ADD("", n, lost); ADD("", n, bad_msg); ADD("", n, stray_msg); ADD("", n, no_in);
    ADD("", n, no_out);
    ADD("", &cluster, view); ADD("", c, stood_still); ADD("", c, rebirths);
    ADD("", c, joins); ADD("joins_", c, refused); ADD("", c, downs); ADD("", c, page_reads);
    ADD("", c, page_stale); ADD("", c, probes); ADD("", c, msgs_out); ADD("", c, msgs_in);
    ADD("", c, msgs_bad); ADD("", c, chains); ADD("", c, bulk_out); ADD("", c, bulk_in);
    ADD("bulk_", c, moves); ADD("", c, ticks);
}

static void add_rdma(const struct soft_counters *r) {
    ADD("rdma_", r, sent_pkts); ADD("rdma_", r, rcvd_pkts); ADD("rdma_", r, duplicate_request);
    ADD("rdma_", r, out_of_seq_request); ADD("rdma_", r, rcvd_seq_err);
    ADD("rdma_", r, rcvd_rnr_err); ADD("rdma_", r, send_rnr_err);
    ADD("rdma_", r, retry_exceeded_err); ADD("rdma_", r, completer_retry_err);
    ADD("rdma_", r, send_err); ADD("rdma_", r, bad_icrc); ADD("rdma_", r, bad_len);
    ADD("rdma_", r, bad_qpn); ADD("rdma_", r, bad_state); ADD("rdma_", r, qp_err);
    ADD("rdma_", r, tx_ring_full); ADD("rdma_", r, resp_queue_full);
    ADD("rdma_", r, cq_overflow); ADD("rdma_", r, dup_atomic_replayed);
    ADD("rdma_", r, dup_atomic_too_old); ADD("rdma_", r, ghost_response);
    ADD("rdma_", r, read_gap_asked); ADD("rdma_", r, retry_rnr_exceeded_err);
    ADD("rdma_", r, bad_opcode); ADD("rdma_", r, bad_tver); ADD("rdma_", r, bad_key);
    ADD("rdma_", r, bad_pkey); ADD("rdma_", r, bad_src); ADD("rdma_", r, bad_ip);
    ADD("rdma_", r, bad_qkey); ADD("rdma_", r, bad_transport); ADD("rdma_", r, not_roce);
    ADD("rdma_", r, cnp); ADD("rdma_", r, arp_failed); ADD("rdma_", r, arp_ignored);
    ADD("rdma_", r, no_mac);
}

static void add_cm(const struct cm_counters *c) {
    ADD("cm_", c, rx_mads); ADD("cm_", c, rx_bad); ADD("cm_", c, rx_stray);
    ADD("cm_", c, resent); ADD("cm_", c, timeouts); ADD("cm_", c, no_room);
}

static void add_card(const struct net_counters *e) {
    ADD("eth0_", e, tx_frames); ADD("eth0_", e, tx_bytes); ADD("eth0_", e, rx_frames);
    ADD("eth0_", e, rx_bytes); ADD("eth0_", e, tx_drop_ring_full);
    ADD("eth0_", e, tx_drop_too_long); ADD("eth0_", e, tx_drop_link_down);
    ADD("eth0_", e, rx_drop_crc); ADD("eth0_", e, rx_drop_too_long);
    ADD("eth0_", e, rx_drop_missed); ADD("eth0_", e, rx_drop_no_buffer);
    ADD("eth0_", e, rx_drop_error); ADD("eth0_", e, interrupts);
}

static void add_cpus(void) {
    static const struct { const char *name; const u64 *of_cpu_0; } of_all[] = {
        {"direct_switches", &cpus[0].direct_switches},           // kernel/direct.h
        {"interrupts", &cpus[0].interrupts},
        {"timer_interrupts", &cpus[0].timer_interrupts},
        {"timers_vain", &cpus[0].timers_vain},
        {"halts", &cpus[0].halts},
        {"halts_timer", &cpus[0].halts_by[CPU_WAKE_TIMER]},
        {"halts_kick", &cpus[0].halts_by[CPU_WAKE_KICK]},
        {"halts_card", &cpus[0].halts_by[CPU_WAKE_CARD]},
        {"halts_device", &cpus[0].halts_by[CPU_WAKE_DEVICE]},
    };
    for (u32 i = 0; i < ARRAY_COUNT(of_all); i++)
        cluster_status_add(of_all[i].name, get_all_cpus, of_all[i].of_cpu_0);
}

// Boot. A node without a card has zeros in its place, so that the table is one for all.
void status_init(void) {
    static const struct net_counters no_card;
    static const struct soft_counters no_rdma;
    static const struct cm_counters no_cm;
    const struct net_card *card = net_own();
    cluster_status_add("cpus", get_cpus, NULL);
    cluster_status_add("mem", get_mem, NULL);        // frames
    cluster_status_add("free", get_free, NULL);      // frames
    cluster_status_add("heap", get_heap, NULL);      // frames that the kernel keeps
    cluster_status_add("queue", get_queue, NULL);
    cluster_status_add("members", get_members, NULL);
    cluster_status_add("console_lost", get_console_lost, NULL);     // keys, overruns of UARTs
    add_cpus();
    cluster_status_add_u64("wakes_last", &runq_counters.last);
    cluster_status_add_u64("wakes_other", &runq_counters.other);
    cluster_status_add_u64("steals", &runq_counters.stolen);
    add_machines();
    add_rdma(card ? soft_counters(card->rdma) : &no_rdma);
    add_cm(card ? &soft_cm(card->rdma)->counters : &no_cm);
    add_card(card ? &card->dev->counters : &no_card);
}

// --- snapshots ---------------------------------------------------------------------------

static void store(u32 node, const u64 *word, u32 count) {
    spin_lock(&status_lock);
    struct snapshot *s = &snapshots[node];
    s->valid = true;
    s->at_ns = time_now_ns();
    s->count = MIN(count, STATUS_WORDS);
    memcpy(s->word, word, s->count * sizeof *word);
    spin_unlock(&status_lock);
    if (on_changed) on_changed(on_changed_ctx);
}

static void gather(u64 *word) {
    const struct net_card *card = net_own();
    if (card) (void)soft_counters(card->rdma);       // adds up those of its requesters
    if (card && card->dev->ops->stats) card->dev->ops->stats(card->dev);     // it may have rested
    for (u32 i = 0; i < figure_count; i++) word[i] = figures[i].get(figures[i].ctx);
}

// Sends this node's figures to a peer that asked. net_lock held.
void status_answer(struct peer *p) {
    struct cluster_msg m = {.type = MSG_STATUS, .status = S_OK};
    m.stat.count = figure_count;
    gather(m.stat.word);
    link_send(p, &m);
}

// A peer's figures have come: they stand in its snapshot.
void status_take(struct peer *p, const struct cluster_msg *m) {
    store(p->node, m->stat.word, m->stat.count);
}

// The readers of a node that died see "down" at once.
void status_peer_down(struct peer *p) {
    spin_lock(&status_lock);
    snapshots[p->node].valid = false;
    spin_unlock(&status_lock);
    if (on_changed) on_changed(on_changed_ctx);
}

// Asks what was asked for since the last round.
void status_poll(u64 now_ns) {
    (void)now_ns;
    if (__atomic_load_n(&asked, __ATOMIC_RELAXED) == 0) return;
    for (u64 left = __atomic_exchange_n(&asked, 0, __ATOMIC_ACQUIRE); left; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        if (node == cluster.self) {
            u64 word[STATUS_WORDS];
            gather(word);
            store(node, word, figure_count);
        } else {
            const struct cluster_msg m = {.type = MSG_STATUS_ASK};
            if (cluster_send(node, &m) != S_OK && on_changed) on_changed(on_changed_ctx);
        }
    }
}

status_t cluster_status_refresh(u32 node) {
    if (!cluster_node_known(node)) return E_NOENT;
    if (!cluster_is_up(node)) return S_OK;
    spin_lock(&status_lock);
    const struct snapshot *s = &snapshots[node];
    const bool fresh = s->valid && time_now_ns() - s->at_ns < STATUS_FRESH_NS;
    spin_unlock(&status_lock);
    if (fresh) return S_OK;
    __atomic_or_fetch(&asked, BIT(node), __ATOMIC_RELEASE);
    edge_request(EDGE_NETPOLL);
    return S_RESTART;
}

static const char *state_of(u32 node) {
    if (node == cluster.self) return "self";
    if (cluster_is_up(node)) return "up";
    const enum member_state s = __atomic_load_n(&cluster.peers[node].member.state,
                                                __ATOMIC_RELAXED);
    return s == MEMBER_KEYS || s == MEMBER_ANSWERING ? "joining" : "down";
}

struct text { char *to; u64 size, at; };

static void put_line(struct text *t, const struct figure *f, u64 value) {
    const bool below = f->is_signed && (i64)value < 0;
    if (t->at + 1 >= t->size) return;
    const int n = ksnprintf(t->to + t->at, t->size - t->at, "%s: %s%lu\n", f->name,
                            below ? "-" : "", below ? -value : value);
    t->at = MIN(t->at + (u64)n, t->size - 1);
}

u64 cluster_status_text(u32 node, char *to, u64 size_bytes) {
    if (size_bytes == 0 || !cluster_node_known(node)) return 0;
    struct text t = {to, size_bytes, 0};
    u32 ip = cluster_conf.node[node].ipv4;
    const int n = ksnprintf(to, size_bytes, "state: %s\naddress: %pI\nmac: %pM\n",
                            state_of(node), &ip, cluster_conf.node[node].mac);
    t.at = MIN((u64)n, size_bytes - 1);
    t.at += obituary_text(node, to + t.at, size_bytes - t.at);
    if (!cluster_is_up(node)) return t.at;
    t.at += may_run_text(node, to + t.at, size_bytes - t.at);
    spin_lock(&status_lock);
    const struct snapshot *s = &snapshots[node];
    for (u32 i = 0; s->valid && i < MIN(s->count, figure_count); i++)
        put_line(&t, &figures[i], s->word[i]);
    spin_unlock(&status_lock);
    return t.at;
}
