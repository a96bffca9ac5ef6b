// The two services for outside verbs clients (boot option rdma.test=1): rping's server
// side on port 7174, and a 1 MiB scratch region on port 18516.
#pragma once

#include "drivers/rdma/verbs.h"

#define TESTSVC_RPING_PORT 7174
#define TESTSVC_SCRATCH_PORT 18516
#define TESTSVC_SCRATCH_BYTES (1u << 20)
#define TESTSVC_RPING_BYTES (64u << 10)
#define TESTSVC_RPING_CONNS 4u
#define TESTSVC_SCRATCH_CONNS 8u

struct testsvc;

struct testsvc_counters {
    u64 rping_rounds, connects, disconnects, refused, errors, half_open_dropped;
};

// Memory comes from `alloc` (zeroed, page-aligned), all of it now. NULL: no memory.
struct testsvc *testsvc_create(struct rdma_dev *dev, void *(*alloc)(void *ctx, u64 len_bytes),
                               void *alloc_ctx);
// Takes completions and goes on; call after soft_rx, soft_tick, before soft_tx.
void testsvc_poll(struct testsvc *svc, u64 now_ns);
u64 testsvc_next_ns(const struct testsvc *svc);      // when that is due at the latest; ~0: never
const struct testsvc_counters *testsvc_counters(const struct testsvc *svc);
