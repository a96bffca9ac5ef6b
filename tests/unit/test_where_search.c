// links: proto/cluster/where.c
// The search for a child whose node died. A model of four nodes that move one process about:
// each step is drawn, so are the deaths of nodes 1 and 2 and when each of the others fences
// them. Node 0 has the parent. Whatever the order, it says "lost" only of a process that no
// living node has or will run, and it always comes to an end.
#include <check.h>
#include <string.h>

#include "proto/cluster/where.h"
#include "tests/unit/suite_run.h"

enum { PARENT, NODES = 4, QUEUE = 64, STEPS = 1500, SEEDS = 2500 };
enum msg_kind { M_LOCATION, M_ASK, M_TOLD, M_EXIT };
struct msg { enum msg_kind kind; u8 node; u64 stay; u32 round; enum where_reply reply; };

static struct {
    bool dead[NODES];                // lost its power
    struct node {
        bool lives, frozen, arriving, end_told;
        u8 giver;                    // while arriving: from there
        bool won;                    // the completion of the last CAS is on its way
        u64 word, stay;              // of the process or image here
        u8 hint;
        u64 hint_stay, up;
    } n[NODES];
    struct { struct msg m[QUEUE]; u32 head, tail; } wire[NODES][NODES];
    struct where_search search;
    bool ended, lost, found;
    u64 now;
} w;
static u64 state;

static u32 draw(u32 below) {         // splitmix64
    u64 z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (u32)((z ^ (z >> 31)) % below);
}

static void send(u8 from, u8 to, struct msg m) {
    if (!(w.n[from].up & BIT(to)) || w.wire[from][to].tail - w.wire[from][to].head == QUEUE) return;
    w.wire[from][to].m[w.wire[from][to].tail++ % QUEUE] = m;
}

static u64 others(u8 k) { return w.n[k].up & ~BIT(k); }

static void see(u8 k, struct where_seen *seen, u64 *stay) {
    const struct node *n = &w.n[k];
    *seen = (struct where_seen){.self = k, .birth = PARENT, .lives = n->lives, .frozen = n->frozen,
                                .arriving = n->arriving, .word = n->word, .hint = n->hint};
    *stay = n->lives || n->frozen ? n->stay : n->hint == WHERE_NONE ? 0 : n->hint_stay;
}

static void hint_set(u8 k, u8 node, u64 stay) {
    if (w.n[k].hint != WHERE_NONE && !where_newer(stay, w.n[k].hint_stay)) return;
    w.n[k].hint = node;
    w.n[k].hint_stay = stay;
}

// Some living node has it, or has it given to one that lives and will start it.
static bool lives_somewhere(void) {
    for (u8 k = 0; k < NODES; k++) {
        const struct node *n = &w.n[k];
        if (w.dead[k]) continue;
        if (n->lives || n->end_told || (n->arriving && n->won)) return true;
        const u8 taker = owner_node(n->word);
        if (n->frozen && (owner_state(n->word) != OWNER_RUNNING || taker == k)) return true;
    }
    return false;
}

static void verdict(enum where_verdict v) {
    if (v == WHERE_LOST) {
        ck_assert_msg(!lives_somewhere(), "lost, but it lives");
        w.lost = true;
    }
    w.found |= v == WHERE_FOUND;
}

static void search_begin(u8 gone) {
    struct where_seen seen;
    u64 stay;
    see(PARENT, &seen, &stay);
    const struct where_found found = where_decide(&seen);
    if (w.ended || w.lost || found.kind == WHERE_HERE || seen.frozen) return;
    w.search.stay = MAX(w.search.stay, stay);
    verdict(where_search_begin(&w.search, gone, found.node, others(PARENT)));
}

// k destroys what it had with the dead node, then acts on its own words.
static void fence(u8 k, u8 gone) {
    struct node *n = &w.n[k];
    n->up &= ~BIT(gone);
    w.wire[gone][k].head = w.wire[gone][k].tail;
    w.wire[k][gone].head = w.wire[k][gone].tail;
    if (n->arriving && n->giver == gone) n->arriving = n->won = false;
    if (n->frozen && owner_node(n->word) == gone) {
        n->frozen = false;
        if (owner_state(n->word) == OWNER_RUNNING) n->hint = WHERE_NONE;    // given, and lost
        else n->lives = true;
        if (k == PARENT && !n->lives) verdict(WHERE_LOST);
    }
    if (k == PARENT) search_begin(gone);
    if (n->hint == gone) n->hint = WHERE_NONE;
}

static void ask(void) {
    const bool on = w.search.on;
    u64 to = where_search_due(&w.search, others(PARENT), w.now);
    ck_assert_msg(w.search.on == on, "it gave up");
    for (; to != 0; to &= to - 1)
        send(PARENT, (u8)__builtin_ctzll(to),
             (struct msg){M_ASK, where_search_gone(&w.search), w.search.stay, w.search.round, 0});
}

