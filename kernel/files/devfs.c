// /dev: null, zero, full, random, urandom, console, tty, ptmx, pts (pty.c), com2, bench
// (kernel/bench.c), and links into /proc/self/fd and to /run/shm. The console is COM1, the
// keyboard and the screen as one terminal (terminal.c); tty stands for the controlling one of who
// opens it (path_open); com2 is the second serial port, raw; run is the same port, there only where
// the option run=com2 and this node being node 0 make it the run channel. Called through file_call
// and at the edge for input; lock: files_lock.
#include "base/string.h"
#include "drivers/console/console.h"
#include "kernel/bench.h"
#include "kernel/file.h"
#include "kernel/files/events.h"
#include "kernel/files/nodedev.h"
#include "kernel/files/pty.h"
#include "kernel/files/terminal.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/signal.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"

// Mode of what is user 0's alone, for it reaches the machine or somebody's terminal; the other
// devices are for all.
#define DEV_MODE_ROOT (S_IFCHR | 0600u)

enum dev_kind { DEV_DIR, DEV_NULL, DEV_ZERO, DEV_FULL, DEV_RANDOM, DEV_CONSOLE, DEV_TTY, DEV_PTMX,
                DEV_PTS, DEV_COM2, DEV_LINK, DEV_BENCH };

struct dev_node {
    struct object object;
    const char *name;
    enum dev_kind kind;
    u32 rdev;                        // major << 8 | minor, Linux's numbers
    const char *target;
};

static struct dev_node nodes[] = {
    {.name = "", .kind = DEV_DIR},
    {.name = "null", .kind = DEV_NULL, .rdev = 0x103},
    {.name = "zero", .kind = DEV_ZERO, .rdev = 0x105},
    {.name = "full", .kind = DEV_FULL, .rdev = 0x107},
    {.name = "random", .kind = DEV_RANDOM, .rdev = 0x108},
    {.name = "urandom", .kind = DEV_RANDOM, .rdev = 0x109},
    {.name = "console", .kind = DEV_CONSOLE, .rdev = 0x501},
    {.name = "tty", .kind = DEV_TTY, .rdev = 0x500},
    {.name = "ptmx", .kind = DEV_PTMX, .rdev = 0x502},
    {.name = "pts", .kind = DEV_PTS},
    {.name = "com2", .kind = DEV_COM2, .rdev = 0x441},
    {.name = "run", .kind = DEV_COM2, .rdev = 0x442},
    {.name = "bench", .kind = DEV_BENCH, .rdev = 0xf001},
    {.name = "fd", .kind = DEV_LINK, .target = "/proc/self/fd"},
    {.name = "stdin", .kind = DEV_LINK, .target = "/proc/self/fd/0"},
    {.name = "stdout", .kind = DEV_LINK, .target = "/proc/self/fd/1"},
    {.name = "stderr", .kind = DEV_LINK, .target = "/proc/self/fd/2"},
    {.name = "shm", .kind = DEV_LINK, .target = "/run/shm"},     // shm_open, sem_open
};
#define DEV_COUNT ARRAY_COUNT(nodes)
#define NODE_CONSOLE 6
#define NODE_TTY 7

static struct terminal console;
static struct wait_list com2_readers;
#define COM2_PENDING_MAX 4096u
static u8 com2_bytes[COM2_PENDING_MAX];
static u32 com2_head, com2_tail;

static void console_out(void *ctx, const u8 *bytes, u32 len) {
    (void)ctx;
    klog_console_write((const char *)bytes, len);
}
static void console_signal(void *ctx, u32 pgid, u32 sig) {
    (void)ctx;
    signal_raise_group(pgid, sig, (struct signal_info){.code = SI_KERNEL});
}

// The next byte of the console's line: COM1's, then the keyboard's.
static int console_byte(void) {
    const int c = serial_read(SERIAL_COM1);
    return c >= 0 ? c : kbd_read();
}

// At the edge after input arrived: through the line discipline, and wakes readers.
static void console_edge(void) {
    bool ready = false, raw = false;
    int c;
    spin_lock(&files_lock);
    while (tty_has_room(&console.tty) && (c = console_byte()) >= 0) {
        terminal_input(&console, (u8)c);
        ready = true;
    }
    while (com2_tail - com2_head < COM2_PENDING_MAX && (c = serial_read(SERIAL_COM2)) >= 0) {
        com2_bytes[com2_tail++ % COM2_PENDING_MAX] = (u8)c;
        raw = true;
    }
    if (ready) terminal_input_end(&console);
    if (raw) file_wake(&com2_readers);
    spin_unlock(&files_lock);
}

