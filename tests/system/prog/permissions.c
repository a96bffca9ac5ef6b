// Permissions of files as Linux has them: permissions DIRECTORY, run by user 0 in a directory of
// its own. It makes files of several owners, groups and modes there; children with the ids of the
// table try everything on them and print what came of it. What it prints on the host is what it
// must print on a node. Nothing in it depends on what else lies in the file system. With `as` it
// does one thing, for what only a cluster has.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANN 1000
#define BOB 1001
#define STAFF 500                    // ann is in it, by setgroups
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const char *who;

static const char *name_of(int error) {
    switch (error) {
    case 0: return "ok";
    case EPERM: return "EPERM";
    case EACCES: return "EACCES";
    case ENOENT: return "ENOENT";
    case EEXIST: return "EEXIST";
    case EISDIR: return "EISDIR";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case EINVAL: return "EINVAL";
    case EBADF: return "EBADF";
    case ESRCH: return "ESRCH";
    case ELOOP: return "ELOOP";
    default: return strerror(error);
    }
}

static void say(const char *what, const char *name, long result) {
    printf("%s %s %s: %s\n", who, what, name, name_of(result < 0 ? errno : 0));
}

static void must(int good, const char *what) {
    if (good) return;
    printf("set up: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void file(const char *name, unsigned mode, int uid, int gid) {
    const int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    must(fd >= 0 && write(fd, "text\n", 5) == 5 && !close(fd), name);
    must(!chown(name, uid, gid) && !chmod(name, mode), name);
}
static void dir(const char *name, unsigned mode, int uid, int gid) {
    must(!mkdir(name, 0700) && !chown(name, uid, gid) && !chmod(name, mode), name);
}

// --- what each user tries ---

static const char *const files[] = {
    "root-644", "root-600", "root-666", "ann-600", "ann-640-staff", "ann-060-staff", "ann-006",
    "ann-000", "bob-604", "bob-744", "closed/inside", "search/inside", "list/inside", "none",
};

static void open_all(void) {
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_PATH};
    static const char *const what[] = {"read", "write", "both", "cut", "path"};
    for (unsigned i = 0; i < COUNT(files); i++) {
        for (unsigned k = 0; k < COUNT(modes); k++) {
            const int fd = open(files[i], modes[k]);
            say(what[k], files[i], fd);
            if (fd >= 0) close(fd);
        }
    }
}

static void ask_all(void) {
    for (unsigned i = 0; i < COUNT(files); i++) {
        for (int mode = 1; mode <= 4; mode *= 2) {
            char what[32];
            snprintf(what, sizeof what, "access-%d", mode);
            say(what, files[i], access(files[i], mode));
            snprintf(what, sizeof what, "eaccess-%d", mode);
            say(what, files[i], faccessat(AT_FDCWD, files[i], mode, AT_EACCESS));
        }
        struct stat st;
        say("stat", files[i], stat(files[i], &st));
    }
}

static void change_all(void) {
    static const struct timespec then[2] = {{1, 0}, {2, 0}};
    for (unsigned i = 0; i < COUNT(files); i++) {
        struct stat st;
        if (stat(files[i], &st)) continue;
        say("chmod", files[i], chmod(files[i], st.st_mode & 07777));
        say("chown-same", files[i], chown(files[i], st.st_uid, st.st_gid));
        say("chown-bob", files[i], chown(files[i], BOB, (gid_t)-1));
        say("chgrp-staff", files[i], chown(files[i], (uid_t)-1, STAFF));
        say("chgrp-7", files[i], chown(files[i], (uid_t)-1, 7));
        say("utime-now", files[i], utimensat(AT_FDCWD, files[i], NULL, 0));
        say("utime", files[i], utimensat(AT_FDCWD, files[i], then, 0));
        say("truncate", files[i], truncate(files[i], 3));
    }
}

static const char *const dirs[] = {"open", "closed", "search", "list", "write", "sticky",
                                   "ann-sticky", "staff"};

