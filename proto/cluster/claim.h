// How a node without a line in cluster.conf comes to an IPv4 address: it picks a host number
// of the cluster's /24 by its MAC, asks by ARP who has it, and takes the next one where
// somebody answers or asks for the same. Pure: frames and time in, frames out. Caller:
// kernel/ask.c at boot, tests. Spec: RFC 5227 2.1, with shorter waits (one switch).
#pragma once

#include "base/types.h"

#define CLAIM_HOST_FIRST 65u         // node ids use 1 to 64 in the launcher's cluster.conf,
#define CLAIM_HOST_LAST 99u          // guests that are no nodes 100 and up
#define CLAIM_HOSTS (CLAIM_HOST_LAST - CLAIM_HOST_FIRST + 1)
#define CLAIM_PROBES 3u
#define CLAIM_WAIT_NS (300ull * 1000 * 1000)        // after each probe
#define CLAIM_FRAME_BYTES 60u

enum claim_state { CLAIM_PROBING, CLAIM_DONE, CLAIM_NONE_FREE };

struct claim {
    enum claim_state state;
    u8 mac[6];
    u32 ipv4;                        // candidate; DONE: ours
    u32 network, host, tried, probes;
    bool fixed;                      // only this one
    u64 taken;                       // bit h - CLAIM_HOST_FIRST: known to be another's
    u64 at_ns;                       // when the next probe, or the end, is due
};

// `network`: any address of the /24; `taken`: as in the struct; `fixed`: 0, or the one
// address to claim.
void claim_init(struct claim *c, const u8 mac[6], u32 network, u64 taken, u32 fixed);
// True: send this frame. Look at c->state after it.
bool claim_tick(struct claim *c, u64 now_ns, u8 frame[CLAIM_FRAME_BYTES]);
void claim_rx(struct claim *c, const u8 *frame, u32 len_bytes);
// The address is somebody's after all: the next one.
void claim_next(struct claim *c);
