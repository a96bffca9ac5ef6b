// The kernel's half of file calls between nodes, with both ends in one program: node 0's
// system calls are run again and again as the kernel does, node 1's servers are a model
// that counts what it executes. Nothing may be executed twice, lost or leaked.
// links: kernel/remote_files.c kernel/remote_call.c kernel/remote_orphans.c
// links: kernel/remote_serve.c proto/p9/p9_codec.c
// links: proto/p9/envelope.c proto/p9/p9_client.c proto/p9/p9_server.c
// links: tests/unit/remote_files_kernel.c kernel/remote_drive.c proto/cluster/drive_read.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/files/holders.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/placement.h"
#include "kernel/remote_files.h"
#include "kernel/remote_files_priv.h"
#include "kernel/signal.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "tests/unit/remote_files_kernel.h"
#include "tests/unit/suite_run.h"


// --- the cluster part ---

static const struct cluster_bulk_ops *bulk;
static struct { u32 to, len; u8 bytes[ENVELOPE_MSG_MAX]; } wire[256];
static u32 wire_head, wire_tail, moves_done;
static struct cluster_move posted[64];
static u32 posted_count;
static u8 reply_buffer[2][CLUSTER_REPLY_BYTES];
static bool reply_used[2];

void cluster_set_bulk(const struct cluster_bulk_ops *ops) { bulk = ops; }
status_t cluster_bulk_send(u32 node, const void *bytes, u32 len) {
    ck_assert_uint_eq(net_lock.taken, 1);
    wire[wire_tail % 256].to = node;
    wire[wire_tail % 256].len = len;
    memcpy(wire[wire_tail++ % 256].bytes, bytes, len);
    return S_OK;
}
status_t cluster_bulk_move(const struct cluster_move *m) {
    posted[posted_count++] = *m;
    return S_OK;
}
u32 cluster_frames_key(u32 node) { return node == 1 ? 7 : 0; }
status_t cluster_peer_frames(u32 node, u64 *address, u32 *key) {
    *address = 0, *key = 7;
    return node == 1 ? S_OK : E_HOSTUNREACH;
}
void cluster_status_add_u64(const char *name, const u64 *figure) { (void)name; (void)figure; }
status_t cluster_reply_alloc(u32 node, struct cluster_reply *r) {
    ck_assert_uint_eq(node, 1);
    for (u32 i = 0; i < 2; i++) {
        if (reply_used[i]) continue;
        reply_used[i] = true;
        *r = (struct cluster_reply){reply_buffer[i], i * CLUSTER_REPLY_BYTES, 8, i};
        return S_OK;
    }
    return E_AGAIN;
}
void cluster_reply_free(u32 node, u32 slot) {
    ck_assert(node == 1 && reply_used[slot]);
    reply_used[slot] = false;
}

static void move_run(const struct cluster_move *m) {
    u64 at = m->remote_address;
    if (m->write) {                                    // into a reply buffer in use
        ck_assert_uint_eq(m->remote_key, 8);
        ck_assert(reply_used[at / CLUSTER_REPLY_BYTES]);
        ck_assert_uint_le(at % CLUSTER_REPLY_BYTES + m->len_bytes, CLUSTER_REPLY_BYTES);
        memcpy(&reply_buffer[0][0] + at, m->local, m->len_bytes);
    } else {                                           // out of a user frame
        ck_assert_uint_eq(m->remote_key, 7);
        ck_assert_int_eq(frame_use_of(paddr(at & ~PAGE_MASK)), FRAME_USER);
        ck_assert_uint_le((at & PAGE_MASK) + m->len_bytes, PAGE_SIZE);
        memcpy(m->local, phys_to_virt(paddr(at)), m->len_bytes);
    }
    moves_done++;
    bulk->moved(bulk->ctx, m->cookie, S_OK);
}

