// The one parser from frame bytes to struct roce_pkt and the one builder back. The
// provider calls them; nothing else looks into a frame. No state, no locks.
// Spec: IBTA Vol. 1 ch. 9.2, 9.3, 9.6; Annex A17.3; RFC 791, 768.
#include "proto/roce/packet.h"

#include "base/string.h"

static void parse_ext(struct roce_pkt *p, const u8 *ext) {
    if (p->flags & OPF_DETH) {
        const struct deth *d = (const void *)ext;
        p->qkey = be32_get(d->qkey);
        p->src_qp = be24_get(d->src_qp);
        ext += sizeof *d;
    }
    if (p->flags & OPF_RETH) {
        const struct reth *r = (const void *)ext;
        p->va = be64_get(r->va);
        p->rkey = be32_get(r->rkey);
        p->dma_len = be32_get(r->len);
        ext += sizeof *r;
    }
    if (p->flags & OPF_ATOMIC_ETH) {
        const struct atomic_eth *a = (const void *)ext;
        p->va = be64_get(a->va);
        p->rkey = be32_get(a->rkey);
        p->swap_add = be64_get(a->swap_add);
        p->compare = be64_get(a->compare);
        p->dma_len = 8;
    }
    if (p->flags & OPF_AETH) {
        const struct aeth *a = (const void *)ext;
        p->syndrome = a->syndrome;
        p->msn = be24_get(a->msn);
        ext += sizeof *a;
    }
    if (p->flags & OPF_ATOMIC_ACK_ETH)
        p->atomic_orig = be64_get(((const struct atomic_ack_eth *)ext)->orig);
    if (p->flags & OPF_IMM) p->imm = be32_get(((const struct imm_dt *)ext)->data);
}

static u16 fold16(u32 sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)(sum + (sum >> 16));
}

