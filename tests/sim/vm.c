// What a node's copy of kernel/cluster*.c finds around it: clock, log, random numbers, the
// card, one poller, frames. Compiled once, linked once for each node. See vm.h.
#include "tests/sim/vm.h"
#include "tests/sim/vm_drive.h"

#include "base/string.h"
#include "drivers/rdma/soft_priv.h"
#include "kernel/beat.h"
#include "kernel/bench.h"
#include "kernel/clock.h"
#include "kernel/cluster_priv.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/net.h"
#include "kernel/panic.h"
#include "kernel/placement.h"
#include "kernel/proc.h"
#include "kernel/random.h"
#include "kernel/rebirth.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/words.h"
#include "mm/frame.h"
#include "mm/kmem.h"

#define LOG_LINE 256

unsigned long vm_map_base;
struct options options;
struct cluster_conf cluster_conf;
struct proc_hooks proc_hooks;
struct spinlock net_lock;
u32 cpu_count = 1;
const struct word_ops cpu_word_ops;      // a node without a card; here all have one

static struct vm_boot boot_args;
static struct net_card card;
static void (*poller)(void *ctx, u64 now_ns);
static u64 (*poller_deadline_ns)(void *ctx);
static bool again;                       // edge_request: poll once more
static u8 *descs;

// --- what the kernel has -----------------------------------------------------------------

void spin_lock(struct spinlock *l) { (void)l; }
void spin_unlock(struct spinlock *l) { (void)l; }
u64 time_now_ns(void) { return vm_now_ns(); }
u64 time_wall_ns(void) { return vm_now_ns(); }
void random_fill(void *to, size_t len_bytes) { vm_random(to, len_bytes); }

static void rng_fill(void *ctx, void *to, size_t len_bytes) {
    (void)ctx;
    vm_random(to, len_bytes);
}
const struct rng kernel_rng = {.fill = rng_fill};

void klog(const char *format, ...) {
    char line[LOG_LINE];
    va_list args;
    va_start(args, format);
    kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    vm_log(boot_args.self, line);
}

struct net_card *net_own(void) { return &card; }

void net_add_poller(void (*poll)(void *ctx, u64 now_ns), u64 (*deadline_ns)(void *ctx),
                    void *ctx) {
    (void)ctx;
    poller = poll;
    poller_deadline_ns = deadline_ns;
}

void edge_request(u32 edge_bits) {
    (void)edge_bits;
    again = true;
}

// Neither the figures and texts of /nodes nor /dev/bench are part of the simulation.
void bench_done(u32 index, status_t status) { (void)index; (void)status; }
void bench_peer_down(u32 node) { (void)node; }
status_t bench_page(u64 offset, paddr_t *frame) { (void)offset; (void)frame; return E_NXIO; }
void status_init(void) {}
void status_poll(u64 now_ns) { (void)now_ns; }
void status_answer(struct peer *p) { (void)p; }
void status_take(struct peer *p, const struct cluster_msg *m) { (void)p; (void)m; }
void status_peer_down(struct peer *p) { (void)p; }
void nodes_init(void) {}
void may_run_peer(u8 node, const struct cpu_caps *caps) { (void)node; (void)caps; }
const struct cpu_caps *may_run_own(void) {
    static const struct cpu_caps none;
    return &none;
}
void clock_publish(const struct cluster_clock *c, const struct clock_step *step) {
    (void)c; (void)step;
}
void placement_tick(u64 left_out) { (void)left_out; }
bool placement_tick_wanted(void) { return false; }
void placement_exec_told(const struct cluster_msg *m) { (void)m; }
void placement_price(enum price which, u64 ns) { (void)which; (void)ns; }
void net_stop(void) {}
void (*panic_hook)(const char *cause);
void beat_init(void) {}
void beat_tick(void) { word_add(rdma_word_ops(cluster.rdma), &cluster.words->heartbeat, 1); }
u32 rebirth_reap(u32 node) {
    (void)node;
    vm_reborn(boot_args.self);
    return 0;
}
bool rebirth_over(void) { return true; }

// --- what the simulator does with it -----------------------------------------------------

void *kmem_alloc(u64 len_bytes) { return vm_alloc(boot_args.self, len_bytes); }

static void *card_alloc(void *ctx, u64 len_bytes) {
    (void)ctx;
    return vm_alloc(boot_args.self, len_bytes);
}

static void card_free(void *ctx, void *ptr, u64 len_bytes) {
    (void)ctx; (void)len_bytes;
    vm_free(boot_args.self, ptr);
}

static void pair_broke(void *ctx, struct rdma_qp *qp, enum rdma_wc_status why) {
    (void)ctx;
    klog("pair %u went to ERR: status %u", rdma_qp_num(qp), (u32)why);
}