// Both directions share one wire: to node 1 a request, from it a reply. The machines of
// both nodes know each other as peer 1; node_id says which kernel runs.
static void deliver_one(void) {
    u32 i = wire_head++ % 256;
    u8 copy[ENVELOPE_MSG_MAX];
    memcpy(copy, wire[i].bytes, wire[i].len);
    node_id = copy[6] == ENVELOPE_REQUEST ? 1 : 0;
    bulk->receive(bulk->ctx, 1, copy, wire[i].len);
}

static void deliver_all(void) {
    spin_lock(&net_lock);
    for (u32 rounds = 0; rounds < 50; rounds++) {
        node_id = 1;
        while (posted_count) {
            struct cluster_move m = posted[--posted_count];
            move_run(&m);
        }
        node_id = 0;
        while (wire_head != wire_tail) deliver_one();
        node_id = 1;                                   // parked calls run at the server
        now_ns += 11 * NS_PER_MS;
        poller(NULL, now_ns);
        node_id = 0;
    }
    spin_unlock(&net_lock);
}

// --- node 1's servers: a model ---

static u32 executed[256];
static u32 objects_live;                               // made and not clunked
static bool pipe_full;
static u32 foreground;                                 // group of the terminal, object 70
static i32 refs_of_60 = 1;                             // of object 60, which lives while it has one

static u8 file_byte(u64 at) { return (u8)(at * 13 + 5); }

status_t file_call_foreign(struct p9_call *c) {
    ck_assert_uint_eq(node_id, 1);
    if (c->object.index == 50 && c->type == P9_TREAD && !pipe_full) return S_RESTART;
    if (c->name && strcmp(c->name, "absent") == 0) return E_NOENT;
    executed[c->type]++;
    if (c->object.index == 70 && c->job.pgid != foreground) {
        ck_assert_uint_eq(c->job.sid, 500);
        ck_assert_uint_eq(c->job.bits, P9_JOB_DEAF_TTIN);
        return S_BACKGROUND;
    }
    c->result = c->count;
    if (c->type == P9_TWALK || c->type == P9_TLOPEN) {
        c->made = (struct object_id){1, c->object.index + 1, 77};
        objects_live++;
    }
    if (c->type == P9_TREF) objects_live++;
    if (c->type == P9_TCLUNK) objects_live--;
    if (c->object.index == 60 && refs_of_60 != 0) refs_of_60 += c->type == P9_TREF ? 1 : -1;
    for (u64 k = 0; k < c->count && c->type == P9_TREAD; k++)
        ((u8 *)c->data.buffer)[k] = file_byte(c->offset + k);
    for (u64 k = 0; k < c->count && c->type == P9_TWRITE; k++)
        if (((u8 *)c->data.buffer)[k] != file_byte(c->offset + k)) return E_IO;
    return S_OK;
}

// --- system calls, run as kernel/edge.c does ---

static u32 runs;
static i64 syscall_run(struct proc *p, i32 nr, i64 (*call)(struct proc *p)) {
    for (runs = 1; runs < 50; runs++) {
        struct proc_desc *d = proc_desc(p);
        if (d->wait.nr != nr) {
            memset(&d->wait, 0, sizeof d->wait);
            d->wait.nr = nr;
        }
        d->account.syscalls++;
        p->thread->reply_waits = false;
        current = p;
        i64 result = call(p);
        current = NULL;
        if (result != S_RESTART) {
            d->wait.nr = -1;
            d->wait.request_tag = 0;
            return result;
        }
        deliver_all();
        if (p->state != PROC_RUNNING) return S_RESTART;
    }
    ck_abort_msg("a system call never ends");
}

static i64 remote(struct p9_call *c) { return file_hooks.remote_call(c); }

