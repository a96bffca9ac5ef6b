// Remote blocks, over RoCE in half of the seeds: each node has a drive behind the kernel's own
// cache, and all nodes read and write few pages of all drives, in bursts, so that entries are
// replaced and changed while others READ them. Blocks of 512 bytes are a function of (node,
// block, version), so whoever gets bytes knows what they are. What must hold:
//   - what a read gives is, for each block, one version, whole, and of that very block;
//   - it is not older than what was acknowledged, or read by anybody, before the read began;
//   - what a sync has acknowledged survives the node's death;
//   - every call ends, by E_HOSTUNREACH where the owner is gone.
// A block has one writer at a time. One whose writer cannot know (E_HOSTUNREACH) is not written
// again until the owner's death settles it.
#include <string.h>

#include "tests/sim/sim.h"
#include "tests/sim/vm_drive.h"

#define BLOCKS (VM_DRIVE_PAGES * 8u)
#define BLOCK_WORDS (VM_DRIVE_BLOCK / 8u)
#define CALLS_MAX 256u
#define HOT_SETS 4u                  // neighbouring pages, each with
#define HOT_PAGES 8u                 // so many that share its set of four
#define SETS 64u                     // of the cache, with this memory
#define BURSTS 24u
#define BURST_CALLS_MAX 24u
#define BURST_NS 300000u
#define JOIN_NS 2000u
#define CROWD (1u << 31)             // EV_DRIVE: a read of this page, to have its set replaced
#define CROWD_NS_MIN 8000u           // from a READ's request on: it is answered first
#define CROWD_NS 50000u
#define FIRST_BURST_NS (1 * NS_PER_S)
#define LAST_BURST_NS (8 * NS_PER_S)
#define BLOCK_NS_MAX 400000u         // what the drive takes for a request
#define CALL_NS_MAX (40 * NS_PER_S)  // the longest cut, and the time to notice it

struct block {
    u32 issued, acked, seen, synced; // versions
    u64 acked_at;                    // sequence of the acknowledgement
    u32 on_disk, flushed;            // the drive's
    bool busy, doubtful;
};

struct call {
    bool used;
    u8 node, owner;
    enum vm_drive_kind kind;
    u64 owner_life, began_ns, began_seq;
    u32 first, count;                // blocks
    u32 floor[VM_DRIVE_COUNT_MAX / VM_DRIVE_BLOCK];   // of a read: no older version
};

static struct block blocks[SIM_NODES][BLOCKS];
static struct call calls[CALLS_MAX];
static u32 page_in[SIM_NODES][SIM_FRAMES];   // what a frame was filled with last, plus 1
static u64 sequence;

// --- bytes -------------------------------------------------------------------------------

static u64 block_word(u8 owner, u32 block, u32 version, u32 i) {
    const u64 head = (u64)owner << 56 | (u64)block << 32 | version;
    u64 z = head * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull;
    return i == 0 ? head : z ^ (z >> 29);
}

static void block_fill(u8 *bytes, u8 owner, u32 block, u32 version) {
    u64 word[BLOCK_WORDS];
    for (u32 i = 0; i < BLOCK_WORDS; i++) word[i] = block_word(owner, block, version, i);
    memcpy(bytes, word, sizeof word);
}

// The version of these bytes, which are that block of that drive or the seed has failed.
static u32 block_version(const u8 *bytes, u8 owner, u32 block, const char *who) {
    u64 word[BLOCK_WORDS];
    memcpy(word, bytes, sizeof word);
    const u32 version = (u32)word[0];
    for (u32 i = 0; i < BLOCK_WORDS; i++)
        if (word[i] != block_word(owner, block, version, i))
            sim_fail("%s block %u of node %u: bytes that were never a version of it (word %u is "
                     "%lx, version %u)", who, block, owner, i, word[i], version);
    return version;
}

// --- the drive ---------------------------------------------------------------------------

