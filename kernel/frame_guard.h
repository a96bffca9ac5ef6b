// Which frames are the cluster's own. A program that reads a card does not see them, and one
// that writes to it cannot make them. Pure: bytes and the table of nodes in, a verdict out;
// kernel/card_port.c, kernel/files/cardfs.c and the unit test ask.
#pragma once

#include "proto/cluster/roster.h"

#define FRAME_HEADER 14u             // destination, source, ethertype
#define FRAME_TAG 4u                 // 802.1Q, between source and ethertype

struct frame_guard {
    const struct roster_row *rows;   // NODES_MAX of them
    const u8 *mac;                   // the card's own
    bool carries;                    // this card carries the cluster's RoCE
};

// True: RoCE of the cluster (all RoCE where the card carries it), or its echo.
bool frame_is_clusters(const struct frame_guard *g, const u8 *frame, u32 len_bytes);
// True: it must not be sent: such a frame, or one that says that another node sent it.
bool frame_forges(const struct frame_guard *g, const u8 *frame, u32 len_bytes);
// True: the frame begins with an 802.1Q tag, so it may be 4 bytes longer.
bool frame_is_tagged(const u8 *frame, u32 len_bytes);
