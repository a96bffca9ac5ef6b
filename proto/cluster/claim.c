// Claiming an address. See claim.h for callers and the rule.
#include "proto/cluster/claim.h"

#include "base/bits.h"
#include "base/string.h"
#include "proto/roce/roce_wire.h"

#define HOST_BITS 0xffu

static void probe_from(struct claim *c) {
    c->ipv4 = (c->network & ~HOST_BITS) | c->host;
    c->probes = 0;
    c->at_ns = 0;
    c->state = CLAIM_PROBING;
}

// The next host number that is not known to be another's.
void claim_next(struct claim *c) {
    c->state = CLAIM_NONE_FREE;
    while (!c->fixed && c->tried < CLAIM_HOSTS) {
        c->tried++;
        c->host = c->host == CLAIM_HOST_LAST ? CLAIM_HOST_FIRST : c->host + 1;
        if (c->taken & BIT(c->host - CLAIM_HOST_FIRST)) continue;
        probe_from(c);
        return;
    }
}

// FNV-1a of the MAC, so that a card begins with the same number at every boot.
static u32 host_of(const u8 mac[6]) {
    u32 h = 2166136261u;
    for (u32 i = 0; i < 6; i++) h = (h ^ mac[i]) * 16777619u;
    return CLAIM_HOST_FIRST + h % CLAIM_HOSTS;
}

void claim_init(struct claim *c, const u8 mac[6], u32 network, u64 taken, u32 fixed) {
    *c = (struct claim){.network = network, .taken = taken, .fixed = fixed != 0,
                        .tried = 1};
    memcpy(c->mac, mac, 6);
    if (fixed != 0) {
        c->ipv4 = fixed;
        return;
    }
    c->host = host_of(mac);
    if (c->taken & BIT(c->host - CLAIM_HOST_FIRST)) claim_next(c);
    else probe_from(c);
}

static void probe(const struct claim *c, u8 frame[CLAIM_FRAME_BYTES]) {
    struct eth_hdr *eth = (void *)frame;
    struct arp_pkt *arp = (void *)(frame + ETH_LEN);
    memset(frame, 0, CLAIM_FRAME_BYTES);
    memset(eth->dst, 0xff, 6);
    memcpy(eth->src, c->mac, 6);
    eth->type = be16(ETH_TYPE_ARP);
    arp->htype = be16(1);
    arp->ptype = be16(ETH_TYPE_IPV4);
    arp->hlen = 6;
    arp->plen = 4;
    arp->op = be16(ARP_OP_REQUEST);
    memcpy(arp->sender_mac, c->mac, 6);
    arp->target_ip = be32(c->ipv4);      // the sender's address stays 0: a probe
}

bool claim_tick(struct claim *c, u64 now_ns, u8 frame[CLAIM_FRAME_BYTES]) {
    if (c->state != CLAIM_PROBING || now_ns < c->at_ns) return false;
    if (c->probes == CLAIM_PROBES) {
        c->state = CLAIM_DONE;
        return false;
    }
    c->probes++;
    c->at_ns = now_ns + CLAIM_WAIT_NS;
    probe(c, frame);
    return true;
}

// Somebody else who speaks as that address, or who asks for it by a probe as well, has it.
// Of two who probe the same both step aside, and by their MACs they rarely meet again.
void claim_rx(struct claim *c, const u8 *frame, u32 len_bytes) {
    const struct eth_hdr *eth = (const void *)frame;
    const struct arp_pkt *arp = (const void *)(frame + ETH_LEN);
    if (len_bytes < ETH_LEN + sizeof *arp || be16_get(eth->type) != ETH_TYPE_ARP) return;
    if (c->state != CLAIM_PROBING || memcmp(arp->sender_mac, c->mac, 6) == 0) return;
    const u32 sender = be32_get(arp->sender_ip);
    const bool probes = sender == 0 && be32_get(arp->target_ip) == c->ipv4 &&
                        be16_get(arp->op) == ARP_OP_REQUEST;
    if (sender == c->ipv4 || probes) claim_next(c);
}
