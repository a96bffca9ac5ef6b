// The connection manager: REQ/REP/RTU, REJ, MRA, DREQ/DREP, both sides, as one machine
// over a bounded table of connections. Pure: MADs, calls and time in; MADs and events
// out through struct cm_ops. It owns no QP; whoever owns them acts on the events
// (drivers/rdma/rdma_cm.c does so for verbs QPs).
#pragma once

#include "base/list.h"
#include "base/rng.h"
#include "proto/roce/cm_mad.h"

#define CM_CONN_MAX 320u           // open, opening and in TIMEWAIT; oldest TIMEWAIT reused
#define CM_LISTEN_MAX 16u
#define CM_TRIES_MAX 15u           // of a REQ, REP or DREQ
#define CM_RESEND_MIN_NS (200ull * 1000 * 1000)     // first wait; doubles up to
#define CM_RESEND_MAX_NS (2000ull * 1000 * 1000)
#define CM_TIMEWAIT_NS (4000ull * 1000 * 1000)
#define CM_PENDING_MAX_NS (30000ull * 1000 * 1000)  // a REQ event not answered: REJ

enum cm_state {
    CM_FREE, CM_REQ_SENT, CM_REQ_RCVD, CM_REP_SENT, CM_REP_RCVD, CM_ESTABLISHED,
    CM_DREQ_SENT, CM_TIMEWAIT, CM_STATES,
};

enum cm_event_kind {
    CM_EV_REQUEST,        // passive: answer by cm_accept or cm_reject, now or later
    CM_EV_RESPONSE,       // active: REP came; bring the QP up, then cm_send_rtu (or cm_reject)
    CM_EV_ESTABLISHED,    // passive: RTU came (private data), or first data where allowed
    CM_EV_REJECTED,       // either side; reason and private data; the connection is gone
    CM_EV_UNREACHABLE,    // no answer to REQ or REP in CM_TRIES_MAX; the connection is gone
    CM_EV_DISCONNECTED,   // DREQ came, or our DREQ was answered or given up
};

struct cm;
struct cm_conn;
struct cm_listener;

struct cm_event {
    enum cm_event_kind kind;
    struct cm_conn *conn;
    const struct cm_listener *listener;   // REQUEST
    const struct cm_msg *msg;             // NULL where no message caused it
    u32 peer_ip;
};

struct cm_ops {
    void (*send)(void *ctx, u32 dst_ip, const u8 mad[MAD_LEN]);
    void (*event)(void *ctx, const struct cm_event *ev);
    void *ctx;
};

enum cm_listen_flags {
    // A cluster's listener: the first data packet does not establish; only RTU does.
    CM_LISTEN_NO_IMPLIED_RTU = 1,
    // DREQ and REJ for an established connection are reported (DISCONNECTED, REJECTED)
    // but change nothing: the owner probes the peer, then destroys or keeps.
    CM_LISTEN_DREQ_IS_HINT = 2,
};

struct cm_listener {
    u64 service_id;
    u32 flags;
    void *context;
    bool used;
};

// What one side tells the other about its QP.
struct cm_params {
    u32 qpn, start_psn;
    u8 responder_resources, initiator_depth;
    u8 retry_count, rnr_retry, ack_timeout, path_mtu;
    const void *private_data;
    u32 private_len;
};

struct cm_conn {
    enum cm_state state;
    bool active, established_event;
    u32 flags;                   // of the listener, or given at connect
    u32 local_comm_id, remote_comm_id, peer_ip;
    u64 tid, service_id;
    u32 local_qpn, remote_qpn;
    u32 tries;
    u64 deadline_ns, resend_ns;
    void *context;               // the owner's
    u8 mad[MAD_LEN];             // what is repeated: REQ, REP, RTU, DREQ or DREP
    struct list_node link;       // free, live, or timewait (oldest first)
};

struct cm_counters {
    u64 rx_mads, rx_bad, rx_duplicate, rx_stray, resent, rejected, timeouts, no_room;
};

struct cm {
    struct cm_ops ops;
    struct rng rng;
    u32 local_ip;
    u64 ca_guid;
    struct cm_listener listeners[CM_LISTEN_MAX];
    struct list_node free, live, timewait;
    struct cm_conn conns[CM_CONN_MAX];
    struct cm_counters counters;
};

void cm_init(struct cm *cm, u32 local_ip, u64 ca_guid, const struct rng *rng,
             const struct cm_ops *ops);
struct cm_listener *cm_listen(struct cm *cm, u64 service_id, u32 flags, void *context);
// Active side: sends REQ. NULL: no room, or too much private data.
struct cm_conn *cm_connect(struct cm *cm, u32 peer_ip, u64 service_id,
                           const struct cm_params *params, u64 now_ns);
status_t cm_accept(struct cm *cm, struct cm_conn *conn, const struct cm_params *params,
                   u64 now_ns);
status_t cm_send_rtu(struct cm *cm, struct cm_conn *conn, const void *private_data,
                     u32 private_len, u64 now_ns);
status_t cm_reject(struct cm *cm, struct cm_conn *conn, u16 reason, const void *private_data,
                   u32 private_len);
status_t cm_disconnect(struct cm *cm, struct cm_conn *conn, u64 now_ns);
// Data came on the passive QP before RTU: establishes it unless the listener forbids.
void cm_data_arrived(struct cm *cm, struct cm_conn *conn, u64 now_ns);
// Forgets the connection without a word to the peer; no event follows.
void cm_forget(struct cm *cm, struct cm_conn *conn);
void cm_rx(struct cm *cm, u32 src_ip, const u8 *mad, u32 len_bytes, u64 now_ns);
void cm_tick(struct cm *cm, u64 now_ns);
u64 cm_next_deadline(const struct cm *cm);     // ~0: none
