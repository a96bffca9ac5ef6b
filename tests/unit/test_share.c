// links: proto/cluster/share.c
// Shared pages over four nodes. A model of the wire (messages of a pair in order, pairs in any
// order, READs of a frame that take effect when they end), of mappings that are taken away late,
// and of nodes that die, each step drawn from a seed. At each step one node may write or many
// may read; who may read sees the last value written; a page is lost only with its writer.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/units.h"
#include "proto/cluster/share.h"
#include "tests/unit/suite_run.h"

enum { NODES = 4, PAGES = 6, FRAMES = 256, QUEUE = 512, STEPS = 1500, SEEDS = 60, OPS = 32 };
#define GENERATION 77u

struct op { struct share_page *p; u64 from; u32 from_node; bool used; };
static struct node {
    struct share share;
    bool dead;
    u64 up;
    u64 frame[FRAMES];               // the one word of each
    bool used[FRAMES];
    u32 frames;
    u64 file[PAGES];                 // frames of its own file
    enum share_right mapped[NODES][PAGES];
    struct op revokes[OPS], fetches[OPS];
    enum share_right revoke_to[OPS];
    bool revoke_walked[OPS];         // the mappings of then are gone; it waits for the other CPUs
    u32 changes;
} n[NODES];
static struct { struct share_msg m[QUEUE]; u32 head, tail; } wire[NODES][NODES];
static u64 latest[NODES][PAGES], now, state;
static u32 pages, trim_one_in, die_one_in, slow;     // by the seed: kinds of worlds
static bool file_gone, lost[NODES][PAGES], may_lose[NODES][PAGES];

static u32 draw(u32 below) {         // splitmix64
    u64 z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (u32)((z ^ (z >> 31)) % below);
}

static struct node *of(void *ctx) { return ctx; }
static u32 id_of(const struct node *node) { return (u32)(node - n); }

static void ops_send(void *ctx, u32 to, const struct share_msg *m) {
    const u32 from = id_of(of(ctx));
    ck_assert_uint_ne(from, to);
    if (!(n[from].up & BIT(to)) || n[to].dead) return;
    ck_assert_uint_lt(wire[from][to].tail - wire[from][to].head, QUEUE);
    wire[from][to].m[wire[from][to].tail++ % QUEUE] = *m;
}

static struct op *op_free(struct op *list) {
    for (u32 i = 0; i < OPS; i++)
        if (!list[i].used) return &list[i];
    ck_abort_msg("too many at once");
    return NULL;
}

static void mapping_down(struct node *me, const struct share_key *k, enum share_right keep) {
    enum share_right *m = &me->mapped[k->home][k->page];
    if (*m > keep) *m = keep;
}

static bool ops_revoke(void *ctx, struct share_page *p, enum share_right keep) {
    struct node *me = of(ctx);
    if (draw(2)) {
        mapping_down(me, &p->key, keep);
        return true;
    }
    struct op *op = op_free(me->revokes);
    *op = (struct op){.p = p, .used = true};
    me->revoke_to[op - me->revokes] = keep;
    me->revoke_walked[op - me->revokes] = draw(2);
    if (me->revoke_walked[op - me->revokes]) mapping_down(me, &p->key, keep);
    return false;
}

static status_t ops_fetch(void *ctx, struct share_page *p, u32 node, paddr_t from) {
    struct node *me = of(ctx);
    if (!(me->up & BIT(node))) return E_HOSTUNREACH;
    if (draw(8) == 0) return E_AGAIN;
    *op_free(me->fetches) = (struct op){.p = p, .from = from.v, .from_node = node, .used = true};
    return S_OK;
}

static paddr_t frame_new(struct node *me) {
    for (u32 i = 1; i < FRAMES; i++) {
        if (me->used[i]) continue;
        me->used[i] = true;
        me->frames++;
        return paddr((u64)i << PAGE_SHIFT);
    }
    return paddr(0);
}
static u64 *word_of(struct node *me, u64 frame) { return &me->frame[frame >> PAGE_SHIFT]; }

