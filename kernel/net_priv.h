// Between net.c, netpoll.c, card_port.c and ask.c only.
#pragma once

#include "kernel/net.h"

// Takes frames that are not for soft RoCE (the echo of rdma.test=1). True: taken.
bool net_raw_frame(struct net_card *card, const u8 *frame, u32 len_bytes);

// Who takes the frames of a card: the kernel alone, or programs as well (card_port.c).
void net_rx_frame(void *ctx, const u8 *frame, u32 len_bytes);
void net_rx_tapped(void *ctx, const u8 *frame, u32 len_bytes);

status_t net_rdma_create(struct net_card *card, u32 ipv4);
void net_rdma_announce(struct net_card *card);
// Who gets the frames of cards that have no RDMA device: ask.c, at boot. NULL: nobody.
extern void (*net_claim_rx)(struct net_card *card, const u8 *frame, u32 len_bytes);
