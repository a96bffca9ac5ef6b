// Pairs of sockets, and shared memory with a name: prints the same on Linux and on a node,
// wherever the process and its sockets are. `sockets [HERE THERE]`: moves itself between the two
// nodes, so that what it made on one is used from the other.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "places.h"

#define BIG_BYTES 300000

static volatile sig_atomic_t pipes_broken;

static void say(const char *what, long result) {
    printf("%s: %ld %s\n", what, result, result < 0 ? strerror(errno) : "fine");
    fflush(stdout);
}

static void on_pipe(int sig) {
    (void)sig;
    pipes_broken++;
}

static void pair(int fd[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0) return;
    say("socketpair", -1);
    exit(1);
}

static void say_poll(const char *what, int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | 0x2000 /* POLLRDHUP */};
    const int n = poll(&p, 1, 0);
    printf("poll %s: %d %x\n", what, n, (unsigned)p.revents);
}

static void say_read(const char *what, int fd, int flags) {
    char bytes[64] = "";
    const ssize_t n = recv(fd, bytes, sizeof bytes - 1, flags);
    say(what, n);
    if (n > 0) printf("  \"%.*s\"\n", (int)n, bytes);
}

static void test_refusals(void) {
    int fd[2], pipe_fd[2], value = 1;
    socklen_t len = sizeof value;
    char name[100];
    say("type", socketpair(AF_UNIX, 99, 0, fd));
    say("protocol", socketpair(AF_UNIX, SOCK_STREAM, 77, fd));
    say("family", socketpair(12345, SOCK_STREAM, 0, fd));
    say("nowhere", socketpair(AF_UNIX, SOCK_STREAM, 0, NULL));
    if (pipe(pipe_fd) != 0) exit(1);
    say("send to a pipe", send(pipe_fd[1], "x", 1, 0));
    say("shut a pipe", shutdown(pipe_fd[1], SHUT_WR));
    say("closed", send(99, "x", 1, 0));
    pair(fd);
    go(1);
    say("how", shutdown(fd[0], 7));
    say("seek", lseek(fd[0], 0, SEEK_SET));
    say("sync", fsync(fd[0]));
    say("bad memory", send(fd[0], (void *)1, 10, 0));
    say("option", getsockopt(fd[0], SOL_SOCKET, SO_TYPE, &value, &len));
    printf("type %d\n", value);
    say("error", getsockopt(fd[0], SOL_SOCKET, SO_ERROR, &value, &len));
    printf("error %d %d\n", value, (int)len);
    say("no option", getsockopt(fd[0], SOL_SOCKET, 9999, &value, &len));
    len = sizeof name;
    say("name", getpeername(fd[1], (struct sockaddr *)name, &len));
    printf("length %d\n", (int)len);
    struct stat st;
    fstat(fd[0], &st);
    printf("socket %d, mode %o\n", S_ISSOCK(st.st_mode), (unsigned)st.st_mode & 07777);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd[0]);
    say("open again", open(name, O_RDWR));
    for (int i = 0; i < 2; i++) close(fd[i]), close(pipe_fd[i]);
    go(0);
}

static void test_both_ways(void) {
    int fd[2], n = 0, one = 1;
    pair(fd);
    say_poll("fresh", fd[0]);
    go(1);
    say("write", write(fd[0], "hello", 5));
    say("send", send(fd[1], "back", 4, 0));
    say_poll("with bytes", fd[0]);
    say("FIONREAD", ioctl(fd[1], FIONREAD, &n));
    printf("  %d\n", n);
    say_read("peek", fd[1], MSG_PEEK);
    say_read("recv", fd[1], 0);
    say_read("empty", fd[1], MSG_DONTWAIT);
    say("FIONBIO", ioctl(fd[1], FIONBIO, &one));
    say_read("empty, by the description", fd[1], 0);
    printf("O_NONBLOCK %d\n", (fcntl(fd[1], F_GETFL) & O_NONBLOCK) != 0);
    go(0);
    say_read("recv", fd[0], 0);
    char a[4] = "", b[10] = "";
    struct iovec v[2] = {{"gather ", 7}, {"send", 4}}, w[2] = {{a, 4}, {b, 10}};
    struct msghdr out = {.msg_iov = v, .msg_iovlen = 2}, in = {.msg_iov = w, .msg_iovlen = 2};
    say("sendmsg", sendmsg(fd[0], &out, 0));
    say("recvmsg", recvmsg(fd[1], &in, 0));
    printf("  %.4s|%.10s|%d %d\n", a, b, (int)in.msg_controllen, in.msg_flags);
    const int copy = dup(fd[0]);
    close(fd[0]);
    say("by a copy", send(copy, "copy", 4, 0));
    close(copy);
    say_poll("closed, with bytes", fd[1]);
    say_read("recv", fd[1], 0);
    say_read("end", fd[1], 0);
    close(fd[1]);
}

