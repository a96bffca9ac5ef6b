// forks WHAT NODES MIB: children of a process with MIB of touched memory: `on` made on other nodes
// by the call for it, `drain` made right after a move, while the pages are away. Each changes pages
// of its own; nobody may see another's. Prints one line for each check.
// (tidy: long, because it is one check after the other, each on its own.)
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "changed.h"
#include "node.h"
#include "user/lib/fork_on.h"

#define CHILDREN 3

extern char **environ;
static int nodes, at;
static volatile int left;

static int bad(const char *what, long a, long b) {
    printf("not ok %s: %ld, %ld (%s)\n", what, a, b, strerror(errno));
    fflush(stdout);
    return 0;
}

// 0 (who nobody): as first filled.
static int whole(int who) {
    const size_t page = page_wrong(who);
    return page == pages ? 1 : bad("page", (long)page, who);
}

static int go(int node) {
    const int error = node_go(node);
    at = node;
    return error == 0 ? 1 : bad("move", node, error);
}

static int hop(void) { return go((at + 1) % nodes); }

static int ended_with(pid_t pid, int code) {
    int status = -1;
    if (pid < 0) return bad("fork", pid, errno);
    if (waitpid(pid, &status, 0) != pid) return bad("wait", pid, errno);
    return status == code << 8 ? 1 : bad("child's status", status, code);
}

// A child's work: all as it was, its own changes, all as they are to be.
static void work(int who) {
    if (!whole(0)) _exit(1);
    change(who);
    _exit(whole(who) ? 10 + who : 1);
}

// --- remote fork ---------------------------------------------------------------------------

static int check_children_on(void) {
    pid_t child[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        const int node = (i + 1) % nodes;
        child[i] = fork_on(node);
        if (child[i] == 0) {
            if (node_here() != node) _exit(99);
            work(i + 1);
        }
    }
    change(CHILDREN + 1);            // while they read
    for (int i = 0; i < CHILDREN; i++)
        if (!ended_with(child[i], 11 + i)) return 0;
    if (!whole(CHILDREN + 1)) return 0;
    for (size_t i = 0; i < pages; i++) *word(i) = value(i, 0);
    return 1;
}

static int check_once(void) {
    if (fork_on_next(1) != 0) return bad("choice", 1, errno);
    for (int i = 0; i < 2; i++) {
        const pid_t child = fork();
        if (child == 0) _exit(node_here());
        if (!ended_with(child, i == 0 ? 1 : 0)) return 0;
    }
    return 1;
}

// The parent ends at once; its children read its memory all the same, and tell who waits for a
// pipe's end.
static int check_parent_ends(void) {
    int out[2];
    char got[CHILDREN + 1];
    if (pipe(out) != 0) return bad("pipe", 0, errno);
    const pid_t parent = fork();
    if (parent == 0) {
        for (int i = 0; i < CHILDREN; i++)
            if (fork_on((i + 1) % nodes) == 0) {
                if (!whole(0)) _exit(1);
                change(i + 1);
                if (whole(i + 1)) (void)!write(out[1], "w", 1);
                _exit(0);
            }
        _exit(5);
    }
    close(out[1]);
    if (!ended_with(parent, 5)) return 0;
    size_t have = 0;
    for (ssize_t n; have < sizeof got && (n = read(out[0], got + have, sizeof got - have)) > 0;)
        have += (size_t)n;
    close(out[0]);
    return have == CHILDREN ? 1 : bad("orphans", (long)have, CHILDREN);
}

static int check_spawn_on(void) {
    pid_t pid;
    char *shell[] = {"sh", "-c", "exit $((20 + $(cat /proc/self/node)))", NULL};
    if (fork_on_next(1) != 0) return bad("choice", 1, errno);
    const int error = posix_spawn(&pid, "/bin/sh", NULL, NULL, shell, environ);
    if (error) return bad("posix_spawn", error, 0);
    return ended_with(pid, 21);
}

static int check_refused_on(void) {
    if (fork_on(50) != -1 || errno != EHOSTUNREACH) return bad("node 50", errno, EHOSTUNREACH);
    if (fork_on(99) != -1 || errno != ENXIO) return bad("node 99", errno, ENXIO);
    return 1;
}

// --- forks while the pages are away --------------------------------------------------------