static paddr_t ops_frame_new(void *ctx) { return frame_new(of(ctx)); }
static void ops_frame_put(void *ctx, paddr_t frame) {
    struct node *me = of(ctx);
    for (u32 i = 0; i < PAGES; i++)
        if (me->file[i] == frame.v) return;      // the file's own
    ck_assert(me->used[frame.v >> PAGE_SHIFT]);
    me->used[frame.v >> PAGE_SHIFT] = false;
    me->frames--;
}
static status_t ops_home_frame(void *ctx, const struct share_key *key, paddr_t *frame) {
    if (file_gone) return E_BADF;
    if (key->page >= PAGES) return E_NXIO;
    *frame = paddr(of(ctx)->file[key->page]);
    return S_OK;
}
static struct share_page *ops_page_new(void *ctx) {
    (void)ctx;
    return calloc(1, sizeof(struct share_page));
}
static void ops_page_free(void *ctx, struct share_page *p) {
    struct node *me = of(ctx);
    for (u32 i = 0; i < OPS; i++)
        ck_assert(!(me->fetches[i].used && me->fetches[i].p == p) &&
                  !(me->revokes[i].used && me->revokes[i].p == p));
    free(p);
}
static bool ops_mapped(void *ctx, struct share_page *p) {
    return of(ctx)->mapped[p->key.home][p->key.page] != SHARE_NONE;
}
static void ops_changed(void *ctx, struct share_page *p) {
    (void)p;
    of(ctx)->changes++;
}
static void ops_lost(void *ctx, const struct share_page *p, u32 node) {
    ck_assert_uint_eq(id_of(of(ctx)), p->key.home);
    ck_assert(n[node].dead);
    ck_assert(may_lose[p->key.home][p->key.page]);
    lost[p->key.home][p->key.page] = true;
}

static const struct share_ops ops = {
    ops_send, ops_revoke, ops_fetch, ops_home_frame, ops_frame_new, ops_frame_put,
    ops_page_new, ops_page_free, ops_mapped, ops_changed, ops_lost,
};

static void world_begin(u64 seed) {
    memset(n, 0, sizeof n);
    memset(wire, 0, sizeof wire);
    memset(latest, 0, sizeof latest);
    memset(lost, 0, sizeof lost);
    memset(may_lose, 0, sizeof may_lose);
    file_gone = false;
    now = 1000, state = seed;
    pages = seed % 2 ? PAGES : 2;
    trim_one_in = seed % 3 ? 8 : 1;
    die_one_in = seed % 4 < 2 ? 200 : 20;
    slow = seed % 5 < 3 ? 2 : 8;
    for (u32 i = 0; i < NODES; i++) {
        share_init(&n[i].share, (u8)i, &ops, &n[i]);
        n[i].up = BIT(NODES) - 1;
        for (u32 k = 0; k < PAGES; k++) n[i].file[k] = frame_new(&n[i]).v;
        n[i].frames = 0;
    }
}

static void world_end(void) {
    for (u32 i = 0; i < NODES; i++)
        for (u32 b = 0; b < SHARE_BUCKETS; b++)
            while (!list_empty(&n[i].share.buckets[b]))
                free(LIST_ENTRY(list_pop_front(&n[i].share.buckets[b]), struct share_page, link));
}

static struct share_key key_of(u32 home, u32 page) {
    return (struct share_key){home, 5, GENERATION + home, page};
}

// Many read or one writes, what each maps is within its right, and nobody reads an old value.
static void check(void) {
    for (u32 home = 0; home < NODES; home++) {
        for (u32 page = 0; page < PAGES; page++) {
            u32 readers = 0, writers = 0;
            for (u32 i = 0; i < NODES; i++) {
                if (n[i].dead) continue;
                readers += n[i].mapped[home][page] == SHARE_READ;
                writers += n[i].mapped[home][page] == SHARE_WRITE;
            }
            ck_assert_msg(writers == 0 || (writers == 1 && readers == 0),
                          "page %u of %u: %u write, %u read", page, home, writers, readers);
        }
    }
}

static u64 *copy_of(u32 i, u32 home, u32 page, paddr_t frame) {
    if (frame.v == 0) frame = paddr(n[i].file[page]);
    if (i == home) ck_assert_uint_eq(frame.v, n[i].file[page]);
    return word_of(&n[i], frame.v);
}