void vm_block_start(u8 node, u32 slot) {
    struct event ev = {.kind = EV_BLOCK, .node = node, .a = slot,
                       .b = (u32)sim.node[node].incarnation};
    event_push(&ev, sim.now_ns + 1 + sim_random(sim_random(2) ? BLOCK_NS_MAX : 5000));
}

void vm_block_move(u8 node, bool write, u64 block, u8 *bytes, u32 count) {
    const u64 address = (u64)(bytes - sim.node[node].memory) & ~PAGE_MASK;
    if (!write) page_in[node][address >> PAGE_SHIFT] = (u32)block / 8 + 1;
    for (u32 done = 0; done < count; done += VM_DRIVE_BLOCK, block++) {
        struct block *b = &blocks[node][block];
        if (!write) {
            block_fill(bytes + done, node, (u32)block, b->on_disk);
            continue;
        }
        b->on_disk = block_version(bytes + done, node, (u32)block, "written:");
        if (b->on_disk > b->issued)
            sim_fail("block %u of node %u: a version that nobody wrote", (u32)block, node);
    }
    if (!write) net_page_changed(node, address);
}

// What was written before it lasts; that it does so at once is the drive's right.
void vm_block_flush(u8 node) {
    for (u32 i = 0; i < BLOCKS; i++) blocks[node][i].flushed = blocks[node][i].on_disk;
}


// --- calls -------------------------------------------------------------------------------

static bool same_life(const struct call *c) {
    return sim.node[c->owner].alive && sim.node[c->owner].incarnation == c->owner_life;
}

static void read_ended(const struct call *c, const u8 *bytes, bool one_sided) {
    for (u32 i = 0; i < c->count; i++) {
        struct block *b = &blocks[c->owner][c->first + i];
        const u32 v = block_version(bytes + i * VM_DRIVE_BLOCK, c->owner, c->first + i,
                                    one_sided ? "read one-sided:" : "read:");
        if (v < c->floor[i])
            sim_fail("node %u read block %u of node %u%s: version %u, %u was there before", c->node,
                     c->first + i, c->owner, one_sided ? " one-sided" : "", v, c->floor[i]);
        if (v > b->issued) sim_fail("block %u: a version that nobody wrote", c->first + i);
        if (same_life(c)) b->seen = MAX(b->seen, v);
    }
}

static void write_ended(const struct call *c, status_t status, u32 written) {
    for (u32 i = 0; i < c->count; i++) {
        struct block *b = &blocks[c->owner][c->first + i];
        b->busy = false;
        b->doubtful |= status == E_HOSTUNREACH && same_life(c);
        if (status != S_OK || i >= written || !same_life(c)) continue;
        b->acked = b->issued;
        b->acked_at = ++sequence;
    }
}

// All that was acknowledged before the sync began.
static void sync_ended(const struct call *c) {
    for (u32 i = 0; same_life(c) && i < BLOCKS; i++) {
        struct block *b = &blocks[c->owner][i];
        if (b->acked_at <= c->began_seq) b->synced = MAX(b->synced, b->acked);
    }
}

void vm_drive_done(u8 node, u32 id, status_t status, const u8 *bytes, u32 count, bool one_sided) {
    struct call *c = &calls[id % CALLS_MAX];
    if (id >= CALLS_MAX || !c->used || c->node != node) sim_fail("a call ended twice");
    if (status == E_HOSTUNREACH && c->owner == node) sim_fail("its own drive is out of reach");
    if (status != S_OK && status != E_HOSTUNREACH) sim_fail("a call ended with %d", status);
    if (sim.now_ns > c->began_ns + CALL_NS_MAX) sim_fail("a call took too long");
    c->used = false;
    sim.stats.drive_calls++;
    sim.stats.drive_one_sided += one_sided && status == S_OK;
    sim.stats.drive_lost += status != S_OK;
    if (status == S_OK && c->kind == VM_DRIVE_READ && count != c->count * VM_DRIVE_BLOCK)
        sim_fail("a read gave %u bytes of %u", count, c->count * VM_DRIVE_BLOCK);
    if (status == S_OK && c->kind == VM_DRIVE_READ) read_ended(c, bytes, one_sided);
    if (c->kind == VM_DRIVE_WRITE) write_ended(c, status, count / VM_DRIVE_BLOCK);
    if (status == S_OK && c->kind == VM_DRIVE_SYNC) sync_ended(c);
}