static void enter_all(void) {
    for (unsigned i = 0; i < COUNT(dirs); i++) {
        char name[64], other[64];
        DIR *d = opendir(dirs[i]);
        say("list", dirs[i], d ? 0 : -1);
        if (d) closedir(d);
        const int here = open(".", O_RDONLY | O_DIRECTORY);
        const int entered = chdir(dirs[i]);
        say("chdir", dirs[i], entered);
        if (entered == 0) must(!fchdir(here), "back");
        if (here >= 0) close(here);
        snprintf(name, sizeof name, "%s/new-%s", dirs[i], who);
        snprintf(other, sizeof other, "%s/other-%s", dirs[i], who);
        const int fd = open(name, O_CREAT | O_WRONLY, 0666);
        say("create", dirs[i], fd);
        struct stat st;
        if (fd >= 0 && !fstat(fd, &st))
            printf("%s made %u:%u %o\n", who, st.st_uid, st.st_gid, st.st_mode);
        if (fd >= 0) close(fd);
        say("mkdir", dirs[i], mkdir(other, 0777));
        if (!stat(other, &st)) printf("%s made %u:%u %o\n", who, st.st_uid, st.st_gid, st.st_mode);
        say("rmdir", dirs[i], rmdir(other));
        say("symlink", dirs[i], symlink("nowhere", other));
        say("rename", dirs[i], rename(name, other));
        say("link", dirs[i], link(other, name));
        say("unlink", dirs[i], unlink(name));
        say("unlink-other", dirs[i], unlink(other));
        snprintf(name, sizeof name, "%s/root", dirs[i]);
        say("mkdir-there", dirs[i], mkdir(name, 0777));
        snprintf(other, sizeof other, "%s/bobs", dirs[i]);
        say("rename-over", dirs[i], rename(other, name));
        say("unlink-root", dirs[i], unlink(name));
        say("rmdir-none", dirs[i], rmdir("none/none"));
        snprintf(name, sizeof name, "%s/sub", dirs[i]);
        say("move-dir", dirs[i], rename(name, "write/sub"));
        say("move-back", dirs[i], rename("write/sub", name));
    }
}

static void run_all(void) {
    static const char *const programs[] = {"run-755", "run-700", "run-010-staff", "run-644",
                                           "run-4755", "run-2755", "closed/run", "script-755",
                                           "script-4755", "open"};
    fflush(stdout);
    for (unsigned i = 0; i < COUNT(programs); i++) {
        const pid_t child = fork();
        if (child == 0) {
            execl(programs[i], "permissions", "ids", who, programs[i], NULL);
            say("exec", programs[i], -1);
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

// By the process's own handles: its rights were looked at when they were opened.
static void by_handle(void) {
    const int r = open("root-644", O_RDONLY), w = open("write/handle", O_CREAT | O_RDWR, 0444);
    say("fchmod", "root-644", fchmod(r, 0644));
    say("fchown", "root-644", fchown(r, 0, 0));
    say("futimens", "root-644", futimens(r, NULL));
    say("ftruncate", "root-644", ftruncate(r, 1));
    say("ftruncate", "own", ftruncate(w, 4096));
    say("reopen", "own", open("write/handle", O_WRONLY));
    say("write", "own", write(w, "x", 1));
    void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, r, 0);
    say("mmap", "root-644", at == MAP_FAILED ? -1 : 0);
    if (at != MAP_FAILED) say("mprotect", "root-644", mprotect(at, 4096, PROT_READ | PROT_WRITE));
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0);
    say("mmap-write", "root-644", at == MAP_FAILED ? -1 : 0);
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, w, 0);
    say("mmap-write", "own", at == MAP_FAILED ? -1 : 0);
    close(r), close(w);
    say("unlink", "own", unlink("write/handle"));
}

static pid_t watcher;                // user 0's process

static void of_others(void) {
    char name[64], text[64];
    static const char *const in_proc[] = {"stat", "cmdline", "maps", "fd", "fd/0", "exe"};
    for (unsigned i = 0; i < COUNT(in_proc); i++) {
        snprintf(name, sizeof name, "/proc/%d/%s", watcher, in_proc[i]);
        const int flags = O_RDONLY | (i == 5 ? O_PATH | O_NOFOLLOW : 0);
        if (geteuid() != 0 || i != 4) say("proc", in_proc[i], open(name, flags));
        snprintf(name, sizeof name, "/proc/self/%s", in_proc[i]);
        say("own-proc", in_proc[i], open(name, O_RDONLY));
    }
    snprintf(name, sizeof name, "/proc/%d/exe", watcher);
    say("readlink", "exe", readlink(name, text, sizeof text));
    snprintf(name, sizeof name, "/proc/%d/cwd", watcher);
    say("readlink", "cwd", readlink(name, text, sizeof text));
    say("kill-0", "root", kill(watcher, 0));
}