static int check_drain_forks(void) {
    pid_t child[CHILDREN];
    if (!hop()) return 0;
    for (int i = 0; i < CHILDREN; i++)
        if ((child[i] = fork()) == 0) work(i + 1);
    change(CHILDREN + 1);
    for (int i = 0; i < CHILDREN; i++)
        if (!ended_with(child[i], 11 + i)) return 0;
    if (!whole(CHILDREN + 1)) return 0;
    for (size_t i = 0; i < pages; i++) *word(i) = value(i, 0);
    return 1;
}

static int check_drain_grandchild(void) {
    if (!hop()) return 0;
    const pid_t child = fork();
    if (child == 0) {
        const pid_t grandchild = fork();
        if (grandchild == 0) work(2);
        change(1);
        _exit(ended_with(grandchild, 12) && whole(1) ? 3 : 1);
    }
    return ended_with(child, 3) && whole(0);
}

static int check_drain_exec(void) {
    if (!hop()) return 0;
    const pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
        _exit(1);
    }
    return hop() && ended_with(child, 6) && whole(0);
}

// What a child of vfork leaves in its parent's memory is there, pages that it touched and others.
static int check_drain_vfork(void) {
    pid_t pid;
    char *shell[] = {"sh", "-c", "exit 7", NULL}, *nothing[] = {"nothing", NULL};
    if (!hop()) return 0;
    left = 0;
    pid = vfork();
    if (pid == 0) {
        left = 1;
        *word(1) = 1;
        _exit(4);
    }
    if (!ended_with(pid, 4) || left != 1 || *word(1) != 1) return bad("vfork", left, 1);
    *word(1) = value(1, 0);
    if (!hop()) return 0;
    if (posix_spawn(&pid, "/bin/sh", NULL, NULL, shell, environ) != 0) return bad("spawn", 0, 0);
    if (!ended_with(pid, 7) || !hop()) return 0;
    const int error = posix_spawn(&pid, "/none", NULL, NULL, nothing, environ);
    return error == ENOENT ? whole(0) : bad("spawn of nothing", error, ENOENT);
}

// The parent goes back, and on, while its child still reads what is away; so does the child.
static int check_drain_moves(void) {
    if (!hop()) return 0;
    const pid_t child = fork();
    if (child == 0) {
        if (!hop() || !whole(0)) _exit(1);
        work(1);
    }
    return hop() && hop() && hop() && ended_with(child, 11) && whole(0);
}

// Who moved ends at once, or becomes another program: its children go on with what it lent them.
static int check_drain_ends(void) {
    int out[2];
    char got[4];
    for (int kind = 0; kind < 2; kind++) {
        if (pipe(out) != 0) return bad("pipe", 0, errno);
        const pid_t parent = fork();
        if (parent == 0) {
            if (!hop()) _exit(1);
            if (fork() == 0) {
                if (!whole(0)) _exit(1);
                change(1);
                if (whole(1)) (void)!write(out[1], "w", 1);
                _exit(0);
            }
            if (kind == 0) _exit(5);
            execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
            _exit(1);
        }
        close(out[1]);
        if (!ended_with(parent, 5)) return 0;
        const ssize_t n = read(out[0], got, sizeof got);
        close(out[0]);
        if (n != 1) return bad("its child", n, 1);
    }
    return 1;
}

static const struct check { const char *what, *name; int (*run)(void); } checks[] = {
    {"on", "children on all nodes, each with its own pages", check_children_on},
    {"on", "the choice holds for one child", check_once},
    {"on", "the parent ends, its children read on", check_parent_ends},
    {"on", "posix_spawn on a node", check_spawn_on},
    {"on", "refusals say why", check_refused_on},
    {"drain", "children made while the pages are away", check_drain_forks},
    {"drain", "a child's child", check_drain_grandchild},
    {"drain", "a child execs, its parent moves on", check_drain_exec},
    {"drain", "vfork and posix_spawn", check_drain_vfork},
    {"drain", "parent and child move on", check_drain_moves},
    {"drain", "the parent ends or execs", check_drain_ends},
};

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    nodes = atoi(argv[2]);
    pages = (size_t)atoi(argv[3]) * 256;
    at = node_here();
    setvbuf(stdout, NULL, _IOLBF, 0);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return !bad("mmap", 0, errno);
    for (size_t i = 0; i < pages; i++) *word(i) = value(i, 0);
    int failed = 0;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (strcmp(checks[i].what, argv[1]) != 0) continue;
        if (argc > 4 && !strstr(checks[i].name, argv[4])) continue;
        if (checks[i].run()) printf("ok %s\n", checks[i].name);
        else printf("FAIL %s\n", checks[i].name), failed = 1;
    }
    return failed;
}
