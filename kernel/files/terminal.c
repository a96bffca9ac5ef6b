// What all terminals do: reads with their time-outs, writes, job control, settings, sessions.
// Called through file_call, and by the owner of the line for what comes from there; lock:
// files_lock. Callers of this node and of others are the same to it: what it asks of one of another
// node came with the call (kernel/jobs.c).
// Spec: POSIX.1 XBD 11; ioctl_tty(2); Linux's tty_io and n_tty for what they leave open.
#include "kernel/files/terminal.h"

#include "kernel/file.h"
#include "kernel/jobs.h"
#include "kernel/session.h"
#include "kernel/signal.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"

#define ABANDONED_NS (1000ull * 1000 * 1000)     // who waited for a time-out has given up

// Source of numbers: Linux asm-generic/ioctls.h.
enum {
    TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCSBRK = 0x5409,
    TCXONC = 0x540a, TCFLSH = 0x540b, TIOCGPGRP = 0x540f, TIOCOUTQ = 0x5411, TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414, FIONREAD = 0x541b, TCSBRKP = 0x5425, TIOCGSID = 0x5429,
};
enum { TCOOFF, TCOON, TCIOFF, TCION };
enum { TCIFLUSH, TCOFLUSH, TCIOFLUSH };

static struct list_node terminals = {&terminals, &terminals};
static struct timer read_timer;      // until the first time-out of a read
static const struct signal_info by_kernel = {.code = SI_KERNEL};

// --- reads with a time-out -------------------------------------------------------------------

static void reads_due(void *arg);

static void read_timer_set(void) {
    u64 at = ~0ull;
    LIST_FOR_EACH(it, &terminals) {
        const struct terminal *t = LIST_ENTRY(it, struct terminal, link);
        if (t->timed && t->until_ns) at = MIN(at, t->until_ns);
    }
    if (at == ~0ull) (void)timer_cancel(&read_timer);
    else timer_arm(&read_timer, at, reads_due, NULL);
}

static void reads_due(void *arg) {
    (void)arg;
    spin_lock(&files_lock);
    const u64 now = time_now_ns();
    LIST_FOR_EACH(it, &terminals) {
        struct terminal *t = LIST_ENTRY(it, struct terminal, link);
        if (!t->timed || !t->until_ns || t->until_ns > now) continue;
        t->until_ns = 0;
        file_wake(&t->readers);
    }
    read_timer_set();
    spin_unlock(&files_lock);
}

// Whether a read for so many bytes may end now; else it waits, for a time-out where it has one.
static bool read_may_end(struct terminal *t, u64 count) {
    const u64 now = time_now_ns();
    u64 left = 0;
    if (!t->timed || now - t->since_ns > ABANDONED_NS + 255 * NS_PER_S / 10) t->since_ns = now;
    switch (tty_read_look(&t->tty, (u32)MIN(count, TTY_QUEUE_MAX), now - t->since_ns, &left)) {
    case TTY_READ_NOW:
        t->timed = false;
        return true;
    case TTY_READ_WAIT:
        t->timed = false;
        return false;
    default:
        t->timed = true;
        t->until_ns = now + left;
        read_timer_set();
        return false;
    }
}

// --- job control -----------------------------------------------------------------------------

// Who calls. All 0: the kernel, whom nothing stops.
struct user { u32 pid; struct p9_job job; };

static struct user user_of(const struct p9_call *c) {
    const struct proc *p = proc_current();
    if (!p) return (struct user){c->pid, c->job};
    return (struct user){proc_desc(p)->pid, job_of(p, node_id)};
}

// It is the user's controlling terminal.
static bool is_own(const struct terminal *t, const struct user *u) {
    return t->tty.sid && u->job.sid == t->tty.sid && (u->job.bits & P9_JOB_NEAR);
}

// The caller is about to use the terminal. S_OK: it may, for it does not listen to that signal, or
// is in the foreground; E_IO: it does not listen to SIGTTIN; S_BACKGROUND: it may not, and
// kernel/jobs.c sees to that.
static status_t job_check(const struct terminal *t, const struct p9_call *c, u32 sig) {
    const struct user u = user_of(c);
    if (!is_own(t, &u) || !t->tty.pgid || u.job.pgid == t->tty.pgid) return S_OK;
    if (sig == SIGTTIN) return u.job.bits & P9_JOB_DEAF_TTIN ? E_IO : S_BACKGROUND;
    return u.job.bits & P9_JOB_DEAF_TTOU ? S_OK : S_BACKGROUND;
}

// --- the calls -------------------------------------------------------------------------------

status_t terminal_read(struct terminal *t, struct p9_call *c) {
    static u8 bytes[TTY_LINE_MAX];               // files_lock
    if (t->hung_up || c->count == 0) return S_OK;
    const status_t s = job_check(t, c, SIGTTIN);
    if (s != S_OK) return s;
    if (!read_may_end(t, c->count)) {
        if (c->flags & O_NONBLOCK) {
            t->timed = false;
            return E_AGAIN;
        }
        file_wait(&t->readers);
        return S_RESTART;
    }
    const u32 n = tty_read(&t->tty, bytes, (u32)MIN(c->count, sizeof bytes));
    c->result = data_put(c, 0, bytes, n);
    edge_request(EDGE_CONSOLE);                  // there may be more in the driver's ring
    return S_OK;
}

