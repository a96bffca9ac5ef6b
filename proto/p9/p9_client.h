// The asking side of file calls between nodes: a pure machine. See p9_client.c.
#pragma once

#include "base/list.h"
#include "base/owner.h"
#include "proto/p9/envelope.h"

#define P9_TAGS_MAX 64               // requests of one peer at a time, sent or waiting
#define P9_STALL_LOOKS 3u            // so often seen waiting: one that is out makes room
#define P9_TAG_FLUSH 0x8000          // tag of the Tflush of request T: T | this
// Receives that each side posts for the other with `credits` credits: requests and one
// flush of each, and the replies to both.
#define P9_RECEIVES(credits) (4 * (credits))

enum p9_request_state {
    P9_REQ_IDLE = 0,
    P9_REQ_QUEUED,                   // waits for a credit or for room to send
    P9_REQ_SENT,
    P9_REQ_FLUSH_QUEUED,             // its flush waits for room to send
    P9_REQ_FLUSHING,                 // its flush is out
};

// One request. The host owns the memory and leaves it alone from submit to complete.
struct p9_request {
    struct p9_call call;             // in: the call; at complete: its results
    struct p9_seg seg[P9_SEG_MAX];   // registered data: set where payload moves one-sided
    u32 seg_count;
    void *host;
    // The machine's.
    struct list_node link;
    enum p9_request_state state;
    u32 node;
    u16 tag;
    bool replied;
    u64 serial;
    u32 msg_len;
    u8 msg[ENVELOPE_MSG_MAX];
};

struct p9_client_ops {
    // S_OK: the bytes were taken; E_AGAIN: no room now, pump again later.
    status_t (*send)(void *ctx, u32 node, const void *bytes, u32 len_bytes);
    // The end of the request, exactly once; call.status says how. May submit others.
    void (*complete)(void *ctx, struct p9_request *r);
    const struct p9_data_ops *data;
};

struct p9_client_peer {
    bool up;
    u32 credits;                     // requests that may still be sent
    struct p9_request *by_tag[P9_TAGS_MAX];
    struct list_node queue;          // QUEUED and FLUSH_QUEUED, oldest first
    u64 stall_serial;                // who waited for a credit at the last look
    u32 stall_looks;
};

struct p9_client_stats { u64 sent, replies, flushes, relieved, stale, malformed, lost; };

struct p9_client {
    const struct p9_client_ops *ops;
    void *ctx;
    u64 serial;
    struct p9_client_stats stats;
    struct p9_client_peer peer[NODES_MAX];
};

void p9_client_init(struct p9_client *c, const struct p9_client_ops *ops, void *ctx);
void p9_client_peer_up(struct p9_client *c, u32 node, u32 credits);
void p9_client_peer_down(struct p9_client *c, u32 node);
status_t p9_client_submit(struct p9_client *c, struct p9_request *r);
void p9_client_flush(struct p9_client *c, struct p9_request *r);
void p9_client_receive(struct p9_client *c, u32 node, u8 *bytes, u32 len_bytes);
void p9_client_pump(struct p9_client *c, u32 node);
void p9_client_relieve(struct p9_client *c, u32 node);
