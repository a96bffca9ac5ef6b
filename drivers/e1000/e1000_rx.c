// Receive: a ring of legacy descriptors, each with a buffer that holds the largest
// frame, so a frame that goes on in a second descriptor is too long and is dropped.
// We move RDT, the card moves RDH and writes DD. Called by netpoll under the net lock.
// Spec: 8254x 3.2 (packet reception), 14.4 (initialisation); 82574 7.1.
#include "drivers/e1000/e1000_priv.h"

// Buffer sizes that RCTL can name, 8254x table 13-67: BSIZE, with BSEX times 16.
static const struct { u32 bytes; u64 rctl; } rx_sizes[] = {
    {2048, 0},
    {4096, E1000_RCTL_BSEX | FIELD_PREP(E1000_RCTL_BSIZE, 3)},
    {8192, E1000_RCTL_BSEX | FIELD_PREP(E1000_RCTL_BSIZE, 2)},
    {16384, E1000_RCTL_BSEX | FIELD_PREP(E1000_RCTL_BSIZE, 1)},
};

static u32 rx_index(u32 n) { return n & (E1000_RX_COUNT - 1); }
_Static_assert((E1000_RX_COUNT & (E1000_RX_COUNT - 1)) == 0, "rx_index masks");

// Gives the ring its buffers and turns the receiver on. All but one descriptor belong
// to the card: RDT equal to RDH would mean none (8254x 3.2.6).
// Returns E_NOMEM where memory for DMA has run out. Spec: 8254x 14.4.
status_t e1000_rx_setup(struct e1000 *e) {
    u32 frame_bytes = e->netdev.mtu + 14 + 4 + 4;      // header, a VLAN tag, FCS
    u32 choice = 0;
    while (rx_sizes[choice].bytes < frame_bytes) choice++;
    e->rx_buf_bytes = rx_sizes[choice].bytes;

    paddr_t pa;
    e->rx_desc = e->env->dma_alloc(E1000_RX_COUNT * sizeof *e->rx_desc, &pa);
    if (e->rx_desc == NULL) return E_NOMEM;
    for (u32 i = 0; i < E1000_RX_COUNT; i++) {
        paddr_t buf_pa;
        // Two small buffers share a frame.
        if (e->rx_buf_bytes == 2048 && i % 2 == 1) {
            e->rx_buf[i] = e->rx_buf[i - 1] + 2048;
            buf_pa = paddr(e->rx_desc[i - 1].buffer_pa + 2048);
        } else {
            e->rx_buf[i] = e->env->dma_alloc(MAX(e->rx_buf_bytes, 4096u), &buf_pa);
            if (e->rx_buf[i] == NULL) return E_NOMEM;
        }
        e->rx_desc[i].buffer_pa = buf_pa.v;
    }
    e1000_set(e, E1000_RDBAL, pa.v);
    e1000_set(e, E1000_RDBAH, pa.v >> 32);
    e1000_set(e, E1000_RDLEN, E1000_RX_COUNT * sizeof *e->rx_desc);
    e1000_set(e, E1000_RDTR, 0);
    e1000_set(e, E1000_RADV, 0);
    e1000_set(e, E1000_RDH, 0);
    e->rx_next = 0;
    e->rx_returned = E1000_RX_COUNT - 1;
    dma_to_device();
    e1000_set(e, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC |
                                 E1000_RCTL_LPE | rx_sizes[choice].rctl);
    e1000_set(e, E1000_RDT, rx_index(e->rx_returned));
    return S_OK;
}

// Whether a frame has come that rx_batch has not taken.
bool e1000_rx_waiting(const struct e1000 *e) {
    const volatile struct e1000_rx_desc *d = &e->rx_desc[rx_index(e->rx_next)];
    return d->status & E1000_RXD_DD;
}

// One filled descriptor: hands a whole good frame on, counts any other.
static bool rx_take(struct e1000 *e, const struct e1000_rx_desc *d, const u8 *buf,
                    void (*each)(void *ctx, const u8 *frame, u32 len_bytes), void *ctx) {
    struct net_counters *c = &e->netdev.counters;
    bool last = d->status & E1000_RXD_EOP;
    if (!last || e->rx_skipping) {
        if (last) c->rx_drop_too_long++;
        e->rx_skipping = !last;
        return false;
    }
    if (d->errors & E1000_RXD_ERR_FRAME) {
        if (d->errors & E1000_RXD_ERR_CE) c->rx_drop_crc++;
        else c->rx_drop_error++;
        return false;
    }
    if (d->length > e->rx_buf_bytes || d->length < 14) {    // the device is not trusted
        c->rx_drop_error++;
        return false;
    }
    c->rx_frames++;
    c->rx_bytes += d->length;
    each(ctx, buf, d->length);
    return true;
}

// Takes up to max_frames frames; see netdev.h. Looks at no more than two rounds of the
// ring, so that a flood of broken frames cannot hold the CPU here.
u32 e1000_rx_batch(struct netdev *dev, u32 max_frames,
                   void (*each)(void *ctx, const u8 *frame, u32 len_bytes), void *ctx) {
    struct e1000 *e = e1000_of(dev);
    u32 frames = 0;
    for (u32 looked = 0; frames < max_frames && looked < 2 * E1000_RX_COUNT; looked++) {
        u32 i = rx_index(e->rx_next);
        struct e1000_rx_desc *d = &e->rx_desc[i];
        if (!(*(volatile u8 *)&d->status & E1000_RXD_DD)) break;
        dma_from_device();
        if (rx_take(e, d, e->rx_buf[i], each, ctx)) frames++;
        d->status = 0;
        e->rx_next++;
        // The card may fill up to, not including, RDT: one descriptor stays ours.
        if (e->rx_next + E1000_RX_COUNT - 1 - e->rx_returned >= E1000_RX_RETURN) {
            e->rx_returned = e->rx_next + E1000_RX_COUNT - 1;
            dma_to_device();
            e1000_set(e, E1000_RDT, rx_index(e->rx_returned));
        }
    }
    return frames;
}