status_t terminal_write(struct terminal *t, struct p9_call *c) {
    u8 bytes[512];
    if (t->hung_up) return E_IO;
    const status_t s = tty_stops_background(&t->tty) ? job_check(t, c, SIGTTOU) : S_OK;
    if (s != S_OK) return s;
    while (c->result < c->count) {
        const u32 len = data_get(c, c->result, bytes, MIN(sizeof bytes, c->count - c->result));
        const u32 n = tty_write(&t->tty, bytes, len);
        c->result += n;
        if (n < len) break;
    }
    if (c->result || c->count == 0) return S_OK;
    if (c->flags & O_NONBLOCK) return E_AGAIN;
    file_wait(&t->writers);
    return S_RESTART;
}

// POLL bits.
u32 terminal_poll(const struct terminal *t) {
    if (t->hung_up) return POLLIN | POLLOUT | POLLERR | POLLHUP;
    return (tty_readable(&t->tty) ? POLLIN : 0) | (tty_writable(&t->tty) ? POLLOUT : 0);
}

static status_t settings_set(struct terminal *t, struct p9_call *c) {
    struct tty_termios to = t->tty.termios;
    const status_t s = job_check(t, c, SIGTTOU);
    if (s != S_OK) return s;
    data_get(c, 0, &to, sizeof to);
    if (c->flags == TCSETSF) tty_flush_input(&t->tty);
    tty_set_termios(&t->tty, &to);
    t->timed = false;
    file_wake(&t->readers);
    file_wake(&t->writers);
    edge_request(EDGE_CONSOLE);
    return S_OK;
}

static status_t flow_set(struct terminal *t, const struct p9_call *c) {
    const u64 what = c->value;
    const status_t s = job_check(t, c, SIGTTOU);
    if (s != S_OK) return s;
    if (what > TCION) return E_INVAL;
    if (what == TCOOFF) tty_stop(&t->tty);
    else if (what == TCOON) tty_start(&t->tty);
    else tty_send_flow(&t->tty, what == TCIOFF);
    file_wake(&t->writers);
    return S_OK;
}

static status_t flush(struct terminal *t, const struct p9_call *c) {
    const u64 what = c->value;
    const status_t s = job_check(t, c, SIGTTOU);
    if (s != S_OK) return s;
    if (what > TCIOFLUSH) return E_INVAL;
    if (what != TCOFLUSH) tty_flush_input(&t->tty);
    if (what != TCIFLUSH && t->tty.flush) t->tty.flush(t->tty.ctx);
    file_wake(&t->writers);
    edge_request(EDGE_CONSOLE);
    return S_OK;
}

static status_t window_set(struct terminal *t, struct p9_call *c) {
    struct tty_winsize to = t->tty.winsize, was = to;
    data_get(c, 0, &to, sizeof to);
    t->tty.winsize = to;
    const bool same = to.rows == was.rows && to.columns == was.columns &&
                      to.x_pixels == was.x_pixels && to.y_pixels == was.y_pixels;
    if (!same && t->tty.pgid) signal_raise_group(t->tty.pgid, SIGWINCH, by_kernel);
    return S_OK;
}

// The terminal is its session's no longer. hang_up: its line has gone, and the leader is told.
static void session_clear(struct terminal *t, bool hang_up) {
    const struct session_loss loss = {.sid = t->tty.sid, .hang_up = hang_up, .pgid = t->tty.pgid,
                                      .tty = object_id_of(t->object)};
    t->tty.sid = t->tty.pgid = 0;
    if (loss.sid) session_lost(&loss);
}

// The caller, who leads its session, gets it as controlling terminal: its system call notes the
// id that it finds in the data then.
static status_t session_take(struct terminal *t, struct p9_call *c) {
    const struct user u = user_of(c);
    const struct object_id id = object_id_of(t->object);
    if (u.job.sid == 0 || u.job.sid != u.pid) return E_PERM;
    if (u.job.sid != t->tty.sid) {
        if (u.job.bits & P9_JOB_TERMINAL) return E_PERM;
        const bool held = t->tty.sid && session_is_led(t->tty.sid);
        if (held && (c->value != 1 || c->uid != 0)) return E_PERM;
        session_clear(t, false);
        t->tty.sid = t->tty.pgid = u.job.sid;
    }
    data_put(c, 0, &id, sizeof id);
    return S_OK;
}

// The caller's system call notes that it has none.
static status_t session_leave(struct terminal *t, const struct p9_call *c) {
    const struct user u = user_of(c);
    const u32 pgid = t->tty.pgid;
    if (!is_own(t, &u)) return E_NOTTY;
    if (u.job.sid != u.pid) return S_OK;
    session_clear(t, false);
    if (pgid) signal_raise_group(pgid, SIGHUP, by_kernel);
    if (pgid) signal_raise_group(pgid, SIGCONT, by_kernel);
    return S_OK;
}

