// The machine behind /dev/bench: posts one operation after the other (depth=N: up to N at
// a time), takes the TSC before the post and after the completion, and makes perftest's
// table of it. Round trips all: a WRITE ends with its ACK.
// Whoever writes the file asks (files_lock held); the poll does the work (net_lock held)
// and wakes the readers. `state` is the hand-over between the two: ASKED gives `req` to the
// poll, DONE gives `text` back.
#include "kernel/bench.h"

#include "base/bits.h"
#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/options.h"
#include "kernel/perf.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "mm/frame.h"

#define SAMPLES_MAX (128u << 10)     // the last ones, of a longer run
#define ECHO_TIMEOUT_NS 1000000000ull
#define TEXT_BYTES 1024u
#define LOST_MAX 1000u               // echoes; then the peer does not answer

enum bench_op { BENCH_READ, BENCH_WRITE, BENCH_CAS, BENCH_FAA, BENCH_ECHO, BENCH_OPS };
static const char *const op_names[BENCH_OPS] = {"read", "write", "cas", "faa", "echo"};
enum bench_state { BENCH_IDLE, BENCH_ASKED, BENCH_RUNNING, BENCH_DONE };

struct request { enum bench_op op; u32 node, bytes, count, depth, mtu; };

static struct wait_list readers = WAIT_LIST_INIT(readers);
static u32 state;                    // atomic: enum bench_state
static struct {
    struct request req;              // ASKED: the poll's from here on
    struct bench_link link;
    bool loop;                       // link is bench_loop's
    struct net_card *card;
    u8 peer_mac[6];
    u32 posted, done, busy;          // busy: bit per slot
    u32 lost, wrong;                 // echoes without answer; atomics with a wrong result
    u32 changed, backwards;          // READs whose first word differs from the last one's
    u64 word;                        // what the peer's word holds: CAS, FAA
    u64 start_tsc[BENCH_DEPTH_MAX], start_ns;
    status_t status;
    u32 *ticks;                      // SAMPLES_MAX
    u32 text_len;
    char text[TEXT_BYTES];
} b;

static u32 state_get(void) { return __atomic_load_n(&state, __ATOMIC_ACQUIRE); }

// --- the request ------------------------------------------------------------------------

static const char *word_skip(const char *at) {
    while (*at == ' ' || *at == '\n') at++;
    return at;
}

// A decimal number up to a blank or the end. NULL: none, or too large.
static const char *number(const char *at, u32 *value) {
    u64 v = 0;
    const char *start = at = word_skip(at);
    for (; *at >= '0' && *at <= '9' && v <= 0xffffffffu; at++) v = v * 10 + (u64)(*at - '0');
    if (at == start || v > 0xffffffffu || (*at && *at != ' ' && *at != '\n')) return NULL;
    *value = (u32)v;
    return at;
}

static bool fits(const struct request *r) {
    const bool atomic = r->op == BENCH_CAS || r->op == BENCH_FAA;
    return r->count != 0 && r->count <= BENCH_COUNT_MAX && r->depth != 0 &&
           r->depth <= BENCH_DEPTH_MAX && r->bytes <= BENCH_BYTES / r->depth &&
           (!atomic || r->bytes == 8) && (r->op != BENCH_ECHO || r->depth == 1) &&
           (r->op != BENCH_CAS || r->depth == 1);
}

static bool parse(const char *at, struct request *r) {
    *r = (struct request){.op = BENCH_OPS, .depth = 1};
    at = word_skip(at);
    for (u32 i = 0; i < BENCH_OPS; i++) {
        const u64 len = strlen(op_names[i]);
        if (strncmp(at, op_names[i], len) || at[len] != ' ') continue;
        r->op = (enum bench_op)i;
        at += len;
        break;
    }
    if (r->op == BENCH_OPS) return false;
    if ((at = number(at, &r->node)) == NULL || (at = number(at, &r->bytes)) == NULL ||
        (at = number(at, &r->count)) == NULL) return false;
    for (at = word_skip(at); *at; at = word_skip(at)) {      // each turn takes a word
        u32 *field = strncmp(at, "depth=", 6) == 0 ? &r->depth
                     : strncmp(at, "mtu=", 4) == 0 ? &r->mtu : NULL;
        if (field == NULL) return false;
        at = number(at + (field == &r->depth ? 6 : 4), field);
        if (at == NULL) return false;
    }
    return fits(r);
}

