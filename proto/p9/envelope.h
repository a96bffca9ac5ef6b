// What a 9P message travels in between nodes. See envelope.c.
#pragma once

#include "proto/p9/p9_codec.h"

#define ENVELOPE_MSG_MAX 4096u       // one message, envelope and all; one posted receive
#define ENVELOPE_INLINE_MAX 1024u    // bytes of file data that travel inside the message

enum envelope_kind { ENVELOPE_REQUEST = 1, ENVELOPE_REPLY = 2 };

// A piece of registered memory of the asking node.
struct p9_seg {
    u64 address;
    u32 key;
    u32 len_bytes;
};

struct envelope {
    u8 kind;                         // enum envelope_kind
    u16 tag;                         // the 9P message's
    u64 serial;                      // of the request; its reply says the same
    bool background;                 // reply: S_BACKGROUND, which 9P has no word for
    u32 seg_count;                   // request: where its data lies or shall go
    struct p9_seg seg[P9_SEG_MAX];
};

u64 p9_segs_bytes(const struct p9_seg *seg, u32 count);
status_t envelope_pack(struct p9_buf *b, const struct envelope *e, const struct p9_call *c);
void envelope_end(struct p9_buf *b);
status_t envelope_open(struct p9_buf *b, struct envelope *e, struct p9_call *c);
