// Codec of CM messages: one table row per field would hide the few odd bit packings, so
// each message has a pair of functions over byte offsets. No state. Called by cm.c and
// tests. Spec: IBTA Vol. 1 12.6 (tables 105-120), 13.4.3 (MAD header); Annex A11.
#include "proto/roce/cm_mad.h"

#include "base/string.h"

#define MAD_HDR 24u
#define CLASS_CM 0x07
#define METHOD_SEND 0x03
#define LID_PERMISSIVE 0xffff       // routed RoCE has no LIDs
#define HOP_LIMIT 64
#define RATE_10_GBPS 3

static u32 get16(const u8 *p) { return (u32)p[0] << 8 | p[1]; }
static u32 get24(const u8 *p) { return (u32)p[0] << 16 | (u32)p[1] << 8 | p[2]; }
static u32 get32(const u8 *p) { return get16(p) << 16 | get16(p + 2); }
static u64 get64(const u8 *p) { return (u64)get32(p) << 32 | get32(p + 4); }
static void put16(u8 *p, u32 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }
static void put24(u8 *p, u32 v) { p[0] = (u8)(v >> 16); put16(p + 1, v); }
static void put32(u8 *p, u32 v) { put16(p, v >> 16); put16(p + 2, v); }
static void put64(u8 *p, u64 v) { put32(p, (u32)(v >> 32)); put32(p + 4, (u32)v); }

// An IPv4 address as a GID, ::ffff:a.b.c.d.
static void put_gid(u8 *gid, u32 ipv4) {
    memset(gid, 0, 10);
    put16(gid + 10, 0xffff);
    put32(gid + 12, ipv4);
}
static u32 get_gid(const u8 *gid) {
    for (u32 i = 0; i < 10; i++)
        if (gid[i] != 0) return 0;
    return get16(gid + 10) == 0xffff ? get32(gid + 12) : 0;
}

// Offset and size of each kind's private data inside the message (behind the MAD header).
static bool private_area(enum cm_attr attr, u32 *at, u32 *len) {
    static const struct { u16 attr, at, len; } areas[] = {
        {CM_REQ, 140, CM_REQ_PRIVATE}, {CM_MRA, 10, 222}, {CM_REJ, 84, CM_REJ_PRIVATE},
        {CM_REP, 36, CM_REP_PRIVATE}, {CM_RTU, 8, CM_RTU_PRIVATE}, {CM_DREQ, 12, 220},
        {CM_DREP, 8, 224}};
    for (u32 i = 0; i < sizeof areas / sizeof areas[0]; i++) {
        if (areas[i].attr != attr) continue;
        *at = areas[i].at;
        *len = areas[i].len;
        return true;
    }
    return false;
}

static void decode_req(const u8 *c, struct cm_msg *m) {
    m->remote_comm_id = 0;
    m->service_id = get64(c + 8);
    m->ca_guid = get64(c + 16);
    m->qpn = get24(c + 32);
    m->responder_resources = c[35];
    m->initiator_depth = c[39];
    m->cm_timeout = c[43] >> 3;
    m->transport = (c[43] >> 1) & 3;
    m->start_psn = get24(c + 44);
    m->retry_count = c[47] & 7;
    m->path_mtu = c[50] >> 4;
    m->rnr_retry = c[50] & 7;
    m->max_cm_retries = c[51] >> 4;
    m->src_ip = get_gid(c + 56);
    m->dst_ip = get_gid(c + 72);
    m->ack_timeout = c[95] >> 3;
    const u8 *ip = c + 140;
    m->has_ip_header = (m->service_id & ~0xffffull) == RDMA_CM_SID_TCP && ip[0] == 0 &&
                       ip[1] >> 4 == 4;
    m->src_port = (u16)get16(ip + 2);
    if (m->has_ip_header) {
        m->src_ip = get32(ip + 16);
        m->dst_ip = get32(ip + 32);
    }
}

static void decode_rep(const u8 *c, struct cm_msg *m) {
    m->qpn = get24(c + 12);
    m->start_psn = get24(c + 20);
    m->responder_resources = c[24];
    m->initiator_depth = c[25];
    m->ack_timeout = c[26] >> 3;
    m->rnr_retry = c[27] >> 5;
    m->ca_guid = get64(c + 28);
}

