// mortal WHAT MIB: processes that belong together, on several nodes of which one may die: `fork`
// (a child on node 2 by remote fork), `drain` (children made on node 2 while the pages are away, on
// nodes 1 and 3), `share` (one on each of nodes 1, 2 and 3 takes turns at memory that they share).
// Says of each child how it ended, and of its own memory.
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "changed.h"
#include "node.h"
#include "user/lib/fork_on.h"

#define WORKERS 3u
#define TURNS 240u
#define LOST 20                      // exit: the shared memory is lost

enum { FUTEX_WAIT_WORD, FUTEX_WAKE_WORD };   // not private: the word is in shared memory

static int whole(int who) { return page_wrong(who) == pages; }

// A child's work: all as it was, its own changes, all as they are to be.
static void work(int who, int pipe_end) {
    if (!whole(0)) _exit(1);
    change(who);
    if (!whole(who) || write(pipe_end, "w", 1) != 1) _exit(1);
    _exit(10 + who);
}

// Waits for the children, and for the end of what they may write.
static int children(int count, int pipe_end) {
    int status;
    char bytes[16];
    for (pid_t pid; (pid = wait(&status)) > 0; count--)
        printf("child %d %d\n", pid, WIFEXITED(status) ? WEXITSTATUS(status)
                                                       : 128 + WTERMSIG(status));
    while (pipe_end >= 0 && read(pipe_end, bytes, sizeof bytes) > 0) {}
    return count == 0;
}

static int by_fork(void) {
    int ends[2];
    if (pipe(ends) != 0) return 2;
    const pid_t child = fork_on(2);
    if (child == 0) work(1, ends[1]);
    if (child < 0) perror("fork");
    close(ends[1]);
    change(2);                       // while it reads
    return !children(child > 0, ends[0]) || !whole(2);
}

static int by_drain(void) {
    int ends[2];
    if (node_go(1) || node_go(2) || pipe(ends) != 0) return 2;
    if (fork() == 0) work(1, ends[1]);
    if (fork() == 0) {
        if (fork() == 0) work(3, ends[1]);
        change(2);
        _exit(children(1, -1) && whole(2) ? 12 : 1);
    }
    close(ends[1]);
    change(4);
    return !children(2, ends[0]) || !whole(4);
}

// --- shared memory and futexes ----------------------------------------------------------------

static struct { _Atomic uint32_t turn, dead, taken; } *top;
static sigjmp_buf lost;

static void on_bus(int number) {
    (void)number;
    siglongjmp(lost, 1);
}

static void wake(void) { syscall(SYS_futex, &top->turn, FUTEX_WAKE_WORD, WORKERS, NULL, NULL, 0); }

// The turn goes to the next that lives, as far as is known; every turn writes a page of its own.
static void pass(uint32_t mine) {
    uint32_t next = mine + 1;
    while (top->dead & 1u << next % WORKERS) next++;
    if (atomic_compare_exchange_strong(&top->turn, &mine, next)) wake();
}

static void worker(uint32_t me) {
    if (node_go((int)me + 1)) _exit(2);
    for (uint32_t now; (now = top->turn) < TURNS;) {
        if (now % WORKERS != me) {
            if (syscall(SYS_futex, &top->turn, FUTEX_WAIT_WORD, now, NULL, NULL, 0) < 0 &&
                errno == EFAULT)
                _exit(LOST);
            continue;
        }
        *word(now % pages) += 1;
        atomic_fetch_add(&top->taken, 1);
        pass(now);
    }
    wake();
    _exit(10);
}

static int by_share(void) {
    pid_t pid, worker_pid[WORKERS];
    int status;
    top = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (top == MAP_FAILED) return 2;
    signal(SIGBUS, on_bus);
    if (sigsetjmp(lost, 1)) _exit(LOST);
    for (uint32_t i = 0; i < WORKERS; i++)
        if ((worker_pid[i] = fork()) == 0) worker(i);
    while ((pid = wait(&status)) > 0) {
        printf("child %d %d\n", pid, WIFEXITED(status) ? WEXITSTATUS(status)
                                                       : 128 + WTERMSIG(status));
        for (uint32_t i = 0; i < WORKERS; i++) {
            if (pid != worker_pid[i] || WIFEXITED(status)) continue;
            if (sigsetjmp(lost, 1)) continue;        // the others find that too
            atomic_fetch_or(&top->dead, 1u << i);
            for (uint32_t now; (now = top->turn) % WORKERS == i && now < TURNS;) pass(now);
        }
    }
    if (sigsetjmp(lost, 1)) return LOST;
    return top->turn < TURNS;
}

int main(int argc, char **argv) {
    static const struct { const char *what; int (*run)(void); int shared; } kinds[] = {
        {"fork", by_fork, 0}, {"drain", by_drain, 0}, {"share", by_share, 1}};
    if (argc < 3) return 2;
    setvbuf(stdout, NULL, _IONBF, 0);
    pages = (size_t)atoi(argv[2]) * 256;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (strcmp(kinds[k].what, argv[1]) != 0) continue;
        memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | (kinds[k].shared ? MAP_SHARED : MAP_PRIVATE), -1, 0);
        if (memory == MAP_FAILED) return 2;
        for (size_t i = 0; i < pages; i++) *word(i) = kinds[k].shared ? 0 : value(i, 0);
        const int status = kinds[k].run();
        puts(status == 0 ? "whole" : status == LOST ? "gone" : "not whole");
        return status;
    }
    return 2;
}