// A process of node i reads or writes a page, if it may. True: it had not to wait.
static bool use(u32 i, u32 home, u32 page, enum share_right right) {
    const struct share_key key = key_of(home, page);
    paddr_t frame;
    if (n[i].dead) return true;
    if (!(n[i].up & BIT(home))) return true;
    const status_t status = share_want(&n[i].share, &key, right, now, &frame);
    if (status == S_RESTART) return false;
    if (status == E_IO) {
        ck_assert(n[home].dead || lost[home][page]);
        return true;
    }
    ck_assert_int_eq(status, S_OK);
    u64 *word = copy_of(i, home, page, frame);
    ck_assert_uint_eq(*word, latest[home][page]);
    if (n[i].mapped[home][page] < right) n[i].mapped[home][page] = right;
    if (right == SHARE_WRITE) *word = ++latest[home][page];
    check();
    return true;
}

static void wire_step(u32 from, u32 to) {
    if (wire[from][to].head == wire[from][to].tail || n[to].dead || !(n[to].up & BIT(from))) return;
    const struct share_msg m = wire[from][to].m[wire[from][to].head++ % QUEUE];
    share_receive(&n[to].share, from, &m, now);
}

static void fetch_step(u32 i, u32 k) {
    struct op *op = &n[i].fetches[k];
    if (n[i].dead || !op->used) return;
    const bool good = (n[i].up & BIT(op->from_node)) && !n[op->from_node].dead;
    if (!good && (n[i].up & BIT(op->from_node))) return;     // until it is fenced
    if (good) *word_of(&n[i], op->p->frame.v) = *word_of(&n[op->from_node], op->from);
    op->used = false;
    share_fetched(&n[i].share, op->p, good ? S_OK : E_HOSTUNREACH, now);
}

static void revoke_step(u32 i, u32 k) {
    struct op *op = &n[i].revokes[k];
    if (n[i].dead || !op->used) return;
    if (!n[i].revoke_walked[k]) mapping_down(&n[i], &op->p->key, n[i].revoke_to[k]);
    op->used = false;
    share_revoked(&n[i].share, op->p, now);
}

// Each page that node `node` may write now is lost with it.
static void die(u32 node) {
    n[node].dead = true;
    for (u32 home = 0; home < NODES; home++)
        for (u32 page = 0; page < PAGES; page++) {
            const struct share_key key = key_of(home, page);
            for (u32 b = 0; b < SHARE_BUCKETS; b++)
                LIST_FOR_EACH(it, &n[node].share.buckets[b]) {
                    const struct share_page *p = LIST_ENTRY(it, struct share_page, link);
                    if (p->key.home == home && p->key.page == key.page &&
                        (p->right == SHARE_WRITE || p->giving || p->asked == SHARE_WRITE))
                        may_lose[home][page] = true;
                }
        }
}

static void fence(u32 i, u32 node) {
    if (n[i].dead || !(n[i].up & BIT(node))) return;
    n[i].up &= ~BIT(node);
    wire[node][i].head = wire[node][i].tail;
    for (u32 k = 0; k < OPS; k++)
        if (n[i].fetches[k].used && n[i].fetches[k].from_node == node) fetch_step(i, k);
    share_peer_down(&n[i].share, node, now);
    for (u32 page = 0; page < PAGES; page++)
        if (n[i].mapped[node][page] != SHARE_NONE) {         // late ones too, they are no copies
            for (u32 k = 0; k < 2 * OPS; k++) revoke_step(i, k % OPS);
            ck_assert_uint_eq(n[i].mapped[node][page], SHARE_NONE);
        }
}

// A node gives back what it does not map any more.
static void trim(u32 i) {
    if (n[i].dead) return;
    const u32 b = draw(SHARE_BUCKETS);
    for (u32 at = 0; at < SHARE_BUCKETS; at++) {
        struct list_node *bucket = &n[i].share.buckets[(at + b) & (SHARE_BUCKETS - 1)];
        if (list_empty(bucket)) continue;
        struct share_page *p = LIST_ENTRY(bucket->next, struct share_page, link);
        if (p->key.home == i || p->waiting) continue;
        n[i].mapped[p->key.home][p->key.page] = SHARE_NONE;
        share_give(&n[i].share, p, now);
        return;
    }
}

static u32 living(void) {
    u32 count = 0;
    for (u32 i = 0; i < NODES; i++) count += !n[i].dead;
    return count;
}