static struct net_card *card_of_node(u32 node) {
    for (u32 i = 0; i < net_card_count; i++)
        if (net_cards[i].rdma != NULL && net_cards[i].node == node) return &net_cards[i];
    return NULL;
}

// A node of the cluster, up or not, or another card of this machine.
static bool node_exists(u32 node) {
    return node < NODES_MAX && (roster_taken(&cluster_conf.node[node]) || card_of_node(node));
}

// Takes one line; the poll begins. E_INVAL: not understood; E_HOSTUNREACH: no such node;
// E_BUSY: one is under way.
// Locks: files_lock held.
status_t bench_write(const char *text, u32 len) {
    char line[128];
    struct request r;
    const u32 now = state_get();
    if (len >= sizeof line) return E_INVAL;
    memcpy(line, text, len);
    line[len] = 0;
    if (!parse(line, &r)) return E_INVAL;
    if (!node_exists(r.node)) return E_HOSTUNREACH;
    if (now == BENCH_ASKED || now == BENCH_RUNNING) return E_BUSY;
    b.req = r;
    __atomic_store_n(&state, BENCH_ASKED, __ATOMIC_RELEASE);
    edge_request(EDGE_NETPOLL);
    return S_OK;
}

// Locks: files_lock held, under which the end wakes: no wake-up is lost.
status_t bench_read(u64 offset, const char **text, u32 *len) {
    const u32 now = state_get();
    if (now == BENCH_ASKED || now == BENCH_RUNNING) {
        file_wait(&readers);
        return S_RESTART;
    }
    *len = offset < b.text_len ? b.text_len - (u32)offset : 0;
    *text = b.text + MIN(offset, (u64)b.text_len);
    return S_OK;
}

status_t bench_page(u64 offset, paddr_t *frame) {
    u8 *memory = cluster_bench_memory((u32)MIN(offset / BENCH_BYTES, (u64)NODES_MAX));
    if (memory == NULL) return E_NODEV;
    *frame = virt_to_phys(memory + ALIGN_DOWN(offset % BENCH_BYTES, (u64)PAGE_SIZE));
    return S_OK;
}

// --- the result -------------------------------------------------------------------------

// ticks: of 32 bits, so the product fits.
static u64 ticks_ns(u64 ticks) { return ticks * NS_PER_S / time_tsc_hz(); }

static u64 root(u64 v) {
    u64 r = 0;
    for (u64 bit = 1ull << 31; bit != 0; bit >>= 1)
        if ((r + bit) * (r + bit) <= v) r += bit;
    return r;
}

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = kvsnprintf(b.text + b.text_len, TEXT_BYTES - b.text_len, format, args);
    va_end(args);
    if (n > 0) b.text_len = MIN(b.text_len + (u32)n, TEXT_BYTES - 1);
}

static void put_us(u64 ticks) {
    const u64 ns = ticks_ns(ticks);
    put(" %lu.%02lu", ns / 1000, ns % 1000 / 10);
}

static void table(void) {
    const u32 n = MIN(b.done, SAMPLES_MAX);
    u64 sum = 0, squares = 0;
    perf_sort(b.ticks, n);
    for (u32 i = 0; i < n; i++) sum += b.ticks[i];
    for (u32 i = 0; i < n; i++) {
        const u64 away = b.ticks[i] > sum / n ? b.ticks[i] - sum / n : sum / n - b.ticks[i];
        squares += away * away / n;
    }
    put("#bytes #iterations t_min[usec] t_max[usec] t_typical[usec] t_avg[usec] t_stdev[usec] "
        "99%%_percentile[usec] 99.9%%_percentile[usec]\n%u %u", b.req.bytes, b.done);
    put_us(b.ticks[0]);
    put_us(b.ticks[n - 1]);
    put_us(b.ticks[n / 2]);
    put_us(sum / n);
    put_us(root(squares));
    put_us(b.ticks[(u64)n * 99 / 100]);
    put_us(b.ticks[(u64)n * 999 / 1000]);
    put("\n# op %s depth %u path_mtu %u lost %u wrong %u changed %u backwards %u "
        "total_us %lu\n", op_names[b.req.op], b.req.depth, b.link.mtu, b.lost, b.wrong,
        b.changed, b.backwards, (time_now_ns() - b.start_ns) / 1000);
    if (!perf_is_on()) return;
    b.text_len += (u32)perf_text(b.text + b.text_len, TEXT_BYTES - b.text_len);
}

