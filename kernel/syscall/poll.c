// poll, ppoll, select, pselect6: asks each server, and waits for any change of anything
// pollable where none is ready (poll_wait), until the deadline.
#include "base/string.h"
#include "kernel/x86/msr.h"
#include "kernel/clock.h"
#include "kernel/files/events.h"
#include "kernel/syscall/poll.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define WAIT_SECONDS_MAX (1ull << 33)     // longer is for ever
struct pollfd { i32 fd; i16 events, revents; };

enum { POLLRDNORM = 0x40, POLLWRNORM = 0x100 };

// Asks the server of an open description which of `events` it is ready for.
//   walk  through epoll's sets to here
status_t poll_object(struct proc *p, struct object_id object, u32 events, struct poll_walk *walk,
                     struct poll_answer *out) {
    u32 wanted = events & (u32)POLL_BITS;
    if (events & POLLRDNORM) wanted |= POLLIN;
    if (events & POLLWRNORM) wanted |= POLLOUT;
    struct p9_call c = {.type = P9_TPOLL, .object = object, .flags = wanted};
    *out = (struct poll_answer){0};
    status_t s = file_call(&c);
    if (s != S_OK) return s;
    out->ready = (u32)(c.result & POLL_BITS);
    out->change = (u32)(c.result >> POLL_CHANGE_SHIFT);
    if (c.result & POLL_MEMBERS) s = epoll_ready(p, object, walk, out);
    if (out->ready & POLLIN) out->ready |= POLLRDNORM;
    if (out->ready & POLLOUT) out->ready |= POLLWRNORM;
    out->ready &= events | POLLERR | POLLHUP;
    return s;
}

// *asked: the server is on another node, its answer is awaited.
static u32 ask(struct proc *p, i32 fd, u32 events, struct poll_walk *walk, bool *asked) {
    const struct handle *h = handle_get(p, fd);
    if (!h) return POLLNVAL;
    struct poll_answer answer;
    const status_t s = poll_object(p, h->object, events, walk, &answer);
    if (s == S_RESTART) *asked = true;
    return s == S_OK ? answer.ready : s == S_RESTART ? 0 : POLLERR;
}

struct asked_fds { struct proc *p; struct pollfd *fds; u64 count; };

static status_t ask_all(void *ctx, u32 *ready) {
    const struct asked_fds *a = ctx;
    struct poll_walk walk = {0};
    bool asked = false;
    *ready = 0;
    for (u64 i = 0; i < a->count; i++) {
        struct pollfd *f = &a->fds[i];
        f->revents = f->fd < 0 ? 0 : (i16)ask(a->p, f->fd, (u32)(u16)f->events, &walk, &asked);
        *ready += f->revents != 0;
    }
    return asked ? S_RESTART : S_OK;
}

// Waits until there is something ready; first on the list, then asks, so no change is missed.
//   look(ctx, &count)  how many are; S_RESTART: the process waits for an answer
//   timeout_ns         ~0: for ever
// How many, 0 at the deadline; S_RESTART; an error of look's.
i64 poll_until(struct proc *p, status_t (*look)(void *ctx, u32 *count), void *ctx,
               u64 timeout_ns) {
    const u64 deadline = call_deadline(p, timeout_ns);
    u32 count = 0;
    wait_on(&poll_wait, p);
    const status_t s = look(ctx, &count);
    if (s == S_RESTART) return S_RESTART;
    const bool late = timeout_ns == 0 || (deadline && time_now_ns() >= deadline);
    if (s != S_OK || count || late) {
        wait_cancel(p);
        return s != S_OK ? (i64)s : (i64)count;
    }
    wait_until(p, deadline);
    return S_RESTART;
}

static i64 poll_wait_for(struct proc *p, struct pollfd *fds, u64 count, u64 timeout_ns) {
    struct asked_fds a = {p, fds, count};
    return poll_until(p, ask_all, &a, timeout_ns);
}

static i64 do_poll(struct proc *p, u64 uva, u64 count, u64 timeout_ns) {
    if (count > HANDLES_MAX) return E_INVAL;
    u64 len = count * sizeof(struct pollfd);
    struct pollfd *fds = kmem_alloc(len + 1);
    if (!fds) return E_NOMEM;
    i64 r = user_read(p, uva, fds, len);
    if (r == S_OK) r = user_pin(p, uva, len, ACCESS_WRITE);
    if (r == S_OK) r = poll_wait_for(p, fds, count, timeout_ns);
    if (r >= 0) (void)user_write(p, uva, fds, len);
    kmem_free(fds, len + 1);
    return r;
}

SYSCALL(poll) {
    i32 ms = (i32)a[2];
    return do_poll(p, a[0], a[1], ms < 0 ? ~0ull : (u64)(u32)ms * NS_PER_MS);
}

// The signal mask that a waiting call has for its time, where it gives one.
status_t poll_mask(struct proc *p, u64 uva, u64 size_bytes) {
    u64 mask;
    if (!uva) return S_OK;
    if (size_bytes != 8) return E_INVAL;
    status_t s = user_read(p, uva, &mask, sizeof mask);
    if (s == S_OK) temp_mask_set(p, mask);
    return s;
}

