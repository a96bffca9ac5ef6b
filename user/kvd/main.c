// kvd /mnt/NAME: keys and values in memory, as a tree of files that all nodes see; the example of
// a file server by user/lib/server.h (docs/reference/servers.md).
//   NAME/KEY        its value: written, read, removed as a file
//   NAME/wait/KEY   a read waits until the key has a value, then gives it
// Goes on in the background once it is mounted, until it is unmounted. Bounds: KEYS_MAX keys of
// VALUE_MAX bytes; more is ENOSPC, EFBIG.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "user/lib/server.h"

#define KEYS_MAX 256u
#define NAME_MAX_BYTES 64u
#define VALUE_MAX (64u << 10)
#define WAIT_NAME "wait"
enum { SET_SIZE = 8 };                   // 9P2000.L's setattr

// A node: the root, the directory of waits, and for each place in `keys` its file and its wait.
enum { NODE_ROOT, NODE_WAITS, NODE_KEYS };
struct key {
    char name[NAME_MAX_BYTES];           // "": the place is free
    bool set;                            // it has a value: it is in the directory
    int fids;                            // that name it
    time_t changed;
    u32 len;
    u8 *value;
};
static struct key keys[KEYS_MAX];

static struct key *key_of(u64 node) { return &keys[(node - NODE_KEYS) / 2]; }
static bool is_wait(u64 node) { return (node - NODE_KEYS) % 2 == 1; }
static u64 node_of(const struct key *k, bool wait) {
    return NODE_KEYS + (u64)(k - keys) * 2 + wait;
}

static struct key *key_find(const char *name) {
    for (u32 i = 0; i < KEYS_MAX; i++)
        if (keys[i].name[0] && !strcmp(keys[i].name, name)) return &keys[i];
    return NULL;
}

// The place of that key, which may be a new one without a value. NULL: none is free.
static struct key *key_place(const char *name) {
    struct key *k = key_find(name);
    for (u32 i = 0; !k && i < KEYS_MAX; i++) {
        if (keys[i].name[0]) continue;
        k = &keys[i];
        memcpy(k->name, name, strlen(name) + 1);
    }
    return k;
}

static void key_free_unused(struct key *k) {
    if (k->set || k->fids) return;
    free(k->value);
    *k = (struct key){0};
}

static status_t name_check(const char *name) {
    return strlen(name) < NAME_MAX_BYTES ? S_OK : E_NAMETOOLONG;
}

static status_t kv_attach(struct server *s, u64 *node) {
    (void)s;
    *node = NODE_ROOT;
    return S_OK;
}

static status_t kv_walk(struct server *s, u64 from, const char *name, u64 *node) {
    (void)s;
    if (from >= NODE_KEYS) return E_NOTDIR;
    if (!strcmp(name, "..")) *node = NODE_ROOT;
    else if (from == NODE_ROOT && !strcmp(name, WAIT_NAME)) *node = NODE_WAITS;
    else if (name_check(name) != S_OK) return E_NAMETOOLONG;
    else if (from == NODE_ROOT) {
        const struct key *k = key_find(name);
        if (!k || !k->set) return E_NOENT;
        *node = node_of(k, false);
    } else {
        const struct key *k = key_place(name);
        if (!k) return E_NOSPC;
        *node = node_of(k, true);
    }
    return S_OK;
}

static status_t kv_attr(struct server *s, u64 node, struct p9_attr *a) {
    (void)s;
    *a = (struct p9_attr){.valid = 0x7ff, .qid_path = node, .nlink = 1, .blksize = 4096};
    if (node < NODE_KEYS) {
        a->qid_type = 0x80;
        a->mode = S_IFDIR | 0755;
        return S_OK;
    }
    const struct key *k = key_of(node);
    a->mode = S_IFREG | (is_wait(node) ? 0444 : 0644);
    a->size = is_wait(node) && !k->set ? 0 : k->len;
    a->mtime_s = a->ctime_s = a->atime_s = (u64)k->changed;
    return S_OK;
}

static void kv_named(struct server *s, u64 node, int change) {
    (void)s;
    if (node < NODE_KEYS) return;
    key_of(node)->fids += change;
    key_free_unused(key_of(node));
}

// Makes the value `len` bytes long.
static status_t resize(struct key *k, u64 len) {
    if (len > VALUE_MAX) return E_FBIG;
    u8 *value = realloc(k->value, len ? len : 1);
    if (!value) return E_NOMEM;
    if (len > k->len) memset(value + k->len, 0, len - k->len);
    k->value = value;
    k->len = (u32)len;
    k->changed = time(NULL);
    return S_OK;
}

