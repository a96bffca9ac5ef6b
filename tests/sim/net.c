// The Ethernet between the nodes, and their cards. A frame takes some microseconds, in
// order between two nodes; by the seed's chances it is lost, doubled, late, or has one to
// three bits flipped, which the ICRC alone must find (a CRC-32 finds all of those). A
// card sends at the doorbell; a slow one keeps its buffers for a while, so its ring fills.
#include <stdlib.h>
#include <string.h>

#include "drivers/netdev.h"
#include "tests/sim/sim.h"

#define CARD_BUFS 32u
#define CARD_MTU 4300u
#define SMALL_MTU 1500u              // a page is four packets
#define SMALL_PACKET 1024u
#define CARD_BUF (CARD_MTU + 64u)
#define CARD_RX 256u
#define JUNK_BYTES 512u              // in a buffer handed out; in one of eight, all of it
#define ETH_BYTES 14u
#define WIRE_NS 1000u
#define KEYED_KEPT 3u
#define KEYED_BYTES 256u
#define OVERTAKEN_ONE_IN 3u          // READs of a page, in the seeds that have it
#define MIDDLE_LOST_IN 4u            // of a page of several packets: 3 of 4 lose a middle one
#define COPY_NS_MIN 5000u            // how late the copy of a READ comes, or
#define CHANGED_NS_MAX 3000u         // this soon after another block came into its frame
#define COPY_NS_MAX 400000u
#define HELD_NS 25000u               // behind it: the answers to what was asked for after it
#define STALE_NS_MAX (3 * NS_PER_S)      // how late a request of a fenced node may come
// Spec: IBTA 9.2, BTH opcodes.
enum {
    RC_WRITE_ONLY = 0x0a, RC_WRITE_ONLY_IMM = 0x0b, RC_READ = 0x0c, RC_READ_RESP_FIRST = 0x0d,
    RC_READ_RESP_ONLY = 0x10, RC_CAS = 0x13, RC_FADD = 0x14,
};

enum buf_state { BUF_FREE, BUF_FILLING, BUF_QUEUED, BUF_SENT };

struct card {
    struct netdev dev;
    u8 node;
    enum buf_state state[CARD_BUFS];
    struct net_tx tx[CARD_BUFS];
    u8 buf[CARD_BUFS][CARD_BUF];
    u32 queue[CARD_BUFS], queued;
    u8 *rx[CARD_RX];
    u32 rx_len[CARD_RX], rx_first, rx_count;
    bool rx_stale[CARD_RX];
};

static struct card cards[SIM_NODES];
static u64 last_ns[SIM_NODES][SIM_NODES];
static struct keyed {
    u32 count, len_bytes[KEYED_KEPT];
    u8 frame[KEYED_KEPT][KEYED_BYTES];
} keyed[SIM_NODES][SIM_NODES];           // [to][from]
static struct overtake {
    u32 psn, qpn;                        // of the packet that is lost once; the pair it is for
    u32 behind;                          // packets of the same answer behind that
    bool lost;
    u64 address;                         // of the frame at its owner
    u64 copy_ns, until_ns, held_ns;      // when a copy of its request comes; of the last held
    u32 len_bytes;
    u8 request[KEYED_BYTES];
} overtakes[SIM_NODES][SIM_NODES];       // [who READs][of whom]

void net_mac(u8 node, u8 mac[6]) {
    static const u8 base[6] = {0x52, 0x54, 0x00, 0x49, 0x53, 0x01};
    memcpy(mac, base, 6);
    mac[5] = (u8)(mac[5] + node);
}

// --- the wire ----------------------------------------------------------------------------

static void flip_bits(u8 *frame, u32 len_bytes) {
    u32 bits[3];
    const u32 count = 1 + (u32)sim_random(3);
    for (u32 i = 0; i < count; i++) {
        bits[i] = (u32)sim_random(len_bytes * 8ull);
        bool twice = false;
        for (u32 k = 0; k < i; k++) twice |= bits[k] == bits[i];
        if (!twice) frame[bits[i] / 8] ^= (u8)(1u << bits[i] % 8);
    }
    sim.stats.frames_corrupt++;
}

// A frame in a line, with --frames: BTH's opcode, pair and PSN.
static void trace_frame(u8 from, u8 to, const u8 *frame, u32 len_bytes, const char *what) {
    const u8 *bth = frame + ETH_BYTES + 28;
    if (!sim.frames || len_bytes < ETH_BYTES + 40) return;
    sim_trace("frame %u to %u: opcode %02x qp %06x psn %06x, %u bytes%s", from, to, bth[0],
              (u32)bth[5] << 16 | (u32)bth[6] << 8 | bth[7],
              (u32)bth[9] << 16 | (u32)bth[10] << 8 | bth[11], len_bytes, what);
}

