// The data of calls in plain memory, for tests of the 9P machines.
#pragma once

#include <string.h>

#include "proto/p9/p9_client.h"

static u32 to_data(struct p9_call *c, u64 at, const void *from, u32 len) {
    memcpy((u8 *)c->data.buffer + at, from, len);
    return len;
}
static u32 from_data(struct p9_call *c, u64 at, void *to, u32 len) {
    memcpy(to, (u8 *)c->data.buffer + at, len);
    return len;
}
static const struct p9_data_ops data_ops = {to_data, from_data};