// New versions of these blocks, unless somebody else is about to write one.
static bool write_prepare(struct call *c, u8 *bytes) {
    for (u32 i = 0; i < c->count; i++) {
        const struct block *b = &blocks[c->owner][c->first + i];
        if (b->busy || b->doubtful) return false;
    }
    for (u32 i = 0; i < c->count; i++) {
        struct block *b = &blocks[c->owner][c->first + i];
        b->busy = true;
        block_fill(bytes + i * VM_DRIVE_BLOCK, c->owner, c->first + i, ++b->issued);
    }
    return true;
}

static u32 blocks_draw(const struct call *c) {
    if (c->kind == VM_DRIVE_READ) return 1 + (u32)sim_random(sim_random(4) ? 8 : 32);
    if (c->node != c->owner) return 1 + (u32)sim_random(VM_DRIVE_INLINE_MAX / VM_DRIVE_BLOCK);
    return 1 + (u32)sim_random(sim_random(2) ? 8 : 24);
}

static u32 page_draw(u32 focus) {
    const u32 set = (u32)sim_random(HOT_SETS);
    if (sim_random(8) == 0) return set + SETS * (u32)sim_random(HOT_PAGES);
    return set + SETS * ((focus + (u32)sim_random(2)) % HOT_PAGES);
}

// `focus`: pages that many calls of a burst meet at; or CROWD and the page.
static void call_begin(u8 node, u8 owner, u32 focus) {
    static u8 bytes[VM_DRIVE_COUNT_MAX];
    u32 id = 0;
    while (id < CALLS_MAX && calls[id].used) id++;
    if (id == CALLS_MAX || !sim.node[node].alive) return;
    struct call *c = &calls[id];
    const bool crowd = focus & CROWD;
    const u64 dice = crowd ? 15 : sim_random(16);
    const u32 page = crowd ? focus & ~CROWD : page_draw(focus);
    *c = (struct call){.used = true, .node = node, .owner = owner,
                       .kind = dice == 0 ? VM_DRIVE_SYNC
                               : dice < 7 ? VM_DRIVE_WRITE : VM_DRIVE_READ,
                       .owner_life = sim.node[owner].incarnation, .began_ns = sim.now_ns,
                       .began_seq = sequence};
    if (c->kind != VM_DRIVE_SYNC) {
        c->first = page * 8 + (u32)sim_random(8);
        c->count = blocks_draw(c);
        if (c->count >= 8) c->first &= ~7u;
    }
    if (c->kind == VM_DRIVE_WRITE && !write_prepare(c, bytes)) {
        c->used = false;
        return;
    }
    for (u32 i = 0; c->kind == VM_DRIVE_READ && i < c->count; i++) {
        const struct block *b = &blocks[owner][c->first + i];
        c->floor[i] = MAX(b->acked, b->seen);
    }
    const struct vm_drive_call call = {
        .owner = owner, .kind = c->kind, .id = id, .at = (u64)c->first * VM_DRIVE_BLOCK,
        .count = c->count * VM_DRIVE_BLOCK, .bytes = bytes};
    if (roce_drive(node)->start(&call)) return;
    if (c->kind == VM_DRIVE_WRITE) write_ended(c, E_AGAIN, 0);
    c->used = false;
}

// --- events ------------------------------------------------------------------------------

