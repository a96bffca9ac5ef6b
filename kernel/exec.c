// execve: reads and checks the file, builds a new address space beside the old one, and
// swaps them when nothing can fail any more. Called by the system call and for process 1,
// on the CPU that runs the process. Spec: System V ABI AMD64 3.4 (process stack, auxv).
#include "kernel/exec.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/clock.h"
#include "kernel/elf.h"
#include "kernel/file.h"
#include "kernel/klog.h"
#include "kernel/migrate.h"
#include "kernel/permission.h"
#include "kernel/placement.h"
#include "kernel/random.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/timers.h"
#include "kernel/vdso.h"
#include "kernel/vfork.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"
#include "mm/kmem.h"

#define EXEC_SCRIPTS_MAX 4u
#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_IXGRP 010u
#define PIE_BASE 0x0000555555550000ull
#define INTERP_BASE 0x00007ffff0000000ull
#define STACK_START_PAGES 33u        // mapped at first; it grows by faults
#define HWCAP_X86_64 0x07808111u     // CPUID 1 EDX that every node's CPU has, to SSE2

enum auxv { AT_NULL, AT_PHDR = 3, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY,
            AT_UID = 11, AT_EUID, AT_GID, AT_EGID, AT_PLATFORM, AT_HWCAP, AT_CLKTCK,
            AT_SECURE = 23, AT_RANDOM = 25, AT_EXECFN = 31, AT_SYSINFO_EHDR = 33 };

struct program {
    struct object_id file;           // a reference
    struct elf_image elf;
    u64 base;                        // added to the file's addresses
};
struct build {
    struct proc_desc *space;         // the new address space, in a descriptor of its own
    struct program main, interp;
    u64 entry, stack_pointer;
    u32 euid, egid;                  // with the set-id bits of the program
    char exe[PROC_PATH_MAX];
    u8 head[ELF_HEADER_BYTES];
};

// Room for the words of one exec. E_NOMEM.
status_t exec_args_alloc(struct exec_args *a) {
    *a = (struct exec_args){.bytes = kmem_alloc(EXEC_ARGS_BYTES), .size = EXEC_ARGS_BYTES};
    return a->bytes ? S_OK : E_NOMEM;
}
void exec_args_free(struct exec_args *a) { kmem_free(a->bytes, EXEC_ARGS_BYTES); }

// Appends a word; the caller counts it as argument or environment. E_2BIG.
static status_t exec_args_add(struct exec_args *a, const char *word) {
    u64 len = strlen(word) + 1;
    if (len > a->size - a->len) return E_2BIG;
    memcpy(a->bytes + a->len, word, len);
    a->len += (u32)len;
    return S_OK;
}

// Puts a word before the first, for scripts.
static status_t args_prepend(struct exec_args *a, const char *word) {
    u64 len = strlen(word) + 1;
    if (len > a->size - a->len) return E_2BIG;
    memmove(a->bytes + len, a->bytes, a->len);
    memcpy(a->bytes, word, len);
    a->len += (u32)len;
    a->argc++;
    return S_OK;
}

static void args_drop_first(struct exec_args *a) {
    if (a->argc == 0) return;
    u32 len = (u32)strlen(a->bytes) + 1;
    memmove(a->bytes, a->bytes + len, a->len - len);
    a->len -= len;
    a->argc--;
}

// E_ACCES: it is no file that p may execute.
static status_t read_head(struct proc *p, struct object_id file, u8 *head, u64 *len,
                          struct p9_attr *attr) {
    const struct cred who = cred_effective(p);
    struct p9_call a = {.type = P9_TGETATTR, .object = file};
    status_t s = file_call(&a);
    if (s != S_OK) return s;
    if ((a.attr.mode & S_IFMT) != S_IFREG) return E_ACCES;
    s = permission_file(&who, &a.attr, MAY_EXEC);
    if (s != S_OK) return s;
    struct p9_call r = {.type = P9_TREAD, .object = file, .count = ELF_HEADER_BYTES,
                        .data.buffer = head};
    s = file_call(&r);
    *len = r.result;
    *attr = a.attr;
    return s;
}

// The ids that p has with this program: its set-id bits count, but for what a server of a user
// program serves (as Linux with nosuid) and for what a script names.
static void set_ids(const struct proc *p, struct build *b, const struct p9_attr *attr) {
    b->euid = proc_desc(p)->euid;
    b->egid = proc_desc(p)->egid;
    if (object_is_user(b->main.file)) return;
    if (attr->mode & S_ISUID) b->euid = attr->uid;
    if ((attr->mode & S_ISGID) && (attr->mode & S_IXGRP)) b->egid = attr->gid;
}

