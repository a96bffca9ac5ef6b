// What processes see of time. All nodes show one clock; it never runs backwards for a
// process:
//   - what a process that moves here has seen already is the least that this node shows
//     from then on (`floor`), so an error of the measurement is a short halt, for all;
//   - a step of this node's line (it joined, or was cut off) is taken out again for each
//     process by its own offsets, which its next exec forgets;
//   - RDTSC of a process that has moved traps and goes on from what its first node counted.
// Readers: system calls, file servers, /proc, on any CPU, without a lock, and programs by the
// vDSO, which read the same page. Writers hold net_lock, then proc_lock; the page's `seq` is odd
// while they write, offsets of processes included.
#include "kernel/clock.h"

#include "base/string.h"
#include "base/units.h"
#include "kernel/cluster.h"
#include "kernel/klog.h"
#include "kernel/proc.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/uaccess.h"
#include "kernel/vdso.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"

#define RDTSC_BYTES 2u               // 0f 31
#define RDTSCP_BYTES 3u              // 0f 01 f9
#define TSC_SINCE_MAX_NS (1ull << 57)            // four years; with this rate it fits 64 bits
#define TSC_HZ_MAX (1ull << 36)
#define SAME_CLOCK_NS (1000ull * 1000 * 1000)    // nodes of one clock differ by less

union clock_frame clock_frame __attribute__((aligned(PAGE_SIZE)));
static struct clock_page *const now = &clock_frame.page;    // under its seq
static u64 now_id;                   // which clock that is; under it, too
static struct clock_offsets steps;   // all steps of the line so far; under proc_lock

void clock_init(void) {
    now->start_tsc = time_scale.start_tsc;
    now->ns_per_tick_q32 = time_scale.ns_per_tick_q32;
    now->wall_ns = time_rtc_ns();
}

static u32 read_begin(void) {
    u32 s;
    while ((s = __atomic_load_n(&now->seq, __ATOMIC_ACQUIRE)) & 1) cpu_relax();
    return s;
}
static bool read_again(u32 s) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&now->seq, __ATOMIC_RELAXED) != s;
}
static void write_begin(void) {
    spin_lock(&proc_lock);
    __atomic_fetch_add(&now->seq, 1, __ATOMIC_ACQ_REL);
}
static void write_end(void) {
    __atomic_fetch_add(&now->seq, 1, __ATOMIC_RELEASE);
    spin_unlock(&proc_lock);
}

static u64 shown(void) { return clock_page_at(now, tsc_read()); }

struct clock_seen clock_seen(const struct proc_desc *d) {
    struct clock_seen r;
    u32 s;
    do {
        s = read_begin();
        const u64 cluster_ns = shown();
        r.clock_ns = cluster_ns + (d ? d->clock_offset_ns : 0);
        r.wall_ns = now->wall_ns + cluster_ns + (d ? d->wall_offset_ns : 0);
    } while (read_again(s));
    return r;
}

u64 clock_now_ns(void) { return clock_seen(NULL).clock_ns; }
u64 time_wall_ns(void) { return clock_seen(NULL).wall_ns; }
u64 clock_of_local(u64 local_ns) { return clock_now_ns() - (time_now_ns() - local_ns); }

// While the floor holds the clock still, that comes on top.
u64 clock_sleep_ns(u64 ns) {
    u64 span, still;
    u32 s;
    do {
        s = read_begin();
        span = clock_local_span(&now->line, ns);
        still = shown() - clock_at(&now->line, time_now_ns());
    } while (read_again(s));
    return span + ((i64)still > 0 ? still : 0);
}

// Whether d's process may compute time by the page. Its CPU, proc_lock, or before it runs.
static void call_set(struct proc_desc *d) {
    const bool has_offset = (d->clock_offset_ns | d->wall_offset_ns) != 0;
    d->clock_call = (has_offset ? CLOCK_CALL_OFFSET : 0) |
                    (d->flags & PROC_FLAG_TSC ? CLOCK_CALL_MOVED : 0);
}

