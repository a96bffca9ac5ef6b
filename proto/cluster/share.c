// See share.h. The page's two halves: the books of its home (dir_*) and a node's copy (copy_*).
// They talk by messages alone, at home too, where these go through a short queue of their own.
// Called by kernel/share_map.c and tests/unit/test_share.c.
#include "proto/cluster/share.h"

#include "base/assert.h"
#include "base/bits.h"

static u32 bucket_of(const struct share_key *k) {
    u64 h = k->generation * 0x9e3779b97f4a7c15ull + k->page * 0xbf58476d1ce4e5b9ull + k->home;
    return (u32)(h >> 40) & (SHARE_BUCKETS - 1);
}

static bool key_equal(const struct share_key *a, const struct share_key *b) {
    return a->page == b->page && a->generation == b->generation && a->index == b->index &&
           a->home == b->home;
}

static struct share_page *page_find(const struct share *s, const struct share_key *key) {
    struct list_node *bucket = (struct list_node *)&s->buckets[bucket_of(key)];
    LIST_FOR_EACH(it, bucket) {
        struct share_page *p = LIST_ENTRY(it, struct share_page, link);
        if (key_equal(&p->key, key)) return p;
    }
    return NULL;
}

static struct share_page *page_add(struct share *s, const struct share_key *key) {
    struct share_page *p = s->ops->page_new(s->ctx);
    if (!p) return NULL;
    list_init(&p->link);
    list_init(&p->work);
    list_init(&p->host);
    p->key = *key;
    p->dir.writer = p->dir.node = SHARE_NOBODY;
    list_push_back(&s->buckets[bucket_of(key)], &p->link);
    s->pages++;
    return p;
}

static void page_remove(struct share *s, struct share_page *p) {
    list_remove(&p->link);
    list_remove(&p->work);
    if (p->frame.v) s->ops->frame_put(s->ctx, p->frame);
    s->pages--;
    s->ops->page_free(s->ctx, p);
}

static bool is_home(const struct share *s, const struct share_page *p) {
    return p->key.home == s->self;
}

static void attend(struct share *s, struct share_page *p) {
    if (!list_linked(&p->work)) list_push_back(&s->work, &p->work);
}

static void changed(struct share *s, struct share_page *p) {
    if (!p->waiting) return;
    p->waiting = false;
    s->ops->changed(s->ctx, p);
}

// Nothing of p is anybody's any more: at home the file's page is as if never shared.
static void page_settle(struct share *s, struct share_page *p) {
    const struct share_dir *d = &p->dir;
    if (p->asked || p->giving || p->recalled || p->revoking || p->status != S_OK) return;
    if (is_home(s, p)) {
        const bool others = (d->readers & ~BIT(s->self)) || (d->writer != SHARE_NOBODY &&
                                                             d->writer != s->self);
        if (d->phase == SHARE_IDLE && d->queued == 0 && !d->lost && !others) page_remove(s, p);
    } else if (p->right == SHARE_NONE) {
        page_remove(s, p);
    }
}

static void post(struct share *s, u32 node, const struct share_msg *m) {
    if (node != s->self) {
        s->ops->send(s->ctx, node, m);
        return;
    }
    ASSERT(s->loop_tail - s->loop_head < SHARE_LOOP_MAX);
    s->loop[s->loop_tail++ % SHARE_LOOP_MAX] = *m;
}

// --- the home's books -----------------------------------------------------------------------

static void dir_grant(struct share *s, struct share_page *p, status_t status) {
    struct share_dir *d = &p->dir;
    d->phase = SHARE_IDLE;
    if (d->node == SHARE_NOBODY) return;
    const bool has = d->node == s->self || d->writer == d->node || (d->readers & BIT(d->node));
    const struct share_msg m = {.op = SHARE_GRANT, .right = d->want, .status = status,
                                .key = p->key, .frame = has || status != S_OK ? 0 : p->frame.v};
    if (status == S_OK) d->phase = SHARE_GRANTED;
    s->count.grants++;
    post(s, d->node, &m);
    if (status != S_OK) d->node = SHARE_NOBODY;
}

