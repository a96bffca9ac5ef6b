// /nodes: what the cluster part tells about members. It fills nodes_provider; alone, a
// node shows itself.
#pragma once

#include "kernel/files/synth.h"

struct nodes_provider {
    bool (*member)(u32 node);                            // shown as /nodes/N
    status_t (*status)(u32 node, struct text *out);      // /nodes/N/status
    // /nodes/members (seen = 0) and /nodes/members-not-N (seen = N): how many there are,
    // once that is not `seen`.
    status_t (*members)(u32 seen, struct text *out);
    // Lines written to /nodes/N/run (directed start) or other controls; may be NULL.
    status_t (*control)(u32 node, const char *text);
    // A further entry of /nodes/N by name (dev, ...); may be NULL.
    const struct synth_entry *extra;                     // ends with name NULL
};
extern struct nodes_provider nodes_provider;
