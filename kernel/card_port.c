// See card_port.h. card_ports_busy and a card's `rx` are set by whoever opens or sends and
// put back by netpoll before it looks what is left, so that neither side misses the other.
#include "kernel/card_port.h"

#include "base/string.h"
#include "kernel/files/object.h"
#include "kernel/net_priv.h"
#include "kernel/options.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

struct card_port card_ports[NET_CARDS_MAX];
bool card_ports_busy;

void card_ports_init(void) {
    for (u32 i = 0; i < net_card_count; i++) {
        struct card_port *p = &card_ports[i];
        p->card = &net_cards[i];
        ring_init(&p->tx, PORT_TX_FRAMES);
        wait_list_init(&p->readers);
        wait_list_init(&p->writers);
    }
}

static struct card_port *port_of(const struct net_card *card) {
    return &card_ports[card - net_cards];
}

// The nodes' table changes under net_lock when a node joins; a look without it may take a
// row for half of what it becomes, which refuses or lets pass one frame more.
struct frame_guard card_guard(const struct card_port *port) {
    return (struct frame_guard){.rows = cluster_conf.node, .mac = port->card->dev->mac,
                                .carries = port->card->rdma != NULL};
}

// --- the users' side ---

static void work_mark(void) {
    __atomic_store_n(&card_ports_busy, true, __ATOMIC_SEQ_CST);
    edge_request(EDGE_NETPOLL);
}

// See card_port.h. E_BUSY: TAPS_MAX are open.
status_t card_tap_open(struct card_port *port, struct card_tap **tap) {
    u32 i = 0;
    while (i < TAPS_MAX && __atomic_load_n(&port->tap[i], __ATOMIC_ACQUIRE)) i++;
    if (i == TAPS_MAX) return E_BUSY;
    *tap = kmem_alloc(sizeof **tap);
    if (!*tap) return E_NOMEM;
    ring_init(&(*tap)->ring, TAP_FRAMES);
    __atomic_store_n(&port->tap[i], *tap, __ATOMIC_SEQ_CST);
    __atomic_store_n(&port->card->rx, net_rx_tapped, __ATOMIC_SEQ_CST);
    work_mark();
    return S_OK;
}

void card_tap_close(struct card_tap *tap) {
    __atomic_store_n(&tap->closed, true, __ATOMIC_SEQ_CST);
    work_mark();
}

// See card_port.h. frame.bytes is the port's from here on.
void card_port_send(struct card_port *port, struct card_frame frame) {
    port->tx_slot[ring_tail_index(&port->tx)] = frame;
    ring_produce(&port->tx);
    work_mark();
}

// --- netpoll's side ---

static void tap_put(struct card_port *port, struct card_tap *tap, const u8 *frame, u32 len) {
    u8 *bytes = ring_full(&tap->ring) ? NULL : kmem_alloc(len);
    if (!bytes) {
        port->counters.dropped++;
        return;
    }
    memcpy(bytes, frame, len);
    tap->slot[ring_tail_index(&tap->ring)] = (struct card_frame){bytes, len};
    ring_produce(&tap->ring);
}

// See card_port.h.
bool card_port_receive(struct net_card *card, const u8 *frame, u32 len_bytes) {
    struct card_port *port = port_of(card);
    const struct frame_guard guard = card_guard(port);
    if (frame_is_clusters(&guard, frame, len_bytes)) {
        port->counters.hidden++;
        return false;
    }
    bool taken = false;
    for (u32 i = 0; i < TAPS_MAX; i++) {
        struct card_tap *tap = __atomic_load_n(&port->tap[i], __ATOMIC_ACQUIRE);
        if (!tap || __atomic_load_n(&tap->closed, __ATOMIC_ACQUIRE)) continue;
        tap_put(port, tap, frame, len_bytes);
        taken = port->news = true;
        __atomic_store_n(&card_ports_busy, true, __ATOMIC_RELAXED);   // to wake, in this round
    }
    port->counters.received += taken;
    return taken;
}

static void tap_free(struct card_tap *tap) {
    while (!ring_empty(&tap->ring)) {
        const struct card_frame *f = &tap->slot[ring_peek_index(&tap->ring, 0)];
        kmem_free(f->bytes, f->len_bytes);
        ring_consume(&tap->ring);
    }
    kmem_free(tap, sizeof *tap);
}

// True: some are open still.
static bool taps_sweep(struct card_port *port) {
    bool open = false;
    for (u32 i = 0; i < TAPS_MAX; i++) {
        struct card_tap *tap = __atomic_load_n(&port->tap[i], __ATOMIC_ACQUIRE);
        if (!tap) continue;
        if (!__atomic_load_n(&tap->closed, __ATOMIC_ACQUIRE)) {
            open = true;
            continue;
        }
        __atomic_store_n(&port->tap[i], NULL, __ATOMIC_RELEASE);
        tap_free(tap);
    }
    return open;
}

// False: the card has no room now; the frame waits.
static bool send_one(struct card_port *port) {
    struct netdev *dev = port->card->dev;
    const struct card_frame *f = &port->tx_slot[ring_peek_index(&port->tx, 0)];
    u8 *head = dev->ops->tx_buf(dev);
    if (!head) return false;
    memcpy(head, f->bytes, f->len_bytes);
    const struct net_tx tx = {.head = head, .head_len = f->len_bytes};
    if (dev->ops->tx_send(dev, &tx) == S_OK) port->counters.sent++;
    else port->counters.send_failed++;
    kmem_free(f->bytes, f->len_bytes);
    ring_consume(&port->tx);
    return true;
}

// True: more waits to be sent.
static bool port_round(struct card_port *port) {
    u32 sent = 0;
    while (sent < PORT_TX_ROUND && !ring_empty(&port->tx) && send_one(port)) sent++;
    if (sent) port->card->dev->ops->tx_kick(port->card->dev);
    if (sent || port->news) {
        spin_lock(&files_lock);
        if (port->news) file_wake(&port->readers);
        if (sent) file_wake(&port->writers);
        spin_unlock(&files_lock);
        port->news = false;
    }
    __atomic_store_n(&port->card->rx, net_rx_frame, __ATOMIC_SEQ_CST);
    if (taps_sweep(port)) __atomic_store_n(&port->card->rx, net_rx_tapped, __ATOMIC_SEQ_CST);
    return !ring_empty(&port->tx);
}

// After RoCE's own frames of this round.
bool card_ports_round(void) {
    bool waits = false;
    __atomic_store_n(&card_ports_busy, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < net_card_count; i++) waits |= port_round(&card_ports[i]);
    if (waits) __atomic_store_n(&card_ports_busy, true, __ATOMIC_SEQ_CST);
    return waits;
}