static void dir_serve(struct share *s, struct share_page *p) {
    struct share_dir *d = &p->dir;
    const u64 others = d->readers & ~BIT(d->node);
    const bool writer = d->writer != SHARE_NOBODY && d->writer != d->node;
    d->awaited = (writer ? BIT(d->writer) : 0) | (d->want == SHARE_WRITE ? others : 0);
    if (d->lost || d->awaited == 0) {
        dir_grant(s, p, d->lost ? E_IO : S_OK);
        return;
    }
    d->phase = SHARE_RECALLING;
    if (++d->serial == 0) d->serial = 1;
    const struct share_msg m = {
        .op = SHARE_RECALL, .right = d->want == SHARE_WRITE ? SHARE_NONE : SHARE_READ,
        .serial = d->serial, .key = p->key};
    s->count.recalls++;
    for (u64 left = d->awaited; left != 0; left &= left - 1)
        post(s, (u32)__builtin_ctzll(left), &m);
}

// Serves those who wait until one request is under way, or nobody waits.
static void dir_next(struct share *s, struct share_page *p) {
    struct share_dir *d = &p->dir;
    while (d->phase == SHARE_IDLE && d->queued != 0) {
        d->node = d->queue[0].node;
        d->want = d->queue[0].want;
        d->queued--;
        for (u32 i = 0; i < d->queued; i++) d->queue[i] = d->queue[i + 1];
        dir_serve(s, p);
    }
    if (d->phase == SHARE_IDLE) d->node = SHARE_NOBODY;
}

static void dir_refuse(struct share *s, u32 node, const struct share_msg *ask, status_t status) {
    const struct share_msg m = {.op = SHARE_GRANT, .status = status, .key = ask->key};
    post(s, node, &m);
}

static void dir_ask(struct share *s, u32 from, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    if (!p) {                                    // the first one: until now it was this node's
        paddr_t frame;
        status_t status = s->ops->home_frame(s->ctx, &m->key, &frame);
        if (status == S_OK && !(p = page_add(s, &m->key))) {
            s->ops->frame_put(s->ctx, frame);
            status = E_NOMEM;
        }
        if (status != S_OK) {
            dir_refuse(s, from, m, status);
            return;
        }
        p->frame = frame;
        p->right = SHARE_WRITE;
        p->dir.writer = s->self;
    }
    struct share_dir *d = &p->dir;
    for (u32 i = 0; i < d->queued; i++)
        if (d->queue[i].node == from) return;    // one at a time: a node that breaks its word
    if (d->queued == NODES_MAX) return;
    d->queue[d->queued].node = (u8)from;
    d->queue[d->queued++].want = m->right;
    dir_next(s, p);
}

static void dir_lost(struct share *s, struct share_page *p, u32 node) {
    struct share_dir *d = &p->dir;
    if (d->lost) return;
    d->lost = true;
    d->writer = SHARE_NOBODY;
    s->count.lost++;
    s->ops->lost(s->ctx, p, node);
}

// What the writer wrote is in the home's frame now, or never will be.
static void dir_taken(struct share *s, struct share_page *p, status_t status) {
    struct share_dir *d = &p->dir;
    if (status != S_OK) {
        dir_lost(s, p, d->from);
    } else if (!d->lost) {
        const struct share_msg m = {.op = SHARE_TAKEN, .key = p->key};
        d->writer = SHARE_NOBODY;
        if (d->from_keeps == SHARE_READ) d->readers |= BIT(d->from);
        post(s, d->from, &m);
    }
    dir_grant(s, p, d->lost ? E_IO : S_OK);
    dir_next(s, p);
}

static void fetch(struct share *s, struct share_page *p, u32 node, paddr_t from);

static void dir_have(struct share *s, u32 from, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    struct share_dir *d = p ? &p->dir : NULL;
    if (!p || d->lost) {                         // the file is gone, or was cut
        const struct share_msg taken = {.op = SHARE_TAKEN, .key = m->key};
        if (m->frame) post(s, from, &taken);
        return;
    }
    if (d->phase == SHARE_FETCHING && d->from == from) return;   // RECALL crossed what it gave
    const bool answers = d->phase == SHARE_RECALLING && (d->awaited & BIT(from)) &&
                         (m->serial == 0 || m->serial == d->serial);
    if (m->serial != 0 && !answers) return;      // it had given before it was recalled
    if (answers) d->awaited &= ~BIT(from);
    if (d->writer == from && m->frame) {
        if (!answers) d->node = SHARE_NOBODY;
        d->phase = SHARE_FETCHING;
        d->from = (u8)from;
        d->from_keeps = m->right;
        fetch(s, p, from, paddr(m->frame));
        return;
    }
    if (d->writer == from) d->writer = SHARE_NOBODY;
    if (m->right == SHARE_READ) d->readers |= BIT(from);
    else d->readers &= ~BIT(from);
    if (answers && d->awaited == 0) dir_grant(s, p, S_OK);
    dir_next(s, p);
}

