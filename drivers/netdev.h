// What an Ethernet card offers to whoever drives it (soft RoCE, raw frames), and
// nothing of how it does it. drivers/e1000 is one; tests and the simulator bring
// their own. Called under the owner's lock (kernel: the net lock), with interrupts
// off; no call blocks.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define NET_FRAG_MAX 3          // header, gathered payload, trailer
#define NET_FRAME_MAX 9216      // bytes; the largest frame that any card here takes

// One frame to send, without the FCS. `head` is a buffer that tx_buf handed out,
// already filled; `gather` is memory that cannot change until `sent` runs (frozen or
// read-only frames), or len 0; `tail_len` bytes follow from head + head_len (the pad
// and ICRC behind gathered payload).
struct net_tx {
    u8 *head;
    u32 head_len;
    paddr_t gather_pa;
    u32 gather_len;
    u32 tail_len;
    void (*sent)(void *ctx, u64 cookie);  // NULL where nobody waits; runs in tx_reap
    void *sent_ctx;
    u64 sent_cookie;
};

struct net_counters {
    u64 tx_frames, tx_bytes, rx_frames, rx_bytes;
    u64 tx_drop_ring_full, tx_drop_too_long, tx_drop_link_down;
    u64 rx_drop_crc, rx_drop_too_long, rx_drop_missed, rx_drop_no_buffer, rx_drop_error;
    u64 interrupts;
};

struct netdev;

struct netdev_ops {
    // A buffer of at least mtu + 64 bytes for the next frame, or NULL (ring full;
    // counted). The buffer stays the card's: hand it back by tx_send or tx_cancel.
    u8 *(*tx_buf)(struct netdev *dev);
    void (*tx_cancel)(struct netdev *dev, u8 *head);
    // Queues the frame; not on the wire before tx_kick. E_MSGSIZE: too long for the card,
    // E_NETDOWN: no link. Then the frame is dropped and counted, the
    // buffer has been handed back, and `sent` does not run.
    status_t (*tx_send)(struct netdev *dev, const struct net_tx *tx);
    void (*tx_kick)(struct netdev *dev);   // one doorbell for all queued frames
    void (*tx_reap)(struct netdev *dev);   // gives finished buffers back, calls `sent`
    // Takes up to max_frames received frames, each handed to `each` while the buffer
    // is still the card's (it is reused when `each` returns). Returns how many.
    u32 (*rx_batch)(struct netdev *dev, u32 max_frames,
                    void (*each)(void *ctx, const u8 *frame, u32 len_bytes), void *ctx);
    // Interrupts: the handler has masked them; enable returns true where frames
    // arrived meanwhile, and then leaves them masked (poll again).
    bool (*irq_enable)(struct netdev *dev);
    void (*irq_disable)(struct netdev *dev);
    bool (*link_up)(struct netdev *dev);
    // Adds what the card itself counted (frames that it dropped) to `counters`. May be
    // NULL; slow, so called once a second and before counters are shown.
    void (*stats)(struct netdev *dev);
};

struct netdev {
    const struct netdev_ops *ops;
    char name[16];       // "eth0"
    u8 mac[6];
    u32 mtu;             // bytes of Ethernet payload that the card is set to
    u32 mtu_max;
    struct net_counters counters;
    void *priv;
};