static struct object_id opened;
// open("a/b"): two walks, an open, a clunk of what was walked to, also where it waits.
static i64 sys_open(struct proc *p) {
    (void)p;
    struct object_id at = {1, 10, 5};
    const char *const names[] = {"a", "b"};
    i64 s = S_OK;
    for (u32 i = 0; i < 2 && s == S_OK; i++) {
        struct p9_call walk = {.type = P9_TWALK, .object = at, .name = names[i]};
        struct p9_call clunk = {.type = P9_TCLUNK, .object = at};
        s = remote(&walk);
        if (i != 0) remote(&clunk);
        at = walk.made;
    }
    if (s != S_OK) return s;
    struct p9_call open = {.type = P9_TLOPEN, .object = at, .flags = 2};
    struct p9_call clunk = {.type = P9_TCLUNK, .object = at};
    s = remote(&open);
    remote(&clunk);
    opened = open.made;
    return s;
}

// exec(): walks to a file, reads it (and waits), takes a second reference before or after
// that, and keeps both; on any error, S_RESTART too, it gives back what it has.
static bool ref_first;
static i64 sys_exec(struct proc *p) {
    (void)p;
    u8 head[64];
    struct p9_call walk = {.type = P9_TWALK, .object = {1, 10, 5}, .name = "a"};
    i64 s = remote(&walk);
    if (s != S_OK) return s;
    struct p9_call ref = {.type = P9_TREF, .object = walk.made};
    struct p9_call read = {.type = P9_TREAD, .object = walk.made, .count = sizeof head,
                           .data.buffer = head};
    if (ref_first) remote(&ref);
    s = remote(&read);
    if (s == S_OK && !ref_first) remote(&ref);
    for (u32 held = s == S_OK ? 0 : 1 + ref_first; held != 0; held--) {
        struct p9_call clunk = {.type = P9_TCLUNK, .object = walk.made};
        remote(&clunk);
    }
    return s;
}

static struct p9_call io;
static i64 sys_io(struct proc *p) {
    (void)p;
    struct p9_call c = io;
    i64 s = remote(&c);
    if (s == S_OK) io.result = c.result;
    return s;
}

// write(): two pieces with the same arguments, at the file's own offset.
static i64 sys_write_twice(struct proc *p) {
    struct proc_wait *w = &proc_desc(p)->wait;
    while (w->done_bytes < 200) {
        struct p9_call c = io;
        i64 s = remote(&c);
        if (s != S_OK) return s;
        w->done_bytes += c.result;
    }
    return (i64)w->done_bytes;
}

static i64 sys_absent(struct proc *p) {
    (void)p;
    struct p9_call c = {.type = P9_TWALK, .object = {1, 10, 5}, .name = "absent"};
    return remote(&c);
}

static u32 heap_base;
static void setup(void) {
    procs = calloc(proc_count, sizeof *procs);
    proc_descs = aligned_alloc(4096, proc_count * PROC_DESC_SIZE);
    frames = aligned_alloc(4096, 64 * PAGE_SIZE);
    memset(proc_descs, 0, proc_count * sizeof *proc_descs);
    for (u32 i = 0; i < proc_count; i++) {
        procs[i].index = i;
        procs[i].state = PROC_RUNNING;
        procs[i].thread = &procs[i].first;
        procs[i].first.p = &procs[i];
        list_init(&procs[i].first.wait);
        proc_descs[i].pid = 100 + i;
        proc_descs[i].wait.nr = -1;
    }
    remote_files_init();
    spin_lock(&net_lock);
    bulk->peer_up(bulk->ctx, 1);
    spin_unlock(&net_lock);
    heap_base = heap_live;
}

static void check_clean(void) {
    deliver_all();
    ck_assert_uint_eq(heap_live, heap_base);
    ck_assert(!reply_used[0] && !reply_used[1]);
    for (u32 i = 0; i < proc_count; i++) procs[i].cl.freeze_tsc++;
    for (u32 i = 0; i < proc_count; i++) ck_assert(remote_files_settled(&procs[i]));
}

