// Transmit: a ring of legacy descriptors and a set of buffers for headers and copied
// payload. A frame takes one descriptor, or up to three where its payload is gathered
// from a frame that cannot change. The last one carries EOP and RS; its DD ends all of
// them. We move TDT, the card moves TDH. Called by netpoll under the net lock.
// Spec: 8254x 3.3 and 3.4, 14.5 (initialisation); 82574 7.2.
#include "drivers/e1000/e1000_priv.h"

static u32 tx_index(u32 n) { return n & (E1000_TX_COUNT - 1); }
_Static_assert((E1000_TX_COUNT & (E1000_TX_COUNT - 1)) == 0, "tx_index masks");

// Allocates ring and buffers and turns the transmitter on. Spec: 8254x 14.5.
status_t e1000_tx_setup(struct e1000 *e) {
    paddr_t pa, area_pa;
    e->tx_desc = e->env->dma_alloc(E1000_TX_COUNT * sizeof *e->tx_desc, &pa);
    e->tx_buf_bytes = e->netdev.mtu + E1000_TX_SPACE;
    e->tx_stride = ALIGN_UP((u64)e->tx_buf_bytes, 64ull);
    e->tx_area = e->env->dma_alloc(E1000_TX_SLOTS * e->tx_stride, &area_pa);
    if (e->tx_desc == NULL || e->tx_area == NULL) return E_NOMEM;
    for (u16 i = 0; i < E1000_TX_SLOTS; i++) {
        e->tx_buf[i] = e->tx_area + i * e->tx_stride;
        e->tx_buf_pa[i] = paddr(area_pa.v + i * e->tx_stride);
        e->tx_free[i] = (u16)(E1000_TX_SLOTS - 1 - i);
    }
    e->tx_free_count = E1000_TX_SLOTS;
    ring_init(&e->tx, E1000_TX_COUNT);
    e->tx_doorbell = 0;
    e1000_set(e, E1000_TDBAL, pa.v);
    e1000_set(e, E1000_TDBAH, pa.v >> 32);
    e1000_set(e, E1000_TDLEN, E1000_TX_COUNT * sizeof *e->tx_desc);
    e1000_set(e, E1000_TDH, 0);
    e1000_set(e, E1000_TDT, 0);
    e1000_set(e, E1000_TIPG, e->hw->tipg);
    e1000_set(e, E1000_TCTL,
              E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
    return S_OK;
}

// The slot of a buffer that tx_buf handed out; anything else is our bug.
static u16 slot_of(const struct e1000 *e, const u8 *head) {
    u64 offset = (u64)(head - e->tx_area);
    ASSERT(offset % e->tx_stride == 0 && offset / e->tx_stride < E1000_TX_SLOTS);
    return (u16)(offset / e->tx_stride);
}

// A buffer for the next frame; NULL (counted) where all are out. See netdev.h.
u8 *e1000_tx_buf(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    if (e->tx_free_count == 0) e1000_tx_reap(dev);
    if (e->tx_free_count == 0) {
        dev->counters.tx_drop_ring_full++;
        return NULL;
    }
    return e->tx_buf[e->tx_free[--e->tx_free_count]];
}

// Gives back a buffer of tx_alloc that is not sent after all.
void e1000_tx_cancel(struct netdev *dev, u8 *head) {
    struct e1000 *e = e1000_of(dev);
    u16 slot = slot_of(e, head);
    ASSERT(e->tx_free_count < E1000_TX_SLOTS);
    e->tx_free[e->tx_free_count++] = slot;
}

static void put_desc(struct e1000 *e, u64 pa, u32 len_bytes, u8 command) {
    struct e1000_tx_desc *d = &e->tx_desc[ring_tail_index(&e->tx)];
    *d = (struct e1000_tx_desc){
        .buffer_pa = pa, .length = (u16)len_bytes, .command = command | E1000_TXD_IFCS};
    ring_produce(&e->tx);
}

// Queues one frame; see netdev.h. On any error the buffer is the card's again and the
// frame is dropped and counted: E_MSGSIZE (longer than the MTU allows, or than the
// buffer), E_NETDOWN (no link). `sent` does not run then.
// Spec: 8254x 3.3.3, 3.4.
status_t e1000_tx_send(struct netdev *dev, const struct net_tx *tx) {
    struct e1000 *e = e1000_of(dev);
    u32 copied = tx->head_len + tx->tail_len;
    u32 frame_bytes = copied + tx->gather_len;
    status_t status = S_OK;
    if (frame_bytes > dev->mtu + 14 || copied > e->tx_buf_bytes ||
        tx->gather_len > E1000_TXD_LENGTH_MAX || tx->head_len < 14) {
        dev->counters.tx_drop_too_long++;
        status = E_MSGSIZE;
    } else if (!e->link) {
        dev->counters.tx_drop_link_down++;
        status = E_NETDOWN;
    }
    if (status != S_OK) {
        e1000_tx_cancel(dev, tx->head);
        return status;
    }
    const u8 last = E1000_TXD_EOP | E1000_TXD_RS;
    u16 slot = slot_of(e, tx->head);
    u64 head_pa = e->tx_buf_pa[slot].v;
    u16 count = 1;
    if (tx->gather_len == 0) {
        put_desc(e, head_pa, copied, last);
    } else {
        put_desc(e, head_pa, tx->head_len, 0);
        put_desc(e, tx->gather_pa.v, tx->gather_len, tx->tail_len ? 0 : last);
        count = 2;
        if (tx->tail_len) {
            put_desc(e, head_pa + tx->head_len, tx->tail_len, last);
            count = 3;
        }
    }
    for (u16 i = 2; i <= count; i++) e->tx_frame[tx_index(e->tx.tail - i)].desc_count = 0;
    e->tx_frame[tx_index(e->tx.tail - 1)] = (struct e1000_tx_frame){
        .sent = tx->sent, .sent_ctx = tx->sent_ctx, .sent_cookie = tx->sent_cookie,
        .slot = slot, .desc_count = count};
    if (tx->sent != NULL) e->tx_waiters++;
    dev->counters.tx_frames++;
    dev->counters.tx_bytes += frame_bytes;
    return S_OK;
}

// One doorbell for all frames queued since the last one.
void e1000_tx_kick(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    if (e->tx_doorbell == e->tx.tail) return;
    e->tx_doorbell = e->tx.tail;
    dma_to_device();
    e1000_set(e, E1000_TDT, ring_tail_index(&e->tx));
}

// Index of the last descriptor of the frame at the ring's head; at most three on.
static u32 frame_last(const struct e1000 *e) {
    u32 offset = 0;
    while (e->tx_frame[tx_index(e->tx.head + offset)].desc_count == 0) offset++;
    return tx_index(e->tx.head + offset);
}

// Takes finished frames off the ring, in order. Ends with the ring empty or at the
// first frame that the card still has.
void e1000_tx_reap(struct netdev *dev) {
    struct e1000 *e = e1000_of(dev);
    while (ring_count(&e->tx) > e->tx.tail - e->tx_doorbell) {
        u32 last = frame_last(e);
        if (!(*(volatile u8 *)&e->tx_desc[last].status & E1000_TXD_DD)) break;
        dma_from_device();
        struct e1000_tx_frame *f = &e->tx_frame[last];
        for (u16 i = f->desc_count; i > 0; i--) ring_consume(&e->tx);
        f->desc_count = 0;
        e->tx_free[e->tx_free_count++] = f->slot;
        if (f->sent != NULL) {
            e->tx_waiters--;
            f->sent(f->sent_ctx, f->sent_cookie);
        }
    }
}
