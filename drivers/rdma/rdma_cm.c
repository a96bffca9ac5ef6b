// librdmacm's flow over the CM machine: brings QPs to RTR and RTS as CM messages come and
// hands events to whoever listens or connects. Called under the device's lock.
// Spec: IBTA Vol. 1 12.9; Annex A11; rdma_cm(7) for the flow.
#include "drivers/rdma/rdma_cm.h"

#include "base/string.h"
#include "drivers/rdma/soft_priv.h"

#define ACK_TIMEOUT_DEFAULT 15      // 134 ms

static struct rdma_cm_id *id_alloc(struct soft_dev *dev) {
    for (u32 i = 0; i < CM_CONN_MAX; i++) {
        if (dev->ids[i].used) continue;
        dev->ids[i] = (struct rdma_cm_id){.used = true, .dev = dev};
        return &dev->ids[i];
    }
    return NULL;
}

status_t rdma_listen(struct rdma_dev *rdma, u16 port, u32 flags, rdma_cm_handler handler,
                     void *context) {
    struct soft_dev *dev = soft_of(rdma);
    struct cm_listener *l = cm_listen(&dev->cm, RDMA_CM_SID_TCP | port, flags, NULL);
    if (l == NULL) return E_ADDRINUSE;
    struct soft_listener *s = &dev->listeners[l - dev->cm.listeners];
    *s = (struct soft_listener){handler, context};
    l->context = s;
    return S_OK;
}

static status_t qp_to_init(struct rdma_qp *qp, const struct rdma_conn_param *p) {
    struct rdma_qp_attr attr = {.qp_state = RDMA_QPS_INIT, .qp_access_flags = p->access_flags};
    return rdma_modify_qp(qp, &attr, RDMA_QP_STATE | RDMA_QP_ACCESS_FLAGS);
}

// The starting PSN in a CM message is the one at which the other side is to begin sending
// (IBTA 12.7.31): ours is what we expect to receive.
static status_t qp_to_rts(struct rdma_cm_id *id) {
    const struct rdma_conn_param *p = &id->param;
    struct rdma_qp_attr attr = {
        .qp_state = RDMA_QPS_RTR, .dest_ipv4 = id->peer_ip, .path_mtu = id->path_mtu,
        .dest_qp_num = id->remote_qpn, .rq_psn = id->local_psn,
        .max_dest_rd_atomic = MIN(p->responder_resources, SOFT_RD_ATOMIC_MAX),
        .min_rnr_timer = p->min_rnr_timer};
    status_t status = rdma_modify_qp(id->qp, &attr, RDMA_QP_STATE | RDMA_QP_AV |
        RDMA_QP_PATH_MTU | RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN | RDMA_QP_MAX_DEST_RD_ATOMIC |
        RDMA_QP_MIN_RNR_TIMER);
    if (status != S_OK) return status;
    attr = (struct rdma_qp_attr){
        .qp_state = RDMA_QPS_RTS, .sq_psn = id->remote_psn, .retry_cnt = p->retry_count,
        .timeout = p->ack_timeout == 0 ? ACK_TIMEOUT_DEFAULT : p->ack_timeout,
        .rnr_retry = p->rnr_retry,
        .max_rd_atomic = (u8)MIN(MIN(p->initiator_depth, id->remote_resources),
                                 SOFT_RD_ATOMIC_MAX)};
    return rdma_modify_qp(id->qp, &attr, RDMA_QP_STATE | RDMA_QP_SQ_PSN | RDMA_QP_TIMEOUT |
        RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY | RDMA_QP_MAX_QP_RD_ATOMIC);
}

static void qp_to_error(struct rdma_qp *qp) {
    struct rdma_qp_attr attr = {.qp_state = RDMA_QPS_ERR};
    if (qp != NULL) rdma_modify_qp(qp, &attr, RDMA_QP_STATE);
}