static void dir_done(struct share *s, u32 from, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    if (!p || p->dir.phase != SHARE_GRANTED || p->dir.node != from) return;
    struct share_dir *d = &p->dir;
    if (d->want == SHARE_WRITE) {
        d->writer = (u8)from;
        d->readers = 0;
    } else if (d->writer != from) {
        d->readers |= BIT(from);
    }
    d->phase = SHARE_IDLE;
    dir_next(s, p);
}

static void dir_peer_down(struct share *s, struct share_page *p, u32 node) {
    struct share_dir *d = &p->dir;
    for (u32 i = 0; i < d->queued; i++) {
        if (d->queue[i].node != node) continue;
        d->queued--;
        for (u32 k = i; k < d->queued; k++) d->queue[k] = d->queue[k + 1];
        i--;
    }
    const bool asks = d->phase != SHARE_IDLE && d->node == node;
    const bool may_have_written = asks && d->phase == SHARE_GRANTED && d->want == SHARE_WRITE;
    const bool awaited = d->phase == SHARE_RECALLING && (d->awaited & BIT(node));
    d->readers &= ~BIT(node);
    if (d->writer == node || may_have_written) dir_lost(s, p, node);
    if (asks) d->node = SHARE_NOBODY;
    if (asks && d->phase == SHARE_GRANTED) d->phase = SHARE_IDLE;
    d->awaited &= ~BIT(node);
    if (awaited && d->awaited == 0) dir_grant(s, p, d->lost ? E_IO : S_OK);
    dir_next(s, p);
}

// --- a node's copy ---------------------------------------------------------------------------

static void copy_have(struct share *s, const struct share_key *key, u32 serial,
                      enum share_right keeps, u64 frame) {
    const struct share_msg m = {.op = SHARE_HAVE, .right = (u8)keeps, .serial = serial,
                                .key = *key, .frame = frame};
    post(s, key->home, &m);
}

static void copy_revoked(struct share *s, struct share_page *p);

static void copy_revoke(struct share *s, struct share_page *p, enum share_right keep) {
    p->revoking = true;
    p->revoke_to = (u8)keep;
    if (s->ops->revoke(s->ctx, p, keep)) copy_revoked(s, p);
}

// The mappings are down to p->revoke_to.
static void copy_revoked(struct share *s, struct share_page *p) {
    const bool wrote = p->right == SHARE_WRITE && !is_home(s, p);
    p->revoking = p->recalled = false;
    p->right = p->revoke_to;
    if (!p->dead) {
        p->giving = wrote;
        copy_have(s, &p->key, p->recall_serial, p->right, wrote ? p->frame.v : 0);
    } else if (p->right != SHARE_NONE) {         // its home went meanwhile
        copy_revoke(s, p, SHARE_NONE);
    }
    changed(s, p);
}

// Answers a recall, once the right has been held for a while.
static void copy_step(struct share *s, struct share_page *p) {
    if (!p->recalled || p->revoking) return;
    if (p->right <= p->keep) {
        p->recalled = false;
        copy_have(s, &p->key, p->recall_serial, p->right, 0);
        return;
    }
    if (s->now_ns < p->hold_until_ns) {
        attend(s, p);
        return;
    }
    copy_revoke(s, p, p->keep);
}

static void copy_recall(struct share *s, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    if (!p) {
        copy_have(s, &m->key, m->serial, SHARE_NONE, 0);
        return;
    }
    p->keep = p->recalled && p->keep < m->right ? p->keep : m->right;
    p->recalled = true;
    p->recall_serial = m->serial;
    copy_step(s, p);
}

