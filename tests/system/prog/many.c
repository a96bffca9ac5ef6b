// Many processes: many sleep COUNT FILE forks COUNT sleepers, says when all run, kills and reaps
// them once FILE is there. many bomb LIMIT is a group of its own and forks in all it has made until
// that is refused, as uid 1000 with RLIMIT_NPROC = LIMIT where that is not 0; then all wait for a
// signal, and the first one says why it was refused, once none of them is in a fork any more.
// many hogs COUNT forks COUNT that use memory until they are killed for it.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_US 50000
#define HOG_BYTES (1u << 20)

static int sleepers(int count, const char *file) {
    pid_t *child = calloc((size_t)count, sizeof *child);
    int ready[2];
    if (!child || pipe(ready)) return 1;
    for (int i = 0; i < count; i++) {
        child[i] = fork();
        if (child[i] < 0) {
            printf("fork %d: %s\n", i, strerror(errno));
            return 1;
        }
        if (child[i] == 0) {
            if (write(ready[1], "x", 1) != 1) _exit(1);
            for (;;) pause();
        }
    }
    for (int got = 0; got < count;) {
        char bytes[512];
        const ssize_t n = read(ready[0], bytes, sizeof bytes);
        if (n <= 0) return 1;
        got += (int)n;
    }
    printf("asleep %d\n", count);
    fflush(stdout);
    while (access(file, F_OK)) usleep(LOOK_US);
    int killed = 0, status;
    for (int i = 0; i < count; i++) kill(child[i], SIGKILL);
    for (int i = 0; i < count; i++)
        killed += waitpid(child[i], &status, 0) == child[i] && WIFSIGNALED(status) &&
                  WTERMSIG(status) == SIGKILL;
    errno = 0;
    const int more = (int)wait(&status);
    printf("reaped %d more %d %s\n", killed, more, strerror(errno));
    return killed != count;
}

// at_it: processes of the bomb that have not come to their last wait; who forks counts the child
// before there is one.
static int bomb(int limit) {
    struct { atomic_int refused, at_it; } *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const pid_t first = getpid();
    const struct rlimit most = {(rlim_t)limit, (rlim_t)limit};
    if (s == MAP_FAILED || setpgid(0, 0)) return 1;
    if (limit && (setrlimit(RLIMIT_NPROC, &most) || setuid(1000))) return 1;
    s->at_it = 1;
    while (!s->refused) {
        s->at_it++;
        if (fork() >= 0) continue;
        s->refused = errno;
        s->at_it--;
    }
    s->at_it--;
    if (getpid() == first) {
        while (s->at_it) usleep(LOOK_US);
        printf("refused: %s\n", strerror(s->refused));
        fflush(stdout);
    }
    for (;;) pause();
}

static int hogs(int count) {
    int killed = 0, status;
    for (int i = 0; i < count; i++) {
        const pid_t child = fork();
        if (child < 0) return 1;
        if (child) continue;
        for (;;) {
            char *more = mmap(NULL, HOG_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (more == MAP_FAILED) _exit(2);
            memset(more, 1, HOG_BYTES);
        }
    }
    for (int i = 0; i < count; i++)
        killed += wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    printf("hogs %d killed %d\n", count, killed);
    return killed != count;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "sleep")) return sleepers(atoi(argv[2]), argv[3]);
    if (argc == 3 && !strcmp(argv[1], "bomb")) return bomb(atoi(argv[2]));
    if (argc == 3 && !strcmp(argv[1], "hogs")) return hogs(atoi(argv[2]));
    return 2;
}