SYSCALL(ppoll) {
    u64 ns = ~0ull;
    status_t s = a[2] ? user_timespec(p, a[2], &ns) : S_OK;
    if (s == S_OK) s = poll_mask(p, a[3], a[4]);
    return s == S_OK ? do_poll(p, a[0], a[1], ns) : s;
}

#define SET_BYTES (HANDLES_MAX / 8)
struct select_state {
    u8 in[3][SET_BYTES], out[3][SET_BYTES];
    struct pollfd fds[HANDLES_MAX];
};

static u64 select_build(struct select_state *st, u32 n) {
    static const i16 events[3] = {POLLIN, POLLOUT, POLLPRI};
    u64 count = 0;
    for (u32 fd = 0; fd < n; fd++) {
        i16 want = 0;
        for (u32 k = 0; k < 3; k++) {
            if (st->in[k][fd / 8] >> (fd % 8) & 1) want = (i16)(want | events[k]);
        }
        if (want) st->fds[count++] = (struct pollfd){(i32)fd, want, 0};
    }
    return count;
}

static i64 select_result(struct select_state *st, u64 count) {
    static const i16 wants[3] = {POLLIN, POLLOUT, POLLPRI};
    static const i16 means[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};
    i64 ready = 0;
    for (u64 i = 0; i < count; i++) {
        const struct pollfd *f = &st->fds[i];
        if (f->revents & POLLNVAL) return E_BADF;
        for (u32 k = 0; k < 3; k++) {
            if (!(f->events & wants[k]) || !(f->revents & means[k])) continue;
            st->out[k][f->fd / 8] |= (u8)(1 << (f->fd % 8));
            ready++;
        }
    }
    return ready;
}

static i64 select_run(struct proc *p, const u64 *a, struct select_state *st, u64 timeout_ns) {
    u32 n = (u32)(a[0] < HANDLES_MAX ? a[0] : HANDLES_MAX);
    u64 bytes = ALIGN_UP((u64)n, 64ull) / 8;
    for (u32 k = 0; k < 3; k++) {
        if (!a[1 + k]) continue;
        status_t s = user_read(p, a[1 + k], st->in[k], bytes);
        if (s == S_OK) s = user_pin(p, a[1 + k], bytes, ACCESS_WRITE);
        if (s != S_OK) return s;
    }
    u64 count = select_build(st, n);
    i64 r = poll_wait_for(p, st->fds, count, timeout_ns);
    if (r < 0) return r;
    r = select_result(st, count);
    for (u32 k = 0; k < 3 && r >= 0; k++) {
        if (a[1 + k]) (void)user_write(p, a[1 + k], st->out[k], bytes);
    }
    return r;
}

static i64 do_select(struct proc *p, const u64 *a, u64 timeout_ns) {
    if ((i32)a[0] < 0) return E_INVAL;
    struct select_state *st = kmem_alloc(sizeof *st);
    if (!st) return E_NOMEM;
    i64 r = select_run(p, a, st, timeout_ns);
    kmem_free(st, sizeof *st);
    return r;
}

// What is left of the timeout_ns that the call was given, by the clock they were given by; less
// than that whatever this node has learned of its clock since.
static u64 time_left(const struct proc *p, u64 timeout_ns) {
    const u64 deadline = proc_desc(p)->wait.deadline_ns, now = time_now_ns();
    if (deadline <= now || timeout_ns == 0) return 0;
    const u64 left = mul_div64(deadline - now, timeout_ns, clock_sleep_ns(timeout_ns));
    return MIN(left, timeout_ns - 1);
}

// As Linux, both say how much of their time was left, where nothing else went wrong.
SYSCALL(select) {
    u64 ns = ~0ull;
    if (a[4]) {
        i64 t[2];
        status_t s = user_read(p, a[4], t, sizeof t);
        if (s == S_OK) s = user_pin(p, a[4], sizeof t, ACCESS_WRITE);
        if (s != S_OK) return s;
        if (t[0] < 0 || t[1] < 0) return E_INVAL;
        ns = (u64)t[0] > WAIT_SECONDS_MAX ? ~0ull : (u64)t[0] * NS_PER_S + (u64)t[1] * NS_PER_US;
    }
    const i64 r = do_select(p, a, ns);
    if (r >= 0 && a[4] && ns != ~0ull) {
        const u64 left = time_left(p, ns), t[2] = {left / NS_PER_S, left % NS_PER_S / NS_PER_US};
        (void)user_write(p, a[4], t, sizeof t);
    }
    return r;
}

SYSCALL(pselect6) {
    u64 ns = ~0ull, mask[2] = {0, 0};
    status_t s = a[4] ? user_timespec(p, a[4], &ns) : S_OK;
    if (s == S_OK && a[4]) s = user_pin(p, a[4], 16, ACCESS_WRITE);
    if (s == S_OK && a[5]) s = user_read(p, a[5], mask, sizeof mask);
    if (s == S_OK) s = poll_mask(p, mask[0], mask[1]);
    const i64 r = s == S_OK ? do_select(p, a, ns) : s;
    if (r >= 0 && a[4] && ns != ~0ull) {
        const u64 left = time_left(p, ns), t[2] = {left / NS_PER_S, left % NS_PER_S};
        (void)user_write(p, a[4], t, sizeof t);
    }
    return r;
}
