// Any MADs into the CM machine while connections are in every state. Input: a list of
// {u8 attribute, u8 connection, u8 length, bytes over the message}.
// links: proto/roce/cm.c proto/roce/cm_mad.c
#include "base/string.h"
#include "proto/roce/cm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cm cm;
static u64 now_ns;
static u32 step;

static void fill(void *ctx, void *to, size_t len) {
    u64 *state = ctx;
    for (u8 *b = to; len-- != 0;) *b++ = (u8)((*state = *state * 25214903917ull + 11) >> 24);
}
static void on_send(void *ctx, u32 dst_ip, const u8 mad[MAD_LEN]) {
    struct cm_msg m;
    (void)ctx;
    (void)dst_ip;
    // What we say must be what we understand.
    if (cm_mad_decode(mad, MAD_LEN, &m) != S_OK) __builtin_trap();
}
static void on_event(void *ctx, const struct cm_event *ev) {
    struct cm_params params = {.qpn = 5, .start_psn = 6};
    (void)ctx;
    step++;
    if (ev->kind == CM_EV_REQUEST && step % 3) cm_accept(&cm, ev->conn, &params, now_ns);
    else if (ev->kind == CM_EV_REQUEST && step % 2) cm_reject(&cm, ev->conn, 28, "x", 1);
    if (ev->kind == CM_EV_RESPONSE) cm_send_rtu(&cm, ev->conn, NULL, 0, now_ns);
    if (ev->kind == CM_EV_ESTABLISHED && step % 5 == 0) cm_disconnect(&cm, ev->conn, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    u64 seed = 1;
    struct rng rng = {fill, &seed};
    struct cm_ops ops = {on_send, on_event, NULL};
    struct cm_params params = {.qpn = 3, .start_psn = 4};
    now_ns = 1;
    step = 0;
    cm_init(&cm, 0x0a070001, 7, &rng, &ops);
    cm_listen(&cm, RDMA_CM_SID_TCP | 7174, 0, NULL);
    cm_listen(&cm, RDMA_CM_SID_TCP | 7175, CM_LISTEN_NO_IMPLIED_RTU | CM_LISTEN_DREQ_IS_HINT, NULL);
    for (u32 i = 0; i < 3; i++) cm_connect(&cm, 0x0a070002, RDMA_CM_SID_TCP | 1, &params, now_ns);
    while (size >= 3) {
        struct cm_msg m;
        u8 mad[MAD_LEN];
        memset(&m, 0, sizeof m);
        m.attr = (enum cm_attr)(CM_REQ + data[0] % 7);
        m.remote_comm_id = cm.conns[data[1] % 8].local_comm_id;
        m.local_comm_id = 1 + (data[1] >> 4);
        m.service_id = RDMA_CM_SID_TCP | (7174 + (data[0] >> 7));
        m.qpn = data[0] & 64 ? 5 : 3;
        if (cm_mad_encode(mad, &m) != S_OK) __builtin_trap();
        u32 len = data[2];
        data += 3;
        size -= 3;
        if (len > size) len = (u32)size;
        memcpy(mad + MAD_LEN - len, data, len);
        cm_rx(&cm, 0x0a070002, mad, MAD_LEN, now_ns);
        now_ns += 1000000ull * len;
        cm_tick(&cm, now_ns);
        data += len;
        size -= len;
    }
    return 0;
}