START_TEST(a_call_that_runs_again_sends_nothing_twice) {
    ck_assert_int_eq(syscall_run(procs, 2, sys_open), S_OK);
    ck_assert_uint_eq(runs, 4);                        // each wait is a restart
    ck_assert_uint_eq(executed[P9_TWALK], 2);
    ck_assert_uint_eq(executed[P9_TLOPEN], 1);
    ck_assert_uint_eq(opened.index, 13);
    check_clean();
    ck_assert_uint_eq(executed[P9_TCLUNK], 2);
    ck_assert_uint_eq(objects_live, 1);                // what open() made
    ck_assert_int_eq(syscall_run(procs, 2, sys_open), S_OK);
    ck_assert_uint_eq(executed[P9_TWALK], 4);          // a new call asks again
    check_clean();
}
END_TEST

// What a repeated run gives back is not given back twice, nor what the last run keeps.
START_TEST(a_repeated_run_gives_nothing_back) {
    ref_first = _i;
    for (u32 i = 1; i <= 5; i++) {
        ck_assert_int_eq(syscall_run(procs, 59, sys_exec), S_OK);
        ck_assert_uint_gt(runs, 2);
        check_clean();
        ck_assert_uint_eq(objects_live, 2 * i);
    }
}
END_TEST

// Killed between two runs: nothing of it stays.
START_TEST(a_call_that_never_ends_is_undone) {
    struct proc_desc *d = proc_desc(procs);
    memset(&d->wait, 0, sizeof d->wait);
    d->wait.nr = 59;
    ref_first = _i >= 2;
    for (u32 i = 0; i <= (u32)_i % 2; i++) {
        d->account.syscalls++;
        current = procs;
        ck_assert_int_eq(sys_exec(procs), S_RESTART);
        current = NULL;
        if (i != (u32)_i % 2) deliver_all();
    }
    procs[0].state = PROC_FREE;
    deliver_all();
    now_ns += NS_PER_S;
    deliver_all();
    check_clean();
    ck_assert_uint_eq(objects_live, 0);
}
END_TEST

// A read of a terminal in the background. The answer stays until it is acted on, with how often the
// process had been continued when it was asked for; then the terminal is asked again.
START_TEST(the_background_is_an_answer) {
    struct proc_desc *d = proc_desc(procs);
    d->pgid = 40, d->sid = 500, procs[0].continued = 3;
    u8 byte;
    io = (struct p9_call){.type = P9_TREAD, .object = {1, 70, 5}, .count = 1, .data.buffer = &byte};
    memset(&d->wait, 0, sizeof d->wait);
    u32 before = executed[P9_TREAD];
    for (u32 i = 0; i < 4; i++) {
        d->account.syscalls++;
        current = procs;
        struct p9_call c = io;
        ck_assert_int_eq(remote(&c), i == 0 ? S_RESTART : S_BACKGROUND);
        ck_assert(i == 0 || c.result == 3);
        current = NULL;
        procs[0].continued = 7;
        deliver_all();
    }
    ck_assert_uint_eq(executed[P9_TREAD], before + 1);
    d->wait.request_tag = 0;
    foreground = 40;
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_OK);
    ck_assert_uint_eq(executed[P9_TREAD], before + 2);
    check_clean();
}
END_TEST

START_TEST(errors_come_back) {
    ck_assert_int_eq(syscall_run(procs, 2, sys_absent), E_NOENT);
    io = (struct p9_call){.type = P9_TGETATTR, .object = {7, 1, 1}};
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), E_HOSTUNREACH);
    check_clean();
}
END_TEST

