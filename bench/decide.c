// What a decision of placement costs: `decide` is what kernel/placement.c does at an edge,
// with the same sources, for PROCESSES processes in turn, each of which has used NODES nodes
// since. bench/decide.py counts the instructions of `decide` alone.
// Usage: decide PROCESSES NODES DECISIONS
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sched/account.h"

struct process {
    struct place rule;
    struct account account;
    struct place_why last;
};

_Noreturn void panic(const char *format, ...) {
    fprintf(stderr, "panic: %s\n", format);
    abort();
}

static unsigned long long state = 1;

static unsigned draw(unsigned below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % below;
}

static void fill(void *ctx, void *to, size_t len_bytes) {
    (void)ctx;
    for (size_t i = 0; i < len_bytes; i++) ((unsigned char *)to)[i] = (unsigned char)draw(256);
}

enum place_verdict decide(struct process *p, const struct prices *prices, u64 now_ns);

__attribute__((noinline)) enum place_verdict decide(struct process *p,
                                                    const struct prices *prices, u64 now_ns) {
    static const struct rng rng = {fill, NULL};
    const struct place_prices now = prices_for_place(prices);
    const struct place_world world = {now_ns, 0xffff, 1000, &rng};
    struct place_use use[ACCOUNT_NODES];
    u64 ties;
    const u32 count = account_take(&p->account, use);
    for (u32 i = 0; i < count; i++)
        place_access(&p->rule, world.members, use[i].node, place_price_use(&now, &use[i]));
    return place_decide(&p->rule, &world, &ties, &p->last);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const unsigned processes = (unsigned)atoi(argv[1]), nodes = (unsigned)atoi(argv[2]);
    const unsigned decisions = (unsigned)atoi(argv[3]);
    struct prices prices = {0};
    struct process *all = calloc(processes, sizeof *all);
    unsigned long moves = 0;
    if (!all || processes == 0 || nodes == 0 || nodes > ACCOUNT_NODES) return 2;
    for (unsigned i = 0; i < processes; i++) place_init(&all[i].rule, 0, 20000000);
    for (unsigned i = 0; i < decisions; i++) {
        struct process *p = &all[i % processes];
        for (unsigned k = 0; k < ACCOUNT_BATCH; k++)
            (void)account_message(&p->account, (u8)draw(nodes), ACCOUNT_FILE, 4096);
        if (decide(p, &prices, i) != PLACE_MOVE) continue;
        place_moved(&p->rule, p->last.target);
        moves++;
    }
    printf("%lu\n", moves);
    free(all);
    return 0;
}
