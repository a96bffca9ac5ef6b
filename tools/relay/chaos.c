// Chaos by seed for the relay: parsing of the option, and the verdict on each frame.
// Called by relay.c for every received frame; single thread, no locks.
// A fixed count of random words is drawn for each frame of a flow, whatever the rates,
// so that frame k of a flow meets the same dice in every run with the same seed.
#include "chaos.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROCE_UDP_PORT 4791u
#define ETHERNET_HEADER 14u
#define IPV4_HEADER_MIN 20u
#define DELAY_MS_MAX 10000.0
#define REORDER_BEHIND_MAX 4u
#define FLIPS_MAX 3u

// splitmix64: one step of the generator, one 64-bit word.
static uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(uint64_t word, double per_cent) {
    return (double)(word >> 11) * 0x1p-53 * 100.0 < per_cent;
}

static uint32_t read_be(const uint8_t *bytes, unsigned count) {
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

static bool option_set(struct chaos *chaos, const char *name, double value) {
    double *rate = !strcmp(name, "loss") ? &chaos->loss
                   : !strcmp(name, "dup") ? &chaos->dup
                   : !strcmp(name, "reorder") ? &chaos->reorder
                   : !strcmp(name, "corrupt") ? &chaos->corrupt
                                              : NULL;
    if (rate) {
        *rate = value;
        return value >= 0 && value <= 100;
    }
    if (!strcmp(name, "delay")) {
        if (!(value >= 0 && value <= DELAY_MS_MAX))
            return false;
        chaos->delay_ns = (uint64_t)(value * 1e6);
        return true;
    }
    return false;
}

/**
 * Reads the option's text, `name=value` words with commas between them, into *chaos,
 * and makes it active. Rates are per cent from 0 to 100, delay is in milliseconds, the
 * seed any unsigned 64-bit number (0 if not given).
 * Returns false, and says why on stderr, if a word is unknown or out of range.
 */
bool chaos_parse(struct chaos *chaos, const char *text) {
    memset(chaos, 0, sizeof(*chaos));
    while (*text) {
        char name[16], *end;
        size_t name_length = strcspn(text, "=");
        if (text[name_length] != '=' || name_length >= sizeof(name))
            goto malformed;
        memcpy(name, text, name_length);
        name[name_length] = 0;
        const char *number = text + name_length + 1;
        if (!strcmp(name, "seed")) {
            chaos->seed = strtoull(number, &end, 0);
        } else if (!option_set(chaos, name, strtod(number, &end))) {
            goto malformed;
        }
        if (end == number || (*end && *end != ','))
            goto malformed;
        text = *end ? end + 1 : end;
    }
    chaos->active = true;
    return true;
malformed:
    fprintf(stderr, "relay: bad chaos option at \"%s\"; known: loss= dup= reorder= corrupt= "
                    "(0 to 100 per cent) delay= (ms) seed=\n", text);
    return false;
}

// Length of the IPv4 packet of a RoCEv2 frame, or 0 if the frame is none.
static uint32_t roce_packet_length(const uint8_t *data, uint32_t length) {
    if (length < ETHERNET_HEADER + IPV4_HEADER_MIN + 8 || read_be(data + 12, 2) != 0x0800)
        return 0;
    const uint8_t *ip = data + ETHERNET_HEADER;
    uint32_t header = (ip[0] & 15u) * 4u, total = read_be(ip + 2, 2);
    if (ip[0] >> 4 != 4 || header < IPV4_HEADER_MIN || ip[9] != 17)
        return 0;
    if (total < header + 8 || total > length - ETHERNET_HEADER)
        return 0;
    return read_be(ip + header + 2, 2) == ROCE_UDP_PORT ? total : 0;
}

// Finds or makes the flow of a pair of addresses. A full table shares the last entry.
static uint32_t flow_find(struct chaos *chaos, const uint8_t *ip) {
    uint32_t source = read_be(ip + 12, 4), target = read_be(ip + 16, 4);
    for (uint32_t i = 0; i < chaos->flow_count; i++)
        if (chaos->flows[i].source == source && chaos->flows[i].target == target)
            return i;
    if (chaos->flow_count == CHAOS_FLOWS_MAX)
        return CHAOS_FLOWS_MAX - 1;
    struct chaos_flow *flow = &chaos->flows[chaos->flow_count];
    flow->source = source;
    flow->target = target;
    uint64_t mix = (uint64_t)source << 32 | target;
    flow->random_state = chaos->seed ^ random_next(&mix);
    return chaos->flow_count++;
}

/**
 * Decides what happens to one frame and moves its flow's generator on by a fixed
 * number of words. A frame that is not RoCEv2 over IPv4 is left alone (flow FLOW_NONE).
 */
struct chaos_verdict chaos_judge(struct chaos *chaos, const uint8_t *data, uint32_t length) {
    struct chaos_verdict verdict = {.flow = FLOW_NONE};
    verdict.roce = roce_packet_length(data, length) != 0;
    if (!chaos->active || !verdict.roce)
        return verdict;
    verdict.flow = flow_find(chaos, data + ETHERNET_HEADER);
    uint64_t *state = &chaos->flows[verdict.flow].random_state;
    verdict.lost = chance(random_next(state), chaos->loss);
    verdict.doubled = chance(random_next(state), chaos->dup);
    bool late = chance(random_next(state), chaos->reorder);
    bool damaged = chance(random_next(state), chaos->corrupt);
    uint64_t how = random_next(state);
    verdict.behind = late ? 1 + (uint32_t)(how % REORDER_BEHIND_MAX) : 0;
    verdict.flips = damaged ? 1 + (uint32_t)((how >> 32) % FLIPS_MAX) : 0;
    verdict.flip_random = random_next(state);
    return verdict;
}

/**
 * Flips the verdict's count of bits, at places drawn from its random word, anywhere in
 * the IP packet of the frame. The Ethernet header stays: nothing on this link guards it.
 */
void chaos_corrupt(const struct chaos_verdict *verdict, uint8_t *data, uint32_t length) {
    uint64_t state = verdict->flip_random;
    uint32_t bits = roce_packet_length(data, length) * 8;
    for (uint32_t i = 0; i < verdict->flips && bits; i++) {
        uint32_t bit = (uint32_t)(random_next(&state) % bits);
        data[ETHERNET_HEADER + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