static void all(void) {
    open_all();
    ask_all();
    enter_all();
    by_handle();
    run_all();
    of_others();
    change_all();
}

// --- ids ---

static void show(const char *what, long result) {
    uid_t r, e, s;
    gid_t gr, ge, gs, groups[64];
    const int error = errno;
    getresuid(&r, &e, &s);
    getresgid(&gr, &ge, &gs);
    const int n = getgroups(64, groups);
    printf("%s %s: %s uid %u %u %u gid %u %u %u groups", who, what,
           name_of(result < 0 ? error : 0), r, e, s, gr, ge, gs);
    for (int i = 0; i < n; i++) printf(" %u", groups[i]);
    printf("\n");
}

#define SHOW(call) show(#call, call)

static void ids(void) {
    static const gid_t some[] = {3, 5, 7};
    SHOW(syscall(SYS_setgroups, 3, some));
    SHOW(syscall(SYS_setgroups, -1, some));
    SHOW(syscall(SYS_setresgid, 10, 11, 12));
    SHOW(syscall(SYS_setresuid, -1, -1, 13));
    SHOW(syscall(SYS_setreuid, 20, 21));
    SHOW(syscall(SYS_setgid, 10));
    SHOW(syscall(SYS_setgid, 99));
    SHOW(syscall(SYS_setregid, 11, -1));
    SHOW(syscall(SYS_setregid, -1, 12));
    SHOW(syscall(SYS_setregid, -1, 77));
    SHOW(syscall(SYS_setuid, 0));
    SHOW(syscall(SYS_setreuid, 21, 20));
    SHOW(syscall(SYS_setreuid, -1, 21));
    SHOW(syscall(SYS_setreuid, 13, -1));
    SHOW(syscall(SYS_setresuid, 20, 20, 20));
    SHOW(syscall(SYS_setuid, 21));
    SHOW(syscall(SYS_setuid, -1));
    SHOW(syscall(SYS_setgroups, 0, NULL));
    SHOW(syscall(SYS_setresgid, 5, -1, -1));
}

// User 0 for a while, as a program with the set-id bit is.
static void to_and_fro(void) {
    SHOW(syscall(SYS_setresuid, ANN, ANN, 0));
    say("read", "root-600", open("root-600", O_RDONLY));
    SHOW(syscall(SYS_setuid, 0));
    say("read", "root-600", open("root-600", O_RDONLY));
    say("access", "root-600", access("root-600", R_OK));
    SHOW(syscall(SYS_setreuid, -1, ANN));
    SHOW(syscall(SYS_setresuid, -1, -1, ANN));
    SHOW(syscall(SYS_setuid, 0));
}

// --- who ---

static void as(const char *name, int uid, int gid, int staff, void (*what)(void)) {
    static const gid_t group = STAFF;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        who = name;
        must(!setgroups(staff, &group) && !setresgid(gid, gid, gid) && !setresuid(uid, uid, uid),
             "ids");
        umask(022);
        what();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) printf("%s: wait status %#x\n", name, (unsigned)status);
}

static void copy(const char *from, const char *to, unsigned mode, int uid, int gid) {
    char bytes[4096];
    const int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_EXCL | O_WRONLY, 0600);
    ssize_t n;
    must(in >= 0 && out >= 0, to);
    while ((n = read(in, bytes, sizeof bytes)) > 0) must(write(out, bytes, (size_t)n) == n, to);
    must(!close(in) && !close(out) && !chown(to, uid, gid) && !chmod(to, mode), to);
}

