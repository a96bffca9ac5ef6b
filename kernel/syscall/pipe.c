// pipe and pipe2, and the two handles that they and socketpair give.
#include "kernel/syscall/io.h"
#include "kernel/files/object.h"
#include "kernel/syscall/syscall.h"

// Gives the caller two handles and writes their numbers to uva, which is pinned. Where there is
// no room for both, both descriptions are closed.
i64 io_pair_install(struct proc *p, u64 uva, const struct object_id made[2], u32 handle_flags) {
    const i64 fd0 = handle_install(p, made[0], handle_flags, 0);
    if (fd0 < 0) {
        object_clunk(made[0]);
        object_clunk(made[1]);
        return fd0;
    }
    const i64 fd1 = handle_install(p, made[1], handle_flags, 0);
    if (fd1 < 0) {
        (void)handle_close(p, fd0);
        object_clunk(made[1]);
        return fd1;
    }
    const i32 fds[2] = {(i32)fd0, (i32)fd1};
    return user_write(p, uva, fds, sizeof fds);
}

static i64 pipe_open(struct proc *p, u64 uva, u32 flags) {
    if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) return E_INVAL;
    status_t s = user_pin(p, uva, 8, ACCESS_WRITE);
    if (s != S_OK) return s;
    struct object *r, *w;
    struct p9_call cr = {0}, cw = {0};
    spin_lock(&files_lock);
    s = pipe_make(&r, &w);
    if (s == S_OK) {
        s = ofd_open(r, flags & O_NONBLOCK, &cr);
        if (s == S_OK) s = ofd_open(w, O_WRONLY | (flags & O_NONBLOCK), &cw);
        object_put(r);
        object_put(w);
    }
    spin_unlock(&files_lock);
    const struct object_id made[2] = {cr.made, cw.made};
    if (s == S_OK)
        return io_pair_install(p, uva, made,
                               HANDLE_PIPE | (flags & O_CLOEXEC ? HANDLE_CLOEXEC : 0));
    object_clunk(cr.made);
    object_clunk(cw.made);
    return s;
}
SYSCALL(pipe) { return pipe_open(p, a[0], 0); }
SYSCALL(pipe2) { return pipe_open(p, a[0], (u32)a[1]); }