// Decodes a received MAD of len_bytes into *msg. E_INVAL: not a CM message of a kind that
// we know. Private data comes whole, as long as the kind's field.
status_t cm_mad_decode(const u8 *mad, u32 len_bytes, struct cm_msg *msg) {
    u32 at, len;
    if (len_bytes != MAD_LEN || mad[0] != 1 || mad[1] != CLASS_CM || mad[2] != 2 ||
        mad[3] != METHOD_SEND) return E_INVAL;
    memset(msg, 0, sizeof *msg);
    msg->attr = (enum cm_attr)get16(mad + 16);
    if (!private_area(msg->attr, &at, &len)) return E_INVAL;
    const u8 *c = mad + MAD_HDR;
    msg->tid = get64(mad + 8);
    msg->local_comm_id = get32(c);
    msg->remote_comm_id = get32(c + 4);
    if (msg->attr == CM_REQ) decode_req(c, msg);
    if (msg->attr == CM_REP) decode_rep(c, msg);
    if (msg->attr == CM_DREQ) msg->qpn = get24(c + 8);
    if (msg->attr == CM_REJ) {
        msg->msg_rejected = c[8] >> 6;
        msg->reason = (u16)get16(c + 10);
    }
    if (msg->attr == CM_MRA) {
        msg->msg_rejected = c[8] >> 6;
        msg->mra_timeout = c[9] >> 3;
    }
    u32 skip = msg->attr == CM_REQ && msg->has_ip_header ? CM_IP_HDR : 0;
    msg->private_len = len - skip;
    memcpy(msg->private_data, c + at + skip, len - skip);
    return S_OK;
}

static void encode_req(u8 *c, const struct cm_msg *m) {
    put64(c + 8, m->service_id);
    put64(c + 16, m->ca_guid);
    put24(c + 32, m->qpn);
    c[35] = m->responder_resources;
    c[39] = m->initiator_depth;
    c[43] = (u8)(m->cm_timeout << 3);              // remote response timeout, RC
    put24(c + 44, m->start_psn);
    c[47] = (u8)(m->cm_timeout << 3 | m->retry_count);
    put16(c + 48, 0xffff);                         // P_Key
    c[50] = (u8)(m->path_mtu << 4 | m->rnr_retry);
    c[51] = (u8)(m->max_cm_retries << 4);
    put16(c + 52, LID_PERMISSIVE);
    put16(c + 54, LID_PERMISSIVE);
    put_gid(c + 56, m->src_ip);
    put_gid(c + 72, m->dst_ip);
    c[91] = RATE_10_GBPS;
    c[93] = HOP_LIMIT;
    c[95] = (u8)(m->ack_timeout << 3);
    u8 *ip = c + 140;
    ip[1] = 4 << 4;
    put16(ip + 2, m->src_port);
    put32(ip + 16, m->src_ip);
    put32(ip + 32, m->dst_ip);
}

static void encode_rep(u8 *c, const struct cm_msg *m) {
    put24(c + 12, m->qpn);
    put24(c + 20, m->start_psn);
    c[24] = m->responder_resources;
    c[25] = m->initiator_depth;
    c[26] = (u8)(m->ack_timeout << 3);
    c[27] = (u8)(m->rnr_retry << 5);
    put64(c + 28, m->ca_guid);
}

// Writes *msg as a MAD of MAD_LEN bytes. E_MSGSIZE: more private data than the kind has
// room for; E_INVAL: unknown kind.
status_t cm_mad_encode(u8 *mad, const struct cm_msg *msg) {
    u32 at, len;
    if (!private_area(msg->attr, &at, &len)) return E_INVAL;
    u32 skip = msg->attr == CM_REQ ? CM_IP_HDR : 0;
    if (msg->private_len > len - skip) return E_MSGSIZE;
    memset(mad, 0, MAD_LEN);
    mad[0] = 1;
    mad[1] = CLASS_CM;
    mad[2] = 2;
    mad[3] = METHOD_SEND;
    put64(mad + 8, msg->tid);
    put16(mad + 16, msg->attr);
    u8 *c = mad + MAD_HDR;
    put32(c, msg->local_comm_id);
    put32(c + 4, msg->remote_comm_id);
    if (msg->attr == CM_REQ) {
        put32(c + 4, 0);
        encode_req(c, msg);
    }
    if (msg->attr == CM_REP) encode_rep(c, msg);
    if (msg->attr == CM_DREQ) put24(c + 8, msg->qpn);
    if (msg->attr == CM_REJ) {
        c[8] = (u8)(msg->msg_rejected << 6);
        put16(c + 10, msg->reason);
    }
    if (msg->attr == CM_MRA) {
        c[8] = (u8)(msg->msg_rejected << 6);
        c[9] = (u8)(msg->mra_timeout << 3);
    }
    if (msg->private_len != 0) memcpy(c + at + skip, msg->private_data, msg->private_len);
    return S_OK;
}
