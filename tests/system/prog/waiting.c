// Waits for many things at once, and prints what came of it: the same on Linux and on a node,
// wherever the process and what it waits for are. `waiting [HERE THERE]`: moves itself between
// the two nodes after each part, and makes what it waits for on one and waits on the other.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "places.h"

static const char *why(long result) { return result < 0 ? strerror(errno) : "fine"; }

static void say(const char *what, long result) {
    const char *text = why(result);
    printf("%s: %ld %s\n", what, result < 0 ? -1 : result, text);
    fflush(stdout);
}

static void add(int set, int fd, uint32_t events, uint64_t data) {
    struct epoll_event e = {.events = events, .data.u64 = data};
    say("add", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
}

static int by_data(const void *a, const void *b) {
    const struct epoll_event *x = a, *y = b;
    return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}

// All that is ready, whatever the order and however many a call gives: asked until none is,
// for edges, or once round for levels.
static void ready(const char *what, int set, int timeout_ms) {
    struct epoll_event e[8], all[8];
    int count = 0;
    int n = epoll_wait(set, e, 8, timeout_ms);
    for (int round = 0; round < 3 && n > 0; round++) {
        for (int i = 0; i < n; i++) {
            int known = 0;
            for (int k = 0; k < count; k++) known |= all[k].data.u64 == e[i].data.u64;
            if (!known && count < 8) all[count++] = e[i];
        }
        n = epoll_wait(set, e, 8, 0);
    }
    qsort(all, (size_t)count, sizeof all[0], by_data);
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %llu=%x", (unsigned long long)all[i].data.u64, all[i].events);
    printf("%s\n", count ? "" : " none");
    fflush(stdout);
}

static long take(int fd) {
    uint64_t v = 0;
    long n = read(fd, &v, sizeof v);
    return n == (long)sizeof v ? (long)v : n;
}
static long give(int fd, uint64_t v) { return write(fd, &v, sizeof v); }

static void test_eventfd(void) {
    int fd = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    go(1);
    say("counter", take(fd));
    say("empty counter", take(fd));
    say("give", give(fd, 7));
    say("give more", give(fd, 5));
    say("counter", take(fd));
    say("give all", give(fd, UINT64_MAX));
    say("give the most", give(fd, UINT64_MAX - 1));
    say("full", give(fd, 1));
    say("semaphore", take(semaphore));
    say("semaphore", take(semaphore));
    say("semaphore", take(semaphore));
    char small[4];
    say("too small", read(fd, small, sizeof small));
    struct pollfd p[2] = {{fd, POLLIN | POLLOUT, 0}, {semaphore, POLLIN | POLLOUT, 0}};
    say("poll", poll(p, 2, 0));
    printf("events %x %x\n", (unsigned)p[0].revents, (unsigned)p[1].revents);
    close(fd);
    close(semaphore);
    go(0);
    int wait = eventfd(0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        go(1);
        give(wait, 41);
        _exit(0);
    }
    say("what a child gave", take(wait));
    waitpid(pid, NULL, 0);
    close(wait);
}

static void test_levels(void) {
    int set = epoll_create1(EPOLL_CLOEXEC), a[2], b[2], event = eventfd(0, 0);
    if (pipe(a) || pipe(b)) return;
    add(set, a[0], EPOLLIN, 1);
    add(set, b[1], EPOLLOUT, 2);
    add(set, event, EPOLLIN | EPOLLOUT, 3);
    add(set, a[0], EPOLLIN, 1);
    go(1);
    ready("nothing to read", set, 0);
    say("write", write(a[1], "hello", 5));
    ready("one to read", set, -1);
    ready("still", set, -1);
    char bytes[8];
    say("read", read(a[0], bytes, sizeof bytes));
    ready("read", set, 0);
    struct epoll_event change = {.events = EPOLLIN, .data.u64 = 4};
    say("modify", epoll_ctl(set, EPOLL_CTL_MOD, event, &change));
    say("modify none", epoll_ctl(set, EPOLL_CTL_MOD, a[1], &change));
    ready("modified", set, 0);
    close(b[0]);
    ready("no reader", set, -1);
    close(a[1]);
    ready("no writer", set, -1);
    close(a[0]);
    say("delete", epoll_ctl(set, EPOLL_CTL_DEL, b[1], NULL));
    say("delete again", epoll_ctl(set, EPOLL_CTL_DEL, b[1], NULL));
    ready("closed ones", set, 0);
    go(0);
    struct epoll_event one;
    int file = open("/", O_RDONLY);
    say("a directory", epoll_ctl(set, EPOLL_CTL_ADD, file, &one));
    say("itself", epoll_ctl(set, EPOLL_CTL_ADD, set, &one));
    say("no set", epoll_ctl(event, EPOLL_CTL_ADD, b[1], &one));
    say("no handle", epoll_ctl(set, EPOLL_CTL_ADD, 400, &one));
    say("no command", epoll_ctl(set, 9, b[1], &one));
    say("no room", epoll_wait(set, &one, 0, 0));
    say("waits on no set", epoll_wait(event, &one, 1, 0));
    close(file);
    close(event);
    close(b[1]);
    close(set);
}

static void test_edges(void) {
    int set = epoll_create1(0), a[2], event = eventfd(0, EFD_NONBLOCK);
    if (pipe(a)) return;
    add(set, a[0], EPOLLIN | EPOLLET, 1);
    add(set, event, EPOLLIN | EPOLLONESHOT, 2);
    go(1);
    ready("no edge", set, 0);
    say("write", write(a[1], "ab", 2));
    ready("an edge", set, -1);
    ready("no new edge", set, 0);
    char byte;
    say("read a part", read(a[0], &byte, 1));
    ready("no edge by reading", set, 0);
    say("write", write(a[1], "c", 1));
    ready("a new edge", set, -1);
    give(event, 1);
    ready("one shot", set, -1);
    ready("shot", set, 0);
    struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 5};
    say("armed", epoll_ctl(set, EPOLL_CTL_MOD, event, &again));
    ready("one more shot", set, -1);
    ready("shot", set, 0);
    go(0);
    close(a[0]), close(a[1]), close(event), close(set);
}

