// Pseudo-terminals. Opening /dev/ptmx makes one: its master, which reads what the slave's programs
// write and types what it writes; the slave is /dev/pts/N, a terminal like any other. Both are
// objects of the node that made them and are used from any node through their handles, and by name:
// N says which node has it. Called through file_call; lock: files_lock.
// Spec: pty(7), ioctl_tty(2); Linux's pty and devpts.
#include "kernel/files/pty.h"

#include "base/string.h"
#include "kernel/file.h"
#include "kernel/files/events.h"
#include "kernel/files/terminal.h"
#include "kernel/klog.h"
#include "kernel/signal.h"
#include "mm/kmem.h"

#define PTY_RING 8192u               // what the master has not read; a power of two
#define SLAVE_MAJOR 0x8800u
#define MASTER_RDEV 0x502u
#define CONSOLE_RDEV 0x501u
#define CFLAG 0xbfu                  // 38400 baud, 8 bits, CREAD: as Linux's

struct pty {
    struct object master, slave;
    struct terminal terminal;        // the slave's
    u32 number;
    u32 uid, gid;                    // of who made it
    bool locked;                     // TIOCSPTLCK: the slave is not to be opened yet
    bool was_open;                   // the slave was
    u32 slave_opens, masters;
    u32 changes;                     // output that came, for edge-triggered waits
    u64 head, tail;                  // of ring
    struct wait_list readers, writers;           // of the master
    u8 ring[PTY_RING];
};

enum {
    TIOCGPGRP = 0x540f, TIOCOUTQ = 0x5411, FIONREAD = 0x541b, TIOCGSID = 0x5429,
    TIOCGPTN = (int)0x80045430, TIOCSPTLCK = 0x40045431, TIOCSIG = 0x40045436,
    TIOCGPTLCK = (int)0x80045439,
};

static struct pty *ptys[PTYS_MAX];
static struct object directory;
static const struct object_ops master_ops, slave_ops;

static u32 used(const struct pty *y) { return (u32)(y->tail - y->head); }

// --- the line from slave to master -----------------------------------------------------------

static void ring_put(void *ctx, const u8 *bytes, u32 len) {
    struct pty *y = ctx;
    for (u32 i = 0; i < len && used(y) < PTY_RING; i++) y->ring[y->tail++ % PTY_RING] = bytes[i];
    y->changes++;
    file_wake(&y->readers);
}
static u32 ring_room(void *ctx) { return PTY_RING - used(ctx); }
static void ring_flush(void *ctx) {
    struct pty *y = ctx;
    y->head = y->tail;
    file_wake(&y->terminal.writers);
}
static void group_signal(void *ctx, u32 pgid, u32 sig) {
    (void)ctx;
    signal_raise_group(pgid, sig, (struct signal_info){.code = SI_KERNEL});
}

// --- the master ------------------------------------------------------------------------------

static status_t master_read(struct pty *y, struct p9_call *c) {
    if (c->count == 0) return S_OK;
    if (used(y) == 0) {
        if (y->terminal.hung_up || (y->was_open && y->slave_opens == 0)) return E_IO;
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&y->readers);
        return S_RESTART;
    }
    while (c->result < c->count && used(y)) {
        const u64 at = y->head % PTY_RING;
        const u64 n = MIN(MIN(c->count - c->result, (u64)used(y)), PTY_RING - at);
        data_put(c, c->result, y->ring + at, n);
        y->head += n;
        c->result += n;
    }
    file_wake(&y->terminal.writers);
    return S_OK;
}

static status_t master_write(struct pty *y, struct p9_call *c) {
    struct terminal *t = &y->terminal;
    u8 bytes[256];
    if (t->hung_up) return E_IO;
    while (c->result < c->count && tty_has_room(&t->tty)) {
        const u32 len = data_get(c, c->result, bytes, MIN(sizeof bytes, c->count - c->result));
        u32 i = 0;
        while (i < len && tty_has_room(&t->tty)) terminal_input(t, bytes[i++]);
        c->result += i;
    }
    if (c->result || c->count == 0) {
        terminal_input_end(t);
        return S_OK;
    }
    if (c->flags & O_NONBLOCK) return E_AGAIN;
    file_wait(&y->writers);
    return S_RESTART;
}

static status_t master_poll(const struct pty *y, struct p9_call *c) {
    const bool ended = y->terminal.hung_up || (y->was_open && y->slave_opens == 0);
    u32 ready = tty_has_room(&y->terminal.tty) ? POLLOUT : 0;
    if (used(y) || ended) ready |= POLLIN;
    if (ended) ready |= POLLHUP;
    c->result = (ready & (c->flags | POLLHUP)) | POLL_CHANGE(y->changes);
    return S_OK;
}

