// What e1000.c, e1000_rx.c and e1000_tx.c share: one card's state.
// Lock: the owner's (netdev.h); the interrupt handler touches only `base`, the counter
// of interrupts and the owner's callback.
#pragma once

#include "base/ring.h"
#include "drivers/e1000/e1000.h"
#include "drivers/e1000/e1000_regs.h"
#include "kernel/x86/dma.h"
#include "kernel/x86/mmio.h"

#define E1000_RX_COUNT 128u          // descriptors; 8254x 13.4.27: a multiple of 8
#define E1000_RX_RETURN 16u          // buffers given back by one write of RDT
#define E1000_TX_COUNT 512u
#define E1000_TX_SLOTS 128u          // buffers for frames; every one finds descriptors
#define E1000_TX_SPACE 64u           // bytes of a buffer beyond the MTU (netdev.h)
_Static_assert(E1000_TX_SLOTS * NET_FRAG_MAX < E1000_TX_COUNT, "the ring is never full");
#define E1000_RESET_NS 20000000ull

struct e1000;

// What differs between the cards.
struct e1000_hw {
    const char *name;
    u16 device_ids[12];              // closed by 0
    u32 tipg;
    // Before and after CTRL.RST, where the data sheet asks for more. May be NULL.
    void (*before_reset)(struct e1000 *e);
    status_t (*after_reset)(struct e1000 *e);
    void (*queue_setup)(struct e1000 *e);
};

// A frame on its way, kept at the index of its last descriptor.
struct e1000_tx_frame {
    void (*sent)(void *ctx, u64 cookie);
    void *sent_ctx;
    u64 sent_cookie;
    u16 slot;                        // its buffer
    u16 desc_count;                  // 0: not the last descriptor of a frame
};

struct e1000 {
    struct netdev netdev;
    const struct e1000_hw *hw;
    const struct hw_env *env;
    volatile void *base;
    void (*on_irq)(void *ctx);
    void *on_irq_ctx;
    bool link;                       // as of the last LSC

    // Receive. The card owns [rx_next, rx_next + count) less what was not given back.
    struct e1000_rx_desc *rx_desc;
    u8 *rx_buf[E1000_RX_COUNT];
    u32 rx_buf_bytes;
    u32 rx_next;                     // next descriptor that the card fills, free-running
    u32 rx_returned;                 // value of RDT that the card knows, free-running
    bool rx_skipping;                // inside a frame that was too long for one buffer

    // Transmit. `tx` counts descriptors: we produce, the card consumes, tx_reap takes.
    struct e1000_tx_desc *tx_desc;
    struct ring tx;
    u32 tx_doorbell;                 // tail that the card knows
    struct e1000_tx_frame tx_frame[E1000_TX_COUNT];
    u8 *tx_buf[E1000_TX_SLOTS];
    paddr_t tx_buf_pa[E1000_TX_SLOTS];
    u32 tx_buf_bytes;
    u16 tx_free[E1000_TX_SLOTS];     // stack of free slots
    u32 tx_free_count;
    u8 *tx_area;                     // start of the slots, tx_stride apart
    u64 tx_stride;
    u32 tx_waiters;                  // frames out whose `sent` somebody waits for
};

static inline struct e1000 *e1000_of(struct netdev *dev) { return dev->priv; }
static inline u32 e1000_get(struct e1000 *e, enum e1000_reg reg) {
    return mmio_get32(e->base, reg);
}
static inline void e1000_set(struct e1000 *e, enum e1000_reg reg, u64 value) {
    mmio_set32(e->base, reg, (u32)value);
}

status_t e1000_rx_setup(struct e1000 *e);
u32 e1000_rx_batch(struct netdev *dev, u32 max_frames,
                   void (*each)(void *ctx, const u8 *frame, u32 len_bytes), void *ctx);
bool e1000_rx_waiting(const struct e1000 *e);

status_t e1000_tx_setup(struct e1000 *e);
u8 *e1000_tx_buf(struct netdev *dev);
void e1000_tx_cancel(struct netdev *dev, u8 *head);
status_t e1000_tx_send(struct netdev *dev, const struct net_tx *tx);
void e1000_tx_kick(struct netdev *dev);
void e1000_tx_reap(struct netdev *dev);
