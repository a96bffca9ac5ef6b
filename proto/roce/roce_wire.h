// Formats of RoCEv2 on the wire: Ethernet, ARP, IPv4, UDP, BTH and the extended
// headers, with the constants that belong to them. No code. All integers are
// big-endian except the ICRC, which is stored little-endian.
// Spec: IBTA Vol. 1 ch. 9.2, 9.3, 9.7.5.1.2; Annex A17.3.3; RFC 791, 768, 826.
#pragma once

#include "base/types.h"

#define ETH_TYPE_IPV4 0x0800
#define ETH_TYPE_ARP 0x0806
#define IP_PROTO_UDP 17
#define IP_FLAG_DF 0x4000
#define IP_FRAG_MASK 0x3fff             // MF and the fragment offset
#define ROCE_UDP_PORT 4791              // IANA; A17.3.2
#define ROCE_SPORT_BASE 0xc000          // A17.3.2: source ports carry the flow's entropy
#define ROCE_IP_TTL 64

struct eth_hdr {
    u8 dst[6], src[6];
    be16_t type;
} __attribute__((packed));

struct arp_pkt {
    be16_t htype, ptype;
    u8 hlen, plen;
    be16_t op;
    u8 sender_mac[6];
    be32_t sender_ip;
    u8 target_mac[6];
    be32_t target_ip;
} __attribute__((packed));
#define ARP_OP_REQUEST 1
#define ARP_OP_REPLY 2

struct ipv4_hdr {
    u8 version_ihl, tos;
    be16_t total_len, id, frag;
    u8 ttl, proto;
    u16 checksum;                       // one's complement; never byte-swapped
    be32_t src, dst;
} __attribute__((packed));

struct udp_hdr {
    be16_t src_port, dst_port, len, checksum;
} __attribute__((packed));

struct bth {
    u8 opcode;
    u8 flags;                           // SE, M, pad, TVer
    be16_t pkey;
    u8 ecn;                             // FECN, BECN, reserved: masked in the ICRC
    be24_t dest_qp;
    u8 ack_req;                         // bit 7; the rest reserved
    be24_t psn;
} __attribute__((packed));
#define BTH_SE 0x80
#define BTH_M 0x40
#define BTH_PAD_MASK 0x30
#define BTH_TVER_MASK 0x0f
#define BTH_ACK_REQ 0x80

struct reth { be64_t va; be32_t rkey, len; } __attribute__((packed));
struct aeth { u8 syndrome; be24_t msn; } __attribute__((packed));
struct atomic_eth { be64_t va; be32_t rkey; be64_t swap_add, compare; } __attribute__((packed));
struct atomic_ack_eth { be64_t orig; } __attribute__((packed));
struct imm_dt { be32_t data; } __attribute__((packed));
struct deth { be32_t qkey; u8 reserved; be24_t src_qp; } __attribute__((packed));

#define ETH_LEN 14u
#define IPV4_LEN 20u
#define UDP_LEN 8u
#define BTH_LEN 12u
#define ICRC_LEN 4u
#define ROCE_BTH_AT (ETH_LEN + IPV4_LEN + UDP_LEN)     // offset of the BTH in a frame
#define ROCE_HDR_MAX (ROCE_BTH_AT + BTH_LEN + 28u)     // longest header: AtomicETH

#define PKEY_DEFAULT 0xffff
#define QPN_GSI 1u
#define QKEY_GSI 0x80010000u
#define QPN_MULTICAST 0xffffffu

// AETH syndromes (table 9.7.5.2.1).
#define AETH_ACK 0x1f                   // ACK, credit field "invalid": credits unused
#define AETH_TYPE_MASK 0xe0
#define AETH_TYPE_ACK 0x00
#define AETH_TYPE_RNR 0x20
#define AETH_TYPE_NAK 0x60
#define AETH_NAK_SEQ 0x60
#define AETH_NAK_INV_REQ 0x61
#define AETH_NAK_ACCESS 0x62
#define AETH_NAK_OP 0x63

enum roce_opcode {                      // table 9.3.1.1
    RC_SEND_FIRST = 0x00, RC_SEND_MIDDLE, RC_SEND_LAST, RC_SEND_LAST_IMM, RC_SEND_ONLY,
    RC_SEND_ONLY_IMM, RC_WRITE_FIRST, RC_WRITE_MIDDLE, RC_WRITE_LAST, RC_WRITE_LAST_IMM,
    RC_WRITE_ONLY, RC_WRITE_ONLY_IMM, RC_READ_REQUEST, RC_READ_RESP_FIRST,
    RC_READ_RESP_MIDDLE, RC_READ_RESP_LAST, RC_READ_RESP_ONLY, RC_ACK, RC_ATOMIC_ACK,
    RC_CMP_SWAP, RC_FETCH_ADD,
    UD_SEND_ONLY = 0x64, UD_SEND_ONLY_IMM = 0x65, ROCE_CNP = 0x81,
};

_Static_assert(sizeof(struct eth_hdr) == ETH_LEN, "Ethernet II");
_Static_assert(sizeof(struct arp_pkt) == 28, "RFC 826 over Ethernet and IPv4");
_Static_assert(sizeof(struct ipv4_hdr) == IPV4_LEN, "RFC 791, no options");
_Static_assert(sizeof(struct udp_hdr) == UDP_LEN, "RFC 768");
_Static_assert(sizeof(struct bth) == BTH_LEN, "9.2.1");
_Static_assert(offsetof(struct bth, ecn) == 4 && offsetof(struct bth, psn) == 9, "9.2.1");
_Static_assert(sizeof(struct reth) == 16 && sizeof(struct aeth) == 4, "9.3.3, 9.3.5");
_Static_assert(sizeof(struct atomic_eth) == 28 && sizeof(struct atomic_ack_eth) == 8, "9.3.4");
_Static_assert(sizeof(struct imm_dt) == 4 && sizeof(struct deth) == 8, "9.3.6, 9.3.2");
