// Any frames into soft_rx of a device with a live QP, the ICRC put right half of the time
// so that the machines behind it are reached. The input is a list of {u8 flags, u8 length
// in 4-byte words, bytes}: the bytes overwrite a valid frame from the BTH on.
// links: proto/roce/icrc.c proto/roce/opcode.c proto/roce/packet.c proto/roce/rc_req.c
// links: proto/roce/rc_resp.c proto/roce/cm_mad.c proto/roce/cm.c
// links: drivers/rdma/verbs.c drivers/rdma/pd.c drivers/rdma/mr.c drivers/rdma/cq.c
// links: drivers/rdma/qp.c drivers/rdma/soft.c drivers/rdma/soft_rx.c drivers/rdma/soft_tx.c
// links: drivers/rdma/soft_neigh.c drivers/rdma/rdma_cm.c tests/unit/rc_pair.c
#include <stdlib.h>

#include "base/string.h"
#include "proto/roce/packet.h"
#include "proto/roce/psn.h"
#include "tests/unit/rc_pair.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// One device pair for all inputs; the QPs are brought back to a fresh RTS for each.
static struct pair *world(void) {
    static struct pair *p;
    if (p == NULL) p = pair_new();
    for (u32 i = 0; i < 2; i++)
        rdma_modify_qp(p->side[i].qp, &(struct rdma_qp_attr){.qp_state = RDMA_QPS_RESET},
                       RDMA_QP_STATE);
    pair_connect(p, RDMA_MTU_256, 0);
    p->head = p->tail = 0;
    pair_drain(p);
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct pair *p = world();
    pair_recv(p, 1, 0, 600, 1);
    struct rdma_send_wr wr = pair_wr(p, 1, RDMA_WR_RDMA_READ, 0, 0, 1000);
    rdma_post_send(p->side[1].qp, &wr);
    soft_tx(p->side[1].dev, p->now_ns);
    static u8 zeros[1200];
    while (size >= 2) {
        u32 flags = data[0], len = data[1] * 4u;
        u8 frame[PAIR_FRAME];
        data += 2;
        size -= 2;
        if (len > size) len = (u32)size & ~3u;
        // A SEND ONLY of the right total length, then the input's bytes over it.
        u32 body = len < BTH_LEN ? 0 : len - BTH_LEN;
        u32 total = pair_forge(p, 0, frame, (flags & 1) && len != 0 ? data[0] : RC_SEND_ONLY,
                               rdma_qp_num(p->side[1].qp), flags >> 5, NULL, 0, zeros, body);
        bool keep_qp = flags & 2;
        u8 qp[3];
        memcpy(qp, frame + ROCE_BTH_AT + 5, 3);
        u32 room = total - ROCE_BTH_AT - ICRC_LEN;
        memcpy(frame + ROCE_BTH_AT, data, len < room ? len : room);
        if (keep_qp) memcpy(frame + ROCE_BTH_AT + 5, qp, 3);
        if (flags & 4) memset(frame + ROCE_BTH_AT + 9, 0, 2);          // PSN near the start
        if (flags & 8)
            icrc_store(frame + total - 4, icrc_compute(&crc_ops_table, frame + 14, total - 18));
        u8 *copy = malloc(total);
        memcpy(copy, frame, total);
        soft_rx(p->side[1].dev, copy, total, p->now_ns);
        free(copy);
        soft_tx(p->side[1].dev, p->now_ns);
        data += len;
        size -= len;
        p->head = p->tail;
    }
    soft_tick(p->side[1].dev, p->now_ns += 1000000);
    return 0;
}