static void test_ends(void) {
    int fd[2];
    signal(SIGPIPE, on_pipe);
    pair(fd);
    go(1);
    say("last words", send(fd[0], "last", 4, 0));
    say("shutdown", shutdown(fd[0], SHUT_WR));
    say_poll("of the half", fd[0]);
    say_poll("of its peer", fd[1]);
    say("own", send(fd[0], "x", 1, 0));
    say_read("recv", fd[1], 0);
    say_read("end", fd[1], 0);
    say("the other way", send(fd[1], "still", 5, 0));
    go(0);
    say_read("recv", fd[0], 0);
    close(fd[1]);
    say_poll("alone", fd[0]);
    close(fd[0]);
    pair(fd);
    go(1);
    close(fd[1]);
    say("quiet", send(fd[0], "x", 1, MSG_NOSIGNAL));
    printf("signals %d\n", pipes_broken);
    say("loud", write(fd[0], "x", 1));
    printf("signals %d\n", pipes_broken);
    close(fd[0]);
    go(0);
    pair(fd);
    const pid_t pid = fork();                    // a read that is waited for, or begun too late
    if (pid == 0) {
        go(1);
        char c;
        _exit(read(fd[0], &c, 1) == 0 ? 7 : 8);
    }
    say("shutdown for reading", shutdown(fd[0], SHUT_RD));
    int status;
    waitpid(pid, &status, 0);
    printf("the reader ended with %d\n", WEXITSTATUS(status));
    close(fd[0]);
    close(fd[1]);
}

// What the child on the other node says of so many bytes, which do not fit into one buffer.
static void test_big(void) {
    int fd[2];
    pair(fd);
    const pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        go(1);
        uint32_t sum = 0, count = 0;
        uint8_t bytes[5000];
        ssize_t n;
        while ((n = read(fd[1], bytes, sizeof bytes)) > 0) {
            for (ssize_t i = 0; i < n; i++) sum = sum * 31 + bytes[i];
            count += (uint32_t)n;
        }
        dprintf(fd[1], "%u bytes, sum %u", count, sum);
        _exit(0);
    }
    close(fd[1]);
    uint8_t *bytes = malloc(BIG_BYTES);
    for (uint32_t i = 0; i < BIG_BYTES; i++) bytes[i] = (uint8_t)(i * i >> 3);
    say("big write", write(fd[0], bytes, BIG_BYTES));
    shutdown(fd[0], SHUT_WR);
    char answer[100] = "";
    for (ssize_t n, at = 0; (n = read(fd[0], answer + at, sizeof answer - 1 - (size_t)at)) > 0;)
        at += n;
    printf("%s\n", answer);
    waitpid(pid, NULL, 0);
    free(bytes);
    close(fd[0]);
}

static void test_named(void) {
    char name[40];
    snprintf(name, sizeof name, "/isthmus-%d", getpid());
    const int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    say("shm_open", fd < 0 ? -1 : 0);
    say("again", shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    say("ftruncate", ftruncate(fd, 8192));
    volatile int *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    say("shm_unlink", shm_unlink(name));
    sem_t *s = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    if (shared == MAP_FAILED || s == SEM_FAILED) {
        say("map or sem_open", -1);
        return;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        go(1);
        shared[5] = 42;
        sem_post(s);
        _exit(0);
    }
    while (sem_wait(s) != 0) {}
    printf("shared %d\n", shared[5]);
    waitpid(pid, NULL, 0);
    say("sem_unlink", sem_unlink(name));
    const int memory = memfd_create("m", 0);
    say("memfd", memory < 0 ? -1 : 0);
    say("memfd write", write(memory, "in memory", 9));
    char bytes[10] = "";
    say("memfd read", pread(memory, bytes, 9, 0));
    printf("  %s\n", bytes);
#ifdef __GLIBC__
    const int e = posix_fallocate(memory, 0, 5000);
    struct stat st;
    fstat(memory, &st);
    printf("posix_fallocate %d, size %d\n", e, (int)st.st_size);
#endif
}

int main(int argc, char **argv) {
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    test_refusals();
    test_both_ways();
    test_ends();
    test_big();
    test_named();
    printf("end\n");
    return 0;
}