static status_t com2_read(struct p9_call *c) {
    if (!serial_present(SERIAL_COM2)) return E_NXIO;
    if (com2_head == com2_tail) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&com2_readers);
        return S_RESTART;
    }
    while (c->result < c->count && com2_head != com2_tail) {
        data_put(c, c->result++, &com2_bytes[com2_head++ % COM2_PENDING_MAX], 1);
    }
    edge_request(EDGE_CONSOLE);                  // there may be more in the driver's ring
    return S_OK;
}

static status_t bench_call(struct p9_call *c) {
    char line[128];
    const char *text;
    u32 len = 0;
    if (c->type == P9_TWRITE) {
        if (c->count >= sizeof line) return E_INVAL;
        len = data_get(c, 0, line, c->count);
        c->result = c->count;
        return bench_write(line, len);
    }
    const status_t s = bench_read(c->offset, &text, &len);
    if (s == S_OK) c->result = data_put(c, 0, text, MIN((u64)len, c->count));
    return s;
}

static status_t dev_page(const struct dev_node *n, struct p9_call *c) {
    paddr_t frame;
    if (n->kind != DEV_BENCH) return E_NODEV;
    const status_t s = bench_page(c->offset, &frame);
    if (s != S_OK) return s;
    frame_ref(frame);
    c->result = frame.v;
    c->value = 1;                    // writable
    return S_OK;
}

static status_t do_write(const struct dev_node *n, struct p9_call *c) {
    u8 bytes[512];
    if (n->kind == DEV_BENCH) return bench_call(c);
    if (n->kind == DEV_CONSOLE) return terminal_write(&console, c);
    if (n->kind == DEV_FULL) return E_NOSPC;
    if (n->kind == DEV_COM2 && !serial_present(SERIAL_COM2)) return E_NXIO;
    while (n->kind == DEV_COM2 && c->result < c->count) {
        u32 len = data_get(c, c->result, bytes, MIN(sizeof bytes, c->count - c->result));
        serial_write(SERIAL_COM2, (const char *)bytes, len);
        c->result += len;
    }
    c->result = c->count;
    return S_OK;
}

static status_t do_read(const struct dev_node *n, struct p9_call *c) {
    u8 bytes[256];
    switch (n->kind) {
    case DEV_NULL: return S_OK;
    case DEV_ZERO: case DEV_FULL:
        data_zero(c, 0, c->count);
        c->result = c->count;
        return S_OK;
    case DEV_RANDOM:
        while (c->result < c->count) {
            u64 len = MIN(sizeof bytes, c->count - c->result);
            random_fill(bytes, len);
            c->result += data_put(c, c->result, bytes, len);
        }
        return S_OK;
    case DEV_CONSOLE: return terminal_read(&console, c);
    case DEV_COM2: return com2_read(c);
    case DEV_BENCH: return bench_call(c);
    default: return E_ISDIR;
    }
}

static status_t do_poll(const struct dev_node *n, struct p9_call *c) {
    u32 ready = n->kind == DEV_CONSOLE ? terminal_poll(&console) : POLLIN | POLLOUT;
    if (n->kind == DEV_COM2 && com2_head == com2_tail) ready = POLLOUT;
    c->result = (ready & c->flags) | (n->kind == DEV_CONSOLE ? POLL_CHANGE(console.changes) : 0);
    return S_OK;
}

static void fill_attr(const struct dev_node *n, struct p9_attr *a) {
    const bool dir = n->kind == DEV_DIR || n->kind == DEV_PTS;
    u32 mode = dir ? S_IFDIR | 0755 : n->kind == DEV_LINK ? S_IFLNK | 0777 : S_IFCHR | 0666;
    if (n->kind == DEV_BENCH || n->kind == DEV_COM2 || n->kind == DEV_CONSOLE)
        mode = DEV_MODE_ROOT;
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = (u64)(n - nodes) + 1, .mode = mode,
        .nlink = 1, .rdev = n->rdev, .qid_type = dir ? 0x80 : 0,
        .blksize = n->kind == DEV_CONSOLE || n->kind == DEV_COM2 ? 1 : PAGE_SIZE,
        .size = n->target ? strlen(n->target) : 0};
}

static bool visible(const struct dev_node *n) {
    if (strcmp(n->name, "run")) return true;
    return !strcmp(options.run, "com2") && node_id == 0 && serial_present(SERIAL_COM2);
}

