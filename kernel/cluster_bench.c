// What the benchmarks use of a peer: the bench pair, and BENCH_BYTES at the end of two of its
// regions (READ and atomics by the shared key, WRITE by the inbox's). Under net_lock.
#include "base/bits.h"
#include "kernel/cluster_priv.h"

_Static_assert(offsetof(struct link_memory, bench) % PAGE_SIZE == 0, "its pages can be mapped");

u64 cluster_bench_wr_id(u32 index) { return wr_id(WR_BENCH, index); }

u8 *cluster_bench_memory(u32 node) {
    if (node >= NODES_MAX) return NULL;
    struct link_memory *m = __atomic_load_n(&cluster.peers[node].memory, __ATOMIC_ACQUIRE);
    return m == NULL ? NULL : m->bench;
}

status_t cluster_bench_link(u32 node, struct bench_link *l) {
    struct peer *p = peer_up(node);
    if (p == NULL) return E_HOSTUNREACH;
    const struct msg_key *shared = &p->keys.shared, *inbox = &p->keys.inbox;
    if (shared->length < BENCH_BYTES || inbox->length < BENCH_BYTES) return E_PROTO;
    struct rdma_qp_attr attr;
    rdma_query_qp(p->qp[QP_BENCH], &attr);
    *l = (struct bench_link){
        .qp = p->qp[QP_BENCH], .lkey = rdma_mr_lkey(p->local), .mtu = 128u << attr.path_mtu,
        .local = p->memory->bench_local,
        .read_addr = shared->address + shared->length - BENCH_BYTES, .read_key = shared->rkey,
        .write_addr = inbox->address + inbox->length - BENCH_BYTES, .write_key = inbox->rkey};
    return S_OK;
}
