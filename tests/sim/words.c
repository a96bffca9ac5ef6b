// Shared words: who changes one goes through here, and each change is noted in a shadow
// copy, so that a plain store by anybody shows. Where the seed's card is not coherent with
// the CPU (model transport), a CPU atomic is an error too.
#include <string.h>

#include "tests/sim/sim.h"

u64 words_value(const shared64_t *w) {
    u64 v;
    memcpy(&v, w, sizeof v);
    return v;
}

// Where the shadow of a word is; *owner says whose word it is. NULL: not a shared word.
static u64 *shadow_in(struct sim_node *n, const shared64_t *w) {
    if (n->descs == NULL) return NULL;
    if (w >= n->words && w < n->words + n->word_count) return &n->shadow_words[w - n->words];
    const u8 *at = (const u8 *)w;
    const u64 off = (u64)(at - n->descs);
    if (at < n->descs || off >= (u64)SIM_PLACES * n->desc_stride || off % n->desc_stride != 0)
        return NULL;
    return &n->shadow_owner[off / n->desc_stride];
}

static u64 amo(shared64_t *w, u64 *shadow, bool cas, u64 compare, u64 operand) {
    const u64 found = words_value(w);
    u64 next = cas ? operand : found + operand;
    if (cas && found != compare) return found;
    memcpy(w, &next, sizeof next);
    *shadow = next;
    return found;
}

// An atomic of the card of node n.
u64 words_amo(struct sim_node *n, shared64_t *w, bool cas, u64 compare, u64 operand) {
    u64 *shadow = shadow_in(n, w);
    if (shadow == NULL) sim_fail("an atomic on a word that is not shared");
    return amo(w, shadow, cas, compare, operand);
}

static u64 cpu_amo(shared64_t *w, bool cas, u64 compare, u64 operand) {
    static u64 nowhere;
    if (!sim.coherent) sim_fail("a CPU atomic where the card's are not coherent with it");
    for (u32 i = 0; i < sim.nodes; i++) {
        u64 *shadow = shadow_in(&sim.node[i], w);
        if (shadow != NULL) return amo(w, shadow, cas, compare, operand);
    }
    for (u32 i = 0; i < sim.nodes; i++)      // a boot: its words are not known yet
        if (sim.node[i].booted && !sim.node[i].shadowed)
            return amo(w, &nowhere, cas, compare, operand);
    sim_fail("an atomic on a word that is not shared");
}

static u64 cpu_read(void *ctx, const shared64_t *w) {
    (void)ctx;
    return words_value(w);
}

static u64 cpu_cas(void *ctx, shared64_t *w, u64 expected, u64 desired) {
    (void)ctx;
    return cpu_amo(w, true, expected, desired);
}

static u64 cpu_add(void *ctx, shared64_t *w, u64 addend) {
    (void)ctx;
    return cpu_amo(w, false, 0, addend);
}

const struct word_ops *words_ops(void) {
    static struct word_ops ops = {.read = cpu_read, .cas = cpu_cas, .add = cpu_add};
    ops.coherent = sim.coherent;
    return &ops;
}

void words_shadow(struct sim_node *n) {
    for (u32 i = 0; i < n->word_count; i++) n->shadow_words[i] = words_value(&n->words[i]);
    for (u32 i = 0; i < SIM_PLACES; i++) n->shadow_owner[i] = words_value(&desc_of(n, i)->owner);
    n->shadowed = true;
}

// `all`: free places too.
void words_check(const struct sim_node *n, bool all) {
    const u32 k = (u32)(n - sim.node);
    if (!n->alive || !n->shadowed) return;
    if (memcmp(n->words, n->shadow_words, n->word_count * 8ull) != 0)
        sim_fail("a plain store to a shared word of node %u", k);
    for (u32 i = 0; i < SIM_PLACES; i++)
        if ((all || n->place[i].state != PLACE_FREE) &&
            words_value(&desc_of(n, i)->owner) != n->shadow_owner[i])
            sim_fail("a plain store to owner word %u of node %u", i, k);
}