// The right is in force.
static void copy_done(struct share *s, struct share_page *p, enum share_right right) {
    const struct share_msg m = {.op = SHARE_DONE, .key = p->key};
    if (right > p->right) p->right = (u8)right;
    p->asked = SHARE_NONE;
    p->fetching = false;
    p->hold_until_ns = s->now_ns + SHARE_HOLD_NS;
    post(s, p->key.home, &m);
    changed(s, p);
}

static void copy_grant(struct share *s, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    if (!p || !p->asked || p->fetching) return;
    if (m->status != S_OK) {
        p->asked = SHARE_NONE;
        p->status = m->status;
        changed(s, p);
        return;
    }
    if (m->frame == 0 || is_home(s, p)) {
        copy_done(s, p, m->right);
        return;
    }
    p->asked = m->right;
    p->fetching = true;
    fetch(s, p, p->key.home, paddr(m->frame));
}

static void copy_taken(struct share *s, const struct share_msg *m) {
    struct share_page *p = page_find(s, &m->key);
    if (!p) return;
    p->giving = false;
    changed(s, p);
}

static void copy_home_down(struct share *s, struct share_page *p) {
    s->count.homeless++;
    p->dead = true;
    p->giving = p->recalled = false;
    p->status = E_IO;
    if (!p->fetching) p->asked = SHARE_NONE;
    if (p->right != SHARE_NONE && !p->revoking) copy_revoke(s, p, SHARE_NONE);
    changed(s, p);
    p->status = S_OK;                            // share_want looks at `dead`
}

// --- both --------------------------------------------------------------------------------------

static void fetched(struct share *s, struct share_page *p, status_t status) {
    if (is_home(s, p)) {
        dir_taken(s, p, status);
    } else if (p->dead || status != S_OK) {      // the home is gone: its end is told too
        p->fetching = false;
        p->asked = SHARE_NONE;
        p->status = p->dead ? S_OK : E_IO;
        changed(s, p);
    } else {
        copy_done(s, p, p->asked);
    }
}

static void fetch(struct share *s, struct share_page *p, u32 node, paddr_t from) {
    p->fetch_node = (u8)node;
    p->fetch_from = from;
    const status_t status = s->ops->fetch(s->ctx, p, node, from);
    p->fetch_wanted = status == E_AGAIN;
    if (status == S_OK) s->count.fetches++;
    else if (status == E_AGAIN) attend(s, p);
    else fetched(s, p, status);
}

static void deliver(struct share *s, u32 from, const struct share_msg *m) {
    switch (m->op) {
    case SHARE_ASK: dir_ask(s, from, m); break;
    case SHARE_DONE: dir_done(s, from, m); break;
    case SHARE_HAVE: dir_have(s, from, m); break;
    case SHARE_GRANT: copy_grant(s, m); break;
    case SHARE_RECALL: copy_recall(s, m); break;
    case SHARE_TAKEN: copy_taken(s, m); break;
    default: return;
    }
    struct share_page *p = page_find(s, &m->key);
    if (p && s->loop_head == s->loop_tail) page_settle(s, p);
}

// Delivers what this node told itself. Each message ends in bounded many others.
static void run(struct share *s) {
    if (s->running) return;
    s->running = true;
    while (s->loop_head != s->loop_tail) {
        const struct share_msg m = s->loop[s->loop_head++ % SHARE_LOOP_MAX];
        deliver(s, s->self, &m);
    }
    s->running = false;
}

// --- what the host calls -------------------------------------------------------------------

// Empty books. ops and ctx: the host, which lives as long.
void share_init(struct share *s, u8 self, const struct share_ops *ops, void *ctx) {
    *s = (struct share){.self = self, .ops = ops, .ctx = ctx};
    for (u32 i = 0; i < SHARE_BUCKETS; i++) list_init(&s->buckets[i]);
    list_init(&s->work);
}

// Settles what is left of p, which may be gone after it.
static void finish(struct share *s, const struct share_key *key) {
    const struct share_key k = *key;
    run(s);
    struct share_page *p = page_find(s, &k);
    if (p) page_settle(s, p);
}

