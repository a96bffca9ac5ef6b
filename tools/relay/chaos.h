// What goes wrong on purpose: loss, doubling, reordering, flipped bits and delay, of
// RoCEv2 frames (UDP port 4791) only. Decisions depend on the seed, the pair of IP
// addresses and the number of the frame in that direction, on nothing else, so a run
// replays as far as the guests send the same frames.
#pragma once
#include "frame.h"

#define CHAOS_FLOWS_MAX 256u

struct chaos_flow {
    uint32_t source, target; // IPv4 addresses as on the wire
    uint64_t random_state;
};

struct chaos {
    double loss, dup, reorder, corrupt; // per cent
    uint64_t delay_ns;
    uint64_t seed;
    bool active;
    uint32_t flow_count;
    struct chaos_flow flows[CHAOS_FLOWS_MAX];
};

struct chaos_verdict {
    uint32_t flow;   // FLOW_NONE: chaos does not apply to this frame
    bool roce;       // the frame is RoCEv2 over IPv4
    bool lost, doubled;
    uint32_t behind; // 0: in order; else let so many later frames pass first
    uint32_t flips;  // bits to flip, 0 to 3
    uint64_t flip_random;
};

// Reads "loss=5,dup=2,..." into *chaos; false and a message on stderr if malformed.
bool chaos_parse(struct chaos *chaos, const char *text);
// Decides the fate of one frame.
struct chaos_verdict chaos_judge(struct chaos *chaos, const uint8_t *data, uint32_t length);
// Flips the verdict's bits in the IP packet of a frame.
void chaos_corrupt(const struct chaos_verdict *verdict, uint8_t *data, uint32_t length);
