// The kernel's hands of proto/cluster/drive_read.c: READs on the bulk pair into a reply
// buffer. RC runs READs of one pair in order, so a page's entry is read after the page; but a
// request may run twice, sent again by us or doubled by the network, and the later answer to the
// page's be taken, and then the first one to the entry's. Where the pair has seen that an answer
// was made too late the read is begun again; in the middle packets of a page, on a path of small
// packets, it cannot see it: there the entries' READs begin once the pages are here.
// Called by remote_files.c. Lock: net_lock for all of it. Spec: docs/reference/drives.md.
#include "kernel/remote_drive.h"

#include "base/string.h"
#include "proto/cluster/drive_read.h"

#define COOKIE BIT(51)               // no cookie of p9_server has it
#define READS_MAX 32u
#define MAPS_MAX 64u
#define SETS_AT (DRIVE_READ_PAGES_MAX * PAGE_SIZE)
#define AGAIN_AT (SETS_AT + DRIVE_READ_PAGES_MAX * DRIVE_WAYS * sizeof(struct drive_entry))
#define READ_BYTES_MIN 512u
#define LOOKS_BEFORE_ASKED 16u       // at an object of which no walk or open told
_Static_assert(AGAIN_AT + DRIVE_READ_PAGES_MAX * sizeof(struct drive_entry) <=
               CLUSTER_REPLY_BYTES, "a reply buffer holds it all");
_Static_assert(2 * DRIVE_READ_PAGES_MAX + 2 <= CLUSTER_BULK_MOVES_MAX, "one step can be out");

struct read {
    bool used, failed, full;
    u32 node, out;                   // READs under way
    u32 doubts;                      // of their pair, as they were posted
    u64 index_pa, in_page;
    struct drive_read m;
    u8 *memory;                      // the reply buffer
    void (*done)(void *ctx, status_t status, const void *at);
    void *ctx;
};
struct known {
    struct object_id id;
    enum remote_drive_kind kind;
    u32 looks;                       // until it is asked for, where no open told of it
    struct remote_drive_map map;
};

static struct read reads[READS_MAX];
static struct known maps[MAPS_MAX];
static u32 map_next;
static struct { u64 hits, misses, retries; } counters;

bool remote_drive_wanted(const struct p9_call *c) {
    return c->type == P9_TREAD && c->offset != P9_OFFSET_CURRENT &&
           c->count >= READ_BYTES_MIN;
}

static struct known *known_find(struct object_id id) {
    for (u32 i = 0; i < MAPS_MAX; i++)
        if (maps[i].id.generation && object_id_equal(maps[i].id, id)) return &maps[i];
    return NULL;
}

// The entry for one more; those of drives stay as long as there are others.
static void known_add(struct object_id id, enum remote_drive_kind kind) {
    for (u32 i = 0; i < MAPS_MAX; i++, map_next++) {
        const struct known *k = &maps[map_next % MAPS_MAX];
        if (!k->id.generation || k->kind != REMOTE_DRIVE_MAPPED) break;
    }
    maps[map_next++ % MAPS_MAX] = (struct known){.id = id, .kind = kind};
}

// What a walk in a node's /nodes/N/dev or an open of that gave may be a drive.
void remote_drive_note(const struct p9_call *c) {
    const bool walk = c->type == P9_TWALK && c->object.generation == OBJECT_GENERATION_ROOT &&
                      c->object.index == OBJECT_ROOT_DEV;
    if (c->status != S_OK || known_find(c->made)) return;
    if (!walk && !(c->type == P9_TLOPEN && known_find(c->object))) return;
    known_add(c->made, REMOTE_DRIVE_UNKNOWN);
}

// What is read again and again without an open here, by a process that came with it open, is
// worth one question.
enum remote_drive_kind remote_drive_find(struct object_id id, struct remote_drive_map *map) {
    struct known *k = known_find(id);
    if (!k) {
        known_add(id, REMOTE_DRIVE_SEEN);
        return REMOTE_DRIVE_NOT;
    }
    if (k->kind == REMOTE_DRIVE_SEEN) {
        if (++k->looks < LOOKS_BEFORE_ASKED) return REMOTE_DRIVE_NOT;
        k->kind = REMOTE_DRIVE_UNKNOWN;
    }
    *map = k->map;
    return k->kind;
}

void remote_drive_learn(struct object_id id, const struct remote_drive_map *map) {
    struct known *k = known_find(id);
    if (!k) return;
    k->kind = REMOTE_DRIVE_NOT;
    if (!map || !map->index_pa || !map->set_count || (map->set_count & (map->set_count - 1)))
        return;
    k->kind = REMOTE_DRIVE_MAPPED;
    k->map = *map;
}

static void post(struct read *r, u64 remote_pa, void *local, u32 len_bytes, bool fence) {
    u64 base;
    u32 key;
    if (r->failed || r->full) return;
    if (cluster_peer_frames(r->node, &base, &key) != S_OK) {
        r->failed = true;
        return;
    }
    const struct cluster_move move = {
        .node = r->node, .fence = fence, .local = local, .len_bytes = len_bytes,
        .remote_address = base + remote_pa, .remote_key = key,
        .cookie = COOKIE | (u64)(r - reads)};
    const status_t status = cluster_bulk_move(&move);
    if (status == S_OK) r->out++;
    else if (status == E_AGAIN) r->full = true;
    else r->failed = true;
}