static status_t do_walk(struct dev_node *n, struct p9_call *c) {
    if (n->kind != DEV_DIR) return E_NOTDIR;
    u32 i = 0;
    if (strcmp(c->name, ".") && strcmp(c->name, "..")) {
        for (i = 1; i < DEV_COUNT && strcmp(nodes[i].name, c->name); i++) continue;
    }
    if (i == DEV_COUNT || !visible(&nodes[i])) return E_NOENT;
    fill_attr(&nodes[i], &c->attr);
    if (nodes[i].kind == DEV_PTS) {
        c->made = object_root_id(node_id, OBJECT_ROOT_PTS);
        return S_OK;
    }
    object_get(&nodes[i].object);
    c->made = object_id_of(&nodes[i].object);
    return S_OK;
}

static status_t do_readdir(struct p9_call *c) {
    for (u64 i = c->offset; i < DEV_COUNT + 1; i++) {
        struct p9_attr a;
        if (i >= 2 && !visible(&nodes[i - 1])) continue;
        const char *name = i == 0 ? "." : i == 1 ? ".." : nodes[i - 1].name;
        fill_attr(&nodes[i < 2 ? 0 : i - 1], &a);
        if (!data_dirent(c, a.qid_path, i + 1, a.mode, name)) break;
        c->value = i + 1;
    }
    return S_OK;
}

static status_t do_open(struct dev_node *n, struct p9_call *c) {
    if (n->kind == DEV_DIR && (c->flags & O_ACCMODE)) return E_ISDIR;
    if (n->kind != DEV_DIR && (c->flags & O_DIRECTORY)) return E_NOTDIR;
    if (n->kind == DEV_COM2 && !serial_present(SERIAL_COM2)) return E_NXIO;
    if (n->kind == DEV_TTY) return E_NXIO;       // who opens it has none, or it is elsewhere
    if (n->kind == DEV_PTMX) return pty_open(c->flags, c);
    if (n->kind == DEV_CONSOLE) terminal_opened(&console, c->flags);
    return ofd_open(&n->object, c->flags, c);
}

static status_t dev_call(struct object *o, struct p9_call *c) {
    struct dev_node *n = CONTAINER_OF(o, struct dev_node, object);
    switch (c->type) {
    case P9_TWALK: return do_walk(n, c);
    case P9_TLOPEN: return do_open(n, c);
    case P9_TREAD: return do_read(n, c);
    case P9_TWRITE: return do_write(n, c);
    case P9_TREADDIR: return n->kind == DEV_DIR ? do_readdir(c) : E_NOTDIR;
    case P9_TGETATTR: fill_attr(n, &c->attr); return S_OK;
    case P9_TSETATTR: case P9_TCLUNK: case P9_TFSYNC: return S_OK;
    case P9_TREADLINK:
        if (!n->target) return E_INVAL;
        c->result = data_put(c, 0, n->target, MIN(strlen(n->target), c->count));
        return S_OK;
    case P9_TPOLL: return do_poll(n, c);
    case P9_TIOCTL: return n->kind == DEV_CONSOLE ? terminal_ioctl(&console, c) : E_NOTTY;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x1373, .bsize = PAGE_SIZE};
        return S_OK;
    case P9_TPAGE: return dev_page(n, c);
    default: return E_PERM;
    }
}

static void dev_release(struct object *o) { (void)o; }   // the table's own reference stays
static const struct object_ops dev_ops = {"dev", dev_call, dev_release};

// The console in /nodes/N/dev. Boot.
void tty_share(void) {
    spin_lock(&files_lock);
    (void)nodedev_add(nodes[NODE_CONSOLE].name, &nodes[NODE_CONSOLE].object);
    spin_unlock(&files_lock);
}

struct object_id tty_console_id(void) { return object_id_of(&nodes[NODE_CONSOLE].object); }
struct object_id tty_device_id(void) { return object_id_of(&nodes[NODE_TTY].object); }

struct object *devfs_init(void) {
    spin_lock(&files_lock);
    for (u32 i = 0; i < DEV_COUNT; i++) {
        status_t s = object_add(&nodes[i].object, &dev_ops);
        ASSERT(s == S_OK);
    }
    pty_init();
    terminal_init(&console, &nodes[NODE_CONSOLE].object);
    console.tty.termios.iflag |= TTY_IUTF8;
    console.tty.winsize = (struct tty_winsize){24, 80, 0, 0};
    console.tty.out = console_out;
    console.tty.signal = console_signal;
    spin_unlock(&files_lock);
    wait_list_init(&com2_readers);
    edge_hook_set(EDGE_CONSOLE, console_edge);
    return &nodes[0].object;
}
