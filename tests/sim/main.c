// The simulator's program: runs seeds, each one cluster from boot to the end of all its
// processes, checks the promises after every event, and prints TAP. A failure names the
// command that replays it.
//     build/sim [--transport model|roce] [--seed N] [--seeds K] [--nodes N]
//         [--cuts] [--verbose] [--frames]
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_set_death_callback(callback) ((void)(callback))
#endif

#include "base/assert.h"
#include "tests/sim/sim.h"

#define LATE_BOOT_NS (3 * NS_PER_S)
#define ROCE_STUCK_NS (180 * NS_PER_S)
#define MODEL_WAKE_LOST_NS (250 * NS_PER_MS)   // longer than it takes to notice a death
#define ROCE_WAKE_LOST_NS (20 * NS_PER_S)      // eight time-outs, a probe's and a sweep's period
#define ROCE_PIDS 16u
#define ROCE_REST_NS (12 * NS_PER_S)
#define MODEL_REST_NS (2 * NS_PER_S)
#define SHORT_REST_NS (1 * NS_PER_S)
#define ALL_NODES_EVERY 64u       // events; the node of an event is looked at after it

// ASan's defaults keep 256 MiB of freed memory, which each boot then finds cold.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=16:malloc_context_size=6"; }

static struct { bool roce, verbose, frames, cuts; u32 nodes; } options;
static bool over;                // all has come to its end: no more deaths