START_TEST(data_of_all_sizes_between_frames_and_buffers) {
    const u32 sizes[] = {1, 1024, 1025, 5000};
    static u8 buffer[8192];
    for (u32 s = 0; s < 4; s++) {
        for (u32 kind = 0; kind < 6; kind++) {
            u32 count = sizes[s], first = 4096 - 1000;
            bool write = kind & 1, in_frames = kind >= 2;
            enum frame_use use = kind >= 4 ? FRAME_FILE : FRAME_USER;   // no peer READs FILE
            paddr_t page[2] = {frame_alloc(use), frame_alloc(use)};
            io = (struct p9_call){.type = write ? P9_TWRITE : P9_TREAD, .object = {1, 40, 1},
                                  .offset = 3, .count = count};
            if (in_frames) {
                io.data.seg[0].pa = paddr(page[0].v + 1000);
                io.data.seg[0].len = MIN(count, first);
                io.data.seg[1].pa = page[1];
                io.data.seg[1].len = count > first ? count - first : 0;
                io.data.seg_count = count > first ? 2 : 1;
            } else {
                io.data.buffer = buffer;
                memset(buffer, 0, sizeof buffer);
            }
            u8 byte;
            for (u32 k = 0; write && k < count; k++) {
                byte = file_byte(3 + k);
                data_put(&io, k, &byte, 1);
            }
            ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_OK);
            ck_assert_uint_eq(io.result, count);
            for (u32 k = 0; k < count; k++) {
                data_get(&io, k, &byte, 1);
                ck_assert_uint_eq(byte, file_byte(3 + k));
            }
            frame_unref(page[0]);
            frame_unref(page[1]);
        }
    }
    // 1025 and 5000 bytes: reads in one WRITE, writes one READ a frame.
    ck_assert_uint_eq(moves_done, 3 * 2 + 3 * (1 + 2));
    check_clean();
    ck_assert_uint_eq(frames_live, 0);
}
END_TEST

START_TEST(two_equal_calls_of_one_system_call_are_two) {
    static u8 buffer[100];
    for (u32 k = 0; k < 100; k++) buffer[k] = file_byte(P9_OFFSET_CURRENT + k);
    io = (struct p9_call){.type = P9_TWRITE, .object = {1, 40, 1}, .count = 100,
                          .offset = P9_OFFSET_CURRENT, .data.buffer = buffer};
    ck_assert_int_eq(syscall_run(procs, 1, sys_write_twice), 200);
    ck_assert_uint_eq(executed[P9_TWRITE], 2);
    check_clean();
}
END_TEST

START_TEST(a_blocked_read_waits_and_a_signal_ends_it) {
    static u8 buffer[16];
    io = (struct p9_call){.type = P9_TREAD, .object = {1, 50, 1}, .count = 8,
                          .data.buffer = buffer};
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_RESTART);
    ck_assert(procs->state == PROC_WAITING && procs->first.wait_uninterruptible);
    deliver_all();
    signal_now = true;
    deliver_all();                                     // the scan flushes it
    ck_assert(procs->state == PROC_RUNNING);
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_RESTART);
    ck_assert(procs->state == PROC_WAITING && !procs->first.wait_uninterruptible);
    ck_assert_uint_eq(executed[P9_TREAD], 0);          // it took nothing
    signal_now = false;
    proc_descs[0].wait.nr = -1;                        // as signal delivery does
    check_clean();
}
END_TEST

START_TEST(a_blocked_read_lets_its_process_leave) {
    static u8 buffer[16];
    io = (struct p9_call){.type = P9_TREAD, .object = {1, 50, 1}, .count = 8,
                          .data.buffer = buffer};
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_RESTART);
    ck_assert(proc_descs[0].wait.request_tag != 0);    // so nobody freezes it
    procs->freeze_wanted = true;
    deliver_all();
    proc_descs[0].account.syscalls++;
    current = procs;
    ck_assert_int_eq(sys_io(procs), S_RESTART);        // at its edge now
    current = NULL;
    ck_assert_int_eq(procs->state, PROC_RUNNING);
    ck_assert_uint_eq(proc_descs[0].wait.request_tag, 0);
    ck_assert_uint_eq(executed[P9_TREAD], 0);
    check_clean();
}
END_TEST

