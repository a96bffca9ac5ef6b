// gated /mnt/NAME FILE FROM LEN: serves the file as NAME/image, whose bytes FROM to FROM + LEN
// cannot be read until something is written to NAME/gate; a read of NAME/gate says how many
// reads wait. So a test decides when a drive answers. Goes on in the background once it is
// mounted.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "user/lib/server.h"

enum { NODE_ROOT, NODE_IMAGE, NODE_GATE };
static int image;
static u64 gated_from, gated_len;
static bool open_now;

static status_t do_attach(struct server *s, u64 *node) {
    (void)s;
    *node = NODE_ROOT;
    return S_OK;
}

static status_t do_walk(struct server *s, u64 from, const char *name, u64 *node) {
    (void)s;
    if (from != NODE_ROOT) return E_NOTDIR;
    *node = !strcmp(name, "image") ? NODE_IMAGE : !strcmp(name, "gate") ? NODE_GATE : NODE_ROOT;
    return *node == NODE_ROOT && strcmp(name, "..") ? E_NOENT : S_OK;
}

static status_t do_attr(struct server *s, u64 node, struct p9_attr *a) {
    struct stat st;
    (void)s;
    if (fstat(image, &st) != 0) return -errno;
    *a = (struct p9_attr){.valid = 0x7ff, .qid_path = node, .nlink = 1, .blksize = 4096,
                          .mode = node == NODE_ROOT ? S_IFDIR | 0755 : S_IFREG | 0644,
                          .qid_type = node == NODE_ROOT ? 0x80 : 0,
                          .size = node == NODE_IMAGE ? (u64)st.st_size : 0};
    return S_OK;
}

static u32 waiting(const struct server *s) {
    u32 count = 0;
    for (u32 i = 0; i < SERVER_WAITS_MAX; i++) count += s->waits[i].used;
    return count;
}

static status_t moved(struct p9_call *c, ssize_t n) {
    c->result = n < 0 ? 0 : (u64)n;
    return n < 0 ? -errno : S_OK;
}

static status_t do_read(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data) {
    if (f->node == NODE_GATE) {
        char text[16];
        const u64 len = (u64)snprintf(text, sizeof text, "%u\n", waiting(s));
        c->result = c->offset < len ? MIN(c->count, len - c->offset) : 0;
        if (c->result) memcpy(data, text + c->offset, c->result);
        return S_OK;
    }
    const bool gated = c->offset < gated_from + gated_len && c->offset + c->count > gated_from;
    if (gated && !open_now) return S_RESTART;
    return moved(c, pread(image, data, c->count, (off_t)c->offset));
}

static status_t do_write(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data) {
    if (f->node == NODE_IMAGE) return moved(c, pwrite(image, data, c->count, (off_t)c->offset));
    open_now = true;
    c->result = c->count;
    server_changed(s);
    return S_OK;
}

static status_t do_call(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data) {
    switch (c->type) {
    case P9_TREAD: return f->node == NODE_ROOT ? E_ISDIR : do_read(s, f, c, data);
    case P9_TWRITE: return f->node == NODE_ROOT ? E_ISDIR : do_write(s, f, c, data);
    case P9_TLOPEN: case P9_TFSYNC: case P9_TSETATTR: return S_OK;
    default: return E_OPNOTSUPP;
    }
}

static const struct server_ops ops = {do_attach, do_walk, do_attr, do_call, NULL};

int main(int argc, char **argv) {
    static struct server server = {.ops = &ops};
    if (argc != 5) return 2;
    image = open(argv[2], O_RDWR);
    gated_from = strtoull(argv[3], NULL, 10);
    gated_len = strtoull(argv[4], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    const int failed = image < 0 ? errno : server_mount(&server, "gated", argv[1]);
    if (failed) fprintf(stderr, "gated: %s: %s\n", argv[1], strerror(failed));
    if (failed || fork() != 0) return failed != 0;
    setsid();
    return server_run(&server);
}
