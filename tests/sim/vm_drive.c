// See vm_drive.h. The caller's side: operations, each with a buffer that the owner may WRITE.
// The owner's side: requests, parked while the cache waits for the drive. All that a node does
// runs in its polls, so a wake-up is a flag that the next poll looks at.
#include "tests/sim/vm_drive.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/drives.h"
#include "kernel/files/object.h"
#include "kernel/remote_drive.h"
#include "kernel/trap.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "tests/sim/vm.h"

#define OPS_MAX 16u
#define REQUESTS_MAX 64u             // OPS_MAX of the other nodes and our own at once
#define BLOCK_SHIFT 9u
#define COOKIE BIT(50)               // of our WRITEs; remote_drive.c has bit 51

struct drive drives[DRIVES_MAX];
u32 drive_count;
struct file_hooks file_hooks;

enum message { ASK_MAP = 1, ASK, ANSWER };

struct wire {
    u8 type, kind;
    u32 tag;
    u64 at;
    u32 count;
    i32 status;
    u64 address;                     // ASK: the caller's buffer
    u32 key;
    struct remote_drive_map map;     // ANSWER to ASK_MAP
    u8 data[VM_DRIVE_INLINE_MAX];    // ASK: of a write, count bytes
};
#define WIRE_HEAD offsetof(struct wire, data)

enum op_step { OP_FREE, OP_BUFFER, OP_ONE_SIDED, OP_SEND, OP_SENT };

struct op {                          // of ours, at another node
    enum op_step step;
    bool mapping, buffered;
    u32 id, serial;
    struct cluster_reply reply;
    u8 owner;
    struct wire m;
};

enum request_step { REQUEST_FREE, REQUEST_TRY, REQUEST_WRITE, REQUEST_WRITING, REQUEST_ANSWER };

struct request {                     // of somebody, at our drive
    enum request_step step;
    u8 from;                         // ourselves: m.tag is the id of vm_drive_done
    u64 ticket, errors_seen;
    struct wire m;
    u8 *buffer;                      // VM_DRIVE_COUNT_MAX of this node's memory
};

static struct op ops[OPS_MAX];
static struct request requests[REQUESTS_MAX];
static struct { bool known; struct remote_drive_map map; } maps[NODES_MAX];
static struct blkdev disk;
static struct blk_request *disk_request[VM_DRIVE_SLOTS];
static bool woken;                   // look at all that waits

static void wake(void) {
    woken = true;
    edge_request(0);                 // another round, where one is under way
}

// --- what drive_cache.c has around it ----------------------------------------------------

void kmem_free(void *p, u64 len_bytes) { (void)len_bytes; vm_free((u8)cluster_self(), p); }
void wait_wake_all(struct wait_list *w) { (void)w; wake(); }
void file_wait_io(struct wait_list *w) { (void)w; }
void drives_poll_soon(void) { wake(); }
void drives_sync_later(void) {}
void cluster_status_add_u64(const char *name, const u64 *figure) { (void)name; (void)figure; }

u32 data_put(struct p9_call *c, u64 at, const void *from, u64 len_bytes) {
    memcpy((u8 *)c->data.buffer + at, from, len_bytes);
    return (u32)len_bytes;
}

u32 data_get(struct p9_call *c, u64 at, void *to, u64 len_bytes) {
    memcpy(to, (const u8 *)c->data.buffer + at, len_bytes);
    return (u32)len_bytes;
}

// --- the drive ---------------------------------------------------------------------------

static status_t disk_submit(struct blkdev *dev, struct blk_request *r) {
    for (u32 i = 0; i < VM_DRIVE_SLOTS; i++) {
        if (disk_request[i] != NULL) continue;
        disk_request[i] = r;
        dev->in_flight++;
        if (r->op == BLK_FLUSH) vm_block_flush((u8)cluster_self());
        vm_block_start((u8)cluster_self(), i);
        return S_OK;
    }
    return E_AGAIN;
}

static void disk_kick(struct blkdev *dev) { (void)dev; }

static void block_done(u32 slot) {
    struct blk_request *r = disk_request[slot];
    if (r == NULL) return;
    disk_request[slot] = NULL;
    disk.in_flight--;
    u64 block = r->block;
    u32 left = r->op == BLK_FLUSH ? 0 : r->block_count << BLOCK_SHIFT;
    for (u32 i = 0; left != 0; i++) {
        const u32 len = MIN(left, (u32)PAGE_SIZE);
        vm_block_move((u8)cluster_self(), r->op == BLK_WRITE, block, phys_to_virt(r->frame[i]),
                      len);
        block += len >> BLOCK_SHIFT;
        left -= len;
    }
    r->done(r, S_OK);
    drive_pump(&drives[0], vm_now_ns());
}

static void tick(void) { drive_pump(&drives[0], vm_now_ns()); }

// --- the owner's side --------------------------------------------------------------------