// One's complement sum of a 20-byte IPv4 header, in memory order. 0xffff: valid.
static u16 ip_sum(const u8 *ip) {
    u64 a, b;
    u32 c;
    __builtin_memcpy(&a, ip, 8);
    __builtin_memcpy(&b, ip + 8, 8);
    __builtin_memcpy(&c, ip + 16, 4);
    u64 sum = (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c;
    sum = (sum & 0xffffffff) + (sum >> 32);
    return fold16((u32)(sum & 0xffff) + (u32)((sum >> 16) & 0xffff) + (u32)(sum >> 32));
}

// The Ethernet, IPv4 and UDP part: PARSE_OK with *udp_len set, where it is RoCEv2 to us.
static enum roce_parse_result parse_lower(const u8 *frame, u32 len_bytes, u32 *udp_len) {
    if (len_bytes < ETH_LEN + IPV4_LEN + UDP_LEN) return PARSE_NOT_ROCE;
    const struct eth_hdr *eth = (const void *)frame;
    const struct ipv4_hdr *ip = (const void *)(frame + ETH_LEN);
    const struct udp_hdr *udp = (const void *)(frame + ETH_LEN + IPV4_LEN);
    if (be16_get(eth->type) != ETH_TYPE_IPV4 || ip->proto != IP_PROTO_UDP) return PARSE_NOT_ROCE;
    if (ip->version_ihl != 0x45) return PARSE_BAD_IP;        // options: none sends them
    if (be16_get(ip->frag) & IP_FRAG_MASK) return PARSE_BAD_IP;
    if (be16_get(udp->dst_port) != ROCE_UDP_PORT) return PARSE_NOT_ROCE;
    if (ip_sum((const u8 *)ip) != 0xffff) return PARSE_BAD_IP;
    *udp_len = be16_get(udp->len);
    // The UDP length rules; the frame may be longer (Ethernet padding), never shorter.
    if (be16_get(ip->total_len) != *udp_len + IPV4_LEN) return PARSE_BAD_LEN;
    if (*udp_len > len_bytes - ETH_LEN - IPV4_LEN) return PARSE_BAD_LEN;
    return *udp_len < UDP_LEN + BTH_LEN + ICRC_LEN ? PARSE_BAD_LEN : PARSE_OK;
}

// Checks everything about a frame that needs no QP and fills *pkt: lower headers, minimum
// length with pad and ICRC for the opcode, TVer, opcode. The ICRC is checked apart
// (roce_icrc_ok), after the QP has been looked up. pkt->payload points into frame.
// Spec: IBTA 9.6, in its order.
enum roce_parse_result roce_parse(const u8 *frame, u32 len_bytes, struct roce_pkt *pkt) {
    u32 udp_len;
    enum roce_parse_result result = parse_lower(frame, len_bytes, &udp_len);
    if (result != PARSE_OK) return result;
    const struct ipv4_hdr *ip = (const void *)(frame + ETH_LEN);
    const struct bth *bth = (const void *)(frame + ROCE_BTH_AT);
    const struct roce_opcode_info *info = &roce_opcodes[bth->opcode];
    u32 pad = (bth->flags & BTH_PAD_MASK) >> 4;
    u32 body = udp_len - UDP_LEN - BTH_LEN - ICRC_LEN;      // ext headers, payload, pad
    if (body < info->ext_len + pad) return PARSE_BAD_LEN;
    if (bth->flags & BTH_TVER_MASK) return PARSE_BAD_TVER;
    if (info->flags == 0) return PARSE_BAD_OPCODE;
    pkt->payload_len = body - info->ext_len - pad;
    if ((pkt->payload_len + pad) & 3) return PARSE_BAD_LEN;
    if (!(info->flags & OPF_PAYLOAD) && body != info->ext_len) return PARSE_BAD_LEN;
    pkt->flags = info->flags;
    pkt->opcode = bth->opcode;
    pkt->pad = (u8)pad;
    pkt->solicited = bth->flags & BTH_SE;
    pkt->ack_req = bth->ack_req & BTH_ACK_REQ;
    pkt->pkey = be16_get(bth->pkey);
    pkt->dest_qp = be24_get(bth->dest_qp);
    pkt->psn = be24_get(bth->psn);
    pkt->src_ip = be32_get(ip->src);
    pkt->dst_ip = be32_get(ip->dst);
    parse_ext(pkt, frame + ROCE_BTH_AT + BTH_LEN);
    pkt->payload = frame + ROCE_BTH_AT + BTH_LEN + info->ext_len;
    pkt->ip = frame + ETH_LEN;
    pkt->icrc_len = IPV4_LEN + udp_len - ICRC_LEN;
    pkt->src_mac = frame + 6;
    return PARSE_OK;
}

// True where the packet's ICRC fits its bytes.
bool roce_icrc_ok(const struct crc_ops *crc, const struct roce_pkt *pkt) {
    return icrc_compute(crc, pkt->ip, pkt->icrc_len) == icrc_load(pkt->ip + pkt->icrc_len);
}

static u8 *build_ext(u8 *ext, u32 flags, const struct roce_build *b) {
    if (flags & OPF_DETH) {
        *(struct deth *)ext = (struct deth){be32(b->qkey), 0, be24(b->src_qp)};
        ext += sizeof(struct deth);
    }
    if (flags & OPF_RETH) {
        *(struct reth *)ext = (struct reth){be64(b->va), be32(b->rkey), be32(b->dma_len)};
        ext += sizeof(struct reth);
    }
    if (flags & OPF_ATOMIC_ETH) {
        *(struct atomic_eth *)ext = (struct atomic_eth){
            be64(b->va), be32(b->rkey), be64(b->swap_add), be64(b->compare)};
        ext += sizeof(struct atomic_eth);
    }
    if (flags & OPF_AETH) {
        *(struct aeth *)ext = (struct aeth){b->syndrome, be24(b->msn)};
        ext += sizeof(struct aeth);
    }
    if (flags & OPF_ATOMIC_ACK_ETH) {
        ((struct atomic_ack_eth *)ext)->orig = be64(b->atomic_orig);
        ext += sizeof(struct atomic_ack_eth);
    }
    if (flags & OPF_IMM) {
        ((struct imm_dt *)ext)->data = be32(b->imm);
        ext += sizeof(struct imm_dt);
    }
    return ext;
}

// Writes Ethernet, IPv4 (DF, checksum), UDP (checksum 0), BTH (M = 1) and the opcode's
// extended headers for b->payload_len bytes of payload into frame (room: ROCE_HDR_MAX).
// Returns their length. Spec: IBTA 9.2; A17.3.
u32 roce_build_headers(u8 *frame, const struct roce_flow *flow, const struct roce_build *b) {
    const struct roce_opcode_info *info = &roce_opcodes[b->opcode];
    u32 pad = (0u - b->payload_len) & 3;
    u32 udp_len = UDP_LEN + BTH_LEN + info->ext_len + b->payload_len + pad + ICRC_LEN;
    struct eth_hdr *eth = (void *)frame;
    struct ipv4_hdr *ip = (void *)(frame + ETH_LEN);
    struct udp_hdr *udp = (void *)(frame + ETH_LEN + IPV4_LEN);
    struct bth *bth = (void *)(frame + ROCE_BTH_AT);
    __builtin_memcpy(eth->dst, flow->dst_mac, 6);
    __builtin_memcpy(eth->src, flow->src_mac, 6);
    eth->type = be16(ETH_TYPE_IPV4);
    *ip = (struct ipv4_hdr){
        .version_ihl = 0x45, .total_len = be16((u16)(IPV4_LEN + udp_len)),
        .frag = be16(IP_FLAG_DF), .ttl = ROCE_IP_TTL, .proto = IP_PROTO_UDP,
        .src = be32(flow->src_ip), .dst = be32(flow->dst_ip)};
    ip->checksum = (u16)~ip_sum((const u8 *)ip);
    *udp = (struct udp_hdr){be16(flow->src_port), be16(ROCE_UDP_PORT), be16((u16)udp_len),
                            be16(0)};
    *bth = (struct bth){
        .opcode = b->opcode,
        .flags = (u8)((b->solicited ? BTH_SE : 0) | BTH_M | (pad << 4)),
        .pkey = be16(PKEY_DEFAULT), .dest_qp = be24(b->dest_qp),
        .ack_req = b->ack_req ? BTH_ACK_REQ : 0, .psn = be24(b->psn)};
    u8 *end = build_ext(frame + ROCE_BTH_AT + BTH_LEN, info->flags, b);
    return (u32)(end - frame);
}

// The CRC register after the header_len bytes of headers in frame; payload comes next.
u32 roce_headers_crc(const struct crc_ops *crc, const u8 *frame, u32 header_len) {
    return icrc_headers(crc, frame + ETH_LEN, header_len - ETH_LEN);
}

// Writes the pad of a payload of payload_len bytes and the ICRC at `at`; crc_register is
// the register after the payload. Returns the bytes written (4 to 7).
u32 roce_build_trailer(const struct crc_ops *crc, u8 *at, u32 crc_register, u32 payload_len) {
    u32 pad = (0u - payload_len) & 3;
    for (u32 i = 0; i < pad; i++) at[i] = 0;
    if (pad != 0) crc_register = crc->update(crc_register, at, pad);
    icrc_store(at + pad, ~crc_register);
    return pad + ICRC_LEN;
}