// Splits "#! interpreter argument" and puts both before the arguments. E_NOEXEC: no script.
static status_t script(u8 *head, u64 len, const char *path, struct exec_args *args, char *interp) {
    if (len < 3 || head[0] != '#' || head[1] != '!') return E_NOEXEC;
    u64 end = 2;
    while (end < len && head[end] != '\n') end++;
    if (end == len || end >= 256) return E_NOEXEC;
    while (end > 2 && (head[end - 1] == ' ' || head[end - 1] == '\t')) end--;
    head[end] = 0;
    char *name = (char *)head + 2;
    while (*name == ' ' || *name == '\t') name++;
    char *arg = name;
    while (*arg && *arg != ' ' && *arg != '\t') arg++;
    if (*arg) *arg++ = 0;
    while (*arg == ' ' || *arg == '\t') arg++;
    if (!*name) return E_NOEXEC;
    memcpy(interp, name, strlen(name) + 1);
    args_drop_first(args);
    status_t s = args_prepend(args, path);
    if (s == S_OK && *arg) s = args_prepend(args, arg);
    return s == S_OK ? args_prepend(args, name) : s;
}

static status_t open_program(struct proc *p, int dirfd, const char *path, struct program *out,
                             struct build *b, bool *is_elf) {
    struct path *w = kmem_alloc(sizeof *w);
    if (!w) return E_NOMEM;
    u64 len;
    struct p9_attr attr;
    status_t s = path_walk(p, dirfd, path, PATH_FOLLOW, w);
    if (s == S_OK) {
        out->file = w->object;
        memcpy(b->exe, w->text, sizeof b->exe);
        s = read_head(p, out->file, b->head, &len, &attr);
    }
    kmem_free(w, sizeof *w);
    if (s != S_OK) return s;
    memset(b->head + len, 0, ELF_HEADER_BYTES - len);
    *is_elf = len >= 4 && !memcmp(b->head, "\177ELF", 4);
    if (!*is_elf) return len >= 2 && b->head[0] == '#' && b->head[1] == '!' ? S_OK : E_NOEXEC;
    const char *why;
    if (out == &b->main) set_ids(p, b, &attr);
    s = elf_parse(b->head, len, attr.size, &out->elf, &why);
    if (s != S_OK) klog("exec: %s: %s", path, why);
    return s;
}

static status_t map_program(struct proc_desc *space, const char *path, struct program *g) {
    for (u32 i = 0; i < g->elf.segment_count; i++) {
        const struct elf_segment *s = &g->elf.segment[i];
        struct vma v = {.start = s->va + g->base, .end = s->va + g->base + s->mem_bytes,
                        .prot = s->prot, .file = g->file, .file_offset = s->file_offset,
                        .file_bytes = s->file_bytes};
        if (s->file_bytes == 0) v.file = (struct object_id){0};
        if (v.end > USER_STACK_TOP - USER_STACK_MAX || v.start < USER_MIN ||
            !aspace_range_free(space, v.start, v.end)) {
            klog("exec: %s: a segment lies where the stack or another one is", path);
            return E_NOEXEC;
        }
        status_t r = vma_insert(space, &v);
        if (r != S_OK) return r;
    }
    return S_OK;
}

static status_t space_write(struct proc_desc *space, u64 va, const void *from, u64 len) {
    while (len) {
        enum fault_result r = fault_handle(space, va, ACCESS_WRITE);
        if (r == FAULT_NOMEM) return E_NOMEM;
        if (r != FAULT_DONE) return E_2BIG;
        u64 n = MIN(len, PAGE_SIZE - (va & PAGE_MASK));
        u8 *page = phys_to_virt(pte_frame(*pt_entry(space, va)));
        memcpy(page + (va & PAGE_MASK), from, n);
        va += n, from = (const u8 *)from + n, len -= n;
    }
    return S_OK;
}

