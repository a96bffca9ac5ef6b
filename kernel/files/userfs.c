// File calls on trees of user-space servers: what is answered here, and which messages a
// call takes. A walk asks for the attributes too, since our walks answer with them; open
// and create clone the fid first, since 9P opens a fid itself; a read of a file that is
// only walked to (a program that is started) opens a clone once and keeps it; an open directory
// keeps the fid it was opened as, from which names in it are walked (openat, fchdir).
//
// The offset of an open file belongs to one request at a time; others wait in its list.
// Called by kernel/remote_files.c, remote_serve.c (net_lock held) and user_channel.c.
// Lock: files_lock. Spec: 9P2000.L (diod protocol.md), Plan 9 intro(5).
#include "base/string.h"
#include "kernel/files/locks.h"
#include "kernel/files/userfs_priv.h"
#include "mm/kmem.h"

#define FID_FIRST 2u
#define FID_LAST 0xfffffff0u

struct list_node user_finished = {&user_finished, &user_finished};

// --- files ---

static struct lock_place lock_place_of(const struct user_file *f) {
    return (struct lock_place){mount_of(f->mount)->serial, f->qid_path, (u64)f,
                               f->flags & O_ACCMODE};
}

// Locks alone come this way, which the server knows nothing of: file_call sends all other calls
// on these objects to userfs_submit.
static status_t user_call(struct object *o, struct p9_call *c) {
    const struct user_file *f = user_file_of(o);
    if (!lock_is_call(c)) return E_OPNOTSUPP;
    const struct lock_place at = lock_place_of(f);
    return !f->open || (f->flags & O_PATH) ? E_BADF : locks_call(&at, c);
}

// The server does not know its fid, or does not any more.
void user_file_free(struct user_file *f) {
    struct user_mount *m = mount_of(f->mount);
    list_remove(&f->all);
    kmem_free(f, sizeof *f);
    if (m->detached && list_empty(&m->all)) userfs_wanted();
}

// The last reference is gone: the server is told, then the memory goes.
static void user_release(struct object *o) {
    struct user_file *f = user_file_of(o);
    struct user_mount *m = mount_of(f->mount);
    ASSERT(m && !f->busy && list_empty(&f->waiting));
    locks_description_gone((u64)f);
    if (f->reader) object_put(&f->reader->object);
    if (f->walked) object_put(&f->walked->object);
    f->reader = f->walked = NULL;
    if (f->root) m->root = NULL;
    else m->files--;
    if (f->established && m->state == MOUNT_READY) {
        list_push_back(&m->clunks, &f->link);
        userfs_wanted();
        return;
    }
    user_file_free(f);
}

const struct object_ops user_ops = {"user", user_call, user_release};

static bool fid_used(struct user_mount *m, u32 fid) {
    LIST_FOR_EACH(it, &m->all)
        if (LIST_ENTRY(it, struct user_file, all)->fid == fid) return true;
    return false;
}

static u32 fid_new(struct user_mount *m) {
    do {
        if (m->next_fid < FID_FIRST || m->next_fid >= FID_LAST) {
            m->fids_wrapped = m->next_fid >= FID_LAST;
            m->next_fid = FID_FIRST;
        }
        m->next_fid++;
    } while (m->fids_wrapped && fid_used(m, m->next_fid - 1));
    return m->next_fid - 1;
}

// One more fid of m, with one reference; the server does not know it yet. NULL: no memory.
struct user_file *user_file_new(struct user_mount *m) {
    struct user_file *f = kmem_alloc(sizeof *f);
    if (!f) return NULL;
    if (object_add(&f->object, &user_ops) != S_OK) {
        kmem_free(f, sizeof *f);
        return NULL;
    }
    f->mount = m->number;
    f->fid = fid_new(m);
    list_init(&f->waiting);
    list_init(&f->link);
    list_init(&f->all);
    list_push_back(&m->all, &f->all);
    m->files++;
    return f;
}

// Its name for the cluster.
struct object_id user_file_id(const struct user_file *f) {
    struct object_id id = object_id_of(&f->object);
    id.index |= OBJECT_USER | f->mount << OBJECT_USER_MOUNT_SHIFT;
    if (f->root) id.index |= OBJECT_USER_ROOT;
    return id;
}