static void deliver(u8 from, u8 to, const u8 *frame, u32 len_bytes) {
    struct event ev = {.kind = EV_FRAME, .node = to, .from = from, .len_bytes = len_bytes};
    u64 at_ns = sim.now_ns + WIRE_NS + sim_random(4000);
    ev.frame = malloc(len_bytes);
    memcpy(ev.frame, frame, len_bytes);
    const bool corrupt = sim_chance(sim.chaos.corrupt), late = sim_chance(sim.chaos.reorder);
    trace_frame(from, to, frame, len_bytes, corrupt ? ", corrupted" : late ? ", late" : "");
    if (corrupt) flip_bits(ev.frame, len_bytes);
    if (late) {
        at_ns += sim_random(2 * NS_PER_MS);
        sim.stats.frames_late++;
    } else {
        if (at_ns <= last_ns[from][to]) at_ns = last_ns[from][to] + 1;
        last_ns[from][to] = at_ns;
    }
    event_push(&ev, at_ns);
}

// Requests with a key, of one node to another, the last of each link: by net_fenced they come
// once more, after the peer was fenced.
static bool has_key(const u8 *frame, u32 len_bytes) {
    const u8 *bth = frame + ETH_BYTES + 28;
    if (len_bytes < ETH_BYTES + 40 || len_bytes > KEYED_BYTES || frame[12] != 0x08 ||
        frame[13] != 0)
        return false;
    return bth[0] == RC_WRITE_ONLY || bth[0] == RC_WRITE_ONLY_IMM || bth[0] == RC_READ ||
           bth[0] == RC_CAS || bth[0] == RC_FADD;
}

static void keyed_note(u8 from, u8 to, const u8 *frame, u32 len_bytes) {
    if (!has_key(frame, len_bytes)) return;
    struct keyed *k = &keyed[to][from];
    const u32 i = k->count++ % KEYED_KEPT;
    memcpy(k->frame[i], frame, len_bytes);
    k->len_bytes[i] = len_bytes;
}

void net_fenced(u8 node, u8 peer) {
    struct keyed *k = &keyed[node][peer];
    for (u32 i = 0; i < MIN(k->count, KEYED_KEPT); i++) {
        struct event ev = {.kind = EV_FRAME, .node = node, .from = peer, .a = 1,
                           .b = (u32)sim.node[node].incarnation, .len_bytes = k->len_bytes[i]};
        ev.frame = malloc(ev.len_bytes);
        memcpy(ev.frame, k->frame[i], ev.len_bytes);
        event_push(&ev, sim.now_ns + 1 + sim_random(sim_random(2) ? STALE_NS_MAX : WIRE_NS));
    }
    k->count = 0;
}

static u32 bth24(const u8 *b) { return (u32)b[0] << 16 | (u32)b[1] << 8 | b[2]; }

static void later(u8 from, u8 to, const u8 *frame, u32 len_bytes, u64 at_ns) {
    struct event ev = {.kind = EV_FRAME, .node = to, .from = from, .len_bytes = len_bytes};
    ev.frame = malloc(len_bytes);
    memcpy(ev.frame, frame, len_bytes);
    event_push(&ev, at_ns);
}

// A copy of the READ, and all that is held comes behind it.
static void overtake_begin(struct overtake *o, u8 from, u8 to, const u8 *frame, u32 len_bytes) {
    const u8 *bth = frame + ETH_BYTES + 28;
    const u32 packets = sim.small_packets ? PAGE_SIZE / SMALL_PACKET : 1;
    u32 which = (u32)sim_random(packets);
    if (packets > 2 && sim_random(MIDDLE_LOST_IN) != 0) which = 1 + (u32)sim_random(packets - 2);
    *o = (struct overtake){
        .psn = (bth24(bth + 9) + which) & 0xffffff, .behind = packets - 1 - which,
        .address = be64_get(*(const be64_t *)(const void *)(bth + 12)),
        .copy_ns = sim.now_ns + COPY_NS_MIN + sim_random(COPY_NS_MAX - COPY_NS_MIN)};
    o->until_ns = o->held_ns = o->copy_ns + HELD_NS;
    o->len_bytes = MIN(len_bytes, KEYED_BYTES);
    memcpy(o->request, frame, o->len_bytes);
    later(from, to, frame, len_bytes, o->copy_ns);
    drive_crowd(to, o->address);
}

// Another block is in that frame of the owner's cache: what was asked for from there while it held
// the old one is answered once more, with the new one.
void net_page_changed(u8 owner, u64 address) {
    for (u8 reader = 0; reader < sim.nodes; reader++) {
        struct overtake *o = &overtakes[reader][owner];
        if (!o->lost || o->address != address || sim.now_ns >= o->copy_ns) continue;
        o->copy_ns = sim.now_ns + 1 + sim_random(CHANGED_NS_MAX);
        later(reader, owner, o->request, o->len_bytes, o->copy_ns);
    }
}