void sim_trace(const char *format, ...) {
    if (!sim.verbose) return;
    va_list args;
    va_start(args, format);
    printf("# %12lu ", sim.now_ns);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static void replay_print(void) {
    printf("# at %lu ns, event %lu; replay: make sim TRANSPORT=%s SEED=%lu SEEDS=1 "
           "SIM_OPTIONS='--nodes %u --verbose'\n1..1\n", sim.now_ns, sim.events_run,
           sim.roce ? "roce" : "model", sim.seed, options.nodes);
    fflush(stdout);
}

static _Noreturn void fail(const char *format, va_list args) {
    if (sim.verbose)
        for (u32 pid = 0; pid < sim.pids; pid++) check_dump(pid);
    printf("not ok 1 - seed %lu: ", sim.seed);
    vprintf(format, args);
    putchar('\n');
    replay_print();
    exit(1);
}

// What the sanitizers find is the seed's fault as well.
static void died(void) {
    printf("not ok 1 - seed %lu: a sanitizer's error\n", sim.seed);
    replay_print();
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

// --- deaths ------------------------------------------------------------------------------

static u32 honest_alive(void) {
    u32 n = 0;
    for (u32 k = 0; k < sim.nodes; k++)
        n += sim.node[k].honest && (sim.node[k].alive || !sim.node[k].booted);
    return n;
}

// Chance of the next death: so many steps of hand-overs from now.
static void kill_steps_draw(void) {
    sim.kill_steps = sim.kills_left != 0 ? 1 + (u32)sim_random(sim_random(2) ? 12 : 80) : 0;
}

// One step of some hand-over is done at `node`: by the seed it dies now, or another does.
void sim_step_done(u8 node) {
    if (sim.kill_steps == 0 || --sim.kill_steps != 0) return;
    struct event ev = {.kind = EV_KILL, .node = node};
    if (sim_random(2) == 0) ev.node = (u8)sim_random(sim.nodes);
    event_push(&ev, sim.now_ns + sim_random(sim_random(2) ? 2 : 20000));
    sim.kills_left--;
    kill_steps_draw();
}

// Stops a node at once. Over RoCE it may boot again, with a new incarnation.
static void node_kill(u8 node) {
    struct sim_node *n = &sim.node[node];
    if (over || !n->alive || (n->honest && honest_alive() < 2)) return;
    sim_trace("node %u dies", node);
    n->alive = false;
    sim.stats.kills++;
    sim_explain(node);
    if (sim.roce) roce_kill(node);
    else fabric_kill(node);
    if (!sim.roce || sim_random(3) == 0) return;
    struct event ev = {.kind = EV_BOOT, .node = node};
    event_push(&ev, sim.now_ns + sim_random(sim_random(2) ? 100 * NS_PER_MS : 8 * NS_PER_S));
}

// --- one seed ----------------------------------------------------------------------------

static void chaos_draw(void) {
    if (sim_random(3) == 0) return;
    sim.chaos = (struct sim_chaos){.loss = (u32)sim_random(501), .dup = (u32)sim_random(201),
                                   .reorder = (u32)sim_random(501),
                                   .corrupt = (u32)sim_random(101)};
}

// Half of the seeds have 2 to 4 nodes, the others 2 to 8: pairs, and time, grow by the square.
static u32 nodes_draw(void) {
    const u32 most = sim_random(2) ? SIM_NODES : SIM_NODES / 2;
    return 2 + (u32)sim_random(most - 1);
}

static void conditions_draw(u64 seed, struct sim_stats stats) {
    memset(&sim, 0, sizeof sim);
    sim.stats = stats;
    sim.seed = sim.rng_state = seed;
    sim.roce = options.roce;
    sim.verbose = options.verbose;
    sim.frames = options.frames;
    sim.cut.always = options.cuts;
    sim.nodes = options.nodes != 0 ? options.nodes : nodes_draw();
    sim.coherent = sim_random(3) != 0 || sim.roce;   // soft RoCE's atomics are the CPU's
    // Its own draw: the seed runs as it did but for this. The kernel's option words=card.
    sim.words_card = sim.roce && (seed * 0x9e3779b97f4a7c15ull >> 32) % 3 == 0;
    sim.overtakes = sim.roce && (seed * 0xd1b54a32d192ed03ull >> 32) % 2 == 0;
    sim.small_packets = sim.roce && (seed * 0xaef17502108ef2d9ull >> 32) % 4 == 0;
    sim.stats.bare += !sim.coherent || sim.words_card;
    sim.room_max = 1 + (u32)sim_random(3);
    sim.pids = 4 + (u32)sim_random((sim.roce ? ROCE_PIDS : SIM_PIDS) - 4);
    sim.kills_left = sim_random(3) == 0 ? 0 : 1 + (u32)sim_random(sim.nodes - 1);
    sim.frame_bytes = sim.roce ? PAGE_SIZE : SIM_MODEL_FRAME;
    sim.stuck_ns = sim.roce ? ROCE_STUCK_NS : SIM_STUCK_NS;
    sim.wake_lost_ns = sim.roce ? ROCE_WAKE_LOST_NS : MODEL_WAKE_LOST_NS;
    sim.slow_cards = sim_random(2) == 0;
    for (u32 k = 0; k < sim.nodes; k++) sim.node[k].honest = true;
    if (sim.roce) chaos_draw();
    if (sim.roce) roce_begin();
    cuts_begin();
    drive_begin();
}

static void spawns_draw(void) {
    for (u32 pid = 0; pid < sim.pids; pid++) {
        struct event ev = {.kind = EV_SPAWN, .node = (u8)sim_random(sim.nodes), .a = pid};
        // A burst at first; later ones come one by one, to nodes that sleep.
        event_push(&ev, (sim.roce ? sim_random(2 * LATE_BOOT_NS) : 0) +
                        sim_random(pid % 3 == 0 ? 1500 * NS_PER_MS : 2 * NS_PER_MS));
    }
}

// Half of the deaths come at some time, maybe before anything has begun; the others with
// a step of a hand-over.
static void kills_draw(void) {
    const u32 at_times = sim.kills_left / 2 + (u32)sim_random(2) * (sim.kills_left % 2);
    for (u32 i = 0; i < at_times; i++) {
        struct event ev = {.kind = EV_KILL, .node = (u8)sim_random(sim.nodes)};
        event_push(&ev, 100000 + sim_random(sim.roce ? 2 * LATE_BOOT_NS : 4 * NS_PER_MS));
    }
    sim.kills_left -= at_times;
    kill_steps_draw();
}

static void begin(u64 seed) {
    conditions_draw(seed, sim.stats);
    if (!sim.roce) {
        for (u8 k = 0; k < sim.nodes; k++) model_boot(k);
        for (u8 k = 0; k < sim.nodes; k++) cluster_node_work(sim.node[k].cn);
    } else {
        // Together, so that calls cross, or one by one.
        const u64 spread_ns = sim_random(2) ? LATE_BOOT_NS : NS_PER_MS;
        for (u8 k = 0; k < sim.nodes; k++) {
            struct event ev = {.kind = EV_BOOT, .node = k};
            event_push(&ev, 1 + sim_random(spread_ns));
        }
    }
    spawns_draw();
    kills_draw();
}

static void spawn(struct event *ev) {
    struct sim_node *n = &sim.node[ev->node];
    if (n->alive) {
        model_event(ev);
    } else if (!n->booted) {
        event_push(ev, sim.now_ns + 100 * NS_PER_MS);
    } else {
        sim.proc[ev->a] = (struct sim_proc){.spawned = true, .explained = true};
    }
}

// What a node that stands still would do, it does when it goes on.
static bool stands_still(struct event *ev) {
    const bool own = ev->kind == EV_POLL || ev->kind == EV_STEP || ev->kind == EV_TICK ||
                     ev->kind == EV_END || ev->kind == EV_SPAWN || ev->kind == EV_SENT ||
                     ev->kind == EV_DRIVE || ev->kind == EV_BLOCK;
    const u64 until_ns = own ? cut_stopped_until(ev->node) : 0;
    if (until_ns == 0) return false;
    event_push(ev, until_ns + sim_random(NS_PER_MS));
    return true;
}

static void run_event(struct event *ev) {
    sim.now_ns = ev->at_ns;
    if (stands_still(ev)) return;
    sim.events_run++;
    sim.stats.events++;
    switch (ev->kind) {
    case EV_WR: case EV_DONE: case EV_MSG: case EV_DETECT: fabric_event(ev); break;
    case EV_FRAME: case EV_SENT: case EV_POLL: roce_event(ev); break;
    case EV_BURST: case EV_DRIVE: case EV_BLOCK: drive_event(ev); break;
    case EV_BOOT:
        sim_trace("node %u boots", ev->node);
        model_boot(ev->node);
        break;
    case EV_KILL: node_kill(ev->node); break;
    case EV_SPAWN: spawn(ev); break;
    case EV_STEP: case EV_TICK: case EV_END: model_event(ev); break;
    case EV_NONE: return;
    }
    words_check(&sim.node[ev->node], false);
    check_running(ev->node);
    if (sim.events_run % ALL_NODES_EVERY == 0)
        for (u8 k = 0; k < sim.nodes; k++) {
            words_check(&sim.node[k], true);
            check_running(k);
        }
    cuts_explain();
}

static void stuck(void) {
    for (u32 pid = 0; pid < sim.pids; pid++)
        if (!sim.proc[pid].exited && !sim.proc[pid].explained)
            sim_fail("pid %u is lost or was never taken", pid);
    if (!drive_settled()) sim_fail("a call of a drive never ended");
    if (sim.roce && !roce_settled()) sim_fail("two nodes do not find each other");
    sim_fail("a place or an image was never given back");
}

// A quarter of the seeds idle on for long, and those with a stranger, who calls all the time.
static bool long_rest(void) {
    bool rest = !sim.roce || sim.seed % 4 == 0;
    for (u32 k = 0; k < sim.nodes; k++) rest |= !sim.node[k].honest;
    return rest;
}

static void run_seed(u64 seed) {
    struct event ev;
    over = false;
    begin(seed);
    while (!check_settled()) {
        if (!event_pop(&ev)) sim_fail("nothing left to happen");
        if (ev.at_ns > sim.stuck_ns) stuck();
        run_event(&ev);
    }
    // Let what is under way come to rest, then count. A node that still stands still has yet to
    // see that it is fenced.
    const u64 from = MAX(sim.now_ns, sim.cut.any ? MIN(sim.cut.until_ns, sim.stuck_ns) : 0);
    const u64 until = from + (sim.roce ? ROCE_REST_NS : MODEL_REST_NS);
    over = true;
    while (event_pop(&ev)) {
        if (ev.at_ns >= until || (!long_rest() && ev.at_ns >= from + SHORT_REST_NS &&
                                  check_rested())) {
            event_push(&ev, ev.at_ns);       // dropped with the rest
            break;
        }
        run_event(&ev);
    }
    check_end();
    events_drop();
}

static void report(u64 seed, u64 seeds) {
    const struct sim_stats *s = &sim.stats;
    printf("# %lu events, %lu moves begun, %lu adoptions, %lu pages fetched, %lu nodes killed, "
           "%lu boots, %lu processes ended by a death\n", s->events, s->migrations, s->adoptions,
           s->fetches, s->kills, s->boots, s->lost);
    if (options.roce)
        printf("# %lu seeds with a cut or a pause, after which %lu nodes joined as new\n", s->cuts,
               s->reborn);
    if (options.roce)
        printf("# %lu seeds with drives: %lu calls, %lu reads one-sided, %lu ended by a death or a "
               "cut\n", s->drive_seeds, s->drive_calls, s->drive_one_sided, s->drive_lost);
    if (options.roce)
        printf("# %lu frames, %lu lost, %lu doubled, %lu late, %lu corrupted, %lu held for a "
               "copy's answer; strangers refused %lu times, requests of fenced nodes %lu times\n",
               s->frames, s->frames_lost, s->frames_doubled, s->frames_late, s->frames_corrupt,
               s->overtaken, s->refused, s->stale_frames);
    printf("# %lu seeds with atomics that are not the CPU's\n", s->bare);
    printf("ok 1 - %s, seeds %lu to %lu\n1..1\n",
           options.roce ? "join, queue and migration over soft RoCE" : "queue and hand-over",
           seed, seed + seeds - 1);
}

int main(int argc, char **argv) {
    u64 seed = 1, seeds = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--verbose") == 0 || strcmp(argv[i], "--frames") == 0) {
            options.verbose = true;
            options.frames |= argv[i][2] == 'f';
            continue;
        }
        if (strcmp(argv[i], "--cuts") == 0) {
            options.cuts = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--seeds") == 0) seeds = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--nodes") == 0) options.nodes = (u32)strtoul(value, NULL, 0);
        else if (strcmp(argv[i], "--transport") == 0) options.roce = strcmp(value, "roce") == 0;
        else return fprintf(stderr, "sim: unknown option %s\n", argv[i]), 2;
        i++;
    }
    if (options.nodes == 1 || options.nodes > SIM_NODES)
        return fprintf(stderr, "sim: 2..%d nodes\n", SIM_NODES), 2;
    __sanitizer_set_death_callback(died);
    for (u64 i = 0; i < seeds; i++) run_seed(seed + i);
    report(seed, seeds);
    return 0;
}
