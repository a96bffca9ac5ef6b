// What the asking and the answering half of file calls between nodes share.
#pragma once

#include "kernel/cluster.h"
#include "kernel/remote_files.h"
#include "proto/p9/p9_client.h"
#include "proto/p9/p9_server.h"

_Static_assert(CLUSTER_BULK_CREDITS <= P9_TAGS_MAX && CLUSTER_BULK_CREDITS <= P9_SERVICES_MAX,
               "the machines have a place for each credit");
_Static_assert(CLUSTER_BULK_MSG_MAX >= ENVELOPE_MSG_MAX, "every message fits");

extern const struct p9_data_ops remote_data_ops;

status_t file_call_foreign(struct p9_call *c);

void remote_serve_init(void);
void remote_serve_peer(u32 node, bool up);
void remote_serve_receive(u32 node, const u8 *bytes, u32 len_bytes);
void remote_serve_moved(u64 cookie, status_t status);
void remote_serve_pump(u32 node);
void remote_serve_wake(void);