// On the calling CPU, c.
//   word  what its process has of clock_call, or the epoch where that is 0
void clock_word_set(struct cpu *c, u32 word) {
    const bool calls = word & (CLOCK_CALL_OFFSET | CLOCK_CALL_MOVED);
    c->clock_word = word;
    cpu_limit_set((calls ? CLOCK_WORD_CALL : word) | c->index);
    cpu_tsd_set(word & CLOCK_CALL_MOVED);
}

// A process sees no step: neither the one that runs nor the one that waits. What is away is
// settled when it comes back, or where it arrives.
static void step_hide(const struct clock_step *step) {
    steps.clock_ns += (u64)step->cluster_ns;
    steps.wall_ns += (u64)step->wall_ns;
    for (u32 i = 0; i < proc_end; i++) {
        if (procs[i].state == PROC_FREE || procs[i].state == PROC_AWAY) continue;
        if (procs[i].state == PROC_NEW && procs[i].cl.in_cluster) continue;
        struct proc_desc *d = proc_desc(&procs[i]);
        d->clock_offset_ns -= (u64)step->cluster_ns;
        d->wall_offset_ns -= (u64)step->wall_ns;
        call_set(d);
    }
    __atomic_store_n(&now->epoch, (now->epoch + CLOCK_EPOCH_NEXT) & CLOCK_EPOCH_MASK,
                     __ATOMIC_RELEASE);          // clock_load
}

void clock_publish(const struct cluster_clock *c, const struct clock_step *step) {
    if (step->stepped)
        klog("clock: %s%lu ms to that of node %u (clock %016lx, error %lu us)",
             step->cluster_ns < 0 ? "-" : "+",
             (u64)(step->cluster_ns < 0 ? -step->cluster_ns : step->cluster_ns) / 1000000,
             c->peer, c->id, c->error_ns / 1000);
    write_begin();
    if (step->stepped) step_hide(step);
    if (step->stepped) now->floor_ns = clock_floor_stepped(now->floor_ns, step);
    now->line = c->line;
    now->wall_ns = c->wall_ns;
    now_id = c->id;
    write_end();
}

void clock_frozen(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    p->cl.steps = steps;
    d->frozen_ns = time_now_ns();
    const struct clock_seen seen = clock_seen(NULL);
    d->frozen_clock_ns = seen.clock_ns;
    d->frozen_wall_ns = seen.wall_ns;
    d->frozen_clock_id = now_id;
    if (d->flags & PROC_FLAG_TSC) return;
    d->tsc_at = tsc_read();
    d->tsc_clock_ns = seen.clock_ns + d->clock_offset_ns;
    d->tsc_hz = time_tsc_hz();
}

void clock_thawed(struct proc *p) {
    proc_desc(p)->clock_offset_ns -= steps.clock_ns - p->cl.steps.clock_ns;
    proc_desc(p)->wall_offset_ns -= steps.wall_ns - p->cl.steps.wall_ns;
    call_set(proc_desc(p));
}

// Where nodes have one clock, the time it was frozen has passed for it too. Where not (they
// have not met yet, or were cut off from each other), it is not counted.
void clock_arrived(struct proc_desc *d) {
    u64 elapsed_ns = 0;
    if (d->frozen_clock_id == now_id && clock_now_ns() + SAME_CLOCK_NS > d->frozen_clock_ns) {
        write_begin();
        now->floor_ns = MAX(now->floor_ns, d->frozen_clock_ns);
        write_end();
        elapsed_ns = clock_now_ns() - d->frozen_clock_ns;
    } else {
        const struct clock_seen here = clock_seen(NULL);
        d->clock_offset_ns -= here.clock_ns - d->frozen_clock_ns;
        d->wall_offset_ns -= here.wall_ns - d->frozen_wall_ns;
    }
    d->flags |= PROC_FLAG_TSC;
    call_set(d);
    if (d->flags & PROC_FLAG_FRESH) clock_exec(d);
    // Times of the giver's clock become times of ours; all modulo 2^64.
    const u64 delta = time_now_ns() - d->frozen_ns - elapsed_ns;
    d->start_ns += delta;
    const u64 due = delta + clock_sleep_ns(0);   // while ours stands still nothing falls due
    if (d->wait.nr >= 0 && d->wait.deadline_ns) d->wait.deadline_ns += due;
    if (d->alarm_ns) d->alarm_ns += due;
    if (d->thread_count > 1) thread_deadlines_shift(d, due);
}

