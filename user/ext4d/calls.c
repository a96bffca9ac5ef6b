// Messages in and out, and the calls that wait. The thread of calls_serve reads messages and
// answers each at once, unless it lacks blocks that are on the drive alone: then the call is set
// aside, one of a few other threads reads them, and asks the call again (fetch.c). So whoever
// reads what is in memory does not wait for who reads the drive. Calls that change something
// wait for the drive themselves, and so does everything meanwhile.
// One lock, held by whoever does anything but wait for messages or read the drive for a call.
// Called by main.c.
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "user/ext4d/ext4d.h"

#define IDLE_COMMIT_MS 2000              // changes reach the drive after that long without calls
#define CALLS_MAX 64u                    // set aside at a time: the kernel sends no more
#define THREADS 4u                       // so many reads of the drive at a time
#define STACK_BYTES (256u << 10)
#define RUNS_MAX 256u                    // then it waits for the drive as it is asked

struct call {
    struct call *next;                   // of those that threads are to see to
    bool used;
    bool flushed;                        // nobody waits for it any more
    u16 tag;
    u32 fid_awaited;                     // a call that is set aside makes it; P9_NOFID: none
    u32 runs;
    struct p9_call c;                    // as it came
    char name[EXT2_NAME_LEN + 1];        // of a walk
    struct fetch_list fetches;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;       // something is queued
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;       // no call is set aside
static struct call calls[CALLS_MAX];
static struct call *first, **last = &first;                  // queued
static u32 calls_used, threads;

// What came and is not answered yet: the serving thread's. Answers that are not sent yet.
static struct { int fd; u32 at, len; u8 bytes[2 * EXT4D_BUFFER_BYTES]; } in;
static struct { int fd; u32 len; bool bad; u8 bytes[2 * EXT4D_BUFFER_BYTES]; } out;

// --- answers ---

// Where the pipes are another node's each call on them is a message, so what is there is read
// at once, and answers go together: but never later than the next thing that takes time.
void answers_send(void) {
    for (u32 done = 0; done < out.len && !out.bad;) {
        const ssize_t n = write(out.fd, out.bytes + done, out.len - done);
        if (n < 0 && errno == EINTR) continue;
        out.bad = n <= 0;
        done += (u32)n;
    }
    out.len = 0;
}

static void answer(struct ext4d *s, struct p9_call *c, u16 tag) {
    out.len += serve_pack(s, c, tag, out.bytes + out.len);
    if (out.len > EXT4D_BUFFER_BYTES) answers_send();
}

// --- calls that are set aside ---

// Does a walk that lacks blocks make this fid? Its getattr may come right behind it. One that
// waits for a fid itself does not count: so nobody waits in a circle.
bool calls_make_fid(u32 fid) {
    for (u32 i = 0; i < CALLS_MAX; i++)
        if (calls[i].used && !calls[i].flushed && calls[i].fetches.lacks &&
            calls[i].c.type == P9_TWALK && calls[i].c.new_fid == fid)
            return true;
    return false;
}

static void call_queue(struct call *call) {
    call->next = NULL;
    *last = call;
    last = &call->next;
    pthread_cond_signal(&work);
}

static struct call *call_new(const struct p9_call *c, u16 tag) {
    struct call *call = calls;
    if (threads == 0 || calls_used == CALLS_MAX) return NULL;
    while (call->used) call++;
    *call = (struct call){.used = true, .tag = tag, .fid_awaited = P9_NOFID, .c = *c};
    if (c->name) call->c.name = memcpy(call->name, c->name, strlen(c->name) + 1);
    calls_used++;
    return call;
}

static void call_end(struct ext4d *s, struct call *call) {
    fetch_drop(s->fs, &call->fetches);
    call->used = false;
    if (--calls_used == 0) pthread_cond_signal(&idle);
    for (u32 i = 0; i < CALLS_MAX && call->c.type == P9_TWALK; i++) {
        if (!calls[i].used || calls[i].fid_awaited != call->c.new_fid) continue;
        calls[i].fid_awaited = P9_NOFID;
        call_queue(&calls[i]);
    }
}

// Asks it, for the first time or again. Then it has ended, or waits for a thread or a walk.
static void call_run(struct ext4d *s, struct call *call) {
    struct p9_call c = call->c;
    if (!call->flushed) {
        if (call->runs++ < RUNS_MAX) fetch_begin(s->fs, &call->fetches);
        serve_run(s, &c, NULL);
        fetch_end(s->fs);
    }
    if (!call->flushed && c.status == S_RESTART) {
        if (call->fetches.lacks) call_queue(call);
        else call->fid_awaited = c.object.index;
        return;
    }
    if (!call->flushed) answer(s, &c, call->tag);
    call_end(s, call);
}

static _Noreturn void *fetcher(void *server) {
    struct ext4d *s = server;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!first) pthread_cond_wait(&work, &lock);
        struct call *call = first;
        first = call->next;
        if (!first) last = &first;
        if (call->fetches.lacks) {
            pthread_mutex_unlock(&lock);
            fetch_read(s->fs, call->fetches.lacks);
            pthread_mutex_lock(&lock);
            fetch_done(s->fs, &call->fetches);
        }
        call_run(s, call);
        answers_send();
    }
}