static void test_nested(void) {
    int inner = epoll_create1(0), outer = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK);
    add(inner, event, EPOLLIN, 1);
    add(outer, inner, EPOLLIN, 2);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 3};
    say("a loop", epoll_ctl(inner, EPOLL_CTL_ADD, outer, &e));
    go(1);
    ready("nested, nothing", outer, 0);
    give(event, 1);
    ready("nested", outer, -1);
    struct pollfd p = {.fd = outer, .events = POLLIN};
    say("poll of a set", poll(&p, 1, -1));
    take(event);
    say("poll of a set with nothing", poll(&p, 1, 0));
    go(0);
    close(inner), close(outer), close(event);
}

static int put_in(int set, int fd) {
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) ? errno : 0;
}

// Sets in each other: which is refused, and that a chain of the deepest kind is waited for. Linux
// counts the sets above the one that gets a member since 6.17 only, so that is looked at on a node.
static void test_nests(int on_node) {
    enum { COUNT = 8, DEEPEST = 4 };
    int s[COUNT], refused = 0, event = eventfd(0, EFD_NONBLOCK);
    for (int i = 0; i < COUNT; i++) s[i] = epoll_create1(0);
    printf("round: %d %d", put_in(s[0], s[1]), put_in(s[1], s[2]));
    go(1);
    printf(" %d", put_in(s[2], s[0]) == ELOOP);
    printf(" %d\n", put_in(s[1], s[0]) == ELOOP);
    for (int i = 0; i < COUNT; i++) close(s[i]);
    go(0);
    for (int i = 0; i < COUNT; i++) s[i] = epoll_create1(0);
    go(1);
    for (int i = 1; i < COUNT && !refused; i++) refused = put_in(s[i], s[i - 1]);
    printf("a chain from below: %s\n", strerror(refused));
    go(0);
    for (int i = 0; i < COUNT; i++) close(s[i]);
    for (int i = 0; i < COUNT; i++) s[i] = epoll_create1(0);
    go(1);
    for (int i = 1; i <= DEEPEST; i++) refused = put_in(s[i - 1], s[i]);
    if (on_node && put_in(s[DEEPEST], s[DEEPEST + 1]) != ELOOP) puts("from above, too deep");
    printf("a chain from above: %d %d\n", refused, put_in(s[DEEPEST], event));
    give(event, 1);
    ready("through the chain", s[0], -1);
    take(event);
    ready("through the chain, nothing", s[0], 0);
    go(0);
    for (int i = 0; i < COUNT; i++) close(s[i]);
    close(event);
}

// A set whose members, through others, are too many to ask: a node says so.
static void test_wide(int on_node) {
    enum { WIDTH = 30, DEPTH = 4 };
    int s[DEPTH + 1], copies[DEPTH][WIDTH], bad = 0;
    struct epoll_event e;
    for (int i = 0; i <= DEPTH; i++) s[i] = epoll_create1(0);
    for (int i = 0; i < DEPTH; i++) {
        for (int k = 0; k < WIDTH; k++) {
            copies[i][k] = dup(s[i + 1]);
            bad |= put_in(s[i], copies[i][k]);
        }
    }
    const int n = epoll_wait(s[0], &e, 1, 0);
    printf("a wide set: %d %d\n", bad, on_node ? n == -1 && errno == ELOOP : n == 0);
    printf("its part: %d\n", epoll_wait(s[2], &e, 1, 0));
    for (int i = 0; i < DEPTH * WIDTH; i++) close(copies[i / WIDTH][i % WIDTH]);
    for (int i = 0; i <= DEPTH; i++) close(s[i]);
}