static void finish(status_t status) {
    b.text_len = 0;
    if (status == S_OK) table();
    else put("# failed: %d\n", status);
    if (b.loop) bench_loop_close(&b.link);
    b.loop = false;
    __atomic_store_n(&state, BENCH_DONE, __ATOMIC_RELEASE);
    spin_lock(&files_lock);
    file_wake(&readers);
    spin_unlock(&files_lock);
}

// --- operations: net_lock held --------------------------------------------------------------

// Byte slot * bytes of the buffers on both sides; atomics all on the first word.
static status_t rdma_post(u32 slot) {
    static const enum rdma_wr_opcode opcodes[BENCH_ECHO] = {
        RDMA_WR_RDMA_READ, RDMA_WR_RDMA_WRITE, RDMA_WR_ATOMIC_CMP_AND_SWP,
        RDMA_WR_ATOMIC_FETCH_AND_ADD};
    const struct bench_link *l = &b.link;
    const bool write = b.req.op == BENCH_WRITE;
    struct rdma_send_wr wr;
    wr.wr_id = cluster_bench_wr_id(slot);
    wr.next = NULL;
    wr.num_sge = b.req.bytes != 0;
    wr.sge[0] = (struct rdma_sge){(u64)l->local + (u64)slot * b.req.bytes, b.req.bytes, l->lkey};
    wr.opcode = opcodes[b.req.op];
    wr.send_flags = RDMA_SEND_SIGNALED;
    wr.imm_data = 0;
    wr.remote_addr = write ? l->write_addr : l->read_addr;
    wr.rkey = write ? l->write_key : l->read_key;
    wr.compare_add = b.req.op == BENCH_CAS ? b.word : 1;
    wr.swap = b.word + 1;
    return rdma_post_send(l->qp, &wr);
}

static status_t echo_post(void) {
    struct netdev *dev = b.card->dev;
    u8 *frame = dev->ops->tx_buf(dev);
    if (frame == NULL) return E_AGAIN;
    const struct net_echo echo = {NET_ECHO_MAGIC, NET_ECHO_REQUEST, b.posted, b.req.bytes};
    memcpy(frame, b.peer_mac, 6);
    memcpy(frame + 6, dev->mac, 6);
    frame[12] = NET_ETHERTYPE_ECHO >> 8;
    frame[13] = NET_ETHERTYPE_ECHO & 0xff;
    memset(frame + 14, 0, NET_ECHO_MIN - 14);
    memcpy(frame + 14, &echo, sizeof echo);
    return dev->ops->tx_send(dev, &(struct net_tx){.head = frame, .head_len = NET_ECHO_MIN});
}

static void post(void) {
    for (u32 slot = 0; slot < b.req.depth && b.posted < b.req.count; slot++) {
        if (b.busy & BIT(slot)) continue;
        b.start_tsc[slot] = tsc_read();
        const status_t s = b.req.op == BENCH_ECHO ? echo_post() : rdma_post(slot);
        if (s == E_AGAIN || s == E_NOMEM) return;
        if (s != S_OK) {
            b.status = s;
            return;
        }
        b.busy |= (u32)BIT(slot);
        b.posted++;
    }
}

static void took(u32 slot) {
    const u64 ticks = tsc_read() - b.start_tsc[slot];
    b.ticks[b.done % SAMPLES_MAX] = (u32)MIN(ticks, 0xffffffffull);
    b.done++;
    b.busy &= (u32)~BIT(slot);
}

// With one operation outstanding the result of an atomic is known.
static void check_atomic(u32 slot) {
    const u64 found = *(const u64 *)(const void *)(b.link.local + (u64)slot * 8);
    if (b.req.depth == 1 && b.done != 0 && found != b.word) b.wrong++;
    b.word = found + (b.req.op == BENCH_CAS && found != b.word ? 0 : 1);
}

// What a counter at the peer looks like from here: READs complete in order.
static void watch_word(u32 slot) {
    if (b.req.bytes < 8) return;
    u64 found;
    memcpy(&found, b.link.local + (u64)slot * b.req.bytes, sizeof found);
    if (b.done != 0 && found != b.word) b.changed++;
    if (b.done != 0 && found < b.word) b.backwards++;
    b.word = found;
}