// Node i dies, or the home of what node k is about to unmap; k fences the dead. Node 0 lives, and
// another one.
static void death(u32 i, u32 k) {
    const bool often = die_one_in < 100;
    bool found = false;
    for (u32 o = 0; often && o < OPS; o++)
        if (n[k].revokes[o].used && n[k].revoke_to[o] == SHARE_READ) {
            i = n[k].revokes[o].p->key.home;
            found = i != k;
        }
    if (i != 0 && (found || draw(die_one_in) == 0) && !n[i].dead && living() > 2) die(i);
    if (found && n[i].dead) fence(k, i);
    for (u32 d = 1; d < NODES; d++)
        if (n[d].dead && d != k && draw(often ? 3 : 20) == 0) fence(k, d);
}

static void step(bool deaths) {
    const u32 i = draw(NODES), k = draw(NODES);
    now += draw(1000) * 1000;
    switch (draw(deaths ? 9 : 8)) {
    case 0: case 1: (void)use(i, draw(NODES), draw(pages), 1 + draw(2)); break;
    case 2: case 3: if (i != k) wire_step(i, k); break;
    case 4: for (u32 o = 0; o < OPS; o++) if (draw(2)) fetch_step(i, o); break;
    case 5: for (u32 o = 0; o < OPS; o++) if (draw(slow) == 0) revoke_step(i, o); break;
    case 6: if (!n[i].dead) share_tick(&n[i].share, now); break;
    case 7: if (draw(trim_one_in) == 0) trim(i); break;
    default: death(i, k);
    }
    check();
}

// All that is under way comes to its end, and each living node gets each page that is not lost.
static void finish_all(void) {
    for (u32 i = 0; i < NODES; i++)
        for (u32 k = 0; k < NODES; k++)
            if (n[k].dead && i != k) fence(i, k);
    for (u32 i = 0; i < NODES; i++) {
        for (u32 t = 0; t < NODES * PAGES; t++) {
            u32 tries = 0;
            while (!use(i, t / PAGES, t % PAGES, SHARE_WRITE)) {
                ck_assert_msg(++tries < 500, "node %u waits for page %u of %u for ever", i,
                              t % PAGES, t / PAGES);
                now += SHARE_HOLD_NS;
                for (u32 a = 0; a < NODES; a++) {
                    for (u32 b = 0; b < NODES; b++) if (a != b) wire_step(a, b);
                    for (u32 o = 0; o < OPS; o++) fetch_step(a, o), revoke_step(a, o);
                    if (!n[a].dead) share_tick(&n[a].share, now);
                }
            }
        }
    }
}

// Of a home that is gone nothing is left, once all mappings are gone.
static void check_orphans(void) {
    for (u32 i = 0; i < NODES; i++)
        for (u32 b = 0; !n[i].dead && b < SHARE_BUCKETS; b++)
            LIST_FOR_EACH(it, &n[i].share.buckets[b]) {
                const struct share_page *p = LIST_ENTRY(it, struct share_page, link);
                ck_assert_msg(!n[p->key.home].dead, "node %u keeps a page of dead node %u", i,
                              p->key.home);
            }
}

static void many_seeds(bool deaths) {
    for (u64 seed = 1; seed <= SEEDS; seed++) {
        world_begin(seed);
        for (u32 i = 0; i < STEPS; i++) step(deaths);
        finish_all();
        check_orphans();
        world_end();
    }
}

START_TEST(coherent) { many_seeds(false); }
END_TEST
START_TEST(coherent_with_deaths) { many_seeds(true); }
END_TEST

static void settle_wire(void) {
    for (u32 round = 0; round < 32; round++) {
        now += SHARE_HOLD_NS;
        for (u32 a = 0; a < NODES; a++) {
            for (u32 b = 0; b < NODES; b++) if (a != b) wire_step(a, b);
            for (u32 o = 0; o < OPS; o++) fetch_step(a, o), revoke_step(a, o);
            share_tick(&n[a].share, now);
        }
    }
}

