// 9P2000.L messages as bytes, from and to struct p9_call. See p9_codec.c.
#pragma once

#include "proto/p9/p9.h"

#define P9_HEAD_BYTES 7              // size[4] type[1] tag[2]

// Where a message is built or read.
struct p9_buf {
    u8 *bytes;
    u32 size;                        // of the memory
    u32 len;                         // written or read so far
    bool bad;                        // did not fit, or was malformed
};

// What a parsed message says beside the call's fields.
struct p9_parsed {
    u8 type;
    u16 tag;
    u32 payload_len;                 // bytes of file data that belong to it
    u8 *payload;                     // NULL: left out, moved one-sided
};

void p9_put(struct p9_buf *b, u64 value, u32 len_bytes);
u64 p9_get(struct p9_buf *b, u32 len_bytes);
void p9_put_attr(struct p9_buf *b, const struct p9_attr *a);
void p9_get_attr(struct p9_buf *b, struct p9_attr *a);

u32 p9_request_payload(const struct p9_call *c);
u32 p9_reply_payload(const struct p9_call *c);
status_t p9_request_pack(struct p9_buf *b, const struct p9_call *c, u16 tag);
status_t p9_reply_pack(struct p9_buf *b, const struct p9_call *c, u16 tag);
status_t p9_request_unpack(u8 *bytes, u32 len, struct p9_call *c, struct p9_parsed *out);
status_t p9_reply_unpack(u8 *bytes, u32 len, struct p9_call *c, struct p9_parsed *out);