// To the group in the data, whose session the caller's system call has looked up.
static status_t group_set(struct terminal *t, struct p9_call *c) {
    const struct user u = user_of(c);
    struct terminal_group to = {0};
    const status_t s = job_check(t, c, SIGTTOU);
    if (s != S_OK) return s;
    if (!is_own(t, &u)) return E_NOTTY;
    data_get(c, 0, &to, MIN(sizeof to, c->count));
    if ((i32)to.pgid < 0) return E_INVAL;
    if (to.pgid == 0 || to.sid == TERMINAL_NO_PROCESS) return E_SRCH;
    if (to.sid != t->tty.sid) return E_PERM;
    t->tty.pgid = to.pgid;
    return S_OK;
}

// The group in the foreground, or the session, of the caller's own terminal.
static status_t number_get(const struct terminal *t, struct p9_call *c, u32 number) {
    const struct user u = user_of(c);
    if (!is_own(t, &u)) return E_NOTTY;
    data_put(c, 0, &number, sizeof number);
    return S_OK;
}

status_t terminal_ioctl(struct terminal *t, struct p9_call *c) {
    const u32 n = c->flags == FIONREAD ? tty_bytes_ready(&t->tty) : 0;
    if (t->hung_up) return c->flags == TIOCSPGRP ? E_NOTTY : E_IO;
    switch (c->flags) {
    case TCGETS: data_put(c, 0, &t->tty.termios, sizeof t->tty.termios); return S_OK;
    case TCSETS: case TCSETSW: case TCSETSF: return settings_set(t, c);
    case TIOCGWINSZ: data_put(c, 0, &t->tty.winsize, sizeof t->tty.winsize); return S_OK;
    case TIOCSWINSZ: return window_set(t, c);
    case TCFLSH: return flush(t, c);
    case TCXONC: return flow_set(t, c);
    case TCSBRK: case TCSBRKP: return job_check(t, c, SIGTTOU);
    case FIONREAD: case TIOCOUTQ: data_put(c, 0, &n, sizeof n); return S_OK;
    case TIOCSCTTY: return session_take(t, c);
    case TIOCNOTTY: return session_leave(t, c);
    case TIOCGPGRP: return number_get(t, c, t->tty.pgid);
    case TIOCGSID: return number_get(t, c, t->tty.sid);
    case TIOCSPGRP: return group_set(t, c);
    default: return E_NOTTY;
    }
}

// A session leader without a terminal that opens a free one has it as controlling terminal. One of
// another node asks for it (take_opened).
void terminal_opened(struct terminal *t, u32 flags) {
    struct proc *p = proc_current();
    if (!p || (flags & O_NOCTTY) || t->tty.sid) return;
    struct proc_desc *d = proc_desc(p);
    if (d->sid != d->pid || d->tty.generation) return;
    t->tty.sid = d->sid;
    t->tty.pgid = d->pgid;
    d->tty = object_id_of(t->object);
    d->tty_group = 0;
}

// --- the line --------------------------------------------------------------------------------

// A byte from the line, for which tty_has_room. terminal_input_end follows the last of several.
void terminal_input(struct terminal *t, u8 byte) {
    const bool stopped = t->tty.stopped;
    if (tty_input(&t->tty, byte)) t->changes++;
    t->since_ns = time_now_ns();
    if (stopped && !t->tty.stopped) file_wake(&t->writers);
}

void terminal_input_end(struct terminal *t) { file_wake(&t->readers); }

// The line is gone: who reads finds the end, who writes an error; the session's leader is told.
void terminal_hang_up(struct terminal *t) {
    if (t->hung_up) return;
    t->hung_up = true;
    session_clear(t, true);
    file_wake(&t->readers);
    file_wake(&t->writers);
}

// The leader of a session ended: its terminal's foreground group is told. Takes files_lock.
void terminal_session_ended(u32 sid) {
    u32 pgid = 0;
    spin_lock(&files_lock);
    LIST_FOR_EACH(it, &terminals) {
        struct terminal *t = LIST_ENTRY(it, struct terminal, link);
        if (t->tty.sid != sid) continue;
        pgid = t->tty.pgid;
        session_clear(t, false);
        break;
    }
    spin_unlock(&files_lock);
    if (pgid) signal_raise_group(pgid, SIGHUP, by_kernel);
}

// The session with the next number that has a terminal here; 0: there is none. Takes files_lock.
u32 terminal_session_next(u32 sid) {
    u32 next = 0;
    spin_lock(&files_lock);
    LIST_FOR_EACH(it, &terminals) {
        const struct terminal *t = LIST_ENTRY(it, struct terminal, link);
        if (t->tty.sid > sid && (!next || t->tty.sid < next)) next = t->tty.sid;
    }
    spin_unlock(&files_lock);
    return next;
}

void terminal_init(struct terminal *t, struct object *object) {
    tty_init(&t->tty);
    t->object = object;
    wait_list_init(&t->readers);
    wait_list_init(&t->writers);
    list_init(&t->link);
    list_push_back(&terminals, &t->link);
}

// It is freed next.
void terminal_end(struct terminal *t) { list_remove(&t->link); }