// What nobody maps any more is nobody's: no page, no frame is left anywhere.
START_TEST(all_comes_back) {
    world_begin(1);
    for (u32 i = 0; i < 400; i++) (void)use(draw(NODES), draw(NODES), draw(PAGES), 1 + draw(2)),
                                  settle_wire();
    for (u32 i = 0; i < NODES * PAGES * NODES; i++) trim(i % NODES), settle_wire();
    for (u32 i = 0; i < NODES; i++) {
        ck_assert_uint_eq(n[i].share.pages, 0);
        ck_assert_uint_eq(n[i].frames, 0);
    }
    world_end();
}
END_TEST

// A writer dies when it has written, before its home has word that it may: what it wrote is lost,
// and nobody gets what was there before.
START_TEST(a_writer_dies_before_its_word_comes) {
    for (u64 seed = 1; seed <= 20; seed++) {
        world_begin(seed);
        (void)use(1, 0, 0, SHARE_WRITE);
        wire_step(1, 0);                         // ASK; DONE stays on the way
        for (u32 round = 0; n[1].mapped[0][0] != SHARE_WRITE; round++) {
            ck_assert_uint_lt(round, 100);
            now += SHARE_HOLD_NS;
            for (u32 o = 0; o < OPS; o++) revoke_step(0, o), fetch_step(1, o);
            share_tick(&n[0].share, now);
            share_tick(&n[1].share, now);
            wire_step(0, 1);
            (void)use(1, 0, 0, SHARE_WRITE);
        }
        die(1);
        for (u32 i = 0; i < NODES; i++) fence(i, 1);
        ck_assert(lost[0][0]);
        for (u32 round = 0; !use(2, 0, 0, SHARE_READ); round++) {
            ck_assert_uint_lt(round, 100);
            settle_wire();
        }
        ck_assert_uint_eq(n[2].mapped[0][0], SHARE_NONE);
        world_end();
    }
}
END_TEST

// A home dies while its writer takes its mappings down to reading: they go whole.
START_TEST(a_home_dies_while_a_right_goes) {
    for (u64 seed = 1; seed <= 20; seed++) {
        world_begin(seed);
        while (!use(2, 1, 0, SHARE_WRITE)) settle_wire();
        (void)use(3, 1, 0, SHARE_READ);
        wire_step(3, 1);                         // ASK
        wire_step(1, 2);                         // RECALL
        now += SHARE_HOLD_NS;
        share_tick(&n[2].share, now);
        die(1);
        for (u32 i = 0; i < NODES; i++) fence(i, 1);
        for (u32 i = 0; i < NODES; i++)
            for (u32 o = 0; o < OPS; o++) fetch_step(i, o), revoke_step(i, o);
        ck_assert_uint_eq(n[2].mapped[1][0], SHARE_NONE);
        check_orphans();
        world_end();
    }
}
END_TEST

// Two nodes give one page of a third back, and want it again before it is gone.
START_TEST(given_back_and_wanted_at_once) {
    for (u64 seed = 1; seed <= 40; seed++) {
        world_begin(seed);
        for (u32 round = 0; round < 600; round++) {
            const u32 i = 2 + draw(2);
            now += draw(1000) * 1000;
            switch (draw(6)) {
            case 0: (void)use(i, 1, 0, 1 + draw(2)); break;
            case 1: wire_step(i, 1); break;
            case 2: wire_step(1, i); break;
            case 3: trim(i); break;
            case 4: for (u32 o = 0; o < OPS; o++) if (draw(4) == 0) revoke_step(i, o); break;
            default:
                for (u32 a = 1; a < NODES; a++) {
                    for (u32 o = 0; o < OPS; o++) fetch_step(a, o);
                    share_tick(&n[a].share, now);
                }
                for (u32 o = 0; o < OPS; o++) revoke_step(1, o);
            }
            check();
        }
        finish_all();
        world_end();
    }
}
END_TEST