// Strings at the top, then argc, argv, envp, auxv below them, 16-byte aligned.
static status_t build_stack(struct proc *p, struct build *b, const struct exec_args *args) {
    const struct proc_desc *d = proc_desc(p);
    u64 at = USER_STACK_TOP - 64 - args->len;
    u64 strings = at;
    status_t s = space_write(b->space, strings, args->bytes, args->len);
    u8 seed[16];
    random_fill(seed, sizeof seed);
    at = (at - 32) & ~15ull;
    u64 random_at = at;
    if (s == S_OK) s = space_write(b->space, random_at, seed, sizeof seed);
    if (s == S_OK) s = space_write(b->space, random_at + 16, "x86_64", 7);
    const struct elf_image *e = &b->main.elf;
    const bool secure = b->euid != d->uid || b->egid != d->gid;
    u64 aux[][2] = {{AT_PHDR, e->phdr_va ? e->phdr_va + b->main.base : 0},
        {AT_PHENT, e->phentsize}, {AT_PHNUM, e->phnum}, {AT_PAGESZ, PAGE_SIZE},
        {AT_BASE, b->interp.base}, {AT_FLAGS, 0}, {AT_ENTRY, e->entry + b->main.base},
        {AT_UID, d->uid}, {AT_EUID, b->euid}, {AT_GID, d->gid}, {AT_EGID, b->egid},
        {AT_HWCAP, HWCAP_X86_64}, {AT_CLKTCK, 100}, {AT_SECURE, secure}, {AT_RANDOM, random_at},
        {AT_PLATFORM, random_at + 16}, {AT_EXECFN, strings}, {AT_SYSINFO_EHDR, VDSO_BASE},
        {AT_NULL, 0}};
    u64 words = 1 + args->argc + 1 + args->envc + 1;
    at = (at - words * 8 - sizeof aux) & ~15ull;
    b->stack_pointer = at;
    u64 argc = args->argc, zero = 0, string = 0;
    if (s == S_OK) s = space_write(b->space, at, &argc, 8);
    at += 8;
    for (u64 i = 0; s == S_OK && i < args->argc + args->envc; i++) {
        u64 va = strings + string;
        if (i == args->argc) {
            s = space_write(b->space, at, &zero, 8);
            at += 8;
        }
        if (s == S_OK) s = space_write(b->space, at, &va, 8);
        at += 8;
        string += strlen(args->bytes + string) + 1;
    }
    if (args->envc == 0 && s == S_OK) {
        s = space_write(b->space, at, &zero, 8);
        at += 8;
    }
    if (s == S_OK) s = space_write(b->space, at, &zero, 8);
    if (s == S_OK) s = space_write(b->space, at + 8, aux, sizeof aux);
    return s;
}

static status_t build_space(struct proc *p, struct build *b, const struct exec_args *args) {
    status_t s = aspace_create(b->space);
    b->main.base = b->main.elf.relocatable ? PIE_BASE : 0;
    if (s == S_OK) s = map_program(b->space, b->exe, &b->main);
    b->entry = b->main.elf.entry + b->main.base;
    if (s == S_OK && b->interp.file.generation) {
        b->interp.base = b->interp.elf.relocatable ? INTERP_BASE : 0;
        s = map_program(b->space, b->exe, &b->interp);
        b->entry = b->interp.elf.entry + b->interp.base;
    }
    struct vma stack = {.start = USER_STACK_TOP - STACK_START_PAGES * PAGE_SIZE,
                        .end = USER_STACK_TOP, .flags = VMA_STACK,
                        .prot = 3u | (b->main.elf.stack_exec ? 4u : 0)};
    b->space->stack_low = stack.start;
    b->space->brk_start = b->space->brk_end = b->main.elf.high + b->main.base;
    if (s == S_OK) s = vma_insert(b->space, &stack);
    return s == S_OK ? build_stack(p, b, args) : s;
}

static void set_names(struct proc *p, struct build *b, const char *path,
                      const struct exec_args *args) {
    struct proc_desc *d = proc_desc(p);
    struct proc_paths *paths = paths_of(p);
    memcpy(paths->exe, b->exe, sizeof paths->exe);
    u64 len = 0;
    for (u32 i = 0; i < args->argc; i++) len += strlen(args->bytes + len) + 1;
    len = MIN(len, sizeof paths->args - 1);
    memset(paths->args, 0, sizeof paths->args);
    memcpy(paths->args, args->bytes, len);
    const char *base = *path ? path : b->exe;
    for (const char *c = base; *c; c++) {
        if (*c == '/' && c[1]) base = c + 1;
    }
    memset(d->name, 0, sizeof d->name);
    memcpy(d->name, base, MIN(strlen(base), sizeof d->name - 1));
}

static void reset_signals(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    struct proc_signals *s = phys_to_virt(paddr(d->aux[PROC_AUX_SIGNAL]));
    for (u32 i = 0; i < SIGNAL_COUNT; i++) {
        u64 keep = s->action[i].handler == SIG_IGN ? SIG_IGN : SIG_DFL;
        s->action[i] = (struct sigaction_entry){.handler = keep};
    }
    d->sigaltstack_sp = d->sigaltstack_size = 0;
    d->sigaltstack_flags = 2;
}

