// Exit records of processes that a node took with it when it died or was cut off: wait gets
// status 9, and these name the node: in the log, and in /nodes/N/status of that node.
#pragma once

#include "base/types.h"

// `name` may be empty; `why` is a constant text. Any context; locks of rank proc and outer
// may be held.
void obituary_add(u32 pid, const char *name, u32 node, const char *why);
// The lines "lost: PID NAME: WHY" about node; returns their length, at most size_bytes - 1.
u64 obituary_text(u32 node, char *to, u64 size_bytes);
