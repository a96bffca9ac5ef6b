// Any bytes as a 9P request, a reply, and as messages to the client and server machines.
// The first byte picks which; what unpacks must pack again to the same length.
// links: proto/p9/p9_codec.c proto/p9/envelope.c proto/p9/p9_client.c proto/p9/p9_server.c
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "proto/p9/p9_client.h"
#include "proto/p9/p9_server.h"
#include "tests/unit/p9_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u8 service_data[2][P9_DATA_MAX], client_data[P9_DATA_MAX];
static struct p9_move last_move;
static u32 completed;

static status_t send_none(void *ctx, u32 node, const void *bytes, u32 len) {
    (void)ctx, (void)node, (void)bytes;
    ASSERT(len <= ENVELOPE_MSG_MAX);
    return S_OK;
}
static void complete(void *ctx, struct p9_request *r) {
    (void)ctx, (void)r;
    completed++;
}
static const struct p9_client_ops client_ops = {send_none, complete, &data_ops};

static status_t move(void *ctx, u32 node, const struct p9_move *m) {
    (void)ctx, (void)node;
    ASSERT((u64)m->at + m->len_bytes <= P9_DATA_MAX);
    last_move = *m;
    return S_OK;
}
static status_t prepare(void *ctx, struct p9_service *v) {
    (void)ctx;
    ASSERT(v->call.count <= P9_DATA_MAX);
    v->call.data.buffer = service_data[v->index];
    return S_OK;
}
static status_t execute(void *ctx, struct p9_service *v) {
    (void)ctx;
    if (v->call.offset & 1) return S_RESTART;
    v->call.result = v->call.count;
    return S_OK;
}
static void release(void *ctx, struct p9_service *v) { (void)ctx, (void)v; }
static const struct p9_server_ops server_ops = {send_none, move, move, prepare, execute, release,
                                                &data_ops};

static struct p9_client client;
static struct p9_server server;
static struct p9_service service[2];
static struct p9_request request;

static void fuzz_codec(u8 *bytes, u32 len, bool reply) {
    struct p9_call c = {.type = len > 4 ? (u8)(bytes[4] - 1) : 0, .name = "x"};
    struct p9_parsed parsed;
    status_t status = reply ? p9_reply_unpack(bytes, len, &c, &parsed)
                            : p9_request_unpack(bytes, len, &c, &parsed);
    if (status != S_OK) return;
    static u8 out[3 * P9_PATH_MAX];
    struct p9_buf b = {.bytes = out, .size = sizeof out};
    status = reply ? p9_reply_pack(&b, &c, parsed.tag) : p9_request_pack(&b, &c, parsed.tag);
    ASSERT(status == S_OK);
    ASSERT(b.len == len || b.len + parsed.payload_len == len);
}

static void fuzz_server(const u8 *bytes, u32 len) {
    p9_server_init(&server, &server_ops, NULL);
    p9_server_peer_up(&server, 3);
    for (u32 i = 0; i < 2; i++) p9_server_add_service(&server, 3, &service[i]);
    for (u32 i = 0; i < 3; i++) p9_server_receive(&server, 3, bytes, len);
    for (u32 i = 0; i < 2 * P9_SEG_MAX; i++) p9_server_moved(&server, last_move.cookie, S_OK);
    p9_server_wake_all(&server);
    p9_server_peer_down(&server, 3);
}

static void fuzz_client(u8 *bytes, u32 len, u8 type) {
    p9_client_init(&client, &client_ops, NULL);
    p9_client_peer_up(&client, 3, 1);
    request = (struct p9_request){.call = {.type = type, .object.node = 3, .name = "n",
                                           .name2 = "m", .count = 900,
                                           .data.buffer = client_data}};
    completed = 0;
    if (p9_client_submit(&client, &request) != S_OK) return;
    if (type & 1) p9_client_flush(&client, &request);
    p9_client_receive(&client, 3, bytes, len);
    p9_client_peer_down(&client, 3);
    ASSERT(completed == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > ENVELOPE_MSG_MAX) return 0;
    u32 len = (u32)size - 2;
    u8 *bytes = malloc(len ? len : 1);
    memcpy(bytes, data + 2, len);
    switch (data[0] & 3) {
    case 0: fuzz_codec(bytes, len, false); break;
    case 1: fuzz_codec(bytes, len, true); break;
    case 2: fuzz_server(bytes, len); break;
    default: fuzz_client(bytes, len, data[1]); break;
    }
    free(bytes);
    return 0;
}