static void request_end(struct request *q, status_t status, u32 count) {
    q->m.status = status;
    q->m.count = count;
    if (q->from != cluster_self()) {
        q->m.type = ANSWER;
        q->step = status == S_OK && q->m.kind == VM_DRIVE_READ ? REQUEST_WRITE : REQUEST_ANSWER;
        return;
    }
    q->step = REQUEST_FREE;
    vm_drive_done(q->from, q->m.tag, status, q->buffer, count, false);
}

static void request_try(struct request *q) {
    struct p9_call c = {.count = q->m.count};
    c.data.buffer = q->buffer;
    status_t status = E_INVAL;
    if (q->m.kind == VM_DRIVE_READ) status = drive_read(&drives[0], q->m.at, &c);
    else if (q->m.kind == VM_DRIVE_WRITE) status = drive_write(&drives[0], q->m.at, &c);
    else status = drive_sync(&drives[0], &q->ticket, &q->errors_seen);
    if (status != S_RESTART) request_end(q, status, (u32)c.result);
}

// The data of a read goes ahead of its answer, as kernel/remote_serve.c does it.
static void request_write(struct request *q) {
    const struct cluster_move move = {
        .node = q->from, .write = true, .local = q->buffer, .len_bytes = q->m.count,
        .remote_address = q->m.address, .remote_key = q->m.key,
        .cookie = COOKIE | (u64)(q - requests)};
    const status_t status = cluster_bulk_move(&move);
    if (status == S_OK) q->step = REQUEST_WRITING;
    else if (status != E_AGAIN) q->step = REQUEST_FREE;
}

static void request_go_on(struct request *q) {
    if (q->step == REQUEST_TRY) request_try(q);
    if (q->step == REQUEST_WRITE) request_write(q);
    if (q->step == REQUEST_ANSWER && cluster_bulk_send(q->from, &q->m, WIRE_HEAD) != E_AGAIN)
        q->step = REQUEST_FREE;
}

static bool request_take(u8 from, const struct wire *m, u32 data_bytes, const u8 *data) {
    for (u32 i = 0; i < REQUESTS_MAX; i++) {
        struct request *q = &requests[i];
        if (q->step != REQUEST_FREE) continue;
        q->step = REQUEST_TRY;
        q->from = from;
        q->ticket = 0;
        memcpy(&q->m, m, WIRE_HEAD);
        if (q->buffer == NULL)
            q->buffer = phys_to_virt(frame_alloc_contiguous(VM_DRIVE_COUNT_MAX / PAGE_SIZE,
                                                            FRAME_KERNEL));
        memcpy(q->buffer, data, data_bytes);
        wake();
        return true;
    }
    return false;
}

// --- the caller's side -------------------------------------------------------------------

static void op_end(struct op *o, status_t status, const u8 *bytes, bool one_sided) {
    o->step = OP_FREE;
    vm_drive_done((u8)cluster_self(), o->id, status, bytes, o->m.count, one_sided);
    if (o->buffered) cluster_reply_free(o->owner, o->reply.slot);
    wake();                          // somebody may wait for that buffer
}

static void one_sided_done(void *ctx, status_t status, const void *at) {
    struct op *o = ctx;
    if (status != E_AGAIN) {
        op_end(o, status, at, true);
        return;
    }
    o->step = OP_SEND;               // a miss
    wake();
}

static void op_buffer(struct op *o) {
    const status_t status = cluster_reply_alloc(o->owner, &o->reply);
    if (status == E_AGAIN) return;
    if (status != S_OK) {
        op_end(o, status, NULL, false);
        return;
    }
    o->buffered = true;
    o->m.address = o->reply.address;
    o->m.key = o->reply.key;
    o->step = OP_SEND;
    o->mapping = !maps[o->owner].known;
    const struct remote_drive_read x = {
        .node = o->owner, .map = &maps[o->owner].map, .offset = o->m.at, .count = o->m.count,
        .reply = &o->reply, .done = one_sided_done, .ctx = o};
    if (!o->mapping && o->m.kind == VM_DRIVE_READ) {
        o->step = OP_ONE_SIDED;
        if (remote_drive_start(&x) != S_OK) o->step = OP_SEND;
    }
}

static void op_send(struct op *o) {
    const u32 data = o->m.kind == VM_DRIVE_WRITE && !o->mapping ? o->m.count : 0;
    o->m.type = o->mapping ? ASK_MAP : ASK;
    o->m.tag = o->serial << 8 | (u32)(o - ops);
    const status_t status = cluster_bulk_send(o->owner, &o->m, (u32)WIRE_HEAD + data);
    if (status == S_OK) o->step = OP_SENT;
    else if (status != E_AGAIN) op_end(o, status, NULL, false);
}

static void op_go_on(struct op *o) {
    if (o->step == OP_BUFFER) op_buffer(o);
    if (o->step == OP_SEND) op_send(o);
}

