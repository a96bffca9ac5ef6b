// /dev/bench: microbenchmarks of one-sided operations. A request is a line of text
//     read|write|cas|faa|echo NODE BYTES COUNT [depth=N] [mtu=BYTES]
// and its result a table in perftest's columns. kernel/files/devfs.c serves the file.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "base/units.h"
#include "drivers/rdma/verbs.h"

#define BENCH_BYTES (64u << 10)      // of a buffer, here and at the peer
#define BENCH_DEPTH_MAX 16u
#define BENCH_COUNT_MAX 10000000u

struct net_card;

// How the operations reach one node: the cluster's bench pair, or a pair between two
// cards of this machine.
struct bench_link {
    struct rdma_qp *qp;
    struct rdma_cq *cq;              // NULL: the cluster polls, and calls bench_done
    u32 lkey, mtu;                   // mtu: path MTU in bytes
    u8 *local;                       // BENCH_BYTES
    u64 read_addr, write_addr;       // BENCH_BYTES at the peer: READ and atomics; WRITE
    u32 read_key, write_key;
};

void bench_init(void);               // boot, after cluster_init
// files_lock held. S_OK: begun. E_INVAL: not understood; E_BUSY; E_HOSTUNREACH.
status_t bench_write(const char *text, u32 len);
// files_lock held. The table from `offset` on; S_RESTART: the caller waits for its end.
status_t bench_read(u64 offset, const char **text, u32 *len);
// The frame behind page `offset` of the memory that node offset / BENCH_BYTES may READ.
status_t bench_page(u64 offset, paddr_t *frame);
// net_lock held. One operation has completed; S_OK or E_IO, E_HOSTUNREACH.
void bench_done(u32 index, status_t status);
// net_lock held: the pair to this member is gone.
void bench_peer_down(u32 node);
// net_lock held: a link between two cards of this machine. mtu: 0 as large as they allow.
status_t bench_loop_open(struct bench_link *l, struct net_card *from, struct net_card *to,
                         u32 mtu);
void bench_loop_close(struct bench_link *l);