static status_t kv_create(struct server_fid *f, const struct p9_call *c) {
    if (f->node != NODE_ROOT || !strcmp(c->name, WAIT_NAME)) return E_PERM;
    if (name_check(c->name) != S_OK) return E_NAMETOOLONG;
    struct key *k = key_place(c->name);
    if (!k) return E_NOSPC;
    if (k->set) return E_EXIST;
    const status_t status = resize(k, 0);
    if (status != S_OK) {
        key_free_unused(k);
        return status;
    }
    k->set = true;
    f->node = node_of(k, false);
    return S_OK;
}

static status_t kv_read(const struct server_fid *f, struct p9_call *c, u8 *data) {
    if (f->node < NODE_KEYS) return E_ISDIR;
    const struct key *k = key_of(f->node);
    if (is_wait(f->node) && c->offset == 0 && (!k->set || k->len == 0)) return S_RESTART;
    c->result = c->offset < k->len ? MIN(c->count, k->len - c->offset) : 0;
    if (c->result) memcpy(data, k->value + c->offset, c->result);
    return S_OK;
}

static status_t kv_write(struct server *s, const struct server_fid *f, struct p9_call *c,
                         const u8 *data) {
    if (f->node < NODE_KEYS || is_wait(f->node)) return E_PERM;
    struct key *k = key_of(f->node);
    if (c->offset > VALUE_MAX || c->count > VALUE_MAX - c->offset) return E_FBIG;
    const u64 end = c->offset + c->count;
    const status_t status = resize(k, end > k->len ? end : k->len);
    if (status != S_OK) return status;
    memcpy(k->value + c->offset, data, c->count);
    c->result = c->count;
    server_changed(s);
    return S_OK;
}

// Entries from c->offset on: 0 is "wait", i + 1 place i.
static status_t kv_readdir(struct server *s, const struct server_fid *f, struct p9_call *c,
                           u8 *data) {
    struct p9_attr a;
    c->result = 0;
    if (f->node >= NODE_KEYS) return E_NOTDIR;
    for (u64 i = c->offset; i <= KEYS_MAX && f->node == NODE_ROOT; i++) {
        const struct key *k = i ? &keys[i - 1] : NULL;
        if (k && !k->set) continue;
        (void)kv_attr(s, k ? node_of(k, false) : NODE_WAITS, &a);
        c->value = i + 1;
        if (!server_dirent(c, data, &a, k ? k->name : WAIT_NAME)) break;
    }
    return S_OK;
}

static status_t kv_unlink(const struct server_fid *f, const struct p9_call *c) {
    struct key *k = f->node == NODE_ROOT ? key_find(c->name) : NULL;
    if (f->node != NODE_ROOT || !strcmp(c->name, WAIT_NAME)) return E_PERM;
    if (!k || !k->set) return E_NOENT;
    k->set = false;
    key_free_unused(k);
    return S_OK;
}

static status_t kv_open(const struct server_fid *f, const struct p9_call *c) {
    if (f->node < NODE_KEYS) return S_OK;
    if (is_wait(f->node)) return (c->flags & O_ACCMODE) == O_RDONLY ? S_OK : E_ACCES;
    return c->flags & O_TRUNC ? resize(key_of(f->node), 0) : S_OK;
}

static status_t kv_call(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data) {
    switch (c->type) {
    case P9_TLOPEN: return kv_open(f, c);
    case P9_TLCREATE: return kv_create(f, c);
    case P9_TREAD: return kv_read(f, c, data);
    case P9_TWRITE: return kv_write(s, f, c, data);
    case P9_TREADDIR: return kv_readdir(s, f, c, data);
    case P9_TUNLINKAT: return kv_unlink(f, c);
    case P9_TSETATTR:
        if (f->node < NODE_KEYS || is_wait(f->node)) return E_PERM;
        return c->attr.valid & SET_SIZE ? resize(key_of(f->node), c->attr.size) : S_OK;
    case P9_TFSYNC: return S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x01021997, .bsize = 4096, .files = KEYS_MAX,
                                       .namelen = NAME_MAX_BYTES - 1};
        return S_OK;
    default: return E_OPNOTSUPP;
    }
}

static const struct server_ops ops = {kv_attach, kv_walk, kv_attr, kv_call, kv_named};

int main(int argc, char **argv) {
    static struct server server = {.ops = &ops};
    if (argc != 2) {
        fprintf(stderr, "usage: kvd /mnt/NAME\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    const int failed = server_mount(&server, "kvd", argv[1]);
    if (failed) {
        fprintf(stderr, "kvd: %s: %s\n", argv[1], strerror(failed));
        return 1;
    }
    const pid_t pid = fork();
    if (pid < 0) perror("kvd");
    if (pid) return pid < 0;
    setsid();
    return server_run(&server);
}
