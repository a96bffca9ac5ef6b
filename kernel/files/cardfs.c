// /nodes/N/dev/ethX: a network card's raw Ethernet frames, and ethX.status beside it with its
// address, MTU, link and figures. One read is one frame, one write is one frame, each with
// its Ethernet header and without its FCS. Each open for reading has a queue of its own.
// What the cluster sends and receives is out of reach (kernel/frame_guard.c). Called through
// file_call; lock: files_lock.
#include "base/string.h"
#include "kernel/card_port.h"
#include "kernel/files/cardfs.h"
#include "kernel/files/nodedev.h"
#include "kernel/files/synth.h"
#include "kernel/klog.h"
#include "mm/kmem.h"

#define CARD_MAJOR 0xf1u             // Linux has no device files of this kind
#define STATUS_MAX 1024u
#define QID_FIRST 0x1000u            // drives have small ones
#define FIONREAD 0x541bu             // Linux asm-generic/ioctls.h

// A card's file, or its status.
struct card_file {
    struct object object;
    struct card_port *port;
    bool is_status;
    char name[24];
};
// An open for reading; the open file description holds the only reference.
struct reader {
    struct object object;
    struct card_file *file;
    struct card_tap *tap;
};

static struct card_file files[NET_CARDS_MAX][2];

static void fill_attr(const struct card_file *f, struct p9_attr *a) {
    const u32 card = (u32)(f->port - card_ports);
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .nlink = 1,
        .qid_path = QID_FIRST + 2 * card + f->is_status,
        .mode = f->is_status ? S_IFREG | 0444 : S_IFCHR | 0660,
        .rdev = f->is_status ? 0 : CARD_MAJOR << 8 | card,
        .blksize = f->is_status ? PAGE_SIZE : 1};
}

// --- the status ---

static status_t status_read(const struct card_port *port, struct p9_call *c) {
    static char bytes[STATUS_MAX];               // files_lock
    struct text t = {.bytes = bytes, .size = sizeof bytes};
    struct netdev *dev = port->card->dev;
    const struct net_counters *n = &dev->counters;
    const struct card_port_counters *p = &port->counters;
    text_add(&t, "mac: %pM\nmtu: %u\nlink: %s\nuse: %s\n", dev->mac, dev->mtu,
             dev->ops->link_up(dev) ? "up" : "down", port->card->rdma ? "roce" : "free");
    text_add(&t, "tx_frames: %lu\ntx_bytes: %lu\nrx_frames: %lu\nrx_bytes: %lu\n", n->tx_frames,
             n->tx_bytes, n->rx_frames, n->rx_bytes);
    text_add(&t, "raw_received: %lu\nraw_dropped: %lu\nraw_hidden: %lu\nraw_truncated: %lu\n",
             p->received, p->dropped, p->hidden, p->truncated);
    text_add(&t, "raw_sent: %lu\nraw_send_failed: %lu\nraw_refused: %lu\n", p->sent,
             p->send_failed, p->refused);
    if (c->offset < t.len)
        c->result = data_put(c, 0, bytes + c->offset, MIN(c->count, t.len - c->offset));
    return S_OK;
}

// --- frames ---

// The next frame, cut to what the caller has room for.
static status_t frame_read(struct reader *r, struct p9_call *c) {
    struct card_port *port = r->file->port;
    struct ring *ring = &r->tap->ring;
    if (c->count == 0) return S_OK;
    if (ring_empty(ring)) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&port->readers);
        return S_RESTART;
    }
    const struct card_frame f = r->tap->slot[ring_peek_index(ring, 0)];
    c->result = data_put(c, 0, f.bytes, MIN(c->count, f.len_bytes));
    port->counters.truncated += c->count < f.len_bytes;
    ring_consume(ring);
    kmem_free(f.bytes, f.len_bytes);
    return S_OK;
}

static bool is_too_long(const struct netdev *dev, const u8 *frame, u32 len) {
    return len > dev->mtu + FRAME_HEADER + (frame_is_tagged(frame, len) ? FRAME_TAG : 0);
}

// Takes the frame for the card; it is sent soon. E_INVAL: shorter than a header; E_MSGSIZE;
// E_PERM: the cluster's; E_NETDOWN.
static status_t frame_write(struct card_port *port, struct p9_call *c) {
    struct netdev *dev = port->card->dev;
    if (c->count < FRAME_HEADER) return E_INVAL;
    if (c->count > dev->mtu + FRAME_HEADER + FRAME_TAG) return E_MSGSIZE;
    if (!dev->ops->link_up(dev)) return E_NETDOWN;
    if (ring_full(&port->tx)) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&port->writers);
        return S_RESTART;
    }
    const u32 len = (u32)c->count;
    u8 *bytes = kmem_alloc(len);
    if (!bytes) return E_NOMEM;
    data_get(c, 0, bytes, len);
    const struct frame_guard guard = card_guard(port);
    const bool forges = frame_forges(&guard, bytes, len);
    if (forges || is_too_long(dev, bytes, len)) {
        port->counters.refused += forges;
        kmem_free(bytes, len);
        return forges ? E_PERM : E_MSGSIZE;
    }
    card_port_send(port, (struct card_frame){bytes, len});
    c->result = len;
    return S_OK;
}

