// The answering side of file calls between nodes: a pure machine. See p9_server.c.
#pragma once

#include "base/owner.h"
#include "proto/p9/envelope.h"

#define P9_SERVICES_MAX 64           // requests of one peer in service at a time

enum p9_service_state {
    P9_SVC_FREE = 0,
    P9_SVC_FETCH,                    // READs of the data to write are out
    P9_SVC_PARKED,                   // would block: runs again when woken
    P9_SVC_STORE,                    // WRITEs of the data that was read are out
    P9_SVC_REPLY,                    // the reply waits for room to send
};

// One request in service. The host owns the memory and hands it over with
// p9_server_add_service; it stays the machine's as long as the peer is up.
struct p9_service {
    struct p9_call call;             // its data: what ops->prepare sets
    void *host;
    // The machine's.
    enum p9_service_state state;
    u32 node, index;
    u64 serial;                      // of the request, the client's
    u64 use;                         // counts the uses of this place
    u16 tag;
    bool flushed;                    // an Rflush follows the reply, or stands for it
    bool dead;                       // flushed before it had an effect: no reply
    bool let_finish;                 // set by execute: parked, but a flush waits for the reply
    u16 flush_tag;
    struct envelope env;
    u64 room;                        // bytes of payload that the reply may have
    u32 seg_next, moves_out;         // next piece to post, posted and not done
    u32 move_at, move_len;           // bytes posted, bytes in all
    status_t move_status;
    u8 msg[ENVELOPE_MSG_MAX];        // the request; then its reply
    u32 msg_len;
};

// One READ or WRITE between call.data of a service, from `at` on, and the peer's memory.
struct p9_move {
    struct p9_service *service;
    u64 cookie;                      // for p9_server_moved
    u32 at, len_bytes;
    u64 remote_address;
    u32 remote_key;
};

struct p9_server_ops {
    // S_OK: taken; E_AGAIN: no room now, pump again later.
    status_t (*send)(void *ctx, u32 node, const void *bytes, u32 len_bytes);
    status_t (*rdma_read)(void *ctx, u32 node, const struct p9_move *m);
    status_t (*rdma_write)(void *ctx, u32 node, const struct p9_move *m);
    // Makes s->call.data hold s->call.count bytes that RDMA can reach; E_NOMEM.
    status_t (*prepare)(void *ctx, struct p9_service *s);
    // Does s->call and sets its out fields; S_RESTART: it would block, no effect yet.
    status_t (*execute)(void *ctx, struct p9_service *s);
    // The end of s, once for each request, whether prepare was called or not: gives back
    // what that took, and s waits for nothing any more.
    void (*release)(void *ctx, struct p9_service *s);
    const struct p9_data_ops *data;
};

struct p9_server_peer {
    bool up;
    u32 service_count;
    struct p9_service *service[P9_SERVICES_MAX];
    // Replies that have no service: an Rflush of a request that is gone, an error for one
    // that there was no room for. Bounded by the peer's credits.
    struct { u16 tag; bool flush; u64 serial; status_t status; } loose[P9_SERVICES_MAX];
    u32 loose_count;
};

struct p9_server_stats {
    u64 requests, replies, parked, retried, flushes, cancelled, malformed, overrun, moves;
};

struct p9_server {
    const struct p9_server_ops *ops;
    void *ctx;
    u64 use;
    struct p9_server_stats stats;
    struct p9_server_peer peer[NODES_MAX];
};

void p9_server_init(struct p9_server *s, const struct p9_server_ops *ops, void *ctx);
void p9_server_peer_up(struct p9_server *s, u32 node);
void p9_server_add_service(struct p9_server *s, u32 node, struct p9_service *v);
void p9_server_peer_down(struct p9_server *s, u32 node);
void p9_server_receive(struct p9_server *s, u32 node, const u8 *bytes, u32 len_bytes);
void p9_server_moved(struct p9_server *s, u64 cookie, status_t status);
void p9_server_wake(struct p9_server *s, struct p9_service *v);
void p9_server_wake_all(struct p9_server *s);
void p9_server_pump(struct p9_server *s, u32 node);