struct user_file *user_file_find(struct object_id id) {
    return id.node == node_id && object_is_user(id) ? user_file_at(id) : NULL;
}

// REF and CLUNK. Context: net_lock held. E_BADF.
status_t userfs_count(const struct p9_call *c) {
    spin_lock(&files_lock);
    struct user_file *f = user_file_find(c->object);
    if (f && c->type == P9_TREF) {
        object_get(&f->object);
    } else if (f) {
        const struct lock_place at = lock_place_of(f);
        if (f->open) locks_closed(&at, c->pid);
        object_put(&f->object);
    }
    spin_unlock(&files_lock);
    return f ? S_OK : E_BADF;
}

// --- requests ---

// A request for the call; its names are copied, its data is used until it is finished or
// abandoned. NULL: no memory.
struct user_request *userfs_request(const struct p9_call *c) {
    struct user_request *r = kmem_alloc(sizeof *r);
    if (!r) return NULL;
    r->call = *c;
    r->call.name = r->call.name2 = NULL;
    list_init(&r->link);
    if (c->name && strlen(c->name) < sizeof r->name) {
        memcpy(r->name, c->name, strlen(c->name) + 1);
        r->call.name = r->name;
    }
    if (c->name2 && strlen(c->name2) < P9_PATH_MAX && (r->name2 = kmem_alloc(P9_PATH_MAX))) {
        memcpy(r->name2, c->name2, strlen(c->name2) + 1);
        r->call.name2 = r->name2;
    }
    if (!c->name == !r->call.name && !c->name2 == !r->call.name2) return r;
    userfs_free(r);
    return NULL;
}

// Frees one that is finished, or was never submitted.
void userfs_free(struct user_request *r) {
    if (r->name2) kmem_free(r->name2, P9_PATH_MAX);
    kmem_free(r, sizeof *r);
}

static void request_start(struct user_request *r) {
    struct user_mount *m = mount_of(r->mount);
    if (r->at_position) r->offset = r->file->offset;
    list_push_back(&m->queue, &r->link);
}

static void position_release(struct user_request *r) {
    struct user_file *f = r->file;
    f->busy = NULL;
    if (list_empty(&f->waiting)) return;
    struct user_request *next = LIST_ENTRY(list_pop_front(&f->waiting), struct user_request, link);
    f->busy = next;
    request_start(next);
}

// The end of a request: its results are in r->call but for the status. files_lock held.
void user_request_end(struct user_request *r, status_t status) {
    struct user_file *made = r->made;
    list_remove(&r->link);
    if (r->ahead) mount_of(r->mount)->tag[r->ahead - 1] = (struct user_tag){.dropped = true};
    r->ahead = 0;
    r->call.status = status;
    r->call.made = (struct object_id){0};
    const u8 type = r->call.type;
    const bool gives = type == P9_TWALK || type == P9_TLOPEN || type == P9_TLCREATE;
    if (status == S_OK && made && gives && !r->abandoned) {
        r->call.made = user_file_id(made);
        made = NULL;
    }
    // What was abandoned nobody has got, and it is asked again; but what is written is written.
    const bool counts = status == S_OK && (!r->abandoned || type == P9_TWRITE);
    if (r->file && r->file->busy == r) {
        if (counts && type == P9_TSEEK) r->file->offset = r->call.result;
        else if (counts && type == P9_TREADDIR && r->call.result) r->file->offset = r->call.value;
        else if (counts && type != P9_TREADDIR) r->file->offset = r->offset + r->call.result;
        position_release(r);
    }
    if (made) object_put(&made->object);
    if (r->file) object_put(&r->file->object);
    if (r->file2) object_put(&r->file2->object);
    r->file = r->file2 = r->made = NULL;
    r->finished = true;
    if (r->abandoned) {
        userfs_free(r);
        return;
    }
    list_push_back(&user_finished, &r->link);
    userfs_wanted();
}

// A signal waits for r's caller: the server is asked to leave it, and r ends with its reply or
// E_INTR, whichever comes first. net_lock held.
void userfs_flush(struct user_request *r) {
    spin_lock(&files_lock);
    if (!r->finished && r->in_flight) channel_flush(mount_of(r->mount), r);
    else if (!r->finished && r->step != USER_ATTR) user_request_end(r, E_INTR);
    spin_unlock(&files_lock);
}

