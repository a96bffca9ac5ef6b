// The simulator's program: runs seeds, each one cluster from boot to the end of all its
// processes, checks the promises after every event, and prints TAP. A failure names the
// command that replays it.
//     build/sim [--seed N] [--seeds K] [--nodes N] [--verbose]
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

void sim_trace(const char *format, ...) {
    if (!sim.verbose) return;
    va_list args;
    va_start(args, format);
    printf("# %12lu ", sim.now_ns);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static _Noreturn void fail(const char *format, va_list args) {
    if (sim.verbose)
        for (u32 pid = 0; pid < sim.pids; pid++) model_dump(pid);
    printf("not ok 1 - seed %lu: ", sim.seed);
    vprintf(format, args);
    printf("\n# at %lu ns, event %lu; replay: build/sim --seed %lu --seeds 1 --nodes %u "
           "--verbose\n", sim.now_ns, sim.events_run, sim.seed, sim.nodes);
    exit(1);
}

void sim_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(format, args);
}

void panic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(format, args);
}

static void boot(u64 seed, u32 nodes, bool verbose) {
    memset(&sim, 0, sizeof sim);
    sim.seed = sim.rng_state = seed;
    sim.nodes = nodes != 0 ? nodes : 2 + (u32)sim_random(SIM_NODES - 1);
    sim.verbose = verbose;
    sim.coherent = sim_random(3) != 0;
    sim.room_max = 1 + (u32)sim_random(3);
    sim.pids = 4 + (u32)sim_random(SIM_PIDS - 4);
    sim.kills_left = sim_random(3) == 0 ? 0 : 1 + (u32)sim_random(sim.nodes - 1);
    for (u8 k = 0; k < sim.nodes; k++) model_init_node(k);
    for (u8 k = 0; k < sim.nodes; k++) {
        for (u8 peer = 0; peer < sim.nodes; peer++)
            if (peer != k) cluster_node_peer_up(&sim.node[k].cn, peer);
        struct event tick = {.kind = EV_TICK, .node = k};
        event_push(&tick, 1 + sim_random(NODE_SWEEP_NS));
        cluster_node_work(&sim.node[k].cn);
    }
    for (u32 pid = 0; pid < sim.pids; pid++) {
        struct event ev = {.kind = EV_SPAWN, .node = (u8)sim_random(sim.nodes), .a = pid};
        // A burst at first; later ones come one by one, to nodes that sleep.
        event_push(&ev, sim_random(pid % 3 == 0 ? 1500 * NS_PER_MS : 2 * NS_PER_MS));
    }
    for (u32 i = 0; i < sim.kills_left; i++) {
        struct event ev = {.kind = EV_KILL, .node = (u8)sim_random(sim.nodes)};
        event_push(&ev, 100000 + sim_random(4 * NS_PER_MS));
    }
}

static u32 alive_count(void) {
    u32 n = 0;
    for (u32 k = 0; k < sim.nodes; k++) n += sim.node[k].alive;
    return n;
}

static void run_event(struct event *ev) {
    sim.now_ns = ev->at_ns;
    sim.events_run++;
    if (ev->kind == EV_WR || ev->kind == EV_DONE || ev->kind == EV_MSG) {
        fabric_event(ev);
    } else if (ev->kind == EV_KILL) {
        if (sim.node[ev->node].alive && alive_count() > 1) {
            sim_trace("node %u dies", ev->node);
            model_kill(ev->node);
        }
    } else if (ev->kind == EV_SPAWN && !sim.node[ev->node].alive) {
        sim.proc[ev->a] = (struct sim_proc){.spawned = true, .explained = true};
    } else {
        model_event(ev);
    }
    fabric_check_words();
    model_check();
}

static void run_seed(u64 seed, u32 nodes, bool verbose) {
    struct event ev;
    boot(seed, nodes, verbose);
    while (!model_settled()) {
        if (!event_pop(&ev)) sim_fail("nothing left to happen");
        if (ev.at_ns > SIM_STUCK_NS) {
            for (u32 pid = 0; pid < sim.pids; pid++)
                if (!sim.proc[pid].exited && !sim.proc[pid].explained)
                    sim_fail("pid %u is lost or was never taken", pid);
            sim_fail("a place or an image was never given back");
        }
        run_event(&ev);
    }
    // Let what is under way come to rest, then count.
    u64 until = sim.now_ns + 2 * NS_PER_S;
    while (event_pop(&ev) && ev.at_ns < until) run_event(&ev);
    model_check_end();
}

int main(int argc, char **argv) {
    u64 seed = 1, seeds = 1;
    u32 nodes = 0;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--nodes") == 0)
            nodes = (u32)strtoul(argv[++i], NULL, 0);
        else
            return fprintf(stderr, "sim: unknown option %s\n", argv[i]), 2;
    }
    if (nodes == 1 || nodes > SIM_NODES) return fprintf(stderr, "sim: 2..4 nodes\n"), 2;
    u64 events = 0, moves = 0, adoptions = 0, lost = 0, kills = 0, bare = 0;
    for (u64 i = 0; i < seeds; i++) {
        run_seed(seed + i, nodes, verbose);
        events += sim.events_run;
        moves += sim.migrations;
        adoptions += sim.adoptions;
        lost += sim.lost;
        kills += sim.kills;
        bare += !sim.coherent;
    }
    printf("# %lu events, %lu moves begun, %lu adoptions, %lu nodes killed, %lu processes ended "
           "by a death; %lu seeds with atomics that are not the CPU's\n",
           events, moves, adoptions, kills, lost, bare);
    printf("ok 1 - queue and hand-over, seeds %lu to %lu\n1..1\n", seed, seed + seeds - 1);
    return 0;
}