// The point of no return: nothing below fails.
static void commit(struct proc *p, struct build *b, const char *path,
                   const struct exec_args *args) {
    struct proc_desc *d = proc_desc(p);
    bool current = proc_current() == p;
    thread_end_others(p);
    aspace_swap(d, b->space);
    if (current) cr3_write(d->root_table.v);
    vfork_give_back(p, b->space);
    aspace_destroy(b->space);
    object_clunk(d->exe);
    d->exe = b->main.file;
    d->euid = d->suid = b->euid;
    d->egid = d->sgid = b->egid;
    b->main.file = (struct object_id){0};
    set_names(p, b, path, args);
    reset_signals(p);
    timers_exec(p);
    handles_close_exec(p);
    d->clear_child_tid = d->robust_list = 0;
    d->fs_base = d->gs_base = 0;
    fpu_reset(d);
    d->regs = (struct user_regs){.rip = b->entry, .rsp = b->stack_pointer, .rflags = 0x202,
                                 .orig_rax = ~0ull, .cs = 0x33, .ss = 0x2b};
    if (current) {
        wrmsr(MSR_FS_BASE, 0);
        wrmsr(MSR_KERNEL_GS_BASE, 0);
        fpu_load(d);
    }
    d->flags = (d->flags & ~PROC_FLAG_FORKED) | PROC_FLAG_FRESH;
    clock_exec(d);
    if (current) clock_load(cpu_this(), d);
    vfork_done(p);
    borrow_exec(p);
    placement_exec(p);
    migrate_exec(p);
}

static status_t load_interp(struct proc *p, struct build *b) {
    if (!b->main.elf.interp_bytes) return S_OK;
    char name[256];
    if (b->main.elf.interp_bytes >= sizeof name) {
        klog("exec: %s: interpreter's name is too long", b->exe);
        return E_NOEXEC;
    }
    struct p9_call r = {.type = P9_TREAD, .object = b->main.file, .data.buffer = name,
                        .offset = b->main.elf.interp_offset, .count = b->main.elf.interp_bytes};
    status_t s = file_call(&r);
    if (s != S_OK) return s;
    name[r.result] = 0;
    char *exe = kmem_alloc(PROC_PATH_MAX);
    if (!exe) return E_NOMEM;
    memcpy(exe, b->exe, PROC_PATH_MAX);
    bool is_elf;
    s = open_program(p, AT_FDCWD, name, &b->interp, b, &is_elf);
    memcpy(b->exe, exe, PROC_PATH_MAX);
    kmem_free(exe, PROC_PATH_MAX);
    if (s == S_OK && !is_elf) s = E_NOEXEC;
    if (s != S_OK && s != S_RESTART)
        klog("exec: %s: its interpreter does not load (%d)", b->exe, s);
    return s;
}

static status_t load_files(struct proc *p, int dirfd, const char *path, struct exec_args *args,
                           struct build *b) {
    char interp[256];
    for (u32 depth = 0; depth <= EXEC_SCRIPTS_MAX; depth++) {
        bool is_elf;
        status_t s = open_program(p, dirfd, path, &b->main, b, &is_elf);
        if (s != S_OK) return s;
        if (is_elf) return load_interp(p, b);
        s = script(b->head, ELF_HEADER_BYTES, path, args, interp);
        if (s != S_OK) return s;
        object_clunk(b->main.file);
        b->main.file = (struct object_id){0};
        path = interp;
        dirfd = AT_FDCWD;
    }
    return E_LOOP;
}

// Replaces the program of p by the one at path. Until S_OK nothing of p has changed.
// E_NOENT, E_ACCES, E_NOEXEC (klog says why), E_NOMEM, E_2BIG, S_RESTART.
status_t exec_program(struct proc *p, int dirfd, const char *path, struct exec_args *args) {
    struct build *b = kmem_alloc(sizeof *b);
    if (!b) return E_NOMEM;
    b->space = kmem_alloc(sizeof *b->space);
    status_t s = b->space ? load_files(p, dirfd, path, args, b) : E_NOMEM;
    if (s == S_OK) s = build_space(p, b, args);
    if (s == S_OK && proc_current() == p) s = thread_robust_exit(p);
    if (s == S_OK) commit(p, b, path, args);
    else if (b->space) aspace_destroy(b->space);
    object_clunk(b->main.file);
    object_clunk(b->interp.file);
    if (b->space) kmem_free(b->space, sizeof *b->space);
    kmem_free(b, sizeof *b);
    return s;
}

// The program of process 1, with the console as its three standard files.
status_t exec_first(struct proc *p, const char *path) {
    static const char *const env[] = {"PATH=/bin", "HOME=/root", "TERM=vt100"};
    struct exec_args args;
    status_t s = exec_args_alloc(&args);
    if (s != S_OK) return s;
    s = exec_args_add(&args, path);
    args.argc = 1;
    for (u32 i = 0; s == S_OK && i < ARRAY_COUNT(env); i++, args.envc++)
        s = exec_args_add(&args, env[i]);
    for (u32 fd = 0; s == S_OK && fd < 3; fd++) {
        struct opened console;
        if (handle_get(p, fd)) continue;
        s = path_open(p, AT_FDCWD, "/dev/console", O_RDWR | O_NOCTTY, 0, &console);
        if (s == S_OK) s = handle_put_at(p, fd, console.object, 0);
    }
    if (s == S_OK) s = exec_program(p, AT_FDCWD, path, &args);
    exec_args_free(&args);
    return s;
}
