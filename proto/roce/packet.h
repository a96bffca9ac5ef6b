// RoCEv2 packets in host byte order: the opcode table, the one parser and the one
// builder. Pure: bytes in, struct out, and back.
#pragma once

#include "base/types.h"
#include "proto/roce/icrc.h"
#include "proto/roce/roce_wire.h"

enum roce_op_flags {
    OPF_KNOWN = 1, OPF_REQUEST = 2, OPF_RESPONSE = 4, OPF_FIRST = 8, OPF_MIDDLE = 16,
    OPF_LAST = 32, OPF_SEND = 64, OPF_WRITE = 128, OPF_READ = 256, OPF_ATOMIC = 512,
    OPF_IMM = 1024, OPF_RETH = 2048, OPF_AETH = 4096, OPF_ATOMIC_ETH = 8192,
    OPF_ATOMIC_ACK_ETH = 16384, OPF_DETH = 32768, OPF_PAYLOAD = 65536, OPF_CNP = 1 << 17,
    OPF_UD = 1 << 18, OPF_READ_RESP = 1 << 19, OPF_ACK = 1 << 20,
    OPF_ONLY = OPF_FIRST | OPF_LAST,
};

struct roce_opcode_info {
    u32 flags;           // 0: not known to us
    u8 ext_len;          // bytes of extended headers behind the BTH
    const char *name;
};
extern const struct roce_opcode_info roce_opcodes[256];

// Why a frame is not a RoCE packet for us; PARSE_OK leaves the struct filled.
enum roce_parse_result {
    PARSE_OK, PARSE_NOT_ROCE, PARSE_BAD_IP, PARSE_BAD_LEN, PARSE_BAD_TVER,
    PARSE_BAD_OPCODE, PARSE_RESULTS,
};

struct roce_pkt {
    u32 flags;                  // of the opcode
    u8 opcode;
    u8 pad;
    bool solicited, ack_req;
    u16 pkey;
    u32 dest_qp, psn;
    u32 src_ip, dst_ip;         // host byte order
    u32 rkey, dma_len;          // RETH, AtomicETH
    u64 va;
    u64 swap_add, compare;      // AtomicETH
    u64 atomic_orig;            // AtomicAckETH
    u32 imm;
    u8 syndrome;                // AETH
    u32 msn;
    u32 qkey, src_qp;           // DETH
    const u8 *payload;          // inside the frame
    u32 payload_len;
    const u8 *ip;               // the IP header, where the ICRC starts
    u32 icrc_len;               // bytes that the ICRC covers; it follows them
    const u8 *src_mac;
};

enum roce_parse_result roce_parse(const u8 *frame, u32 len_bytes, struct roce_pkt *pkt);
bool roce_icrc_ok(const struct crc_ops *crc, const struct roce_pkt *pkt);

// The part of a flow's header that stays the same, in host byte order.
struct roce_flow {
    u8 src_mac[6], dst_mac[6];
    u32 src_ip, dst_ip;
    u16 src_port;
};

// What to build; ext headers by the opcode's flags.
struct roce_build {
    u8 opcode;
    bool solicited, ack_req;
    u32 dest_qp, psn;
    u64 va;
    u32 rkey, dma_len;
    u64 swap_add, compare, atomic_orig;
    u32 imm;
    u8 syndrome;
    u32 msn, qkey, src_qp;
    u32 payload_len;
};

// Writes all headers (Ethernet to the last extended one) and returns their length.
u32 roce_build_headers(u8 *frame, const struct roce_flow *flow, const struct roce_build *b);
// The ICRC register over the headers that roce_build_headers wrote.
u32 roce_headers_crc(const struct crc_ops *crc, const u8 *frame, u32 header_len);
// Appends pad and ICRC at `at`; crc is the register after the payload. Returns bytes added.
u32 roce_build_trailer(const struct crc_ops *crc, u8 *at, u32 crc_register, u32 payload_len);