static void card_init(void) {
    struct soft_member members[NODES_MAX];
    u32 count = 0;
    for (u32 i = 0; i < NODES_MAX; i++) {
        const struct roster_row *n = &cluster_conf.node[i];
        if (!n->listed || i == boot_args.self) continue;
        members[count].ipv4 = n->ipv4;
        memcpy(members[count++].mac, n->mac, sizeof n->mac);
    }
    const struct soft_config config = {
        .netdev = boot_args.card, .ipv4 = cluster_conf.node[boot_args.self].ipv4,
        .prefix_len = 24, .members = members, .member_count = count, .rng = kernel_rng,
        .crc = &crc_ops_table, .word_ops = boot_args.words, .alloc = card_alloc,
        .free = card_free, .qp_error = pair_broke};
    card = (struct net_card){.dev = boot_args.card, .rdma = soft_create(&config),
                             .node = boot_args.self};
    if (card.rdma == NULL) panic("vm: no memory for the device");
}

static void vm_boot(const struct vm_boot *b) {
    const struct frame_range ram = {PAGE_SIZE, b->memory_bytes - PAGE_SIZE};
    boot_args = *b;
    vm_map_base = b->map_base;
    cluster_conf = *b->conf;
    options.dead_after = 100;
    options.dead_floor_s = 3;
    options.words_card = b->words_card;
    frame_init(&ram, 1, NULL, 0);
    card_init();
    const paddr_t table = frame_alloc_contiguous(b->desc_count, FRAME_DESC);
    if (table.v == 0) panic("vm: no memory for descriptors");
    descs = phys_to_virt(table);
    for (u32 i = 0; i < b->desc_count; i++) {
        const u64 word = owner_word(OWNER_FREE, b->self, rng_u32(&kernel_rng) & 0xffffff);
        memcpy(descs + i * PAGE_SIZE, &word, sizeof word);   // before any peer has a key
    }
    cluster_set_host(b->host);
    cluster_watch(b->changed, b->changed_ctx);
    cluster_init(descs, b->desc_count);
    if (b->drive) vm_drive_ops.boot();
}

static void vm_rx(const u8 *frame, u32 len_bytes) {
    soft_rx(card.rdma, frame, len_bytes, vm_now_ns());
}

// One round, in netpoll's order: timers, who waits for completions, transmission.
static bool vm_poll(void) {
    const u64 now_ns = vm_now_ns();
    again = false;
    if (now_ns >= soft_next_deadline(card.rdma)) soft_tick(card.rdma, now_ns);
    poller(NULL, now_ns);
    soft_tx(card.rdma, now_ns);
    card.dev->ops->tx_kick(card.dev);
    card.dev->ops->tx_reap(card.dev);
    return again || poller_deadline_ns(NULL) <= now_ns;
}

static u64 vm_deadline_ns(void) {
    return MIN(soft_next_deadline(card.rdma), poller_deadline_ns(NULL));
}

static void *vm_words(void) { return cluster.words; }
static u8 *vm_descs(void) { return descs; }
static u64 vm_frame_alloc(void) { return frame_alloc(FRAME_USER).v; }
static void vm_frame_free(u64 pa) { frame_unref(paddr(pa)); }
static u64 vm_refused(void) { return cluster.counters.refused; }
static void vm_idle(void) { proc_hooks.idle(); }

static u64 vm_frames_lent(void) {
    u64 count = 0;
    for (u64 pa = PAGE_SIZE; pa < boot_args.memory_bytes; pa += PAGE_SIZE) {
        const enum frame_use use = frame_use_of(paddr(pa));
        count += use == FRAME_USER || use == FRAME_TABLE;
    }
    return count;
}

static u64 vm_bad_qpn(void) { return soft_counters(cluster.rdma)->bad_qpn; }

static void vm_keys(u8 peer, u32 to[VM_KEYS]) {
    const struct peer *p = &cluster.peers[peer];
    struct rdma_mr *const mr[VM_KEYS] = {p->frames, p->shared, p->inbox};
    for (u32 i = 0; i < VM_KEYS; i++) to[i] = rdma_mr_rkey(mr[i]);
}

static bool vm_key_valid(u8 peer, u32 key) {
    static const u32 any[] = {RDMA_ACCESS_REMOTE_READ, RDMA_ACCESS_REMOTE_WRITE};
    const struct rdma_pd *pd = cluster.peers[peer].pd;
    bool valid = false;
    for (u32 i = 0; i < ARRAY_COUNT(any); i++)
        valid |= soft_mr_check(soft_of(cluster.rdma), CONTAINER_OF(pd, struct soft_pd, base), key,
                               0, 8, any[i]) != NULL;
    return valid;
}

extern const struct vm_ops vm_ops;
const struct vm_ops vm_ops = {
    .boot = vm_boot, .rx = vm_rx, .poll = vm_poll, .deadline_ns = vm_deadline_ns,
    .node = cluster_node, .words = vm_words, .descs = vm_descs,
    .read_frame = cluster_read_frame, .frame_alloc = vm_frame_alloc,
    .frame_free = vm_frame_free, .frames_lent = vm_frames_lent, .refused = vm_refused,
    .incarnation = cluster_incarnation, .bad_qpn = vm_bad_qpn,
    .keys = vm_keys, .key_valid = vm_key_valid, .idle = vm_idle, .drive = &vm_drive_ops,
};
