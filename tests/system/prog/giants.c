// Calls of a size that no program means: they end soon, or a signal ends them. Prints one
// line "ok NAME" or "FAIL NAME" each.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIANT (64ull << 40)
#define BUFFER (1u << 20)
#define VECTORS 1024
#define BIG_READ (5u << 20)

static int failed;
static void check(int good, const char *name) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    fflush(stdout);
    failed |= !good;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int sig) { alarms += sig == SIGALRM; }

static void maps(void) {
    uint8_t *at = mmap(NULL, GIANT, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(at != MAP_FAILED, "a map of 64 TiB");
    if (at == MAP_FAILED) return;
    at[0] = 1, at[GIANT / 2] = 2, at[GIANT - 1] = 3;
    check(mprotect(at, GIANT, PROT_READ) == 0 && at[GIANT / 2] == 2, "64 TiB protected");
    check(mprotect(at, GIANT, PROT_READ | PROT_WRITE) == 0, "and unprotected");
    at[GIANT - 1] = 4;
    const pid_t child = fork();
    if (child == 0) _exit(at[0] == 1 && at[GIANT - 1] == 4 ? 0 : 1);
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0, "64 TiB forked");
    unsigned char few[8];
    check(mincore(at, GIANT, few) == -1, "mincore of 64 TiB is refused");
    check(madvise(at, GIANT, MADV_DONTNEED) == 0 && at[GIANT / 2] == 0, "64 TiB given back");
    at[GIANT / 2] = 7;
    uint8_t *moved = mremap(at, GIANT / 2 + 4096, GIANT / 2 + 8192, MREMAP_MAYMOVE);
    check(moved == MAP_FAILED || moved[GIANT / 2] == 7, "32 TiB moved");
    if (moved != MAP_FAILED) check(munmap(moved, GIANT / 2 + 8192) == 0, "and unmapped");
    check(munmap(at, GIANT) == 0, "64 TiB unmapped");
}

static void vectors(void) {
    static uint8_t buffer[BUFFER];
    static struct iovec v[VECTORS];
    const int zero = open("/dev/zero", O_RDWR);
    for (int i = 0; i < VECTORS; i++) v[i] = (struct iovec){buffer, BUFFER};
    struct sigaction act = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &act, NULL);
    // Again and again: the first may come before the read has begun.
    const struct itimerval soon = {.it_value = {0, 1000}, .it_interval = {0, 1000}}, off = {0};
    setitimer(ITIMER_REAL, &soon, NULL);
    const ssize_t n = readv(zero, v, VECTORS);
    setitimer(ITIMER_REAL, &off, NULL);
    check(n > 0 && n < (ssize_t)BUFFER * VECTORS && alarms >= 1,
          "a signal ends a read of 1 GiB with what was read");
    for (int i = 0; i < VECTORS; i++) v[i].iov_len = ~0ull >> 3;
    check(readv(zero, v, VECTORS) == -1 && errno == EINVAL, "lengths that overflow are refused");
    v[0].iov_len = 1ull << 63;
    check(readv(zero, v, 1) == -1 && errno == EINVAL, "a length below zero is refused");
}

static void whole(void) {
    static uint8_t to[BIG_READ], from[BIG_READ];
    const int fd = open("/tmp/giant", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (unsigned i = 0; i < BIG_READ; i++) from[i] = (uint8_t)(i * 7 + (i >> 9));
    check(write(fd, from, BIG_READ) == BIG_READ, "5 MiB written by one call");
    check(lseek(fd, 0, SEEK_SET) == 0 && read(fd, to, BIG_READ) == BIG_READ &&
          !memcmp(to, from, BIG_READ), "and read by one call, the same");
    check(pread(fd, to, BIG_READ, 1) == BIG_READ - 1 && !memcmp(to, from + 1, BIG_READ - 1),
          "and from an offset");
    unlink("/tmp/giant");
    close(fd);
}

int main(void) {
    maps();
    vectors();
    whole();
    return failed;
}