static struct cm_params cm_params_of(const struct rdma_cm_id *id,
                                     const struct rdma_conn_param *p) {
    return (struct cm_params){
        .qpn = rdma_qp_num(id->qp), .start_psn = id->local_psn,
        .responder_resources = p->responder_resources, .initiator_depth = p->initiator_depth,
        .retry_count = p->retry_count, .rnr_retry = p->rnr_retry,
        .ack_timeout = p->ack_timeout == 0 ? ACK_TIMEOUT_DEFAULT : p->ack_timeout,
        .path_mtu = (u8)id->path_mtu, .private_data = p->private_data,
        .private_len = p->private_len};
}

static u32 first_psn(struct soft_dev *dev, const struct rdma_conn_param *p) {
    return (p->start_psn != 0 ? p->start_psn : rng_u32(&dev->config.rng)) & PSN_MASK;
}

struct rdma_cm_id *rdma_connect(struct rdma_qp *qp, u32 peer_ip, u16 port,
                                const struct rdma_conn_param *param, rdma_cm_handler handler,
                                void *context, u64 now_ns) {
    struct soft_dev *dev = soft_of(qp->dev);
    struct rdma_cm_id *id = id_alloc(dev);
    if (id == NULL) return NULL;
    id->qp = qp;
    id->handler = handler;
    id->context = context;
    id->param = *param;
    id->peer_ip = peer_ip;
    id->active = true;
    id->local_psn = first_psn(dev, param);
    id->path_mtu = param->path_mtu == 0 ? soft_mtu(qp->dev) : param->path_mtu;
    dev->now_ns = now_ns;
    if (qp_to_init(qp, param) == S_OK) {
        struct cm_params p = cm_params_of(id, param);
        id->conn = cm_connect(&dev->cm, peer_ip, RDMA_CM_SID_TCP | port, &p, now_ns);
    }
    if (id->conn == NULL) {
        id->used = false;
        return NULL;
    }
    id->conn->context = id;
    id->conn->flags = param->cm_flags;
    return id;
}

static void on_first_data(void *ctx, struct rdma_qp *qp, u64 now_ns) {
    struct rdma_cm_id *id = ctx;
    (void)qp;
    if (id->used && id->conn != NULL) cm_data_arrived(&id->dev->cm, id->conn, now_ns);
}

status_t rdma_accept(struct rdma_cm_id *id, struct rdma_qp *qp,
                     const struct rdma_conn_param *param, rdma_cm_handler handler,
                     void *context, u64 now_ns) {
    if (id->conn == NULL || id->conn->state != CM_REQ_RCVD) return E_INVAL;
    id->qp = qp;
    id->handler = handler;
    id->context = context;
    id->param = *param;
    id->local_psn = first_psn(id->dev, param);
    id->dev->now_ns = now_ns;
    status_t status = qp_to_init(qp, param);
    if (status == S_OK && !(id->conn->flags & CM_LISTEN_NO_IMPLIED_RTU)) {
        struct soft_qp *soft = (struct soft_qp *)qp;
        status = qp_to_rts(id);
        soft->first_data = on_first_data;
        soft->first_data_ctx = id;
    }
    struct cm_params p = cm_params_of(id, param);
    p.initiator_depth = (u8)MIN(p.initiator_depth, id->remote_resources);
    if (status == S_OK) status = cm_accept(&id->dev->cm, id->conn, &p, now_ns);
    if (status != S_OK) {
        qp_to_error(qp);
        id->qp = NULL;
    }
    return status;
}

// Refuses; where the QP was already up, disconnects. The id stays the owner's to destroy.
status_t rdma_reject(struct rdma_cm_id *id, u16 reason, const void *private_data,
                     u32 private_len) {
    if (id->conn == NULL) return E_INVAL;
    struct cm_conn *conn = id->conn;
    status_t status = cm_reject(&id->dev->cm, conn, reason, private_data, private_len);
    if (status == E_INVAL) return rdma_disconnect(id, id->dev->now_ns);
    if (status != S_OK) return status;
    id->conn = NULL;
    qp_to_error(id->qp);
    return S_OK;
}

