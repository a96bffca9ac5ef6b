// timerfd: a timer that is read and waited for. All armed ones of this node lie in one list
// under one timer of the clock. Called through file_call and by that timer; lock: files_lock.
// Spec: timerfd_create(2).
#include "kernel/clock.h"
#include "kernel/files/events.h"
#include "kernel/time.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

struct timerfd {
    struct object object;
    struct list_node armed;          // `armed_timers`: until deadline_ns
    u64 deadline_ns;                 // time_now_ns, of the next expiration; 0: none
    u64 interval_ns;
    u64 asked_ns;                    // how long until deadline_ns, by the cluster's clock
    u64 expired;                     // expirations not read yet
    u32 changes;
    struct wait_list readers;
};

static struct list_node armed_timers = {&armed_timers, &armed_timers};
static struct timer first_timer;

static void timer_due(void *arg);

static void first_timer_set(void) {
    u64 at = ~0ull;
    LIST_FOR_EACH(it, &armed_timers) {
        const struct timerfd *t = LIST_ENTRY(it, struct timerfd, armed);
        at = MIN(at, t->deadline_ns);
    }
    if (at == ~0ull) (void)timer_cancel(&first_timer);
    else timer_arm(&first_timer, at, timer_due, NULL);
}

// Counts what has expired by now and names the next expiration.
static void expire(struct timerfd *t, u64 now_ns) {
    if (!t->deadline_ns || now_ns < t->deadline_ns) return;
    const u64 count = t->interval_ns ? 1 + (now_ns - t->deadline_ns) / t->interval_ns : 1;
    t->expired += count;
    t->changes++;
    t->deadline_ns = t->interval_ns ? t->deadline_ns + count * t->interval_ns : 0;
    t->asked_ns = t->interval_ns;
    if (!t->deadline_ns) list_remove(&t->armed);
    file_wake(&t->readers);
}

static void timer_due(void *arg) {
    (void)arg;
    spin_lock(&files_lock);
    const u64 now = time_now_ns();
    LIST_FOR_EACH_SAFE(it, &armed_timers) expire(LIST_ENTRY(it, struct timerfd, armed), now);
    first_timer_set();
    spin_unlock(&files_lock);
}

static void setting_get(const struct timerfd *t, u64 now_ns, struct timerfd_setting *out) {
    *out = (struct timerfd_setting){.interval_ns = t->interval_ns};
    if (!t->deadline_ns) return;
    const u64 left = t->deadline_ns > now_ns ? t->deadline_ns - now_ns : 1;
    out->value_ns = MAX(MIN(left, t->asked_ns - 1), 1ull);
}

static status_t timerfd_ioctl(struct timerfd *t, struct p9_call *c) {
    struct timerfd_setting set, old;
    const u64 now = time_now_ns();
    if (c->flags != TIMERFD_IOC_SET && c->flags != TIMERFD_IOC_GET) return E_NOTTY;
    if (c->count != sizeof set) return E_INVAL;
    expire(t, now);
    setting_get(t, now, &old);
    if (c->flags == TIMERFD_IOC_SET) {
        data_get(c, 0, &set, sizeof set);
        list_remove(&t->armed);
        t->expired = 0;
        t->interval_ns = set.interval_ns;
        t->asked_ns = set.value_ns;
        t->deadline_ns = set.value_ns ? now + clock_sleep_ns(set.value_ns) : 0;
        if (t->deadline_ns) list_push_back(&armed_timers, &t->armed);
        first_timer_set();
    }
    data_put(c, 0, &old, sizeof old);
    return S_OK;
}

static status_t timerfd_read(struct timerfd *t, struct p9_call *c) {
    if (c->count < sizeof t->expired) return E_INVAL;
    expire(t, time_now_ns());
    if (t->expired == 0) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&t->readers);
        return S_RESTART;
    }
    c->result = data_put(c, 0, &t->expired, sizeof t->expired);
    t->expired = 0;
    return S_OK;
}

static status_t timerfd_call(struct object *o, struct p9_call *c) {
    struct timerfd *t = CONTAINER_OF(o, struct timerfd, object);
    switch (c->type) {
    case P9_TREAD: return timerfd_read(t, c);
    case P9_TWRITE: return E_INVAL;
    case P9_TPOLL:
        expire(t, time_now_ns());
        c->result = (t->expired ? POLLIN & c->flags : 0) | POLL_CHANGE(t->changes);
        return S_OK;
    case P9_TIOCTL: return timerfd_ioctl(t, c);
    case P9_TGETATTR:
        c->attr = (struct p9_attr){.valid = P9_GETATTR_BASIC, .mode = 0600, .nlink = 1,
                                   .blksize = PAGE_SIZE};
        return S_OK;
    case P9_TSETATTR: case P9_TCLUNK: return S_OK;
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void timerfd_release(struct object *o) {
    struct timerfd *t = CONTAINER_OF(o, struct timerfd, object);
    list_remove(&t->armed);
    kmem_free(t, sizeof *t);
}

static const struct object_ops timerfd_ops = {"timerfd", timerfd_call, timerfd_release};

// Makes a timer that is not armed. files_lock held.
status_t timerfd_make(struct object **out) {
    struct timerfd *t = kmem_alloc(sizeof *t);
    if (!t) return E_NOMEM;
    const status_t s = object_add(&t->object, &timerfd_ops);
    if (s != S_OK) {
        kmem_free(t, sizeof *t);
        return s;
    }
    list_init(&t->armed);
    wait_list_init(&t->readers);
    *out = &t->object;
    return S_OK;
}