// Whoever asked is gone: what is not sent yet is dropped, what comes is thrown away.
// net_lock held.
void userfs_abandon(struct user_request *r) {
    spin_lock(&files_lock);
    r->abandoned = true;
    r->call.data = (struct p9_data){0};
    if (r->finished) {
        list_remove(&r->link);
        struct user_file *made = user_file_find(r->call.made);
        if (r->call.status == S_OK && made) object_put(&made->object);
        userfs_free(r);
    } else if (!r->in_flight) {
        user_request_end(r, E_INTR);
    } else {
        channel_flush(mount_of(r->mount), r);
    }
    spin_unlock(&files_lock);
}

// --- what needs no message ---

// Access modes; E_BADF.
static status_t open_check(const struct user_file *f, const struct p9_call *c) {
    if (!f->open) return c->type == P9_TWRITE ? E_BADF : S_OK;
    const u32 mode = f->flags & O_ACCMODE;
    if (f->flags & O_PATH) return E_BADF;
    if (c->type == P9_TWRITE) return mode == 0 ? E_BADF : S_OK;
    return mode == O_WRONLY ? E_BADF : S_OK;
}

static status_t seek_here(struct user_file *f, struct p9_call *c) {
    if (c->flags > 1) return E_INVAL;
    const u64 at = c->offset + (c->flags == 1 ? f->offset : 0);
    if ((i64)at < 0) return E_INVAL;
    f->offset = c->result = at;
    return S_OK;
}

// True: c is answered, or cannot be; *status says how.
static bool answered_here(struct user_file *f, struct p9_call *c, status_t *status) {
    *status = S_OK;
    switch (c->type) {
    case P9_TGETFL: c->flags = f->flags & ~(u32)(O_EXCL | O_CREAT | O_TRUNC); return true;
    case P9_TSETFL:
        f->flags = (f->flags & ~(u32)(O_APPEND | O_NONBLOCK)) |
                   (c->flags & (O_APPEND | O_NONBLOCK));
        return true;
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return true;
    case P9_TIOCTL: *status = E_NOTTY; return true;
    case P9_TSEEK:
        if (c->flags == 2 || f->busy) return false;
        *status = seek_here(f, c);
        return true;
    case P9_TREAD: case P9_TWRITE: case P9_TREADDIR:
        *status = open_check(f, c);
        if (*status == S_OK && f->dir && c->type != P9_TREADDIR) *status = E_ISDIR;
        if (*status == S_OK && c->count > P9_DATA_MAX) *status = E_INVAL;
        return *status != S_OK || c->count == 0;
    case P9_TSETATTR:
        if ((c->attr.valid & P9_SETATTR_SIZE) && f->open && !(f->flags & O_ACCMODE))
            *status = E_INVAL;
        return *status != S_OK;
    case P9_TWALK:
        if (c->name) return false;
        object_get(&f->object);
        c->made = user_file_id(f);
        return true;
    case P9_TLOPEN: case P9_TLCREATE: case P9_TGETATTR: case P9_TMKDIR: case P9_TUNLINKAT:
    case P9_TRENAMEAT: case P9_TLINK: case P9_TSYMLINK: case P9_TREADLINK: case P9_TSTATFS:
    case P9_TFSYNC: return false;
    default: *status = E_OPNOTSUPP; return true;
    }
}

// --- steps ---

static bool is_position(const struct user_file *f, const struct p9_call *c) {
    if (!f->open) return false;
    if (c->type == P9_TSEEK) return true;
    return (c->type == P9_TREAD || c->type == P9_TWRITE || c->type == P9_TREADDIR) &&
           c->offset == P9_OFFSET_CURRENT;
}

static bool reads_walked(const struct user_request *r) {
    return !r->file->open && (r->call.type == P9_TREAD || r->call.type == P9_TREADDIR);
}

// Sets the first step and what it makes. E_NOMEM, E_XDEV.
static status_t request_plan(struct user_request *r, struct user_mount *m) {
    struct p9_call *c = &r->call;
    bool makes = c->type == P9_TWALK;
    r->step = USER_MAIN;
    r->offset = c->offset == P9_OFFSET_CURRENT ? 0 : c->offset;
    if (c->type == P9_TLOPEN || c->type == P9_TLCREATE || (reads_walked(r) && !r->file->reader)) {
        r->step = USER_CLONE;
        makes = true;
    } else if (c->type == P9_TSEEK || (c->type == P9_TWRITE && (r->file->flags & O_APPEND))) {
        r->step = USER_SIZE;
    } else if (c->type == P9_TRENAMEAT || c->type == P9_TLINK) {
        struct user_file *f = user_file_find(c->object2);
        if (!f || f->mount != m->number) return E_XDEV;
        object_get(&f->object);
        r->file2 = f;
    }
    if (makes) r->made = user_file_new(m);
    return makes && !r->made ? E_NOMEM : S_OK;
}