// Both reply buffers belong to reads that may never end: a third read gets one all the same.
START_TEST(blocked_reads_do_not_keep_the_reply_buffers) {
    static u8 buffer[3][4096];
    struct p9_call reads[3];
    for (u32 i = 0; i < 3; i++)
        reads[i] = (struct p9_call){.type = P9_TREAD, .object = {1, i < 2 ? 50 : 12, 1},
                                    .count = 4096, .data.buffer = buffer[i]};
    for (u32 i = 0; i < 2; i++) {
        io = reads[i];
        ck_assert_int_eq(syscall_run(&procs[i], 0, sys_io), S_RESTART);
    }
    io = reads[2];
    ck_assert_int_eq(syscall_run(&procs[2], 0, sys_io), S_OK);
    ck_assert_uint_eq(buffer[2][4095], file_byte(4095));
    ck_assert_uint_eq(executed[P9_TREAD], 1);
    pipe_full = true;
    file_hooks.changed();
    for (u32 i = 0; i < 2; i++) {
        io = reads[i];
        ck_assert_int_eq(syscall_run(&procs[i], 0, sys_io), S_OK);   // nothing of it was lost
        ck_assert_uint_eq(buffer[i][4095], file_byte(4095));
    }
    ck_assert_uint_eq(executed[P9_TREAD], 3);
    check_clean();
}
END_TEST

START_TEST(a_blocked_read_goes_on) {
    static u8 buffer[16];
    io = (struct p9_call){.type = P9_TREAD, .object = {1, 50, 1}, .count = 8,
                          .data.buffer = buffer};
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_RESTART);
    pipe_full = true;
    file_hooks.changed();
    deliver_all();
    ck_assert(procs->first.reply_waits);                     // signals come after the reply
    signal_now = true;
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_OK);
    signal_now = false;
    ck_assert_uint_eq(buffer[7], file_byte(7));
    ck_assert_uint_eq(executed[P9_TREAD], 1);
    check_clean();
}
END_TEST

START_TEST(a_dead_peer_is_an_error) {
    static u8 buffer[16];
    io = (struct p9_call){.type = P9_TREAD, .object = {1, 50, 1}, .count = 8,
                          .data.buffer = buffer};
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), S_RESTART);
    spin_lock(&net_lock);
    bulk->peer_down(bulk->ctx, 1);
    spin_unlock(&net_lock);
    ck_assert(procs->state == PROC_RUNNING);
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), E_IO);
    ck_assert_int_eq(syscall_run(procs, 0, sys_io), E_HOSTUNREACH);
    heap_base -= CLUSTER_BULK_CREDITS;                 // the services of that peer
    check_clean();
}
END_TEST

START_TEST(what_a_dead_process_made_is_clunked) {
    struct proc_desc *d = &proc_descs[1];
    memset(&d->wait, 0, sizeof d->wait);
    d->wait.nr = 2;
    d->account.syscalls++;
    current = &procs[1];
    struct p9_call open = {.type = P9_TLOPEN, .object = {1, 12, 5}};
    ck_assert_int_eq(remote(&open), S_RESTART);
    current = NULL;
    procs[1].state = PROC_ZOMBIE;                      // killed; the reply finds nobody
    check_clean();
    ck_assert_uint_eq(objects_live, 0);
}
END_TEST

// One system call of p that is a REF or a CLUNK of node 1's object `index`.
static void count_by(struct proc *p, u8 type, u32 index) {
    struct proc_desc *d = proc_desc(p);
    memset(&d->wait, 0, sizeof d->wait);
    d->wait.nr = 3;
    d->account.syscalls++;
    current = p;
    struct p9_call call = {.type = type, .object = {1, index, 5}};
    ck_assert_int_eq(remote(&call), S_OK);
    current = NULL;
    d->wait.nr = -1;
}

static void clunk_by(struct proc *p, u32 index) { count_by(p, P9_TCLUNK, index); }

