// A small file server for the tests of mounts: serves a fixed tree by 9P2000.L over two
// pipes, by the codec of proto/p9, and misbehaves where it is told to.
//   p9tree NAME [MODE [AFTER]]   mounts /mnt/NAME, says "ready", serves until the end of its
//                                requests. MODE after AFTER messages: exit, size (an
//                                impossible one), tag (one nobody asked for), type (an answer
//                                to something else), long (more bytes than asked), hang,
//                                twice (each answer), swap (the tags of two calls, once), flood
//                                (answers to nothing, without end)
// The tree: hello (a line), big (BIG_BYTES, byte i is i * 7 + i / 256), dir/, dir/inner.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/assert.h"
#include "proto/p9/p9_codec.h"
#include "user/lib/reply_recv.h"

#define BIG_BYTES 300000u
#define FIDS_MAX 4096u
#define MESSAGE_MAX (128u << 10)

enum { FILE_NONE, FILE_ROOT, FILE_HELLO, FILE_BIG, FILE_DIR, FILE_INNER, FILE_COUNT };
static const char hello[] = "hello from user space\n";
static const struct { const char *name; int parent; u32 mode; u64 size; } files[] = {
    [FILE_ROOT] = {"/", FILE_ROOT, 040755, 0},
    [FILE_HELLO] = {"hello", FILE_ROOT, 0100644, sizeof hello - 1},
    [FILE_BIG] = {"big", FILE_ROOT, 0100644, BIG_BYTES},
    [FILE_DIR] = {"dir", FILE_ROOT, 040755, 0},
    [FILE_INNER] = {"inner", FILE_DIR, 0100600, 5},
};
static int fids[FIDS_MAX];
static u8 request[MESSAGE_MAX];
static _Alignas(4096) u8 reply[MESSAGE_MAX];
static u8 data[P9_DATA_MAX];

static void attr_fill(int file, struct p9_attr *a) {
    *a = (struct p9_attr){.valid = 0x7ff, .mode = files[file].mode, .nlink = 1, .blksize = 4096,
                          .qid_type = files[file].mode >> 12 == 4 ? 0x80 : 0,
                          .qid_path = (u64)file, .size = files[file].size};
}

static u8 byte_of(int file, u64 at) {
    if (file == FILE_HELLO) return (u8)hello[at];
    return file == FILE_BIG ? (u8)(at * 7 + at / 256) : (u8)"inner"[at];
}

static status_t walk(struct p9_call *c, int from) {
    int to = c->name ? FILE_NONE : from;
    if (c->name && !strcmp(c->name, "..")) to = files[from].parent;
    for (int i = FILE_ROOT; c->name && i < FILE_COUNT; i++)
        if (files[i].parent == from && i != FILE_ROOT && !strcmp(files[i].name, c->name)) to = i;
    if (to == FILE_NONE) return E_NOENT;
    if (c->new_fid == 0 || c->new_fid >= FIDS_MAX || fids[c->new_fid]) return E_INVAL;
    fids[c->new_fid] = to;
    attr_fill(to, &c->attr);
    return S_OK;
}

static status_t read_file(struct p9_call *c, int file) {
    for (c->result = 0; c->result < c->count && c->offset + c->result < files[file].size;)
        data[c->result] = byte_of(file, c->offset + c->result), c->result++;
    return S_OK;
}

static status_t read_dir(struct p9_call *c, int dir) {
    c->result = 0;
    for (u64 i = c->offset; i < FILE_COUNT; i++) {
        if (i < FILE_HELLO || files[i].parent != dir) continue;
        const u64 len = strlen(files[i].name);
        if (c->result + 24 + len > c->count) break;
        struct p9_buf b = {.bytes = data + c->result, .size = 24};
        p9_put(&b, files[i].mode >> 12 == 4 ? 0x80 : 0, 1);
        p9_put(&b, 0, 4);
        p9_put(&b, i, 8);
        p9_put(&b, i + 1, 8);
        p9_put(&b, files[i].mode >> 12, 1);
        p9_put(&b, len, 2);
        memcpy(data + c->result + 24, files[i].name, len);
        c->result += 24 + len;
    }
    return S_OK;
}

static status_t answer(struct p9_call *c) {
    const u32 fid = c->object.index;
    const int file = fid < FIDS_MAX ? fids[fid] : FILE_NONE;
    if (c->type == P9_TVERSION) {
        c->count = c->count < 65536 + 64 ? c->count : 65536 + 64;
        return S_OK;
    }
    if (c->type == P9_TATTACH) {
        fids[c->new_fid % FIDS_MAX] = FILE_ROOT;
        attr_fill(FILE_ROOT, &c->attr);
        return S_OK;
    }
    if (c->type == P9_TFLUSH) return S_OK;       // all before it is answered
    if (file == FILE_NONE) return E_BADF;
    switch (c->type) {
    case P9_TWALK: return walk(c, file);
    case P9_TGETATTR: attr_fill(file, &c->attr); return S_OK;
    case P9_TLOPEN:
        attr_fill(file, &c->attr);
        return c->flags & 3 ? E_ROFS : S_OK;
    case P9_TREAD: return read_file(c, file);
    case P9_TREADDIR: return read_dir(c, file);
    case P9_TCLUNK: fids[fid] = FILE_NONE; return S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x01021997, .bsize = 4096, .blocks = 77};
        return S_OK;
    default: return E_ROFS;
    }
}