// Nothing of the new program has seen any time; that this node's is not behind what the old
// one saw by much keeps CLOCK_MONOTONIC from running backwards even over an exec.
void clock_exec(struct proc_desc *d) {
    const u64 ahead_ns = d->clock_offset_ns;
    if (ahead_ns != 0 && ahead_ns < SAME_CLOCK_NS) {
        write_begin();
        now->floor_ns = MAX(now->floor_ns, clock_at(&now->line, time_now_ns()) + ahead_ns);
        write_end();
    }
    spin_lock(&proc_lock);
    d->clock_offset_ns = d->wall_offset_ns = 0;
    d->flags &= ~PROC_FLAG_TSC;
    call_set(d);
    spin_unlock(&proc_lock);
}

// --- RDTSC ---------------------------------------------------------------------------------

// The counter that it saw before its first move goes on, at that node's rate, by its clock.
static u64 tsc_of(const struct proc_desc *d) {
    const u64 since_ns = clock_seen(d).clock_ns - d->tsc_clock_ns;
    return d->tsc_at + mul_div64(MIN(since_ns, TSC_SINCE_MAX_NS), MIN(d->tsc_hz, TSC_HZ_MAX),
                                 NS_PER_S);
}

// What p is to execute next, into code[RDTSCP_BYTES]. The vDSO has RDTSC alone.
static status_t code_read(struct proc *p, u64 rip, u8 *code) {
    if (vdso_has(rip) && vdso_has(rip + RDTSC_BYTES - 1)) {
        memcpy(code, vdso_image + (rip - VDSO_BASE), RDTSC_BYTES);
        return S_OK;
    }
    const status_t s = user_read(p, rip, code, RDTSCP_BYTES);
    return s == E_FAULT ? user_read(p, rip, code, RDTSC_BYTES) : s;
}

bool clock_tsc_trap(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    struct user_regs *r = &d->regs;
    u8 code[RDTSCP_BYTES] = {0};
    if (!(d->flags & PROC_FLAG_TSC)) return false;
    // Its page may have left meanwhile: then it is fetched, and the instruction traps again.
    const status_t s = code_read(p, r->rip, code);
    if (s == S_RESTART) return true;
    const bool rdtsc = s == S_OK && code[0] == 0x0f && code[1] == 0x31;
    const bool rdtscp = s == S_OK && code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xf9;
    if (!rdtsc && !rdtscp) return false;
    const u64 tsc = tsc_of(d);
    r->rax = (u32)tsc;
    r->rdx = tsc >> 32;
    if (rdtscp) r->rcx = 0;                      // IA32_TSC_AUX, which this kernel leaves 0
    r->rip += rdtscp ? RDTSCP_BYTES : RDTSC_BYTES;
    return true;
}

// --- /nodes/N/status ---------------------------------------------------------------------

static u64 get_offset(const void *ctx) {
    (void)ctx;
    const u64 local_ns = time_now_ns();
    return clock_at(&now->line, local_ns) - local_ns;
}
static u64 get_error(const void *ctx) {
    (void)ctx;
    return clock_error_ns(cluster_clock_state(), time_now_ns());
}
static u64 get_rate(const void *ctx) {
    (void)ctx;
    return (u64)((now->line.rate_q32 * (i64)(NS_PER_S >> 9)) >> 23);
}
static u64 get_wall(const void *ctx) { (void)ctx; return time_wall_ns() / NS_PER_S; }

void clock_status_init(void) {
    const struct cluster_clock *c = cluster_clock_state();
    cluster_status_add_u64("clock_id", &c->id);
    cluster_status_add("clock_wall_s", get_wall, NULL);          // since 1970
    cluster_status_add_signed("clock_offset_ns", get_offset, NULL);     // against this node's own
    cluster_status_add("clock_error_ns", get_error, NULL);
    cluster_status_add_signed("clock_rate_ppb", get_rate, NULL); // against its own
    cluster_status_add_u64("clock_asks", &c->asks);
    cluster_status_add_u64("clock_adoptions", &c->adoptions);
    cluster_status_add_u64("clock_steps", &c->steps);
}