static void test_wait_for_child(void) {
    int set = epoll_create1(0), a[2], event = eventfd(0, 0);
    if (pipe(a)) return;
    add(set, a[0], EPOLLIN, 1);
    add(set, event, EPOLLIN, 2);
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            go(i & 1);
            if (i & 2) give(event, 1);
            else if (write(a[1], "x", 1) != 1) _exit(1);
            _exit(0);
        }
        if (i == 2) go(1);
        ready("from a child", set, -1);
        char byte;
        if (i & 2) take(event);
        else say("byte", read(a[0], &byte, 1));
        waitpid(pid, NULL, 0);
    }
    go(0);
    close(a[0]), close(a[1]), close(event), close(set);
}

static void settle(struct itimerspec *t, long value_ms, long interval_ms) {
    *t = (struct itimerspec){{interval_ms / 1000, interval_ms % 1000 * 1000000},
                             {value_ms / 1000, value_ms % 1000 * 1000000}};
}

static void test_timerfd(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), set = epoll_create1(0);
    struct itimerspec t, old;
    say("not armed", take(fd));
    settle(&t, 100000, 5000);
    say("set", timerfd_settime(fd, 0, &t, NULL));
    go(1);
    say("not yet", take(fd));
    say("get", timerfd_gettime(fd, &old));
    printf("left %d interval %ld\n", old.it_value.tv_sec > 90 && old.it_value.tv_sec < 100,
           (long)old.it_interval.tv_sec);
    add(set, fd, EPOLLIN, 1);
    settle(&t, 20, 0);
    say("set again", timerfd_settime(fd, 0, &t, &old));
    printf("the old one: interval %ld\n", (long)old.it_interval.tv_sec);
    ready("a timer", set, -1);
    say("once", take(fd));
    say("and no more", take(fd));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    t = (struct itimerspec){.it_value = now};
    say("past", timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
    ready("past", set, -1);
    say("past", take(fd));
    settle(&t, 5, 5);
    say("often", timerfd_settime(fd, 0, &t, NULL));
    long n = 0;
    while (n < 3) {
        struct epoll_event e;
        if (epoll_wait(set, &e, 1, -1) != 1) break;
        long some = take(fd);
        n += some > 0 ? some : 0;
    }
    printf("often enough %d\n", n >= 3);
    settle(&t, 0, 0);
    say("disarmed", timerfd_settime(fd, 0, &t, NULL));
    take(fd);
    ready("disarmed", set, 0);
    say("no clock", timerfd_create(77, 0));
    say("CPU time", timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    go(0);
    close(fd);
    close(set);
}

static void test_select(void) {
    int a[2], event;
    if (pipe(a)) return;
    event = eventfd(0, 0);
    go(1);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(a[0], &in);
    FD_SET(event, &in);
    FD_SET(a[1], &out);
    struct timeval none = {0, 0};
    say("select", select(event + 1, &in, &out, NULL, &none));
    printf("%d %d %d\n", FD_ISSET(a[0], &in) != 0, FD_ISSET(event, &in) != 0,
           FD_ISSET(a[1], &out) != 0);
    give(event, 1);
    FD_SET(a[0], &in);
    FD_SET(event, &in);
    struct timeval long_time = {1000, 0};
    say("select", select(event + 1, &in, NULL, NULL, &long_time));
    printf("%d %d, time left %d\n", FD_ISSET(a[0], &in) != 0, FD_ISSET(event, &in) != 0,
           long_time.tv_sec < 1000 && long_time.tv_sec > 900);
    struct timespec p_time = {0, 1000000};
    FD_ZERO(&in);
    FD_SET(a[0], &in);
    say("pselect", pselect(a[1] + 1, &in, NULL, NULL, &p_time, NULL));
    go(0);
    close(a[0]), close(a[1]), close(event);
}

static long word_wait(uint32_t *word, const struct timespec *time) {
    return syscall(SYS_futex, word, 0 /* FUTEX_WAIT */, 0, time, NULL, 0);
}

// A word that processes of several nodes share is looked at now and then: neither ends a wait
// before its time, nor one that has none.
static void test_shared_word(void) {
    uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED) return;
    struct timespec before, after, time = {0, 90000000};
    go(1);
    clock_gettime(CLOCK_MONOTONIC, &before);
    say("no wake", word_wait(word, &time));
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("its whole time %d\n", (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec -
                                      before.tv_nsec >= time.tv_nsec);
    pid_t pid = fork();
    if (pid == 0) {
        go(0);
        nanosleep(&time, NULL);
        __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
        _exit(0);
    }
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0)
        if (word_wait(word, NULL) < 0 && errno != EAGAIN && errno != EINTR) say("wake", -1);
    waitpid(pid, NULL, 0);
    printf("woken\n");
    go(0);
    munmap(word, 4096);
}

int main(int argc, char **argv) {
    struct utsname name;
    const int on_node = uname(&name) == 0 && strstr(name.release, "isthmus") != NULL;
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    test_eventfd();
    test_levels();
    test_edges();
    test_nested();
    test_nests(on_node);
    test_wide(on_node);
    test_wait_for_child();
    test_timerfd();
    test_select();
    test_shared_word();
    printf("end\n");
    return 0;
}