// Returns when all that was written has been given to the card.
static status_t frames_sync(struct card_port *port) {
    if (ring_empty(&port->tx)) return S_OK;
    file_wait(&port->writers);
    return S_RESTART;
}

static status_t frame_ioctl(const struct reader *r, struct p9_call *c) {
    u32 len = 0;
    if (c->flags != FIONREAD || !r) return E_NOTTY;
    const struct ring *ring = &r->tap->ring;
    if (!ring_empty(ring)) len = r->tap->slot[ring_peek_index(ring, 0)].len_bytes;
    data_put(c, 0, &len, sizeof len);
    return S_OK;
}

// What files and readers answer alike; r: NULL for a file, or one open for writing alone.
static status_t common_call(struct card_file *f, const struct reader *r, struct p9_call *c) {
    u32 ready = 0;
    switch (c->type) {
    case P9_TWRITE: return f->is_status ? E_PERM : frame_write(f->port, c);
    case P9_TFSYNC: return f->is_status ? S_OK : frames_sync(f->port);
    case P9_TGETATTR: fill_attr(f, &c->attr); return S_OK;
    case P9_TIOCTL: return frame_ioctl(r, c);
    case P9_TPOLL:
        if (f->is_status || (r && !ring_empty(&r->tap->ring))) ready |= POLLIN;
        if (!f->is_status && !ring_full(&f->port->tx)) ready |= POLLOUT;
        c->result = ready & c->flags;
        return S_OK;
    case P9_TCLUNK: return S_OK;
    default: return nodedev_file_other(c);
    }
}

static status_t file_open(struct card_file *f, struct p9_call *c);

static status_t reader_call(struct object *o, struct p9_call *c) {
    struct reader *r = CONTAINER_OF(o, struct reader, object);
    if (c->type == P9_TREAD) return frame_read(r, c);
    if (c->type == P9_TLOPEN) return file_open(r->file, c);   // by /proc/self/fd: another one
    return common_call(r->file, r, c);
}

static void reader_release(struct object *o) {
    struct reader *r = CONTAINER_OF(o, struct reader, object);
    if (r->tap) card_tap_close(r->tap);
    kmem_free(r, sizeof *r);
}

static const struct object_ops reader_ops = {"cardtap", reader_call, reader_release};

static status_t reader_open(struct card_file *f, struct p9_call *c) {
    struct reader *r = kmem_alloc(sizeof *r);
    if (!r) return E_NOMEM;
    status_t status = object_add(&r->object, &reader_ops);
    if (status != S_OK) {
        kmem_free(r, sizeof *r);
        return status;
    }
    r->file = f;
    status = ofd_open(&r->object, c->flags, c);  // its own reference
    if (status == S_OK) status = card_tap_open(f->port, &r->tap);
    if (status != S_OK && c->made.generation) {
        object_put(object_find(c->made));
        c->made = (struct object_id){0};
    }
    object_put(&r->object);
    return status;
}

static status_t file_open(struct card_file *f, struct p9_call *c) {
    const u32 mode = c->flags & O_ACCMODE;
    if (c->flags & O_DIRECTORY) return E_NOTDIR;
    if (f->is_status && mode) return E_PERM;
    c->made = (struct object_id){0};
    if (f->is_status || mode == O_WRONLY || (c->flags & O_PATH))
        return ofd_open(&f->object, c->flags, c);
    return reader_open(f, c);
}

static status_t card_call(struct object *o, struct p9_call *c) {
    struct card_file *f = CONTAINER_OF(o, struct card_file, object);
    if (c->type == P9_TLOPEN) return file_open(f, c);
    if (c->type == P9_TREAD) return f->is_status ? status_read(f->port, c) : E_BADF;
    return common_call(f, NULL, c);
}

static void keep(struct object *o) { (void)o; }  // the table's own reference stays
static const struct object_ops card_ops = {"card", card_call, keep};

// Two files a card. Boot, after net_init and nodedev_init.
void cardfs_init(void) {
    card_ports_init();
    spin_lock(&files_lock);
    for (u32 i = 0; i < net_card_count; i++) {
        for (u32 k = 0; k < 2; k++) {
            struct card_file *f = &files[i][k];
            const status_t status = object_add(&f->object, &card_ops);
            ASSERT(status == S_OK);
            f->port = &card_ports[i];
            f->is_status = k == 1;
            ksnprintf(f->name, sizeof f->name, "%s%s", net_cards[i].dev->name,
                      k ? ".status" : "");
            (void)nodedev_add(f->name, &f->object);
        }
    }
    spin_unlock(&files_lock);
}