status_t rdma_establish(struct rdma_cm_id *id, const void *private_data, u32 private_len,
                        u64 now_ns) {
    if (id->conn == NULL || id->qp == NULL) return E_INVAL;
    if (id->active)
        return cm_send_rtu(&id->dev->cm, id->conn, private_data, private_len, now_ns);
    if (id->conn->state != CM_ESTABLISHED) return E_INVAL;
    id->dev->now_ns = now_ns;
    return qp_to_rts(id);
}

status_t rdma_disconnect(struct rdma_cm_id *id, u64 now_ns) {
    if (id->conn == NULL) return E_INVAL;
    qp_to_error(id->qp);
    return cm_disconnect(&id->dev->cm, id->conn, now_ns);
}

void rdma_destroy_id(struct rdma_cm_id *id) {
    if (!id->used) return;
    if (id->conn != NULL) cm_forget(&id->dev->cm, id->conn);
    if (id->qp != NULL && ((struct soft_qp *)id->qp)->first_data_ctx == id)
        ((struct soft_qp *)id->qp)->first_data = NULL;
    id->used = false;
}


static void deliver(struct rdma_cm_id *id, const struct cm_event *ev) {
    struct rdma_cm_event out = {.kind = ev->kind, .id = id, .context = id->context,
                                .peer_ip = id->peer_ip, .msg = ev->msg};
    if (ev->msg != NULL) {
        out.private_data = ev->msg->private_data;
        out.private_len = ev->msg->private_len;
        out.reason = ev->msg->reason;
    }
    if (id->handler != NULL) id->handler(&out);
}

static void take_remote(struct rdma_cm_id *id, const struct cm_msg *m) {
    id->remote_qpn = m->qpn;
    id->remote_psn = m->start_psn;
    id->remote_resources = m->responder_resources;
}

static void on_request(struct soft_dev *dev, const struct cm_event *ev) {
    struct rdma_cm_id *id = id_alloc(dev);
    const struct soft_listener *l = ev->listener->context;
    bool mtu_ok = ev->msg->path_mtu >= RDMA_MTU_256 && ev->msg->path_mtu <= soft_mtu(&dev->base);
    if (id == NULL || !mtu_ok) {
        cm_reject(&dev->cm, ev->conn, id == NULL ? CM_REJ_NO_RESOURCES : CM_REJ_INVALID_MTU,
                  NULL, 0);
        if (id != NULL) id->used = false;
        return;
    }
    id->conn = ev->conn;
    id->peer_ip = ev->peer_ip;
    id->path_mtu = (enum rdma_mtu)ev->msg->path_mtu;
    id->handler = l->handler;
    id->context = l->context;
    ev->conn->context = id;
    take_remote(id, ev->msg);
    deliver(id, ev);
}

static void on_response(struct rdma_cm_id *id, const struct cm_event *ev) {
    take_remote(id, ev->msg);
    if (qp_to_rts(id) == S_OK) {
        deliver(id, ev);
        return;
    }
    struct cm_event gone = {.kind = CM_EV_UNREACHABLE, .peer_ip = ev->peer_ip};
    cm_reject(&id->dev->cm, ev->conn, CM_REJ_CONSUMER, NULL, 0);
    id->conn = NULL;
    qp_to_error(id->qp);
    deliver(id, &gone);
}

// Events of the CM machine; ctx is the device.
void rdma_cm_on_event(void *ctx, const struct cm_event *ev) {
    struct rdma_cm_id *id = ev->conn->context;
    if (ev->kind == CM_EV_REQUEST) {
        on_request(ctx, ev);
        return;
    }
    if (id == NULL || !id->used || id->conn != ev->conn) return;
    if (ev->kind == CM_EV_RESPONSE) {
        on_response(id, ev);
        return;
    }
    if (ev->kind != CM_EV_ESTABLISHED && ev->conn->state != CM_ESTABLISHED) {
        id->conn = NULL;             // gone, or in TIMEWAIT, which is the machine's
        qp_to_error(id->qp);
    }
    deliver(id, ev);
}
