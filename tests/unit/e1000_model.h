// A software model of an 82540EM or 82574L behind mmio.h, hw_env and pci_cfg, as far
// as the driver uses it. Physical addresses are the host's pointers.
#pragma once

#include "drivers/e1000/e1000.h"

#define MODEL_SENT_MAX 512
#define MODEL_FRAME_MAX 16384

struct model {
    u32 reg[0x20000 / 4];
    u32 ims, icr;
    bool link;
    bool reset_hangs;
    bool tx_stalled;                 // keeps descriptors until model_tx_run
    u32 irqs, doorbells, rdt_writes;
    u32 dma_left;                    // dma_alloc calls that still succeed
    u64 now_ns;
    void (*irq_handler)(void *arg);
    void *irq_arg;
    u32 sent_count, sent_len[MODEL_SENT_MAX];
    u8 sent[MODEL_SENT_MAX][256];    // the first bytes of each frame
    u32 log_lines;
};
extern struct model model;
extern const struct hw_env model_env;
extern const struct pci_cfg model_cfg;

void model_reset(void);
struct pci_dev model_pci(u16 device_id);
// The wire brings a frame; false where the card dropped it.
bool model_rx(const u8 *frame, u32 len_bytes, u8 errors);
void model_tx_run(void);
void model_set_link(bool up);
void model_free(void);
