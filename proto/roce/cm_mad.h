// InfiniBand CM messages inside 256-byte MADs, and the RDMA CM's IP header that leads
// a REQ's private data: wire layout by offset, decoded to and from host-order structs.
// Spec: IBTA Vol. 1 ch. 12.6, 13.4; Annex A11.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define MAD_LEN 256u
#define CM_REQ_PRIVATE 92u
#define CM_IP_HDR 36u
#define CM_REQ_USER_PRIVATE (CM_REQ_PRIVATE - CM_IP_HDR)   // 56
#define CM_REP_PRIVATE 196u
#define CM_REJ_PRIVATE 148u
#define CM_RTU_PRIVATE 224u
#define CM_PRIVATE_MAX 224u
#define RDMA_CM_SID_TCP 0x0000000001060000ull              // | port: TCP port space (A11.2)

enum cm_attr {
    CM_REQ = 0x10, CM_MRA = 0x11, CM_REJ = 0x12, CM_REP = 0x13, CM_RTU = 0x14,
    CM_DREQ = 0x15, CM_DREP = 0x16,
};
enum cm_rej_reason {          // table 12.6.7.2
    CM_REJ_NO_QP = 1, CM_REJ_NO_RESOURCES = 3, CM_REJ_TIMEOUT = 4, CM_REJ_UNSUPPORTED = 5,
    CM_REJ_INVALID_COMM_ID = 6, CM_REJ_INVALID_SERVICE_ID = 8, CM_REJ_INVALID_TRANSPORT = 9,
    CM_REJ_STALE_CONN = 10, CM_REJ_INVALID_MTU = 26, CM_REJ_CONSUMER = 28,
};

// One decoded CM message: the fields that its kind has, the rest zero.
struct cm_msg {
    enum cm_attr attr;
    u64 tid;
    u32 local_comm_id, remote_comm_id;   // the sender's and the receiver's
    u64 service_id, ca_guid;             // REQ (guid: REP too)
    u32 qpn, start_psn;                  // REQ, REP: the sender's; DREQ: qpn = remote's
    u8 responder_resources, initiator_depth;
    u8 path_mtu, retry_count, rnr_retry, ack_timeout;
    u8 cm_timeout, max_cm_retries, transport;
    u32 src_ip, dst_ip;                  // REQ: from the GIDs (IPv4-mapped), else 0
    u16 src_port;                        // REQ: from the IP CM header
    bool has_ip_header;
    u8 msg_rejected;                     // REJ, MRA: 0 REQ, 1 REP, 2 other
    u8 mra_timeout;
    u16 reason;                          // REJ
    u32 private_len;                     // encode: bytes given; decode: what the kind carries
    u8 private_data[CM_PRIVATE_MAX];     // REQ: behind the IP header
};

status_t cm_mad_decode(const u8 *mad, u32 len_bytes, struct cm_msg *msg);
// Writes MAD_LEN bytes. E_MSGSIZE where private_len is more than the kind carries.
status_t cm_mad_encode(u8 *mad, const struct cm_msg *msg);