static void misbehave(const char *mode, u8 *bytes) {
    if (!strcmp(mode, "exit")) exit(0);
    if (!strcmp(mode, "hang")) pause();
    if (!strcmp(mode, "size")) bytes[3] = 0x7f;
    if (!strcmp(mode, "tag")) bytes[6] = 0x33;
    if (!strcmp(mode, "type")) bytes[4] = 113;
}

static void send_all(int out, const u8 *bytes, u32 len) {
    for (u32 at = 0; at < len;) {
        const ssize_t w = write(out, bytes + at, len - at);
        if (w <= 0) exit(6);
        at += (u32)w;
    }
}

// Sends an answer in the way of `mode`.
static void send_badly(int out, const char *mode, u8 *bytes, u32 len) {
    static u8 held[MESSAGE_MAX];
    static u32 held_len;
    static int swapped;
    if (!strcmp(mode, "swap") && !swapped && !held_len) {
        memcpy(held, bytes, held_len = len);
        return;
    }
    if (held_len && !swapped) {
        u8 tag[2];
        memcpy(tag, held + 5, 2);
        memcpy(held + 5, bytes + 5, 2);
        memcpy(bytes + 5, tag, 2);
        swapped = 1;
        send_all(out, held, held_len);
    }
    send_all(out, bytes, len);
    if (!strcmp(mode, "twice")) send_all(out, bytes, len);
    while (!strcmp(mode, "flood")) {
        bytes[5]++;
        send_all(out, bytes, len);
    }
}

// Sends an answer and takes more bytes, in one call where that does. How many; 0: the end.
static long send_and_read(int in, int out, const u8 *bytes, size_t len, u8 *to, size_t room) {
    size_t left = len;
    long n = -EINTR;
    while (n == -EINTR && left <= REPLY_RECV_MAX) n = reply_recv(in, to, room, out, bytes, &left);
    if (n >= 0) return n;
    if (left) send_all(out, bytes, (u32)left);
    n = read(in, to, room);
    return n < 0 ? 0 : n;
}

// The next request, whole, into *c, once the answer to the one before has gone. Its tag.
static u16 request_next(int in, int out, u32 answer_len, struct p9_call *c) {
    static _Alignas(4096) u8 came[2 * MESSAGE_MAX];
    static size_t have, taken;
    struct p9_parsed parsed;
    u32 size = 0;
    memmove(came, came + taken, have -= taken);
    for (taken = 0;;) {
        if (have >= 4) memcpy(&size, came, 4);
        if (size && (size < 7 || size > MESSAGE_MAX)) exit(4);
        if (size && have >= size) break;
        const long n = send_and_read(in, out, reply, answer_len, came + have, sizeof came - have);
        if (n == 0) exit(have ? 4 : 0);
        answer_len = 0;
        have += (size_t)n;
    }
    if (answer_len) send_all(out, reply, answer_len);
    taken = size;
    memcpy(request, came, size);
    c->status = p9_request_unpack(request, size, c, &parsed);
    return parsed.tag;
}

static void serve(int in, int out, const char *mode, long after) {
    u32 answer_len = 0;
    for (long n = 0;; n++) {
        struct p9_call c = {0};
        const u16 tag = request_next(in, out, answer_len, &c);
        if (c.status == S_OK) c.status = answer(&c);
        const bool bad = n >= after;
        if (bad && !strcmp(mode, "long") && c.type == P9_TREAD && c.count < P9_DATA_MAX)
            c.result = c.count + 1;
        struct p9_buf b = {.bytes = reply, .size = sizeof reply};
        if (p9_reply_pack(&b, &c, tag) != S_OK) exit(5);
        const u32 payload = p9_reply_payload(&c);
        memcpy(reply + b.len, data, payload);
        answer_len = b.len + payload;
        if (!bad) continue;
        misbehave(mode, reply);
        send_badly(out, mode, reply, answer_len);
        answer_len = 0;
    }
}

int main(int argc, char **argv) {
    int to[2], from[2];
    char target[100], options[100];
    if (argc < 2 || pipe(to) != 0 || pipe(from) != 0) return 2;
    snprintf(target, sizeof target, "/mnt/%s", argv[1]);
    snprintf(options, sizeof options, "trans=fd,rfdno=%d,wfdno=%d", from[0], to[1]);
    if (mount("p9tree", target, "9p", 0, options) != 0) {
        perror("mount");
        return 1;
    }
    close(from[0]);
    close(to[1]);
    printf("ready\n");
    fflush(stdout);
    serve(to[0], from[1], argc > 2 ? argv[2] : "", argc > 3 ? atol(argv[3]) : 0x7fffffff);
    return 0;
}