void drive_begin(void) {
    memset(calls, 0, sizeof calls);
    memset(page_in, 0, sim.nodes * sizeof page_in[0]);
    sequence = 0;
    sim.drives = sim.roce && sim_random(2) == 0;
    if (!sim.drives) return;
    sim.stats.drive_seeds++;
    memset(blocks, 0, sim.nodes * sizeof blocks[0]);
    for (u32 i = 0; i < BURSTS; i++) {
        struct event ev = {.kind = EV_BURST};
        event_push(&ev, FIRST_BURST_NS + sim_random(LAST_BURST_NS - FIRST_BURST_NS));
        sim.bursts_left++;
    }
}

static void burst(void) {
    const u32 count = 1 + (u32)sim_random(BURST_CALLS_MAX), owner = (u32)sim_random(sim.nodes);
    const u32 focus = (u32)sim_random(HOT_PAGES);
    sim.bursts_left += count;
    for (u32 i = 0; i < count; i++) {
        struct event ev = {.kind = EV_DRIVE, .node = (u8)sim_random(sim.nodes), .a = owner,
                           .b = focus};
        event_push(&ev, sim.now_ns + sim_random(BURST_NS));
    }
}

// Who comes to know another asks for a block at once, which may be before the other knows it.
void drive_joined(u8 node, u8 peer) {
    struct event ev = {.kind = EV_DRIVE, .node = node, .a = peer,
                       .b = (u32)sim_random(HOT_PAGES)};
    if (!sim.drives || sim_random(2) == 0) return;
    event_push(&ev, sim.now_ns + 1 + sim_random(JOIN_NS));
    sim.bursts_left++;
}

// The network has doubled a READ of that frame and will answer it once more, late: the owner reads
// what shares the page's set meanwhile, so that by then another page may be there.
void drive_crowd(u8 owner, u64 address) {
    const u64 frame = address >> PAGE_SHIFT;
    if (!sim.drives || frame >= SIM_FRAMES || page_in[owner][frame] == 0 || sim_random(2)) return;
    const u32 page = page_in[owner][frame] - 1;
    for (u32 other = page % SETS; other < HOT_PAGES * SETS; other += SETS) {
        struct event ev = {.kind = EV_DRIVE, .node = owner, .a = owner, .b = CROWD | other};
        if (other == page || sim.bursts_left >= CALLS_MAX) continue;
        event_push(&ev, sim.now_ns + CROWD_NS_MIN + sim_random(CROWD_NS));
        sim.bursts_left++;
    }
}

void drive_event(const struct event *ev) {
    const struct sim_node *n = &sim.node[ev->node];
    if (ev->kind == EV_BLOCK) {
        if (!n->alive || ev->b != (u32)n->incarnation) return;
        roce_drive(ev->node)->block_done(ev->a);
    } else {
        sim.bursts_left--;
        if (ev->kind == EV_BURST) burst();
        else call_begin(ev->node, (u8)ev->a, ev->b);
    }
    roce_poll_soon(ev->node);
}

bool drive_settled(void) {
    for (u32 i = 0; i < CALLS_MAX; i++)
        if (calls[i].used) return false;
    return sim.bursts_left == 0;
}

// A node dies, and its cache with it: of what was written and not flushed the drive has any
// part. What a sync acknowledged is there, whatever else is not.
void drive_kill(u8 node) {
    for (u32 i = 0; sim.drives && i < BLOCKS; i++) {
        struct block *b = &blocks[node][i];
        if (b->on_disk != b->flushed && sim_random(2)) b->flushed = b->on_disk;
        b->on_disk = b->flushed;
        if (b->on_disk < b->synced) sim_fail("block %u of node %u: synced and lost", i, node);
        b->acked = b->seen = b->synced;
        b->doubtful = false;
    }
    for (u32 i = 0; i < CALLS_MAX; i++) {    // nobody waits for what it asked for
        if (!calls[i].used || calls[i].node != node) continue;
        calls[i].used = false;
        if (calls[i].kind == VM_DRIVE_WRITE) write_ended(&calls[i], E_HOSTUNREACH, 0);
    }
}