// A right is held for a while, so that who waited for it comes to use it.
START_TEST(a_right_is_held) {
    world_begin(1);
    const struct share_key key = key_of(0, 0);
    paddr_t frame;
    while (!use(1, 0, 0, SHARE_WRITE)) settle_wire();
    for (u32 round = 0; n[1].mapped[0][0] == SHARE_NONE && round < 9; round++) settle_wire();
    ck_assert_int_eq(share_want(&n[1].share, &key, SHARE_WRITE, now, &frame), S_OK);
    const u64 then = now;
    (void)use(2, 0, 0, SHARE_WRITE);
    wire_step(2, 0);
    n[1].share.now_ns = now;
    for (u32 b = 0; b < SHARE_BUCKETS; b++)
        LIST_FOR_EACH(it, &n[1].share.buckets[b])
            LIST_ENTRY(it, struct share_page, link)->hold_until_ns = now + SHARE_HOLD_NS;
    wire_step(0, 1);                             // the recall
    ck_assert_uint_eq(n[1].mapped[0][0], SHARE_WRITE);
    ck_assert_uint_eq(share_next_ns(&n[1].share), then + SHARE_HOLD_NS);
    settle_wire();
    ck_assert_uint_eq(n[1].mapped[0][0], SHARE_NONE);
    world_end();
}
END_TEST

// A file that goes while its pages are away; messages about it that come later harm nobody.
START_TEST(a_file_goes) {
    for (u64 seed = 1; seed <= 25; seed++) {
        world_begin(seed);
        for (u32 i = 0; i < 300; i++) {
            (void)use(1 + draw(3), 0, draw(PAGES), 1 + draw(2));
            wire_step(draw(NODES), draw(NODES));
            for (u32 o = 0; o < OPS; o++) if (draw(3) == 0) fetch_step(draw(NODES), o);
        }
        share_forget(&n[0].share, 5, GENERATION);
        file_gone = true;
        for (u32 i = 1; i < NODES; i++)
            for (u32 k = 0; k < PAGES; k++) n[i].mapped[0][k] = SHARE_NONE;
        settle_wire();
        for (u32 i = 0; i < NODES * PAGES; i++) trim(1 + i % 3), settle_wire();
        ck_assert_uint_eq(n[0].share.pages, 0);
        world_end();
    }
}
END_TEST

// A file is cut: its pages come back first, those of a dead writer are forgotten.
START_TEST(a_file_is_cut) {
    world_begin(3);
    for (u32 page = 0; page < PAGES; page++)
        while (!use(1 + page % 2, 0, page, SHARE_WRITE)) settle_wire();
    die(2);
    for (u32 i = 0; i < 2; i++) fence(i, 2);
    fence(3, 2);
    ck_assert(lost[0][1] && lost[0][3] && !lost[0][0]);
    u32 tries = 0;
    while (share_clear(&n[0].share, 5, GENERATION, 2, now) == S_RESTART) {
        ck_assert_uint_lt(++tries, 20);
        settle_wire();
    }
    ck_assert_uint_eq(n[0].share.pages, 2);      // pages 0 and 1: one away, one lost
    world_end();
}
END_TEST

// Nonsense of a peer that does not keep to the protocol changes nothing and breaks nothing.
START_TEST(nonsense) {
    world_begin(9);
    for (u32 i = 0; i < 200000; i++) {
        const u32 from = 1 + draw(3);
        const struct share_msg m = {
            .op = (u8)draw(SHARE_OPS + 1), .right = (u8)draw(4), .status = draw(4) ? 0 : E_IO,
            .serial = draw(3), .key = key_of(draw(2) ? 0 : from, draw(PAGES + 1)),
            .frame = draw(2) ? 0 : (u64)(1 + draw(20)) << PAGE_SHIFT};
        now += draw(1000) * 1000;
        share_receive(&n[0].share, from, &m, now);
        for (u32 k = 0; k < NODES; k++) wire[0][k].head = wire[0][k].tail;
        for (u32 o = 0; o < OPS; o++) fetch_step(0, o), revoke_step(0, o);
        share_tick(&n[0].share, now);
    }
    world_end();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("share");
    TCase *tc = tcase_create("share");
    tcase_add_test(tc, coherent);
    tcase_add_test(tc, coherent_with_deaths);
    tcase_add_test(tc, all_comes_back);
    tcase_add_test(tc, a_writer_dies_before_its_word_comes);
    tcase_add_test(tc, a_home_dies_while_a_right_goes);
    tcase_add_test(tc, given_back_and_wanted_at_once);
    tcase_add_test(tc, a_right_is_held);
    tcase_add_test(tc, a_file_goes);
    tcase_add_test(tc, a_file_is_cut);
    tcase_add_test(tc, nonsense);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