// Neighbouring pages have neighbouring sets, but where the index ends.
static void post_sets(struct read *r) {
    const struct drive_read *m = &r->m;
    const u32 set_bytes = DRIVE_WAYS * sizeof(struct drive_entry);
    const u32 first = drive_set(m->drive, m->page, m->set_count);
    const u32 count = MIN(m->page_count, m->set_count - first);
    post(r, r->index_pa + (u64)first * set_bytes, m->sets, count * set_bytes, false);
    if (count < m->page_count)
        post(r, r->index_pa, m->sets + count * DRIVE_WAYS, (m->page_count - count) * set_bytes,
             false);
}

static void post_pages(struct read *r) {
    const struct drive_read *m = &r->m;
    const bool fence = cluster_bulk_packet(r->node) < PAGE_SIZE;
    for (u32 i = 0; i < m->page_count; i++)
        post(r, drive_read_entry(m, i)->frame, r->memory + i * PAGE_SIZE, PAGE_SIZE, false);
    for (u32 i = 0; i < m->page_count; i++)
        post(r, r->index_pa + drive_read_place(m, i) * sizeof(struct drive_entry),
             &m->again[i], sizeof(struct drive_entry), fence && i == 0);
}

static void end(struct read *r, status_t status) {
    r->used = false;
    if (status == S_OK) counters.hits++;
    else counters.misses++;
    r->done(r->ctx, status, r->memory + r->in_page);
}

static void go_on(struct read *r, enum drive_read_next next) {
    r->doubts = cluster_bulk_doubts(r->node);
    if (next == DRIVE_READ_SETS) post_sets(r);
    if (next == DRIVE_READ_PAGES) post_pages(r);
}

// Begins a read of another node's cached drive, by READ alone; x->done is called at its end.
// E_AGAIN: not possible this way, or too many are out: the caller asks by message. net_lock held.
status_t remote_drive_start(const struct remote_drive_read *x) {
    if (x->offset >= x->map->bytes || x->count > x->map->bytes - x->offset) return E_AGAIN;
    const u64 at = x->map->first_byte + x->offset;
    const u64 pages = (at + x->count - 1) / PAGE_SIZE - at / PAGE_SIZE + 1;
    if (pages > DRIVE_READ_PAGES_MAX || pages > x->map->set_count) return E_AGAIN;
    u32 i = 0;
    while (i < READS_MAX && reads[i].used) i++;
    if (i == READS_MAX) return E_AGAIN;
    struct read *r = &reads[i];
    *r = (struct read){.used = true, .node = x->node, .index_pa = x->map->index_pa,
                       .in_page = at & PAGE_MASK, .memory = x->reply->at, .done = x->done,
                       .ctx = x->ctx};
    r->m = (struct drive_read){.drive = x->map->drive, .set_count = x->map->set_count,
                               .page = at / PAGE_SIZE, .page_count = (u32)pages,
                               .sets = (void *)(r->memory + SETS_AT),
                               .again = (void *)(r->memory + AGAIN_AT)};
    go_on(r, drive_read_begin(&r->m));
    if (r->out != 0) return S_OK;
    r->used = false;
    return E_AGAIN;
}

bool remote_drive_moved(u64 cookie, status_t status) {
    if (!(cookie & COOKIE)) return false;
    const u64 index = cookie & ~COOKIE;
    if (index >= READS_MAX || !reads[index].used || reads[index].out == 0) return true;
    struct read *r = &reads[index];
    if (status != S_OK) r->failed = true;
    if (--r->out != 0) return true;
    if (r->failed) {
        end(r, E_HOSTUNREACH);
        return true;
    }
    r->m.doubtful = cluster_bulk_doubts(r->node) != r->doubts;
    const enum drive_read_next next = r->full ? DRIVE_READ_MISS : drive_read_step(&r->m);
    if (next == DRIVE_READ_HIT || next == DRIVE_READ_MISS) {
        end(r, next == DRIVE_READ_HIT ? S_OK : E_AGAIN);
        return true;
    }
    counters.retries += next == DRIVE_READ_SETS;
    go_on(r, next);
    if (r->out == 0) end(r, r->failed ? E_HOSTUNREACH : E_AGAIN);
    return true;
}

// What it told of its drives holds for that incarnation alone.
void remote_drive_peer_down(u32 node) {
    for (u32 i = 0; i < MAPS_MAX; i++)
        if (maps[i].id.node == node) maps[i].id.generation = 0;
}

// Boot, after the table of figures was made.
void remote_drive_init(void) {
    cluster_status_add_u64("drive_remote_hits", &counters.hits);
    cluster_status_add_u64("drive_remote_misses", &counters.misses);
    cluster_status_add_u64("drive_remote_retries", &counters.retries);
}