// As many as there is room for; none: every call waits for the drive itself.
static void threads_start(struct ext4d *s) {
    pthread_attr_t attr;
    pthread_t thread;
    mallopt(M_ARENA_MAX, 1);             // all of it is under the lock anyway
    if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, STACK_BYTES) != 0) return;
    while (threads < THREADS && pthread_create(&thread, &attr, fetcher, s) == 0) threads++;
    pthread_attr_destroy(&attr);
}

static void calls_wait(void) {
    while (calls_used) pthread_cond_wait(&idle, &lock);
}

// Nobody waits for the call with this tag any more, or for any.
static void calls_flush(bool all, u16 tag) {
    for (u32 i = 0; i < CALLS_MAX; i++)
        if (calls[i].used && (all || calls[i].tag == tag)) calls[i].flushed = true;
}

// --- messages ---

// The whole message that is next in what came; *size 0: none yet. False: it cannot be one.
static bool message_here(u32 *size) {
    *size = 0;
    if (in.len - in.at < 4) return true;
    struct p9_buf b = {.bytes = in.bytes + in.at, .size = 4};
    const u32 bytes = (u32)p9_get(&b, 4);
    if (bytes < P9_HEAD_BYTES || bytes > EXT4D_BUFFER_BYTES) return false;
    if (in.len - in.at >= bytes) *size = bytes;
    return true;
}

static void message_take(struct ext4d *s, u8 *bytes, u32 size) {
    struct p9_call c;
    struct p9_parsed parsed;
    serve_unpack(s, bytes, size, &c, &parsed);
    const bool good = c.status == S_OK;
    if (good && c.type == P9_TFLUSH) calls_flush(false, (u16)c.value);
    if (good && c.type == P9_TVERSION) calls_flush(true, 0);
    struct call *call = good && serve_may_restart(&c) ? call_new(&c, parsed.tag) : NULL;
    if (call) {
        call_run(s, call);
        return;
    }
    if (good) serve_run(s, &c, parsed.payload);
    answer(s, &c, parsed.tag);
}

static bool input_read(void) {
    memmove(in.bytes, in.bytes + in.at, in.len - in.at);
    in.len -= in.at;
    in.at = 0;
    for (;;) {
        const ssize_t n = read(in.fd, in.bytes + in.len, sizeof in.bytes - in.len);
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) in.len += (u32)n;
        return n > 0;
    }
}

static bool is_changed(const struct ext4d *s) {
    return !s->read_only && (drive_dirty(s->fs) != 0 || (s->fs->flags & EXT2_FLAG_DIRTY));
}

// Waits for more without the lock. Commits what is changed where no call comes for a while.
static bool input_wait(struct ext4d *s) {
    const bool changed = is_changed(s);
    struct pollfd p = {.fd = in.fd, .events = POLLIN};
    pthread_mutex_unlock(&lock);
    const bool quiet = changed && poll(&p, 1, IDLE_COMMIT_MS) == 0;
    if (quiet) {
        pthread_mutex_lock(&lock);
        (void)status_of(s, fs_commit(s));
        pthread_mutex_unlock(&lock);
    }
    const bool more = input_read();
    pthread_mutex_lock(&lock);
    return more;
}

// Answers what comes by `from`, by `to`, until its end.
//   in_turn  a message is looked at only once all before it are answered
void calls_serve(struct ext4d *s, int from, int to, bool in_turn) {
    in.fd = from;
    out.fd = to;
    threads_start(s);
    pthread_mutex_lock(&lock);
    for (u32 size; !out.bad && message_here(&size);) {
        if (size == 0) {
            answers_send();
            if (!input_wait(s)) break;
            continue;
        }
        message_take(s, in.bytes + in.at, size);
        in.at += size;
        if (!s->read_only && !s->refused && drive_dirty(s->fs) > EXT4D_DIRTY_MAX)
            (void)status_of(s, fs_commit(s));
        if (in_turn) calls_wait();
    }
    calls_wait();
    answers_send();
    pthread_mutex_unlock(&lock);
}
