// Between net.c and netpoll.c only.
#pragma once

#include "kernel/net.h"

// Takes frames that are not for soft RoCE (the echo of rdma.test=1). True: taken.
bool net_raw_frame(struct net_card *card, const u8 *frame, u32 len_bytes);