static void answer(u8 k, const struct msg *m) {
    struct where_seen seen;
    struct where_asked asked = {.stay = m->stay, .end_told = w.n[k].end_told,
                                .gone_up = w.n[k].up & BIT(m->node)};
    see(k, &seen, &asked.own_stay);
    const struct where_told told = where_answer(&seen, &asked);
    send(k, PARENT, (struct msg){M_TOLD, told.node, told.stay, m->round, told.reply});
}

static void told(u8 from, const struct msg *m) {
    const struct where_told what = {m->reply, m->node, m->stay};
    const enum where_verdict v = where_search_told(&w.search, m->round, from, &what,
                                                   others(PARENT));
    if (v == WHERE_FOUND) hint_set(PARENT, m->node, m->stay);
    verdict(v);
}

static void deliver(u8 from, u8 to) {
    if (w.dead[to] || w.wire[from][to].head == w.wire[from][to].tail) return;
    const struct msg m = w.wire[from][to].m[w.wire[from][to].head++ % QUEUE];
    if (m.kind == M_LOCATION && (w.n[to].up & BIT(m.node))) hint_set(to, m.node, m.stay);
    if (m.kind == M_ASK) answer(to, &m);
    if (m.kind == M_TOLD) told(from, &m);
    if (m.kind == M_EXIT) {
        w.ended = true;
        w.search.on = false;
    }
}

// Its giver does not know yet that it has left. Who takes it tells all lenders before it gives
// it on, and then the giver knows (proto/cluster/adopt.c).
static bool image_left(void) {
    bool any = false;
    for (u8 k = 0; k < NODES; k++) any |= w.n[k].frozen && !w.dead[k];
    return any;
}

// One step of what node k does with the process.
static void process_step(u8 k) {
    struct node *n = &w.n[k];
    const u8 to = (u8)draw(NODES);
    struct node *t = &w.n[to];
    if (n->lives && k != PARENT && draw(100) == 0) {         // it ends: the parent is told
        *n = (struct node){.end_told = true, .hint = k, .hint_stay = n->stay, .up = n->up};
    } else if (n->end_told && draw(20) == 0) {
        send(k, PARENT, (struct msg){.kind = M_EXIT});
    } else if (n->lives && !image_left()) {
        n->lives = false;
        n->frozen = true;
        n->word = owner_word(OWNER_QUEUED, k, 1);
    } else if (n->frozen && owner_state(n->word) == OWNER_QUEUED && to != k && !w.dead[to] &&
               (n->up & BIT(to)) && (t->up & BIT(k)) && !t->arriving && !t->frozen) {
        n->word = owner_word(OWNER_ADOPTING, to, 2);
        t->arriving = true;
        t->won = false;
        t->giver = k;
        t->stay = n->stay + 1;
    } else if (n->arriving && !n->won && !w.dead[n->giver]) {
        w.n[n->giver].word = owner_word(OWNER_RUNNING, k, 3);
        n->won = true;
    } else if (n->arriving && n->won) {
        n->arriving = n->won = false;
        n->lives = true;
        w.search.on &= k != PARENT;                          // it is no child elsewhere
        ck_assert_msg(!w.lost, "it starts though it was said to be lost");
        hint_set(k, k, n->stay);
        for (u8 j = 0; j < NODES; j++)
            if (j != k) send(k, j, (struct msg){M_LOCATION, k, n->stay, 0, 0});
    } else if (n->frozen && owner_state(n->word) == OWNER_RUNNING && owner_node(n->word) != k &&
               draw(10) == 0) {
        n->frozen = false;                                   // the giver sees its word
        hint_set(k, owner_node(n->word), n->stay + 1);
    }
}

static void step(void) {
    const u8 a = (u8)draw(NODES), b = (u8)draw(NODES);
    w.now += WHERE_ASK_NS / 200;     // an answer takes about one
    switch (draw(8)) {
    case 0:
        if (a != PARENT && a != 3 && draw(20) == 0) w.dead[a] = true;   // 3 never dies
        return;
    case 1:
        if (!w.dead[b] && w.dead[a] && (w.n[b].up & BIT(a)) &&
            draw(b == PARENT ? 1 : 12) == 0)                 // the parent's node is the first
            fence(b, a);
        return;
    case 2: ask(); return;
    case 3:
    case 4: deliver(a, b); return;
    default:
        if (!w.dead[a]) process_step(a);
    }
}

static bool over(void) { return w.ended || w.lost; }

