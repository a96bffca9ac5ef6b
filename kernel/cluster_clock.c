// The machine of the cluster's clock (proto/cluster/clock.c), driven by messages on the
// control pair and by the tick. Lock: net_lock. What processes see: kernel/clock.c.
#include "kernel/clock.h"
#include "kernel/cluster_priv.h"
#include "kernel/random.h"
#include "kernel/x86/cpu.h"

static struct cluster_clock machine;
static const struct clock_step no_step;

const struct cluster_clock *cluster_clock_state(void) { return &machine; }

// This node's own clock, until it meets an older one.
void cluster_clock_init(void) {
    const u64 now_ns = time_now_ns();
    clock_begin(&machine, cluster.self, rng_u64(&kernel_rng), time_wall_ns() - now_ns, now_ns);
    clock_publish(&machine, &no_step);
}

static void ask(void) {
    struct cluster_msg m = {.type = MSG_CLOCK_ASK};
    m.clock = (struct clock_answer){.asked_ns = machine.asked_ns, .id = machine.id};
    (void)cluster_send(machine.peer, &m);        // not up: nothing comes, and it is asked again
}

void cluster_clock_tick(u64 up) {
    const struct clock_line was = machine.line;
    const bool asks = clock_tick(&machine, up, time_now_ns());
    if (machine.line.local_ns != was.local_ns) clock_publish(&machine, &no_step);
    if (asks) ask();
}

u64 cluster_clock_next_ns(u64 up) { return clock_next_ns(&machine, up); }

void cluster_clock_member(u8 node, bool up) {
    if (up) clock_member_up(&machine, node, time_now_ns());
    else clock_member_down(&machine, node);
}

static void answer(u8 to, u64 asked_ns) {
    const u64 now_ns = time_now_ns();
    struct cluster_msg m = {.type = MSG_CLOCK};
    m.clock = (struct clock_answer){asked_ns, machine.id, clock_at(&machine.line, now_ns),
                                    machine.wall_ns, clock_error_ns(&machine, now_ns)};
    (void)cluster_send(to, &m);
}

// MSG_CLOCK_ASK or MSG_CLOCK.
void cluster_clock_message(u8 from, const struct cluster_msg *m, u64 up) {
    struct clock_step step;
    const struct clock_line was = machine.line;
    if (m->type == MSG_CLOCK_ASK) {
        answer(from, m->clock.asked_ns);
        clock_asked(&machine, from, m->clock.id, time_now_ns());
        return;
    }
    const bool more = clock_answered(&machine, from, &m->clock, up, time_now_ns(), &step);
    if (step.stepped || machine.line.local_ns != was.local_ns) clock_publish(&machine, &step);
    if (more) ask();
}
