// The scratch service on Linux (what Isthmus offers with rdma.test=1), so that the
// client can be checked Linux beside Linux. Each connection gets a region, a protection
// domain and a key of its own. Ends when killed. Single thread, no locks.
#include "scratch.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct ibv_pd *pd;
    struct ibv_mr *mr;
    struct ibv_cq *cq;
    uint8_t *region;
};

static void session_close(struct rdma_cm_id *id) {
    struct session *session = id->context;
    if (id->qp)
        rdma_destroy_qp(id);
    if (session && session->cq)
        ibv_destroy_cq(session->cq);
    if (session && session->mr)
        ibv_dereg_mr(session->mr);
    if (session && session->pd)
        ibv_dealloc_pd(session->pd);
    if (session)
        free(session->region);
    free(session);
    rdma_destroy_id(id);
}

static void session_open(struct rdma_cm_id *id, const struct rdma_conn_param *asked) {
    struct session *session = calloc(1, sizeof(*session));
    uint8_t private_data[SCRATCH_PRIVATE_BYTES];
    id->context = session;
    session->region = aligned_alloc(4096, SCRATCH_BYTES);
    session->pd = ibv_alloc_pd(id->verbs);
    session->cq = ibv_create_cq(id->verbs, 16, NULL, NULL, 0);
    if (!session->region || !session->pd || !session->cq)
        die("session");
    memset(session->region, 0, SCRATCH_BYTES);
    session->mr = ibv_reg_mr(session->pd, session->region, SCRATCH_BYTES,
                             IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
                                 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC);
    if (!session->mr)
        die("ibv_reg_mr");
    struct ibv_qp_init_attr attributes = {
        .send_cq = session->cq, .recv_cq = session->cq, .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1}};
    if (rdma_create_qp(id, session->pd, &attributes))
        die("rdma_create_qp");
    scratch_pack(private_data, (struct scratch_key){(uintptr_t)session->region,
                                                    session->mr->rkey, SCRATCH_BYTES});
    struct rdma_conn_param reply = {
        .private_data = private_data, .private_data_len = sizeof(private_data),
        .responder_resources = asked->responder_resources,
        .initiator_depth = asked->initiator_depth, .retry_count = 7, .rnr_retry_count = 7};
    if (rdma_accept(id, &reply))
        die("rdma_accept");
}

int main(void) {
    struct rdma_event_channel *channel = rdma_create_event_channel();
    struct rdma_cm_id *listener;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = __builtin_bswap16(SCRATCH_PORT)};
    if (!channel || rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP))
        die("rdma_create_id");
    if (rdma_bind_addr(listener, (struct sockaddr *)&address) || rdma_listen(listener, 64))
        die("rdma_listen");
    printf("server: listening on port %u\n", SCRATCH_PORT);
    fflush(stdout);
    for (;;) {
        struct rdma_cm_event *event;
        if (rdma_get_cm_event(channel, &event))
            die("rdma_get_cm_event");
        struct rdma_cm_id *id = event->id;
        enum rdma_cm_event_type type = event->event;
        struct rdma_conn_param asked = event->param.conn;
        rdma_ack_cm_event(event);
        if (type == RDMA_CM_EVENT_CONNECT_REQUEST) {
            session_open(id, &asked);
        } else if (type == RDMA_CM_EVENT_DISCONNECTED) {
            rdma_disconnect(id);
            session_close(id);
        } else if (type != RDMA_CM_EVENT_ESTABLISHED && type != RDMA_CM_EVENT_TIMEWAIT_EXIT) {
            fprintf(stderr, "server: %s\n", rdma_event_str(type));
            session_close(id);
        }
    }
}