// A parent forks while all tags are in use, and its child exits when one is free again: the
// child's CLUNK must not reach the object before the REF that it undoes.
START_TEST(no_clunk_overtakes_a_ref_that_waits_for_a_tag) {
    for (u32 i = 0; i < P9_TAGS_MAX; i++) count_by(procs, P9_TREF, 20);
    count_by(procs, P9_TREF, 60);                      // no tag: it waits
    spin_lock(&net_lock);
    for (u32 i = 0; i < CLUSTER_BULK_CREDITS + 1; i++) deliver_one();   // the first reply
    spin_unlock(&net_lock);
    node_id = 0;
    count_by(&procs[1], P9_TCLUNK, 60);
    deliver_all();
    ck_assert_int_eq(refs_of_60, 1);
    check_clean();
    ck_assert_uint_eq(objects_live, P9_TAGS_MAX);
}
END_TEST

START_TEST(a_process_leaves_though_others_go_on_sending) {
    objects_live = 3;
    clunk_by(procs, 20);                               // on its way when it is frozen
    procs[0].cl.freeze_tsc = 1;
    ck_assert(!remote_files_settled(procs));
    clunk_by(&procs[1], 21);
    deliver_all();
    clunk_by(&procs[1], 22);                           // a busy neighbour: never empty
    ck_assert(remote_files_settled(procs));
    procs[1].cl.freeze_tsc = 2;                        // but its own ones count
    ck_assert(!remote_files_settled(&procs[1]));
    procs[0].cl.freeze_tsc = 3;                        // frozen anew: that one came before
    ck_assert(!remote_files_settled(procs));
    deliver_all();
    ck_assert(remote_files_settled(procs) && remote_files_settled(&procs[1]));
    check_clean();
    ck_assert_uint_eq(objects_live, 0);
}
END_TEST

static paddr_t fault_page;
START_TEST(a_page_of_a_remote_file) {
    struct p9_call c = {.type = P9_TPAGE, .object = {1, 40, 1}, .offset = 8192};
    struct p9_call again = c;
    current = procs;
    ck_assert_int_eq(remote(&c), S_RESTART);
    deliver_all();
    ck_assert_int_eq(remote(&again), S_OK);
    current = NULL;
    fault_page = paddr(again.result);
    ck_assert_uint_eq(((u8 *)phys_to_virt(fault_page))[4095], file_byte(8192 + 4095));
    ck_assert_uint_eq(frame_refs_of[frame_index(fault_page)], 1);
    frame_unref(fault_page);
    ck_assert_uint_eq(executed[P9_TREAD], 1);
    check_clean();
    ck_assert_uint_eq(frames_live, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("remote_files");
    TCase *t = tcase_create("remote_files");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, a_call_that_runs_again_sends_nothing_twice);
    tcase_add_loop_test(t, a_repeated_run_gives_nothing_back, 0, 2);
    tcase_add_loop_test(t, a_call_that_never_ends_is_undone, 0, 4);
    tcase_add_test(t, errors_come_back);
    tcase_add_test(t, the_background_is_an_answer);
    tcase_add_test(t, data_of_all_sizes_between_frames_and_buffers);
    tcase_add_test(t, two_equal_calls_of_one_system_call_are_two);
    tcase_add_test(t, a_blocked_read_waits_and_a_signal_ends_it);
    tcase_add_test(t, a_blocked_read_lets_its_process_leave);
    tcase_add_test(t, blocked_reads_do_not_keep_the_reply_buffers);
    tcase_add_test(t, a_blocked_read_goes_on);
    tcase_add_test(t, a_dead_peer_is_an_error);
    tcase_add_test(t, what_a_dead_process_made_is_clunked);
    tcase_add_test(t, a_process_leaves_though_others_go_on_sending);
    tcase_add_test(t, no_clunk_overtakes_a_ref_that_waits_for_a_tag);
    tcase_add_test(t, a_page_of_a_remote_file);
    suite_add_tcase(s, t);
    return suite_run(s);
}