static void op_answered(u8 from, const struct wire *m) {
    struct op *o = &ops[(m->tag & 0xff) % OPS_MAX];
    if (o->step != OP_SENT || o->owner != from || o->serial != m->tag >> 8) return;
    if (!o->mapping) {
        o->m.count = m->count;
        op_end(o, m->status, o->reply.at, false);
        return;
    }
    maps[from].known = true;
    maps[from].map = m->map;
    cluster_reply_free(o->owner, o->reply.slot);
    o->buffered = false;
    o->step = OP_BUFFER;
    wake();
}

static bool start(const struct vm_drive_call *c) {
    const struct wire m = {.kind = (u8)c->kind, .tag = c->id, .at = c->at, .count = c->count};
    wake();
    if (c->owner == cluster_self())
        return request_take(c->owner, &m, c->kind == VM_DRIVE_WRITE ? c->count : 0, c->bytes);
    for (u32 i = 0; i < OPS_MAX; i++) {
        struct op *o = &ops[i];
        if (o->step != OP_FREE) continue;
        *o = (struct op){.step = OP_BUFFER, .id = c->id, .serial = o->serial + 1,
                         .owner = c->owner, .m = m};
        if (c->kind == VM_DRIVE_WRITE) memcpy(o->m.data, c->bytes, c->count);
        return true;
    }
    return false;
}

// --- the bulk pair -----------------------------------------------------------------------

static void receive(void *ctx, u32 node, u8 *bytes, u32 len_bytes) {
    (void)ctx;
    struct wire m;
    if (len_bytes < WIRE_HEAD || len_bytes > sizeof m) return;
    memcpy(&m, bytes, len_bytes);
    if (m.type == ANSWER) {
        op_answered((u8)node, &m);
    } else if (m.type == ASK) {
        if (!request_take((u8)node, &m, (u32)(len_bytes - WIRE_HEAD), m.data))
            vm_log((u8)cluster_self(), "no room for a request");
    } else {
        const struct drive_index index = drive_index();
        m.type = ANSWER;
        m.map = (struct remote_drive_map){.index_pa = index.pa, .set_count = index.set_count,
                                          .bytes = drives[0].bytes};
        (void)cluster_bulk_send(node, &m, WIRE_HEAD);
    }
}

static void moved(void *ctx, u64 cookie, status_t status) {
    (void)ctx;
    if (remote_drive_moved(cookie, status)) return;
    struct request *q = &requests[(cookie & ~COOKIE) % REQUESTS_MAX];
    if (q->step != REQUEST_WRITING) return;
    q->step = status == S_OK ? REQUEST_ANSWER : REQUEST_FREE;
    wake();
}

static void room(void *ctx, u32 node) { (void)ctx; (void)node; wake(); }
static void came(void *ctx, u32 node) { (void)ctx; (void)node; }

// What it asked for and has not got is not done any more; what we asked it for has ended.
static void went(void *ctx, u32 node) {
    (void)ctx;
    maps[node].known = false;
    remote_drive_peer_down(node);
    for (u32 i = 0; i < REQUESTS_MAX; i++)
        if (requests[i].from == node && node != cluster_self()) requests[i].step = REQUEST_FREE;
    for (u32 i = 0; i < OPS_MAX; i++)
        if (ops[i].step != OP_FREE && ops[i].owner == node)
            op_end(&ops[i], E_HOSTUNREACH, NULL, false);
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    if (!woken) return;
    woken = false;
    for (u32 i = 0; i < OPS_MAX; i++) op_go_on(&ops[i]);
    for (u32 i = 0; i < REQUESTS_MAX; i++) request_go_on(&requests[i]);
    drive_pump(&drives[0], now_ns);
}

static void boot(void) {
    static const struct blkdev_ops disk_ops = {.submit = disk_submit, .kick = disk_kick};
    static const struct cluster_bulk_ops bulk = {
        .peer_up = came, .peer_down = went, .receive = receive, .moved = moved,
        .room = room, .poll = poll};
    disk = (struct blkdev){.ops = &disk_ops, .name = "sim0", .block_shift = BLOCK_SHIFT,
                           .block_count = (u64)VM_DRIVE_PAGES << (PAGE_SHIFT - BLOCK_SHIFT),
                           .frames_max = BLK_FRAMES_MAX, .write_cache = true};
    drives[0] = (struct drive){.dev = &disk, .bytes = (u64)VM_DRIVE_PAGES * PAGE_SIZE};
    drive_count = 1;
    if (drive_cache_init() != S_OK) panic("vm: no memory for the cache");
    drive_cache_add(&drives[0]);
    remote_drive_init();
    cluster_set_bulk(&bulk);
}

const struct vm_drive_ops vm_drive_ops = {
    .boot = boot, .start = start, .block_done = block_done, .tick = tick,
};