static void seed_run(u64 seed, u32 *losses, u32 *finds) {
    memset(&w, 0, sizeof w);
    state = seed * 0x632be59bd9b4e019ull + 1;
    for (u8 k = 0; k < NODES; k++) {
        w.n[k].up = BIT(NODES) - 1;
        w.n[k].hint = WHERE_NONE;
    }
    w.n[1].lives = true;
    w.n[1].stay = w.n[0].hint_stay = w.n[1].hint_stay = 1;
    w.n[0].hint = w.n[1].hint = 1;
    for (u32 i = 0; i < STEPS && !over(); i++) step();
    // A death that nobody comes back from is a loss that is noticed.
    bool known = true;
    for (u8 k = 1; k < 3; k++) known &= !w.dead[k] || !(w.n[PARENT].up & BIT(k));
    if (!over() && known && !lives_somewhere() && w.search.on)
        for (u32 i = 0; i < 100 * STEPS && !over(); i++) step();
    if (known) ck_assert_msg(over() || lives_somewhere() || w.search.on == false,
                             "seed %lu: the search never ends", seed);
    if (known) ck_assert_msg(over() || lives_somewhere(), "seed %lu: it waits for ever", seed);
    *losses += w.lost;
    *finds += w.found;
}

START_TEST(test_any_order) {
    u32 losses = 0, finds = 0;
    for (u64 seed = 1; seed <= SEEDS; seed++) seed_run(seed, &losses, &finds);
    ck_assert_uint_gt(losses, SEEDS / 50);       // both happen, or nothing was shown
    ck_assert_uint_gt(finds, SEEDS / 50);
}
END_TEST

static const struct where_told not_here = {WHERE_NOT_HERE, WHERE_NONE, 0};
static const struct where_told later = {WHERE_LATER, WHERE_NONE, 0};
static const struct where_told is = {WHERE_IS, 2, 7};

// Node 1 gave the child to node 2 and died before anybody told the parent's node 0: its hint
// says node 1. A conclusion from that alone would call a living process dead.
START_TEST(test_given_on_before_the_death) {
    struct where_search s = {0};
    ck_assert_int_eq(where_search_begin(&s, 1, 1, BIT(2) | BIT(3)), WHERE_OPEN);
    ck_assert_uint_eq(where_search_due(&s, BIT(2) | BIT(3), 0), BIT(2) | BIT(3));
    ck_assert_uint_eq(where_search_due(&s, BIT(2) | BIT(3), 1), 0);     // not yet again
    const u32 round = s.round;
    ck_assert_int_eq(where_search_told(&s, round, 3, &not_here, BIT(2) | BIT(3)), WHERE_OPEN);
    ck_assert_int_eq(where_search_told(&s, round, 2, &later, BIT(2) | BIT(3)), WHERE_OPEN);
    ck_assert_uint_eq(where_search_due(&s, BIT(2) | BIT(3), WHERE_ASK_NS), BIT(2));
    ck_assert_int_eq(where_search_told(&s, round, 2, &is, BIT(2) | BIT(3)), WHERE_FOUND);
    ck_assert(!s.on);
}
END_TEST

// With two nodes there is nobody to ask; one who has the dead node up for ever is cut off
// from it, and has its say for half a minute.
START_TEST(test_ends) {
    struct where_search s = {0};
    ck_assert_int_eq(where_search_begin(&s, 1, 1, 0), WHERE_LOST);
    u64 now = 0;
    ck_assert_int_eq(where_search_begin(&s, 1, 2, BIT(2) | BIT(3)), WHERE_OPEN);
    for (u32 tries = 0; s.on; tries++) {
        ck_assert_uint_le(tries, 2 * WHERE_TRIES_MAX + 2);
        (void)where_search_due(&s, BIT(2) | BIT(3), now);
        (void)where_search_told(&s, s.round, 2, &later, BIT(2) | BIT(3));
        now += WHERE_ASK_NS;
    }
    ck_assert_int_eq(where_search_begin(&s, 1, WHERE_NONE, BIT(2)), WHERE_OPEN);
    const u32 old = s.round;
    ck_assert_int_eq(where_search_begin(&s, 3, WHERE_NONE, BIT(2)), WHERE_OPEN);   // a second
    ck_assert_int_eq(where_search_told(&s, old, 2, &not_here, BIT(2)), WHERE_OPEN);
    ck_assert_int_eq(where_search_told(&s, s.round, 2, &not_here, BIT(2)), WHERE_OPEN);
    ck_assert_uint_eq(where_search_gone(&s), 3);
    ck_assert_int_eq(where_search_told(&s, s.round, 2, &not_here, BIT(2)), WHERE_LOST);
}
END_TEST

int main(void) {
    Suite *s = suite_create("where_search");
    TCase *t = tcase_create("where_search");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_given_on_before_the_death);
    tcase_add_test(t, test_ends);
    tcase_add_test(t, test_any_order);
    suite_add_tcase(s, t);
    return suite_run(s);
}
