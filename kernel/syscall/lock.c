// System calls for file locks: flock, and fcntl's record locks. The locks themselves are kept
// by the node that serves the file (kernel/files/locks.c). Spec: Linux flock(2), fcntl(2).
#include "kernel/files/locks.h"
#include "kernel/syscall/syscall.h"

enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };
enum { F_GETLK = 5, F_SETLK, F_SETLKW, F_OFD_GETLK = 36, F_OFD_SETLK, F_OFD_SETLKW };

struct flock64 { i16 type, whence; i64 start, len; i32 pid; };
_Static_assert(sizeof(struct flock64) == 32, "as Linux x86-64 has it");

SYSCALL(flock) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TLOCK, .object = h->object, .name = ""};
    c.lock = (struct p9_lock){.flags = P9_LOCK_FLOCK | (a[1] & LOCK_NB ? 0 : P9_LOCK_WAIT),
                              .proc_id = proc_desc(p)->pid};
    switch (a[1] & ~(u64)LOCK_NB) {
    case LOCK_SH: c.lock.type = P9_LOCK_READ; break;
    case LOCK_EX: c.lock.type = P9_LOCK_WRITE; break;
    case LOCK_UN: c.lock.type = P9_LOCK_UNLOCK; break;
    default: return E_INVAL;
    }
    return file_call(&c);
}

// Where a range begins that is told from the current offset or the end of the file.
static status_t range_base(struct object_id object, i16 whence, i64 *base) {
    struct p9_call c = {.object = object};
    status_t s = S_OK;
    *base = 0;
    if (whence == 1) {
        c.type = P9_TSEEK;
        c.flags = 1;
        s = file_call(&c);
        *base = (i64)c.result;
    } else if (whence == 2) {
        c.type = P9_TGETATTR;
        s = file_call(&c);
        *base = (i64)c.attr.size;
    } else if (whence != 0) {
        s = E_INVAL;
    }
    return s;
}

// A negative length names the bytes before the start; 0 all from it on.
static status_t range_of(const struct flock64 *f, i64 base, struct p9_lock *l) {
    i64 start, end;
    if (__builtin_add_overflow(base, f->start, &start)) return E_OVERFLOW;
    if (start < 0) return E_INVAL;
    if (__builtin_add_overflow(start, f->len, &end)) return E_OVERFLOW;
    if (f->len < 0 && end < 0) return E_INVAL;
    l->start = (u64)(f->len < 0 ? end : start);
    l->length = (u64)(f->len < 0 ? start - end : f->len);
    return S_OK;
}

// Tells the caller what P9_TGETLOCK found: a lock, or that there is none.
static status_t lock_tell(struct proc *p, u64 uva, struct flock64 *f, const struct p9_lock *l) {
    f->type = l->type;
    if (l->type != P9_LOCK_UNLOCK) {
        f->whence = 0;
        f->start = (i64)l->start;
        f->len = (i64)l->length;
        f->pid = (i32)l->proc_id;
    }
    return user_write(p, uva, f, sizeof *f);
}

// fcntl's record locks on the open description `object`; command: one of the six above.
i64 lock_record(struct proc *p, struct object_id object, u32 command, u64 uva) {
    const bool ofd = command >= F_OFD_GETLK, get = command == F_GETLK || command == F_OFD_GETLK;
    const bool wait = command == F_SETLKW || command == F_OFD_SETLKW;
    struct flock64 f;
    status_t s = user_read(p, uva, &f, sizeof f);
    if (s == S_OK && get) s = user_pin(p, uva, sizeof f, ACCESS_WRITE);
    if (s != S_OK) return s;
    if (f.type < 0 || f.type > P9_LOCK_UNLOCK || (ofd && f.pid != 0)) return E_INVAL;
    struct p9_call c = {.type = get ? P9_TGETLOCK : P9_TLOCK, .object = object, .name = ""};
    i64 base;
    s = range_base(object, f.whence, &base);
    c.lock = (struct p9_lock){
        .type = (u8)f.type, .flags = (ofd ? P9_LOCK_OFD : 0) | (wait ? P9_LOCK_WAIT : 0),
        .proc_id = get && ofd ? 0 : proc_desc(p)->pid};
    if (s == S_OK) s = range_of(&f, base, &c.lock);
    if (s == S_OK) s = file_call(&c);
    if (s != S_OK || !get) return s;
    return lock_tell(p, uva, &f, &c.lock);
}