// Starts a request. S_OK: it ends by r->done, or has ended at once (r->finished, and done
// is not called). Other results: it was not taken. Context: net_lock held.
// Errors: E_BADF no such object; E_IO its server is gone; E_NOMEM.
status_t userfs_submit(struct user_request *r) {
    spin_lock(&files_lock);
    struct user_file *f = user_file_find(r->call.object);
    struct user_mount *m = f ? mount_of(f->mount) : NULL;
    status_t status = !f ? E_BADF : S_OK, answer;
    r->call.result = 0;
    if (f && answered_here(f, &r->call, &answer)) {
        r->call.status = answer;
        r->finished = true;
    } else if (f && !mount_alive(m)) {
        status = E_IO;
    } else if (f) {
        object_get(&f->object);
        r->file = f;
        r->mount = m->number;
        r->at_position = is_position(f, &r->call);
        status = request_plan(r, m);
        if (status != S_OK) {
            if (r->made) object_put(&r->made->object);
            if (r->file2) object_put(&r->file2->object);
            object_put(&f->object);
        } else if (r->at_position && f->busy) {
            list_push_back(&f->waiting, &r->link);
        } else {
            if (r->at_position) f->busy = r;
            request_start(r);
            channel_run(m);
        }
    }
    spin_unlock(&files_lock);
    return status;
}

// The message of r's step, to be packed; also what its reply is unpacked into.
struct p9_call user_step_call(const struct user_request *r) {
    struct p9_call c = {.type = P9_TWALK, .object.index = r->file->fid};
    const struct user_mount *m = mount_of(r->mount);
    const u64 most = m->msize - MOUNT_HEAD_MAX;
    switch (r->step) {
    case USER_CLONE: c.new_fid = r->made->fid; return c;
    case USER_OPEN_READ:
        c.type = P9_TLOPEN;
        c.object.index = r->made->fid;
        c.flags = r->call.type == P9_TREADDIR ? O_DIRECTORY : 0;
        return c;
    case USER_SIZE: case USER_ATTR:
        c.type = P9_TGETATTR;
        if (r->step == USER_ATTR) c.object.index = r->made->fid;
        c.attr.valid = P9_GETATTR_BASIC;
        return c;
    case USER_MAIN: break;
    }
    c = r->call;
    c.data = (struct p9_data){0};
    c.object.index = r->file->fid;
    if (r->file2) c.object2.index = r->file2->fid;
    if (c.type == P9_TWALK) {
        c.new_fid = r->made->fid;
        if (r->file->walked) c.object.index = r->file->walked->fid;
    } else if (r->made) {
        c.object.index = r->made->fid;
    } else if (reads_walked(r)) {
        c.object.index = r->file->reader->fid;
    }
    if (c.type == P9_TREAD || c.type == P9_TWRITE || c.type == P9_TREADDIR) {
        c.offset = r->offset;
        c.count = MIN(c.count, most);
    }
    if (c.type == P9_TGETATTR) c.attr.valid = P9_GETATTR_BASIC;
    if (c.type == P9_TLOPEN || c.type == P9_TLCREATE) c.flags &= ~(u32)O_CLOEXEC;
    return c;
}

// Where the next readdir goes on: the offset of the last whole entry.
static status_t readdir_next(struct user_request *r, const u8 *bytes, u32 len) {
    for (u32 at = 0; at < len;) {
        if (len - at < 24) return E_IO;
        const u32 name_len = (u32)bytes[at + 22] | (u32)bytes[at + 23] << 8;
        if (name_len == 0 || name_len > P9_NAME_MAX || len - at - 24 < name_len) return E_IO;
        memcpy(&r->call.value, bytes + at + 13, 8);
        at += 24 + name_len;
    }
    return S_OK;
}