// What can make the answer to a READ younger than the one to a READ behind it, with no request
// sent again: the network doubles the request, brings the copy after both have been answered,
// loses the first answer to it (or one packet of it), and holds what was answered behind until
// the copy has been answered too; of an answer of several packets that of the copy is lost but for
// the one that is missing. True: this frame is lost, or comes later.
static bool overtake(u8 from, u8 to, const u8 *frame, u32 len_bytes) {
    const u8 *bth = frame + ETH_BYTES + 28;
    if (!sim.overtakes || len_bytes < ETH_BYTES + 40 || frame[12] != 0x08) return false;
    struct overtake *o = &overtakes[from][to];
    if (bth[0] == RC_READ && bth24(bth + 25) == PAGE_SIZE && sim.now_ns > o->until_ns &&
        sim_random(OVERTAKEN_ONE_IN) == 0) {
        overtake_begin(o, from, to, frame, len_bytes);
        return false;
    }
    o = &overtakes[to][from];
    if (bth[0] < RC_READ_RESP_FIRST || bth[0] > RC_READ_RESP_ONLY || sim.now_ns >= o->until_ns)
        return false;
    const u32 ahead = (bth24(bth + 9) - o->psn) & 0xffffff;
    const bool copied = sim.now_ns >= o->copy_ns;
    if (!o->lost && ahead == 0 && !copied) {
        o->lost = true;
        o->qpn = bth24(bth + 5);
        trace_frame(from, to, frame, len_bytes, ", lost: the copy's answer is to come");
        return true;
    }
    if (!o->lost || bth24(bth + 5) != o->qpn || ahead == 0 || ahead > 0x7fffff) return false;
    if (copied && ahead <= o->behind) return true;
    sim.stats.overtaken++;
    trace_frame(from, to, frame, len_bytes, ", held");
    later(from, to, frame, len_bytes, o->held_ns += 1 + sim_random(2000));
    return true;
}

static void wire_send(u8 from, const u8 *frame, u32 len_bytes) {
    sim.stats.frames++;
    for (u8 to = 0; to < sim.nodes; to++) {
        u8 mac[6];
        net_mac(to, mac);
        if (to == from || (!(frame[0] & 1) && memcmp(mac, frame, 6) != 0)) continue;
        if (!(frame[0] & 1)) keyed_note(from, to, frame, len_bytes);
        if (cut_between(from, to)) {
            trace_frame(from, to, frame, len_bytes, ", cut");
            continue;
        }
        if (overtake(from, to, frame, len_bytes)) continue;
        if (sim_chance(sim.chaos.loss)) {
            sim.stats.frames_lost++;
            trace_frame(from, to, frame, len_bytes, ", lost");
            continue;
        }
        deliver(from, to, frame, len_bytes);
        if (!sim_chance(sim.chaos.dup)) continue;
        sim.stats.frames_doubled++;
        deliver(from, to, frame, len_bytes);
    }
}

// --- the card ----------------------------------------------------------------------------

static u32 buf_of(const struct card *c, const u8 *head) {
    const u64 i = (u64)(head - c->buf[0]) / CARD_BUF;
    if (head < c->buf[0] || i >= CARD_BUFS || head != c->buf[i]) sim_fail("a buffer not ours");
    return (u32)i;
}

static u8 *tx_buf(struct netdev *dev) {
    struct card *c = dev->priv;
    for (u32 i = 0; i < CARD_BUFS; i++) {
        if (c->state[i] != BUF_FREE) continue;
        c->state[i] = BUF_FILLING;
        memset(c->buf[i], 0xee, sim.seq % 8 == 0 ? sizeof c->buf[i] : JUNK_BYTES);
        return c->buf[i];
    }
    dev->counters.tx_drop_ring_full++;
    return NULL;
}

static void tx_cancel(struct netdev *dev, u8 *head) {
    struct card *c = dev->priv;
    c->state[buf_of(c, head)] = BUF_FREE;
}

static status_t tx_send(struct netdev *dev, const struct net_tx *tx) {
    struct card *c = dev->priv;
    const u32 i = buf_of(c, tx->head);
    if (c->state[i] != BUF_FILLING) sim_fail("a buffer was sent twice");
    if (tx->head_len + tx->gather_len + tx->tail_len > dev->mtu + ETH_BYTES) {
        c->state[i] = BUF_FREE;
        dev->counters.tx_drop_too_long++;
        return E_MSGSIZE;
    }
    c->state[i] = BUF_QUEUED;
    c->tx[i] = *tx;
    c->queue[c->queued++] = i;
    return S_OK;
}

