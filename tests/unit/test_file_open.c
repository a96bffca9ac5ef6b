// path_open (kernel/path_open.c) where the name changes between its walk and its create: the
// server is a model in which others make or remove the name at a given call.
// links: kernel/file.c kernel/path.c kernel/path_open.c kernel/format.c kernel/permission.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/file.h"
#include "kernel/files/nodesfs.h"
#include "kernel/files/pty.h"
#include "kernel/jobs.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/proc_path.h"
#include "kernel/uaccess.h"
#include "kernel/share_map.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "tests/unit/suite_run.h"

// --- the kernel around it ---

struct proc *procs;
struct proc_desc *proc_descs;
u32 node_id;
struct aspace_hooks aspace_hooks;
static i32 heap_live;

void klog(const char *format, ...) { (void)format; }
void *kmem_alloc(u64 len_bytes) { return heap_live++, calloc(1, len_bytes); }
void kmem_free(void *p, u64 len_bytes) {
    (void)len_bytes;
    heap_live--;
    free(p);
}
paddr_t frame_alloc(enum frame_use use) { return (void)use, paddr(0); }
const u8 *boot_module(const char *name, u64 *len_bytes) {
    (void)name, (void)len_bytes;
    return NULL;
}
status_t ramfs_load_cpio(struct object *root, const u8 *cpio, u64 len_bytes) {
    (void)root, (void)cpio, (void)len_bytes;
    return S_OK;
}
struct object *ramfs_init(void) { return NULL; }
u32 pty_node(const char *name) { return (void)name, ~0u; }
struct object_id tty_device_id(void) { return (struct object_id){1, 7, 70}; }
struct object *devfs_init(void) { return NULL; }
struct object *procfs_init(void) { return NULL; }
struct object *nodesfs_init(void) { return NULL; }
struct nodes_provider nodes_provider;
void mountfs_init(void) {}
status_t job_take_terminal(struct proc *p, struct object_id object, u64 steal) {
    return (void)p, (void)object, (void)steal, E_NOTTY;
}
bool proc_path_is_away(const struct p9_call *c) { return (void)c, false; }
status_t proc_path_follow(struct p9_call *c) { return (void)c, E_NOENT; }
status_t proc_path_open(struct p9_call *c) { return (void)c, E_NOENT; }
enum fault_result share_map_page(struct object_id file, u64 offset, bool write,
                                 struct file_page *out) {
    return (void)file, (void)offset, (void)write, (void)out, FAULT_BUS;
}
struct object_id object_id_of(const struct object *o) { return (void)o, (struct object_id){0}; }
status_t user_read_string(struct proc *p, u64 uva, char *to, u64 size_bytes) {
    (void)p, (void)uva, (void)to, (void)size_bytes;
    return E_FAULT;
}

// --- the server: one directory with one name ---

static bool there;
static bool flickers;                                  // there at each create, never at a walk
static u32 changes_left, walks, creates, opens;        // changes: others toggle the name
static i32 refs;

status_t file_call(struct p9_call *c) {
    switch (c->type) {
    case P9_TWALK: {
        walks++;
        bool found = there;
        if (changes_left) {
            changes_left--;
            there = !there;                            // somebody else, right after the look
        }
        if (!found || flickers) return E_NOENT;
        refs++;
        c->made = (struct object_id){0, 2, 5};
        c->attr.mode = S_IFREG;
        return S_OK;
    }
    case P9_TLCREATE:
        creates++;
        if (there || flickers) return E_EXIST;
        there = true;
        c->made = (struct object_id){0, 3, 5};
        return S_OK;
    case P9_TLOPEN:
        opens++;
        c->made = (struct object_id){0, 3, 5};
        return S_OK;
    case P9_TREF: refs++; return S_OK;
    case P9_TCLUNK: refs--; return S_OK;
    default: return E_NOSYS;
    }
}

static status_t open_name(bool exists, u32 changes, u32 flags) {
    struct opened made = {0};
    there = exists;
    changes_left = changes;
    walks = creates = opens = 0;
    refs = heap_live = 0;
    status_t s = path_open(procs, AT_FDCWD, "/name", flags, 0644, &made);
    ck_assert_int_eq(refs, 0);                         // every walk's object is given back
    ck_assert_int_eq(heap_live, 0);
    ck_assert_int_eq(made.object.generation != 0, s == S_OK);
    return s;
}

static void setup(void) {
    procs = calloc(1, sizeof *procs);
    proc_descs = aligned_alloc(4096, PROC_DESC_SIZE);
    memset(proc_descs, 0, sizeof *proc_descs);
    files_start();
    proc_descs[0].root = proc_descs[0].cwd = (struct object_id){0, 1, 5};
}

START_TEST(undisturbed) {
    ck_assert_int_eq(open_name(false, 0, O_CREAT), S_OK);
    ck_assert(walks == 1 && creates == 1 && opens == 0);
    ck_assert_int_eq(open_name(true, 0, O_CREAT), S_OK);
    ck_assert(walks == 1 && creates == 0 && opens == 1);
    ck_assert_int_eq(open_name(false, 0, 0), E_NOENT);
}
END_TEST

START_TEST(made_by_another_between_walk_and_create) {
    ck_assert_int_eq(open_name(false, 1, O_CREAT), S_OK);
    ck_assert(walks == 2 && creates == 1 && opens == 1);
}
END_TEST

START_TEST(exclusively_it_is_an_error) {
    ck_assert_int_eq(open_name(false, 1, O_CREAT | O_EXCL), E_EXIST);
    ck_assert(walks == 1 && creates == 1);
    ck_assert_int_eq(open_name(true, 0, O_CREAT | O_EXCL), E_EXIST);
    ck_assert(walks == 1 && creates == 0);
}
END_TEST

START_TEST(the_tries_are_bounded) {
    flickers = true;
    ck_assert_int_eq(open_name(false, 0, O_CREAT), E_EXIST);
    ck_assert(walks == creates && walks > 1 && walks <= 16);
}
END_TEST

int main(void) {
    Suite *s = suite_create("file_open");
    TCase *t = tcase_create("file_open");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, undisturbed);
    tcase_add_test(t, made_by_another_between_walk_and_create);
    tcase_add_test(t, exclusively_it_is_an_error);
    tcase_add_test(t, the_tries_are_bounded);
    suite_add_tcase(s, t);
    return suite_run(s);
}