static status_t main_done(struct user_request *r, struct p9_call *reply,
                          const struct p9_parsed *parsed) {
    struct p9_call *c = &r->call;
    status_t status = S_OK;
    switch (c->type) {
    case P9_TREAD: case P9_TREADDIR: case P9_TREADLINK:
        if (parsed->payload_len > c->count) {
            if (c->type != P9_TREADLINK) return E_IO;    // more than was asked for
            reply->result = c->count;
        }
        if (c->type == P9_TREADDIR) status = readdir_next(r, parsed->payload, parsed->payload_len);
        if (status != S_OK) return status;
        if (!r->abandoned) data_put(c, 0, parsed->payload, reply->result);
        c->result = reply->result;
        return S_OK;
    case P9_TWRITE:
        if (reply->result > reply->count) return E_IO;
        c->result = reply->result;
        return S_OK;
    case P9_TLOPEN: case P9_TLCREATE:
        r->made->open = true;
        r->made->qid_path = reply->attr.qid_path;
        r->made->dir = (reply->attr.qid_type & 0x80) != 0;
        r->made->walked = r->file->open ? r->file->walked : r->file;
        if (r->made->dir && r->made->walked) object_get(&r->made->walked->object);
        else r->made->walked = NULL;
        r->made->flags = c->flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_PATH);
        r->made->reads = !r->made->dir && !(c->flags & O_PATH) &&
                         (c->flags & O_ACCMODE) != O_WRONLY;
        return S_OK;
    case P9_TGETATTR: c->attr = reply->attr; return S_OK;
    case P9_TSTATFS: c->statfs = reply->statfs; return S_OK;
    default: return S_OK;
    }
}

static status_t size_done(struct user_request *r, const struct p9_call *reply) {
    const u64 size = reply->attr.size;
    if (r->call.type == P9_TWRITE) {
        r->offset = size;
        return S_RESTART;
    }
    u64 base = r->call.flags == 2 ? size : r->call.flags == 1 ? r->file->offset : 0;
    if (r->call.flags == 3 || r->call.flags == 4) {      // SEEK_DATA, SEEK_HOLE: no holes
        if (r->call.offset >= size) return E_NXIO;
        base = r->call.flags == 4 ? size - r->call.offset : 0;
    } else if (r->call.flags > 4) {
        return E_INVAL;
    }
    if ((i64)(base + r->call.offset) < 0) return E_INVAL;
    r->call.result = base + r->call.offset;
    return S_OK;
}

// The reply to r's step came, its status in reply->status. files_lock held.
void user_step_done(struct user_request *r, struct p9_call *reply,
                    const struct p9_parsed *parsed) {
    status_t status = reply->status;
    const bool walked = r->step == USER_CLONE || (r->step == USER_MAIN && r->call.type == P9_TWALK);
    if (status == S_OK && walked) r->made->established = true;
    if (status != S_OK) {
        user_request_end(r, status);
        return;
    }
    switch (r->step) {
    case USER_CLONE:
        r->step = reads_walked(r) ? USER_OPEN_READ : USER_MAIN;
        status = S_RESTART;
        break;
    case USER_OPEN_READ:
        r->made->open = true;
        if (!r->file->reader) {
            r->file->reader = r->made;
            r->made = NULL;
        }
        r->step = USER_MAIN;
        status = S_RESTART;
        break;
    case USER_SIZE:
        status = size_done(r, reply);
        r->step = USER_MAIN;
        break;
    case USER_MAIN:
        status = main_done(r, reply, parsed);
        if (status != S_OK || r->call.type != P9_TWALK) break;
        r->made->dir = (reply->attr.qid_type & 0x80) != 0;
        r->step = USER_ATTR;
        if (r->ahead && !r->abandoned) return;   // its answer is on its way
        if (!r->ahead_good) status = S_RESTART;
        break;
    case USER_ATTR: r->call.attr = reply->attr; break;
    }
    if (status == S_RESTART && r->abandoned) status = E_INTR;
    if (status != S_RESTART) user_request_end(r, status);
    else list_push_back(&mount_of(r->mount)->queue, &r->link);
}

// The getattr that was sent with r's walk, which has ended well, is answered.
void user_ahead_done(struct user_request *r) {
    if (r->ahead_good) user_request_end(r, S_OK);
    else list_push_back(&mount_of(r->mount)->queue, &r->link);
}