void bench_done(u32 index, status_t status) {
    if (state_get() != BENCH_RUNNING || index >= b.req.depth || !(b.busy & BIT(index))) return;
    if (status != S_OK) {
        b.status = status;
        return;
    }
    if (b.req.op == BENCH_CAS || b.req.op == BENCH_FAA) check_atomic(index);
    if (b.req.op == BENCH_READ) watch_word(index);
    took(index);
}

void bench_peer_down(u32 node) {
    if (state_get() == BENCH_RUNNING && !b.loop && b.req.op != BENCH_ECHO && b.req.node == node)
        b.status = E_HOSTUNREACH;
}

// A frame of the echo's ethertype that answers one. net_lock held.
static void echo_rx(struct net_card *card, const struct net_echo *echo) {
    if (state_get() != BENCH_RUNNING || b.req.op != BENCH_ECHO || card != b.card ||
        !b.busy || echo->seq + 1 != b.posted) return;
    took(0);
}

// --- the poll -----------------------------------------------------------------------------

static status_t begin(void) {
    const struct request r = b.req;
    struct net_card *own = net_own(), *other = card_of_node(r.node);
    if (own == NULL || other == own || r.node >= NODES_MAX) return E_HOSTUNREACH;
    if (b.ticks == NULL) {
        const paddr_t pa = frame_alloc_contiguous(SAMPLES_MAX * sizeof(u32) / PAGE_SIZE,
                                                  FRAME_KERNEL);
        if (pa.v == 0) return E_NOMEM;
        b.ticks = phys_to_virt(pa);
    }
    b.card = own;
    b.posted = b.done = b.busy = b.lost = b.wrong = b.changed = b.backwards = 0;
    b.word = 0;
    b.status = S_OK;
    b.start_ns = time_now_ns();
    b.link = (struct bench_link){.mtu = own->dev->mtu};
    perf_reset();
    memcpy(b.peer_mac, cluster_conf.node[r.node].mac, 6);
    if (r.op == BENCH_ECHO) {
        if (r.bytes < NET_ECHO_MIN || r.bytes > own->dev->mtu + 14) return E_MSGSIZE;
        return roster_taken(&cluster_conf.node[r.node]) ? S_OK : E_HOSTUNREACH;
    }
    b.loop = other != NULL;
    if (b.loop) return bench_loop_open(&b.link, own, other, r.mtu);
    const status_t s = cluster_bench_link(r.node, &b.link);
    return s == S_OK && r.mtu != 0 && r.mtu != b.link.mtu ? E_OPNOTSUPP : s;
}

static void loop_poll(void) {
    struct rdma_wc wc[BENCH_DEPTH_MAX];
    const u32 n = rdma_poll_cq(b.link.cq, BENCH_DEPTH_MAX, wc);
    for (u32 i = 0; i < n; i++)
        bench_done((u32)wc[i].wr_id, wc[i].status == RDMA_WC_SUCCESS ? S_OK : E_IO);
}

static void echo_timeout(void) {
    if (!b.busy || tsc_read() - b.start_tsc[0] < time_tsc_hz()) return;
    b.busy = 0;
    if (++b.lost > LOST_MAX || b.done == 0) b.status = E_HOSTUNREACH;
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx; (void)now_ns;
    const u32 at = state_get();
    if (at != BENCH_ASKED && at != BENCH_RUNNING) return;
    if (at == BENCH_ASKED) {
        __atomic_store_n(&state, BENCH_RUNNING, __ATOMIC_RELEASE);
        b.status = begin();
    }
    if (b.loop) loop_poll();
    if (b.req.op == BENCH_ECHO) echo_timeout();
    if (b.status == S_OK) post();
    if (b.status != S_OK || (b.busy == 0 && b.posted >= b.req.count)) finish(b.status);
}

static u64 deadline_ns(void *ctx) {
    (void)ctx;
    if (state_get() != BENCH_RUNNING || b.req.op != BENCH_ECHO) return ~0ull;
    return time_now_ns() + ECHO_TIMEOUT_NS;
}

void bench_init(void) {
    net_set_echo(echo_rx);
    net_add_poller(poll, deadline_ns, NULL);
}