static void transmit(struct card *c, u32 i) {
    u8 frame[CARD_BUF];
    const struct net_tx *tx = &c->tx[i];
    memcpy(frame, tx->head, tx->head_len);
    if (tx->gather_len != 0)
        memcpy(frame + tx->head_len, frame_at(&sim.node[c->node], tx->gather_pa.v),
               tx->gather_len);
    memcpy(frame + tx->head_len + tx->gather_len, tx->head + tx->head_len, tx->tail_len);
    c->dev.counters.tx_frames++;
    wire_send(c->node, frame, tx->head_len + tx->gather_len + tx->tail_len);
}

static void tx_kick(struct netdev *dev) {
    struct card *c = dev->priv;
    if (c->queued == 0) return;
    for (u32 k = 0; k < c->queued; k++) {
        transmit(c, c->queue[k]);
        c->state[c->queue[k]] = sim.slow_cards ? BUF_QUEUED : BUF_SENT;
    }
    c->queued = 0;
    if (!sim.slow_cards) return;
    struct event ev = {.kind = EV_SENT, .node = c->node, .b = (u32)sim.node[c->node].incarnation};
    event_push(&ev, sim.now_ns + sim_random(30000));
}

static void tx_reap(struct netdev *dev) {
    struct card *c = dev->priv;
    for (u32 i = 0; i < CARD_BUFS; i++) {
        if (c->state[i] != BUF_SENT) continue;
        c->state[i] = BUF_FREE;
        if (c->tx[i].sent != NULL) c->tx[i].sent(c->tx[i].sent_ctx, c->tx[i].sent_cookie);
    }
}

static bool link_up(struct netdev *dev) {
    (void)dev;
    return true;
}

// A new seed.
void net_begin(void) {
    memset(last_ns, 0, sizeof last_ns);
    memset(overtakes, 0, sizeof overtakes);
    for (u32 a = 0; a < SIM_NODES; a++)
        for (u32 b = 0; b < SIM_NODES; b++) keyed[a][b].count = 0;
}

// A fresh card for a node that boots.
struct netdev *net_card(u8 node) {
    static const struct netdev_ops ops = {
        .tx_buf = tx_buf, .tx_cancel = tx_cancel, .tx_send = tx_send, .tx_kick = tx_kick,
        .tx_reap = tx_reap, .link_up = link_up};
    struct card *c = &cards[node];
    net_drop(node);
    memset(c, 0, sizeof *c);
    c->node = node;
    const u32 mtu = sim.small_packets ? SMALL_MTU : CARD_MTU;
    c->dev = (struct netdev){.ops = &ops, .name = "eth0", .mtu = mtu, .mtu_max = mtu, .priv = c};
    net_mac(node, c->dev.mac);
    return &c->dev;
}

void net_drop(u8 node) {
    struct card *c = &cards[node];
    for (u32 i = 0; i < c->rx_count; i++) free(c->rx[(c->rx_first + i) % CARD_RX]);
    c->rx_count = 0;
}

// Hands over up to max_frames received frames; returns how many.
u32 net_receive(u8 node, u32 max_frames, void (*rx)(const u8 *frame, u32 len_bytes)) {
    struct card *c = &cards[node];
    u32 count = 0;
    for (; count < max_frames && c->rx_count != 0; count++) {
        const u32 i = c->rx_first;
        c->rx_first = (i + 1) % CARD_RX;
        c->rx_count--;
        const u64 unknown = c->rx_stale[i] ? roce_bad_qpn(node) : 0;
        rx(c->rx[i], c->rx_len[i]);
        if (c->rx_stale[i] && roce_bad_qpn(node) != unknown + 1)
            sim_fail("node %u takes a request of a node that it has fenced", node);
        sim.stats.stale_frames += c->rx_stale[i];
        free(c->rx[i]);
    }
    return count;
}

void net_event(const struct event *ev) {
    struct card *c = &cards[ev->node];
    const struct sim_node *n = &sim.node[ev->node];
    if (ev->kind == EV_SENT) {
        if (!n->alive || ev->b != (u32)n->incarnation) return;
        bool queued[CARD_BUFS] = {false};
        for (u32 k = 0; k < c->queued; k++) queued[c->queue[k]] = true;
        for (u32 i = 0; i < CARD_BUFS; i++)
            if (c->state[i] == BUF_QUEUED && !queued[i]) c->state[i] = BUF_SENT;
    } else if (!n->alive || c->rx_count == CARD_RX ||
               (ev->a != 0 && ev->b != (u32)n->incarnation)) {
        free(ev->frame);
        return;
    } else {
        const u32 i = (c->rx_first + c->rx_count++) % CARD_RX;
        c->rx[i] = ev->frame;
        c->rx_len[i] = ev->len_bytes;
        c->rx_stale[i] = ev->a != 0;
    }
    roce_poll_soon(ev->node);
}