// A page of another node's file that has no copy here yet: a frame for it, and a request.
static status_t ask(struct share *s, struct share_page *p, enum share_right right) {
    if (!p->frame.v && !is_home(s, p)) {
        p->frame = s->ops->frame_new(s->ctx);
        if (!p->frame.v) return E_NOMEM;
    }
    const struct share_msg m = {.op = SHARE_ASK, .right = (u8)right, .key = p->key};
    p->asked = (u8)right;
    s->count.asks++;
    post(s, p->key.home, &m);
    run(s);
    return S_RESTART;
}

static status_t want(struct share *s, struct share_page *p, enum share_right right) {
    if (p->dead) return E_IO;
    if (p->status != S_OK) {
        const status_t status = p->status;
        p->status = S_OK;
        return status;
    }
    if (p->right >= right && !p->revoking) return S_OK;
    p->waiting = true;
    if (p->asked || p->revoking || p->giving) return S_RESTART;
    return ask(s, p, right);
}

// May this node use the page so? S_OK: now, until it is revoked: *frame is the copy (0: of this
// node's own file, which nobody else uses). S_RESTART: asked for; `changed` follows. E_NOMEM;
// E_IO: lost with a node; else what its home says (E_NXIO: beyond the file's end).
status_t share_want(struct share *s, const struct share_key *key, enum share_right right,
                    u64 now_ns, paddr_t *frame) {
    struct share_page *p = page_find(s, key);
    s->now_ns = now_ns;
    *frame = paddr(0);
    if (!p && key->home == s->self) return S_OK;
    if (!p && !(p = page_add(s, key))) return E_NOMEM;
    status_t status = want(s, p, right);
    p = page_find(s, key);
    if (!p) return status == S_RESTART ? S_OK : status;   // ours alone again
    if (status == S_RESTART && !p->waiting) status = want(s, p, right);   // answered at once
    if (status == S_OK) *frame = p->frame;
    else if (status != S_RESTART) page_settle(s, p);
    return status;
}

// The same of a page of this node's own file, without asking for anything: S_OK, S_RESTART,
// E_IO.
status_t share_may(const struct share *s, const struct share_key *key, enum share_right right) {
    const struct share_page *p = page_find(s, key);
    if (!p) return S_OK;
    if (p->dir.lost) return E_IO;
    return p->right >= right && !p->revoking ? S_OK : S_RESTART;
}

// Does some node have a page of that file of this node, from from_page on?
bool share_used(const struct share *s, u32 index, u64 generation, u64 from_page) {
    for (u32 b = 0; s->pages != 0 && b < SHARE_BUCKETS; b++) {
        LIST_FOR_EACH(it, (struct list_node *)&s->buckets[b]) {
            const struct share_key *k = &LIST_ENTRY(it, struct share_page, link)->key;
            if (k->home == s->self && k->index == index && k->generation == generation &&
                k->page >= from_page)
                return true;
        }
    }
    return false;
}

// A message of node `from`, which is up.
void share_receive(struct share *s, u32 from, const struct share_msg *m, u64 now_ns) {
    s->now_ns = now_ns;
    const bool to_home = m->op == SHARE_ASK || m->op == SHARE_DONE || m->op == SHARE_HAVE;
    if (m->right > SHARE_WRITE || (to_home ? m->key.home != s->self : m->key.home != from)) return;
    if (m->op == SHARE_ASK && m->right == SHARE_NONE) return;
    deliver(s, from, m);
    finish(s, &m->key);
}

// What ops->revoke began is done.
void share_revoked(struct share *s, struct share_page *p, u64 now_ns) {
    const struct share_key key = p->key;
    s->now_ns = now_ns;
    if (p->gone) {
        page_remove(s, p);
        return;
    }
    copy_revoked(s, p);
    finish(s, &key);
}

// What ops->fetch began has ended: S_OK, or the node is gone.
void share_fetched(struct share *s, struct share_page *p, status_t status, u64 now_ns) {
    const struct share_key key = p->key;
    s->now_ns = now_ns;
    if (p->gone) {
        page_remove(s, p);
        return;
    }
    fetched(s, p, status);
    finish(s, &key);
}

// Answers recalls whose right has been held long enough; tries READs again.
void share_tick(struct share *s, u64 now_ns) {
    struct list_node todo;
    s->now_ns = now_ns;
    list_init(&todo);
    for (struct list_node *n; (n = list_pop_front(&s->work)) != NULL;) list_push_back(&todo, n);
    for (struct list_node *n; (n = list_pop_front(&todo)) != NULL;) {
        struct share_page *p = LIST_ENTRY(n, struct share_page, work);
        const struct share_key key = p->key;
        if (p->fetch_wanted) fetch(s, p, p->fetch_node, p->fetch_from);
        else copy_step(s, p);
        finish(s, &key);
    }
}

