// What all terminals do: reads with their time-outs, writes, job control, settings, sessions.
// Called through file_call, and by the owner of the line for what comes from there; lock:
// files_lock. A caller of another node has no session here: it is let through where it holds the
// terminal open, so a shell that moved away goes on giving it to its jobs.
// Spec: POSIX.1 XBD 11; ioctl_tty(2); Linux's tty_io and n_tty for what they leave open.
#include "kernel/files/terminal.h"

#include "kernel/file.h"
#include "kernel/groups.h"
#include "kernel/signal.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"

#define ABANDONED_NS (1000ull * 1000 * 1000)     // who waited for a time-out has given up

// Source of numbers: Linux asm-generic/ioctls.h.
enum {
    TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCSBRK = 0x5409,
    TCXONC = 0x540a, TCFLSH = 0x540b, TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f, TIOCSPGRP = 0x5410,
    TIOCOUTQ = 0x5411, TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, FIONREAD = 0x541b,
    TIOCNOTTY = 0x5422, TCSBRKP = 0x5425, TIOCGSID = 0x5429,
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

static bool background(const struct terminal *t, const struct proc *p) {
    return p && t->tty.pgid && proc_desc(p)->sid == t->tty.sid &&
           proc_desc(p)->pgid != t->tty.pgid;
}

// A process of a background group is about to use the terminal. S_OK: it may, for it does not
// listen to that signal, or is in the foreground; S_RESTART: its group has the signal; E_IO: nobody
// would ever bring it to the foreground.
static status_t job_check(const struct terminal *t, u32 sig) {
    const struct proc *p = proc_current();
    if (!background(t, p)) return S_OK;
    const bool deaf = signal_ignored(p, sig) || (proc_desc(p)->signal_mask & SIGNAL_BIT(sig));
    if (deaf) return sig == SIGTTIN ? E_IO : S_OK;
    if (group_is_orphaned(proc_desc(p)->pgid)) return E_IO;
    signal_raise_group(proc_desc(p)->pgid, sig, by_kernel);
    return S_RESTART;
}

// --- the calls -------------------------------------------------------------------------------

status_t terminal_read(struct terminal *t, struct p9_call *c) {
    static u8 bytes[TTY_LINE_MAX];               // files_lock
    if (t->hung_up || c->count == 0) return S_OK;
    const status_t s = job_check(t, SIGTTIN);
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
    const status_t s = tty_stops_background(&t->tty) ? job_check(t, SIGTTOU) : S_OK;
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
    const status_t s = job_check(t, SIGTTOU);
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

static status_t flow_set(struct terminal *t, u64 what) {
    const status_t s = job_check(t, SIGTTOU);
    if (s != S_OK) return s;
    if (what > TCION) return E_INVAL;
    if (what == TCOOFF) tty_stop(&t->tty);
    else if (what == TCOON) tty_start(&t->tty);
    else tty_send_flow(&t->tty, what == TCIOFF);
    file_wake(&t->writers);
    return S_OK;
}

static status_t flush(struct terminal *t, u64 what) {
    const status_t s = job_check(t, SIGTTOU);
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

// The caller, who leads the session whose number lies in the data, gets it as controlling
// terminal: its system call notes the id that it finds there then.
static status_t session_take(struct terminal *t, struct p9_call *c) {
    u32 sid;
    data_get(c, 0, &sid, sizeof sid);
    spin_lock(&proc_lock);
    const bool held = t->tty.sid && t->tty.sid != sid && proc_find(t->tty.sid);
    spin_unlock(&proc_lock);
    if (held && c->value != 1) return E_PERM;
    if (t->tty.sid != sid) t->tty.sid = t->tty.pgid = sid;
    const struct object_id id = object_id_of(t->object);
    data_put(c, 0, &id, sizeof id);
    return S_OK;
}

// The terminal is its session's no longer; leader: who leads that is told of the end of the line. A
// leader on another node is told as its group is.
static void session_clear(struct terminal *t, bool leader) {
    const u32 sid = t->tty.sid;
    bool told = !leader || !sid;
    t->tty.sid = t->tty.pgid = 0;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end && sid; i++) {
        struct proc_desc *d = &proc_descs[i];
        if (procs[i].state == PROC_FREE || procs[i].state == PROC_AWAY || d->sid != sid) continue;
        d->tty = (struct object_id){0};
        if (!leader || d->pid != sid) continue;
        told = true;
        signal_raise_locked(&procs[i], SIGHUP, by_kernel);
        signal_raise_locked(&procs[i], SIGCONT, by_kernel);
    }
    spin_unlock(&proc_lock);
    if (told) return;
    signal_raise_group(sid, SIGHUP, by_kernel);
    signal_raise_group(sid, SIGCONT, by_kernel);
}

static status_t session_leave(struct terminal *t) {
    struct proc *p = proc_current();
    const struct object_id own = object_id_of(t->object);
    if (!p || !object_id_equal(proc_desc(p)->tty, own)) return E_NOTTY;
    proc_desc(p)->tty = (struct object_id){0};
    if (proc_desc(p)->sid != proc_desc(p)->pid || t->tty.sid != proc_desc(p)->sid) return S_OK;
    const u32 pgid = t->tty.pgid;
    session_clear(t, false);
    if (pgid) signal_raise_group(pgid, SIGHUP, by_kernel);
    if (pgid) signal_raise_group(pgid, SIGCONT, by_kernel);
    return S_OK;
}

static status_t group_set(struct terminal *t, struct p9_call *c) {
    const struct proc *p = proc_current();
    u32 pgid;
    if (!t->tty.sid || (p && proc_desc(p)->sid != t->tty.sid)) return E_NOTTY;
    const status_t s = job_check(t, SIGTTOU);
    if (s != S_OK) return s;
    data_get(c, 0, &pgid, sizeof pgid);
    if ((i32)pgid < 0) return E_INVAL;
    if (group_session(pgid) != t->tty.sid && group_session(pgid) != 0) return E_PERM;
    t->tty.pgid = pgid;
    return S_OK;
}

status_t terminal_ioctl(struct terminal *t, struct p9_call *c) {
    const u32 n = c->flags == FIONREAD ? tty_bytes_ready(&t->tty) : 0;
    if (t->hung_up) return E_IO;
    switch (c->flags) {
    case TCGETS: data_put(c, 0, &t->tty.termios, sizeof t->tty.termios); return S_OK;
    case TCSETS: case TCSETSW: case TCSETSF: return settings_set(t, c);
    case TIOCGWINSZ: data_put(c, 0, &t->tty.winsize, sizeof t->tty.winsize); return S_OK;
    case TIOCSWINSZ: return window_set(t, c);
    case TCFLSH: return flush(t, c->value);
    case TCXONC: return flow_set(t, c->value);
    case TCSBRK: case TCSBRKP: return job_check(t, SIGTTOU);
    case FIONREAD: case TIOCOUTQ: data_put(c, 0, &n, sizeof n); return S_OK;
    case TIOCSCTTY: return session_take(t, c);
    case TIOCNOTTY: return session_leave(t);
    case TIOCGPGRP: data_put(c, 0, &t->tty.pgid, 4); return t->tty.sid ? S_OK : E_NOTTY;
    case TIOCGSID: data_put(c, 0, &t->tty.sid, 4); return t->tty.sid ? S_OK : E_NOTTY;
    case TIOCSPGRP: return group_set(t, c);
    default: return E_NOTTY;
    }
}

// A session leader without a terminal that opens a free one has it as controlling terminal.
void terminal_opened(struct terminal *t, u32 flags) {
    struct proc *p = proc_current();
    if (!p || (flags & O_NOCTTY) || t->tty.sid) return;
    struct proc_desc *d = proc_desc(p);
    if (d->sid != d->pid || d->tty.generation) return;
    t->tty.sid = d->sid;
    t->tty.pgid = d->pgid;
    d->tty = object_id_of(t->object);
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

// The leader of a session ended: its terminal's foreground group is told, and a line that is a
// pseudo-terminal's hangs up. Takes files_lock.
void tty_session_ended(struct proc *p) {
    const struct object_id console = tty_console_id();
    u32 pgid = 0;
    spin_lock(&files_lock);
    LIST_FOR_EACH(it, &terminals) {
        struct terminal *t = LIST_ENTRY(it, struct terminal, link);
        if (t->tty.sid != proc_desc(p)->sid) continue;
        pgid = t->tty.pgid;
        session_clear(t, false);
        if (!object_id_equal(object_id_of(t->object), console)) terminal_hang_up(t);
        break;
    }
    spin_unlock(&files_lock);
    if (!pgid) return;
    signal_raise_group(pgid, SIGHUP, by_kernel);
    signal_raise_group(pgid, SIGCONT, by_kernel);
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