static void set_up(const char *self) {
    static const char *const names[] = {"root", "bobs"};
    file("root-644", 0644, 0, 0), file("root-600", 0600, 0, 0), file("root-666", 0666, 0, 0);
    file("ann-600", 0600, ANN, ANN), file("ann-640-staff", 0640, ANN, STAFF);
    file("ann-060-staff", 0060, ANN, STAFF), file("ann-006", 0006, ANN, ANN);
    file("ann-000", 0, ANN, ANN), file("bob-604", 0604, BOB, BOB), file("bob-744", 0744, BOB, BOB);
    dir("open", 0755, 0, 0), dir("closed", 0700, 0, 0), dir("search", 0711, 0, 0);
    dir("list", 0744, 0, 0), dir("write", 0777, 0, 0), dir("sticky", 01777, 0, 0);
    dir("ann-sticky", 01777, ANN, ANN), dir("staff", 02775, 0, STAFF);
    for (unsigned i = 0; i < COUNT(dirs); i++) {
        char name[64];
        for (unsigned k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%s/%s", dirs[i], names[k]);
            file(name, 0644, k ? BOB : 0, k ? BOB : 0);
        }
        snprintf(name, sizeof name, "%s/inside", dirs[i]);
        file(name, 0644, 0, 0);
        snprintf(name, sizeof name, "%s/sub", dirs[i]);
        dir(name, 0755, BOB, BOB);
    }
    copy(self, "run-755", 0755, 0, 0), copy(self, "run-700", 0700, 0, 0);
    copy(self, "run-010-staff", 0010, 0, STAFF), copy(self, "run-644", 0644, 0, 0);
    copy(self, "run-4755", 04755, BOB, BOB), copy(self, "run-2755", 02755, 0, STAFF);
    copy(self, "closed/run", 0755, 0, 0);
    file("script", 0755, 0, 0);
    const int fd = open("script", O_WRONLY | O_TRUNC);
    must(fd >= 0 && dprintf(fd, "#!./run-755 ids\n") > 0 && !close(fd), "script");
    copy("script", "script-755", 0755, 0, 0), copy("script", "script-4755", 04755, BOB, BOB);
}

// permissions as UID WHAT ARGUMENT...: one thing with each argument, with the ids of UID.
static int as_user(char **argv) {
    const unsigned id = (unsigned)atoi(argv[0]);
    const gid_t none = 0;
    must(!setgroups(0, &none) && !setresgid(id, id, id) && !setresuid(id, id, id), "ids");
    const char *what = argv[1];
    for (argv += 2; *argv; argv++) {
        long result = -1;
        if (!strcmp(what, "open")) result = open(*argv, O_RDONLY);
        else if (!strcmp(what, "write")) result = open(*argv, O_WRONLY);
        else if (!strcmp(what, "kill")) result = kill(atoi(*argv), SIGKILL);
        else if (!strcmp(what, "killpg")) result = killpg(atoi(*argv), SIGKILL);
        printf("%s %s: %s\n", what, *argv, name_of(result < 0 ? errno : 0));
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 4 && !strcmp(argv[1], "as")) return as_user(argv + 2);
    if (argc == 4 && !strcmp(argv[1], "ids")) {          // started by run_all
        who = argv[2];
        show(argv[3], 0);
        return 0;
    }
    if (argc == 3 && !strncmp(argv[1], "ids", 3)) {      // by a script
        who = "script";
        show(argv[2], 0);
        return 0;
    }
    if (argc != 2 || geteuid() != 0) return 2;
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    must(n > 0, "self");
    self[n] = 0;
    umask(0);
    must(!mkdir(argv[1], 0755) && !chdir(argv[1]), argv[1]);
    set_up(self);
    watcher = fork();
    if (watcher == 0) {
        for (;;) pause();
    }
    as("ann", ANN, ANN, 0, all);
    as("ann-in-staff", ANN, ANN, 1, all);
    as("bob", BOB, BOB, 0, all);
    as("staff-group", 2000, STAFF, 0, all);
    as("nobody", 65534, 65534, 0, all);
    as("root", 0, 0, 0, all);
    as("ids", 0, 0, 0, ids);
    as("to-and-fro", 0, 0, 0, to_and_fro);
    kill(watcher, SIGKILL);
    return 0;
}
