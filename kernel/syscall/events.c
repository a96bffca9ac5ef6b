// System calls that make objects to wait for: eventfd, timerfd, epoll; and timerfd's settings.
#include "kernel/clock.h"
#include "kernel/files/events.h"
#include "kernel/syscall/syscall.h"
#include "kernel/syscall/time.h"

enum { EFD_SEMAPHORE = 1, TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 };

enum event_kind { EVENT_COUNTER, EVENT_SEMAPHORE, EVENT_TIMER, EVENT_SET };

// Makes one and opens it. flags: O_CLOEXEC, O_NONBLOCK.
static i64 event_open(struct proc *p, enum event_kind kind, u64 value, u32 flags) {
    struct object *o;
    struct p9_call c = {0};
    spin_lock(&files_lock);
    status_t s = kind == EVENT_SET ? epoll_make(&o) : kind == EVENT_TIMER ? timerfd_make(&o)
               : eventfd_make(value, kind == EVENT_SEMAPHORE, &o);
    if (s == S_OK) {
        s = ofd_open(o, O_RDWR | (flags & O_NONBLOCK), &c);
        object_put(o);
    }
    spin_unlock(&files_lock);
    if (s != S_OK) return s;
    const i64 fd = handle_install(p, c.made, flags & O_CLOEXEC ? HANDLE_CLOEXEC : 0, 0);
    if (fd < 0) object_clunk(c.made);
    return fd;
}

SYSCALL(eventfd2) {
    const u32 flags = (u32)a[1];
    if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE)) return E_INVAL;
    return event_open(p, flags & EFD_SEMAPHORE ? EVENT_SEMAPHORE : EVENT_COUNTER, (u32)a[0], flags);
}
SYSCALL(eventfd) { return event_open(p, EVENT_COUNTER, (u32)a[0], 0); }

SYSCALL(epoll_create1) {
    if ((u32)a[0] & ~(u32)O_CLOEXEC) return E_INVAL;
    return event_open(p, EVENT_SET, 0, (u32)a[0]);
}
SYSCALL(epoll_create) { return (i32)a[0] <= 0 ? E_INVAL : event_open(p, EVENT_SET, 0, 0); }

SYSCALL(timerfd_create) {
    u64 now;
    const u32 flags = (u32)a[1];
    if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) return E_INVAL;
    if (!clock_has_timers(a[0]) || clock_read(p, a[0], &now) != S_OK) return E_INVAL;
    const i64 fd = event_open(p, EVENT_TIMER, 0, flags);
    if (fd >= 0 && clock_is_wall(a[0])) handle_get(p, fd)->flags |= HANDLE_WALL;
    return fd;
}

static i64 setting_put(struct proc *p, u64 uva, const struct timerfd_setting *s) {
    const u64 t[4] = {s->interval_ns / NS_PER_S, s->interval_ns % NS_PER_S,
                      s->value_ns / NS_PER_S, s->value_ns % NS_PER_S};
    return user_write(p, uva, t, sizeof t);
}

static status_t timerfd_call(const struct handle *h, u32 request, struct timerfd_setting *s) {
    struct p9_call c = {.type = P9_TIOCTL, .object = h->object, .flags = request,
                        .count = sizeof *s, .data.buffer = s};
    const status_t status = file_call(&c);
    return status == E_NOTTY ? E_INVAL : status;
}

SYSCALL(timerfd_settime) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    struct timerfd_setting s;
    if (a[1] & ~(u64)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) return E_INVAL;
    status_t status = user_timespec(p, a[2], &s.interval_ns);
    if (status == S_OK) status = user_timespec(p, a[2] + 16, &s.value_ns);
    if (status == S_OK && a[3]) status = user_pin(p, a[3], 32, ACCESS_WRITE);
    if (status != S_OK) return status;
    if (!h) return E_BADF;
    if ((a[1] & TFD_TIMER_ABSTIME) && s.value_ns) {
        u64 *until = &proc_desc(p)->wait.scratch[0];      // the same over restarts
        u64 now;
        (void)clock_read(p, h->flags & HANDLE_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
        if (!*until) *until = s.value_ns > now ? s.value_ns - now : 1;
        s.value_ns = *until;
    }
    status = timerfd_call(h, TIMERFD_IOC_SET, &s);
    return status == S_OK && a[3] ? setting_put(p, a[3], &s) : status;
}

SYSCALL(timerfd_gettime) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    struct timerfd_setting s = {0};
    if (!h) return E_BADF;
    status_t status = user_pin(p, a[1], 32, ACCESS_WRITE);
    if (status == S_OK) status = timerfd_call(h, TIMERFD_IOC_GET, &s);
    return status == S_OK ? setting_put(p, a[1], &s) : status;
}