static status_t master_ioctl(struct pty *y, struct p9_call *c) {
    struct tty *t = &y->terminal.tty;
    u32 n;
    switch ((i32)c->flags) {
    case TIOCGPTN: data_put(c, 0, &y->number, 4); return S_OK;
    case TIOCSPTLCK:
        data_get(c, 0, &n, 4);
        y->locked = n != 0;
        return S_OK;
    case TIOCGPTLCK:
        n = y->locked;
        data_put(c, 0, &n, 4);
        return S_OK;
    case TIOCSIG:
        if (c->value == 0 || c->value > SIGNAL_COUNT) return E_INVAL;
        if (t->pgid) group_signal(y, t->pgid, (u32)c->value);
        return S_OK;
    case TIOCGPGRP: data_put(c, 0, &t->pgid, 4); return S_OK;
    case TIOCGSID: data_put(c, 0, &t->sid, 4); return t->sid ? S_OK : E_NOTTY;
    case FIONREAD:
        n = used(y);
        data_put(c, 0, &n, 4);
        return S_OK;
    case TIOCSCTTY: case TIOCNOTTY: return E_NOTTY;
    default: return terminal_ioctl(&y->terminal, c);
    }
}

// Linux's encoding: the major number, 136, above the lower eight bits of the minor one.
static u32 slave_rdev(u32 number) {
    return SLAVE_MAJOR | (number & 0xff) | (number & ~0xffu) << 12;
}

static void attr_fill(u64 path, u32 mode, u32 rdev, struct p9_attr *a) {
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = path, .mode = mode, .nlink = 1,
                          .rdev = rdev, .blksize = 1};
}

