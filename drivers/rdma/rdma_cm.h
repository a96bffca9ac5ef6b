// librdmacm's flow for verbs QPs: the CM machine of proto/roce/cm.h tied to QPs of this
// device. It brings QPs to RTR and RTS as messages come; the owner sees events.
// Locks: the device's. Callbacks run inside soft_rx and soft_tick and may call anything
// here.
#pragma once

#include "drivers/rdma/verbs.h"
#include "proto/roce/cm.h"

struct rdma_cm_id;

struct rdma_cm_event {
    enum cm_event_kind kind;
    struct rdma_cm_id *id;         // new at REQUEST
    void *context;                 // the listener's at REQUEST, else the id's
    u32 peer_ip;                   // host byte order
    const u8 *private_data;        // as it came, zero-padded to what the message carries
    u32 private_len;
    u16 reason;                    // REJECTED
    const struct cm_msg *msg;      // all fields; NULL where no message caused the event
};
typedef void (*rdma_cm_handler)(const struct rdma_cm_event *ev);

struct rdma_conn_param {
    const void *private_data;
    u32 private_len;
    u8 responder_resources;        // READs and atomics that we serve at once
    u8 initiator_depth;            // that we have outstanding
    u8 retry_count, rnr_retry, ack_timeout, min_rnr_timer;
    u32 access_flags;              // enum rdma_access of the QP
    u32 cm_flags;                  // active side: CM_LISTEN_DREQ_IS_HINT
    u32 start_psn;                 // of our send queue, 24 bits; 0: drawn by the CM. Who signs
                                   // it in private data has to know it before
    enum rdma_mtu path_mtu;        // active side: 0 is the largest that our card carries
};

// Port is of the RDMA CM's TCP port space; flags: enum cm_listen_flags.
status_t rdma_listen(struct rdma_dev *dev, u16 port, u32 flags, rdma_cm_handler handler,
                     void *context);
// Connects a QP in RESET. RESPONSE comes when REP is here and the QP is in RTS: answer by
// rdma_establish (sends RTU) or rdma_reject.
struct rdma_cm_id *rdma_connect(struct rdma_qp *qp, u32 peer_ip, u16 port,
                                const struct rdma_conn_param *param, rdma_cm_handler handler,
                                void *context, u64 now_ns);
// Answers a REQUEST. The QP (in RESET) goes to RTS; with NO_IMPLIED_RTU only to INIT,
// which drops every packet, until rdma_establish after ESTABLISHED.
status_t rdma_accept(struct rdma_cm_id *id, struct rdma_qp *qp,
                     const struct rdma_conn_param *param, rdma_cm_handler handler,
                     void *context, u64 now_ns);
status_t rdma_reject(struct rdma_cm_id *id, u16 reason, const void *private_data,
                     u32 private_len);
// Active: sends RTU with private data. Passive with NO_IMPLIED_RTU: brings the QP to RTS.
status_t rdma_establish(struct rdma_cm_id *id, const void *private_data, u32 private_len,
                        u64 now_ns);
// Sends DREQ and puts the QP into ERR; DISCONNECTED follows.
status_t rdma_disconnect(struct rdma_cm_id *id, u64 now_ns);
// Forgets the id; the QP is the owner's to destroy. No event after it returns.
void rdma_destroy_id(struct rdma_cm_id *id);