// When to tick next: ~0: nothing waits for time.
u64 share_next_ns(const struct share *s) {
    u64 at = ~0ull;
    LIST_FOR_EACH(it, (struct list_node *)&s->work) {
        const struct share_page *p = LIST_ENTRY(it, struct share_page, work);
        const u64 due = p->fetch_wanted ? s->now_ns + SHARE_HOLD_NS : p->hold_until_ns;
        if (due < at) at = due;
    }
    return at;
}

// No process of this node maps p any more: its right goes back. p may be gone after it.
void share_give(struct share *s, struct share_page *p, u64 now_ns) {
    const struct share_key key = p->key;
    s->now_ns = now_ns;
    if (is_home(s, p) || p->asked || p->giving || p->recalled || p->revoking) return;
    p->status = S_OK;
    if (p->right != SHARE_NONE) {
        p->recalled = true;
        p->recall_serial = 0;
        p->keep = SHARE_NONE;
        copy_step(s, p);
    }
    finish(s, &key);
}

// Gives back what no process here has mapped for a while.
void share_trim(struct share *s, u64 now_ns) {
    for (u32 b = 0; s->pages != 0 && b < SHARE_BUCKETS; b++) {
        LIST_FOR_EACH_SAFE(it, &s->buckets[b]) {
            struct share_page *p = LIST_ENTRY(it, struct share_page, link);
            if (is_home(s, p) || p->waiting || now_ns < p->hold_until_ns + SHARE_IDLE_NS) continue;
            if (!s->ops->mapped(s->ctx, p)) share_give(s, p, now_ns);
        }
    }
}

// All connections to `node` are gone, and every READ from it ends.
void share_peer_down(struct share *s, u32 node, u64 now_ns) {
    s->now_ns = now_ns;
    for (u32 b = 0; b < SHARE_BUCKETS; b++) {
        LIST_FOR_EACH_SAFE(it, &s->buckets[b]) {
            struct share_page *p = LIST_ENTRY(it, struct share_page, link);
            const struct share_key key = p->key;
            if (is_home(s, p)) dir_peer_down(s, p, node);
            else if (p->key.home == node) copy_home_down(s, p);
            else continue;
            finish(s, &key);
        }
    }
}

// Takes the pages of a file of this node, from from_page on, back from everybody. S_OK: nobody
// has any; S_RESTART: asked for, `changed` follows.
status_t share_clear(struct share *s, u32 index, u64 generation, u64 from_page, u64 now_ns) {
    status_t status = S_OK;
    for (u32 b = 0; s->pages != 0 && b < SHARE_BUCKETS; b++) {
        LIST_FOR_EACH_SAFE(it, &s->buckets[b]) {
            struct share_page *p = LIST_ENTRY(it, struct share_page, link);
            const struct share_key key = p->key;
            paddr_t frame;
            if (!is_home(s, p) || key.index != index || key.generation != generation ||
                key.page < from_page)
                continue;
            if (p->dir.lost && p->dir.phase == SHARE_IDLE) {
                page_remove(s, p);
                continue;
            }
            if (share_want(s, &key, SHARE_WRITE, now_ns, &frame) == S_RESTART) status = S_RESTART;
        }
    }
    return status;
}

// The file is gone: nobody asks for it any more.
void share_forget(struct share *s, u32 index, u64 generation) {
    for (u32 b = 0; s->pages != 0 && b < SHARE_BUCKETS; b++) {
        LIST_FOR_EACH_SAFE(it, &s->buckets[b]) {
            struct share_page *p = LIST_ENTRY(it, struct share_page, link);
            if (!is_home(s, p) || p->key.index != index || p->key.generation != generation)
                continue;
            p->gone = p->revoking || (p->dir.phase == SHARE_FETCHING && !p->fetch_wanted);
            p->key.generation = 0;               // no file's
            if (!p->gone) page_remove(s, p);     // else when what is under way has ended
        }
    }
}