static status_t master_call(struct object *o, struct p9_call *c) {
    struct pty *y = CONTAINER_OF(o, struct pty, master);
    switch (c->type) {
    case P9_TREAD: return master_read(y, c);
    case P9_TWRITE: return master_write(y, c);
    case P9_TPOLL: return master_poll(y, c);
    case P9_TIOCTL: return master_ioctl(y, c);
    case P9_TGETATTR: attr_fill(2, S_IFCHR | 0666, MASTER_RDEV, &c->attr); return S_OK;
    case P9_TLOPEN:
        y->masters++;
        return ofd_open(o, c->flags, c);
    case P9_TCLUNK:                              // an open end was closed
        if (--y->masters == 0) terminal_hang_up(&y->terminal);
        return S_OK;
    case P9_TSETATTR: return S_OK;
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void slave_attr(const struct pty *y, struct p9_attr *a) {
    attr_fill(3 + y->number, S_IFCHR | 0620, slave_rdev(y->number), a);
    a->uid = y->uid, a->gid = y->gid;
}

// --- the slave -------------------------------------------------------------------------------

static status_t slave_open(struct pty *y, struct p9_call *c) {
    if (y->locked || y->terminal.hung_up) return E_IO;
    const status_t s = ofd_open(&y->slave, c->flags, c);
    if (s != S_OK) return s;
    y->slave_opens++;
    y->was_open = true;
    terminal_opened(&y->terminal, c->flags);
    return S_OK;
}

static status_t slave_call(struct object *o, struct p9_call *c) {
    struct pty *y = CONTAINER_OF(o, struct pty, slave);
    struct terminal *t = &y->terminal;
    status_t s;
    switch (c->type) {
    case P9_TREAD:
        s = terminal_read(t, c);
        if (s == S_OK) file_wake(&y->writers);
        return s;
    case P9_TWRITE: return terminal_write(t, c);
    case P9_TPOLL:
        c->result = (terminal_poll(t) & (c->flags | POLLERR | POLLHUP)) | POLL_CHANGE(t->changes);
        return S_OK;
    case P9_TIOCTL: return terminal_ioctl(t, c);
    case P9_TGETATTR:
        slave_attr(y, &c->attr);
        return S_OK;
    case P9_TLOPEN: return slave_open(y, c);
    case P9_TCLUNK:
        ASSERT(y->slave_opens > 0);
        if (--y->slave_opens == 0) file_wake(&y->readers);
        return S_OK;
    case P9_TSETATTR: return S_OK;
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

// --- their life ------------------------------------------------------------------------------

static void pty_free(struct pty *y) {
    if (y->master.refs || y->slave.refs) return;
    terminal_end(&y->terminal);
    kmem_free(y, sizeof *y);
}

// The table's reference on the slave goes with the master: its name is gone then.
static void master_release(struct object *o) {
    struct pty *y = CONTAINER_OF(o, struct pty, master);
    const u32 place = y->number % PTYS_MAX;
    if (ptys[place] == y) ptys[place] = NULL;
    y->master.refs = 1;                          // so that the slave does not free it meanwhile
    if (y->slave.refs) object_put(&y->slave);
    y->master.refs = 0;
    pty_free(y);
}
static void slave_release(struct object *o) { pty_free(CONTAINER_OF(o, struct pty, slave)); }

static const struct object_ops master_ops = {"ptmx", master_call, master_release};
static const struct object_ops slave_ops = {"pts", slave_call, slave_release};

static status_t pty_make(u32 place, struct pty **out) {
    struct pty *y = kmem_alloc(sizeof *y);
    if (!y) return E_NOMEM;
    status_t s = object_add(&y->master, &master_ops);
    if (s != S_OK) {
        kmem_free(y, sizeof *y);
        return s;
    }
    terminal_init(&y->terminal, &y->slave);
    s = object_add(&y->slave, &slave_ops);
    if (s != S_OK) {
        object_put(&y->master);
        return s;
    }
    y->number = node_id * PTYS_MAX + place;
    y->locked = true;
    y->terminal.tty.termios.cflag = CFLAG;
    y->terminal.tty.out = ring_put;
    y->terminal.tty.room = ring_room;
    y->terminal.tty.flush = ring_flush;
    y->terminal.tty.signal = group_signal;
    y->terminal.tty.ctx = y;
    wait_list_init(&y->readers);
    wait_list_init(&y->writers);
    ptys[place] = y;
    *out = y;
    return S_OK;
}

// Makes a pair and opens its master. E_NOSPC: there are PTYS_MAX; E_NOMEM, E_NFILE.
status_t pty_open(u32 flags, struct p9_call *c) {
    u32 place = 0;
    struct pty *y;
    while (place < PTYS_MAX && ptys[place]) place++;
    if (place == PTYS_MAX) return E_NOSPC;
    status_t s = pty_make(place, &y);
    if (s != S_OK) return s;
    const struct proc *p = proc_current();
    if (p) y->uid = proc_desc(p)->euid, y->gid = proc_desc(p)->egid;
    s = ofd_open(&y->master, flags, c);
    if (s == S_OK) y->masters = 1;
    object_put(&y->master);                      // the open description has one
    return s;
}

// --- /dev/pts --------------------------------------------------------------------------------

static u32 number_of(const char *name) {
    u32 n = 0;
    for (; *name >= '0' && *name <= '9' && n < 1u << 20; name++) n = n * 10 + (u32)(*name - '0');
    return *name ? ~0u : n;
}

static struct pty *find(u32 number) {
    struct pty *y = ptys[number % PTYS_MAX];
    return y && y->number == number && y->master.refs ? y : NULL;
}

static status_t directory_walk(struct p9_call *c) {
    struct object *o = &directory;
    if (strcmp(c->name, ".") && strcmp(c->name, "..")) {
        const u32 number = number_of(c->name);
        struct pty *y = number == ~0u ? NULL : find(number);
        if (!y) return E_NOENT;
        o = &y->slave;
        slave_attr(y, &c->attr);
    } else {
        attr_fill(1, S_IFDIR | 0755, 0, &c->attr);
    }
    object_get(o);
    c->made = object_id_of(o);
    return S_OK;
}

static status_t directory_read(struct p9_call *c) {
    for (u64 i = c->offset; i < PTYS_MAX + 2; i++) {
        char name[12];
        if (i < 2) memcpy(name, i == 0 ? "." : "..", i == 0 ? 2 : 3);
        else if (!ptys[i - 2]) continue;
        else ksnprintf(name, sizeof name, "%u", ptys[i - 2]->number);
        if (!data_dirent(c, i + 1, i + 1, i < 2 ? S_IFDIR : S_IFCHR, name)) break;
        c->value = i + 1;
    }
    return S_OK;
}

static status_t directory_call(struct object *o, struct p9_call *c) {
    (void)o;
    switch (c->type) {
    case P9_TWALK: return directory_walk(c);
    case P9_TREADDIR: return directory_read(c);
    case P9_TGETATTR: attr_fill(1, S_IFDIR | 0755, 0, &c->attr); return S_OK;
    case P9_TLOPEN:
        return c->flags & O_ACCMODE ? E_ISDIR : ofd_open(&directory, c->flags, c);
    case P9_TCLUNK: case P9_TSETATTR: case P9_TFSYNC: return S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x1cd1, .bsize = PAGE_SIZE};
        return S_OK;
    default: return E_PERM;
    }
}

static void directory_release(struct object *o) { (void)o; }    // the table's reference stays
static const struct object_ops directory_ops = {"devpts", directory_call, directory_release};

u32 pty_node(const char *name) {
    const u32 number = number_of(name);
    return number == ~0u ? number : number / PTYS_MAX;
}

// The device number of a controlling terminal, as /proc shows it. Of one of another node the
// number alone is not known.
u32 pty_device(struct object_id id) {
    u32 rdev = id.generation ? SLAVE_MAJOR : 0;
    if (object_id_equal(id, tty_console_id())) return CONSOLE_RDEV;
    for (u32 i = 0; i < PTYS_MAX && id.node == node_id; i++)
        if (ptys[i] && object_id_equal(object_id_of(&ptys[i]->slave), id))
            rdev = slave_rdev(ptys[i]->number);
    return rdev;
}

void pty_init(void) {
    const status_t s = object_add(&directory, &directory_ops);
    ASSERT(s == S_OK);
    object_set_root(OBJECT_ROOT_PTS, &directory);
}
