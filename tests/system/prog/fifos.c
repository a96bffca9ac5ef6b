// Named pipes: prints the same on Linux and on a node, wherever the process and its pipes are.
// `fifos [HERE THERE]`: moves itself and its children between the two nodes, also while they wait
// in open, read or write.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "places.h"

#define ROUNDS 6
#define BIG_BYTES 200000

static volatile sig_atomic_t pipes_broken, alarms;
static int alarm_pipe[2];

static long say(const char *what, long result) {
    printf("%s: %ld %s\n", what, result < 0 ? -1 : result, result < 0 ? strerror(errno) : "fine");
    fflush(stdout);
    return result;
}

static void opened(const char *what, int fd) { say(what, fd < 0 ? -1 : 0); }

static void on_pipe(int sig) {
    (void)sig;
    pipes_broken++;
}

static void on_alarm(int sig) {
    (void)sig;
    alarms++;
    (void)!write(alarm_pipe[1], "a", 1);
}

static void say_read(const char *what, int fd) {
    char bytes[64] = "";
    const ssize_t n = say(what, read(fd, bytes, sizeof bytes - 1));
    if (n > 0) printf("  \"%s\"\n", bytes);
}

static void say_poll(const char *what, int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    const int n = poll(&p, 1, 0);
    printf("poll %s: %d %x\n", what, n, (unsigned)p.revents);
}

static int open_or_end(const char *name, int flags) {
    const int fd = open(name, flags);
    if (fd >= 0) return fd;
    printf("open %s %o: %s\n", name, (unsigned)flags, strerror(errno));
    exit(1);
}

static pid_t child(void (*run)(void)) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid) return pid;
    run();
    fflush(stdout);
    _exit(0);
}

static void ended(const char *what, pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%s: %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
}

// The other process is asleep: it has come to where it waits, or will soon.
static void until_asleep(pid_t pid) {
    char name[40], text[200];
    for (;;) {
        snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
        const int fd = open(name, O_RDONLY);
        const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        if (n <= 0) continue;
        text[n] = 0;
        const char *at = strrchr(text, ')');
        if (at && at[1] == ' ' && at[2] == 'S') return;
        usleep(1000);
    }
}

// Moves the other process to places[there].
static void send_there(pid_t pid, int there) {
    char name[40];
    if (!places[0]) return;
    snprintf(name, sizeof name, "/proc/%d/node", (int)pid);
    const int fd = open(name, O_WRONLY);
    if (fd < 0 || write(fd, places[there], strlen(places[there])) < 0)
        printf("%d did not move: %s\n", (int)pid, strerror(errno));
    if (fd >= 0) close(fd);
}

static void test_names(void) {
    struct stat st;
    umask(022);
    say("mkfifo", mkfifo("f", 0666));
    say("again", mkfifo("f", 0666));
    say("again, with a slash", mkfifo("f/", 0666));
    say("with a slash", mkfifo("g/", 0666));
    say("in none", mkfifo("none/g", 0666));
    say("in a file", mkfifo("f/g", 0666));
    say("no name", mkfifo("", 0666));
    say("a directory", mknod("d", S_IFDIR | 0777, 0));
    say("nonsense", mknod("d", 0130000 | 0777, 0));
    say("a device that is there", mknod("f", S_IFCHR | 0777, 0x103));
    say("a file", mknod("regular", S_IFREG | 0644, 0));
    say("a file without a type", mknod("plain", 0600, 0));
    go(1);
    say("a socket", mknod("socket", S_IFSOCK | 0777, 0));
    opened("open of a socket", open("socket", O_RDWR));
    const char *const names[] = {"f", "regular", "plain", "socket"};
    for (int i = 0; i < 4; i++) {
        say(names[i], stat(names[i], &st));
        printf("  mode %o, size %d, links %d\n", (unsigned)st.st_mode, (int)st.st_size,
               (int)st.st_nlink);
    }
    say("link", link("f", "h"));
    say("rename", rename("h", "g"));
    DIR *d = opendir(".");
    int fifos = 0;
    for (struct dirent *e; (e = readdir(d));) fifos += e->d_type == DT_FIFO;
    closedir(d);
    printf("%d FIFOs\n", fifos);
    const int a = open_or_end("f", O_RDWR), b = open_or_end("g", O_RDONLY | O_NONBLOCK);
    say("write by one name", write(a, "same", 4));
    say_read("read by the other", b);
    close(a), close(b);
    go(0);
    for (int i = 0; i < 4; i++) say("unlink", unlink(names[i]));
    say("unlink", unlink("g"));
}

static void test_no_wait(void) {
    struct stat st;
    int n = 0;
    mkfifo("f", 0600);
    opened("nobody reads", open("f", O_WRONLY | O_NONBLOCK));
    const int r = open_or_end("f", O_RDONLY | O_NONBLOCK);
    say_poll("nobody wrote yet", r);
    say_read("nobody writes", r);
    go(1);
    const int w = open_or_end("f", O_WRONLY | O_NONBLOCK | O_TRUNC | O_APPEND);
    say_poll("one who writes", w);
    say_poll("one who reads", r);
    say_read("nothing yet", r);
    say("write", write(w, "bytes", 5));
    say_poll("bytes", r);
    say("FIONREAD", ioctl(r, FIONREAD, &n));
    printf("  %d\n", n);
    say("read from the end to write to", read(w, &n, 1));
    say("write to the end to read from", write(r, "x", 1));
    close(w);
    say_poll("bytes, and nobody writes", r);
    say_read("read", r);
    say_poll("nobody writes any more", r);
    say_read("end", r);
    const int again = open_or_end("f", O_WRONLY);
    say_poll("somebody again", r);
    go(0);
    say("seek", lseek(r, 0, SEEK_SET));
    say("truncate", truncate("f", 0));
    say("ftruncate", ftruncate(again, 0));
    say("sync", fsync(again));
    say("map", mmap(NULL, 4096, PROT_READ, MAP_SHARED, r, 0) == MAP_FAILED ? -1 : 0);
    opened("a directory", open("f", O_RDONLY | O_DIRECTORY | O_NONBLOCK));
    opened("in it", openat(r, "x", O_RDONLY));
    opened("anew", open("f", O_CREAT | O_EXCL | O_RDWR, 0600));
    const int made = open("f", O_CREAT | O_RDWR, 0600);
    opened("made or not", made);
    close(made);
    say("mode", fchmod(r, 0640));
    say("stat", fstat(again, &st));
    printf("  mode %o\n", (unsigned)st.st_mode);
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    say("times", futimens(r, old));
    say("write", write(again, "x", 1));
    say("stat", stat("f", &st));
    printf("  a write is seen %d\n", st.st_mtime != 1000);
    close(r), close(again);
    unlink("f");
}

static void test_both(void) {
    mkfifo("f", 0600);
    const int b = open_or_end("f", O_RDWR);
    say_poll("both", b);
    say("write", write(b, "to itself", 9));
    say_poll("both, bytes", b);
    go(1);
    say_read("read", b);
    const int w = open_or_end("f", O_WRONLY), r = open_or_end("f", O_RDONLY);
    close(b);
    say_poll("reads", r);
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", r);
    const int other = open_or_end(name, O_WRONLY);
    say("by /proc", write(other, "found", 5));
    close(w);
    say_read("read", r);
    unlink("f");
    say("by a name that is gone", write(other, "still", 5));
    mkfifo("f", 0600);
    opened("a new one", open("f", O_WRONLY | O_NONBLOCK));
    say_read("read", r);
    close(other);
    say_read("end", r);
    close(r);
    go(0);
    unlink("f");
}

// One without a name waits for nobody: a shell's <(command) whose command has ended.
static void test_no_name(void) {
    int fd[2];
    char name[40];
    if (pipe(fd) != 0) exit(1);
    say("write", write(fd[1], "left", 4));
    close(fd[1]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd[0]);
    go(1);
    const int r = open_or_end(name, O_RDONLY);
    close(fd[0]);
    say_poll("by /proc", r);
    say_read("read", r);
    say_read("end", r);
    snprintf(name, sizeof name, "/proc/self/fd/%d", r);
    const int w = open_or_end(name, O_WRONLY | O_NONBLOCK);
    close(r);
    snprintf(name, sizeof name, "/proc/self/fd/%d", w);
    const int w2 = open_or_end(name, O_WRONLY | O_NONBLOCK);
    say("broken", write(w2, "x", 1));
    close(w), close(w2);
    go(0);
}

static void test_full(void) {
    static char page[4096], big[5000];
    long total = 0, n;
    mkfifo("f", 0600);
    const int b = open_or_end("f", O_RDWR | O_NONBLOCK);
    while ((n = write(b, page, sizeof page)) > 0) total += n;
    say("full", n);
    printf("  %ld bytes\n", total);
    say_poll("full", b);
    go(1);
    say("a byte less than a page", read(b, page, 4095));
    say("a page has no room", write(b, page, 4096));
    say("nor its last byte", read(b, page, 1));
    say("more than a page goes in part", write(b, big, sizeof big));
    say("full", write(b, big, 1));
    close(b);
    go(0);
    const int again = open_or_end("f", O_RDONLY | O_NONBLOCK);
    say_read("what nobody had open is gone", again);
    const int w = open_or_end("f", O_WRONLY);
    close(again);
    say_poll("nobody reads", w);
    say("broken", write(w, "x", 1));
    printf("signals %d\n", pipes_broken);
    go(1);
    say("broken", write(w, "x", 1));
    printf("signals %d\n", pipes_broken);
    close(w);
    go(0);
    unlink("f");
}

// --- open waits ---

static void reads_all(void) {
    go(1);
    const int r = open_or_end("f", O_RDONLY);
    char bytes[100] = "";
    for (ssize_t n, at = 0; (n = read(r, bytes + at, sizeof bytes - 1 - (size_t)at)) > 0;) at += n;
    printf("read \"%s\"\n", bytes);
}

static void writes_one(void) {
    go(1);
    const int w = open_or_end("f", O_WRONLY);
    if (write(w, "one", 3) != 3) _exit(9);
}

static void writes_at_once(void) {
    const int w = open_or_end("f", O_WRONLY);
    (void)!write(w, "gone before it was read", 23);
}

static void test_wait(void) {
    mkfifo("f", 0600);
    pid_t pid = child(reads_all);
    int w = open_or_end("f", O_WRONLY);
    pid_t other = child(writes_one);             // inherits w, and has one of its own
    ended("one writer", other);
    say("write", write(w, ", two", 5));
    close(w);
    ended("the reader", pid);
    pid = child(writes_one);
    int r = open_or_end("f", O_RDONLY);
    say_read("read", r);
    say_read("end", r);
    ended("the writer", pid);
    close(r);
    pid = child(reads_all);                      // who waits counts, and gets all
    while ((w = open("f", O_WRONLY | O_NONBLOCK)) < 0) usleep(1000);
    say("to who waited in open", write(w, "all of it", 9));
    close(w);
    ended("the reader", pid);
    pid = child(writes_at_once);                 // it has gone before this one goes on
    go(1);
    r = open_or_end("f", O_RDONLY);
    ended("the writer", pid);
    say_read("read", r);
    say_read("end", r);
    close(r);
    go(0);
    unlink("f");
}

static void *thread_reads(void *fd) {
    *(int *)fd = open("f", O_RDONLY);
    return NULL;
}

static void test_threads(void) {
    pthread_t t;
    int r = -1;
    mkfifo("f", 0600);
    pthread_create(&t, NULL, thread_reads, &r);
    const int w = open_or_end("f", O_WRONLY);
    pthread_join(t, NULL);
    opened("a thread's end", r);
    go(1);
    say("write", write(w, "threads", 7));
    say_read("read", r);
    close(r), close(w);
    go(0);
    unlink("f");
}

static void writes_after_alarm(void) {
    char c;
    go(1);
    (void)!read(alarm_pipe[0], &c, 1);
    const int w = open_or_end("f", O_WRONLY);
    (void)!write(w, "after the alarm", 15);
}

static void alarm_soon(int flags) {
    struct sigaction a = {.sa_handler = on_alarm, .sa_flags = flags};
    const struct itimerval soon = {{0, 0}, {0, 100000}};
    sigaction(SIGALRM, &a, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void test_signals(void) {
    char c;
    mkfifo("f", 0600);
    if (pipe(alarm_pipe) != 0) exit(1);
    go(1);
    const int before = dup(0);
    close(before);
    alarm_soon(0);
    opened("interrupted", open("f", O_RDONLY));
    printf("alarms %d\n", alarms);
    (void)!read(alarm_pipe[0], &c, 1);
    opened("and so not there", open("f", O_WRONLY | O_NONBLOCK));
    const int next = dup(0);
    printf("no handle is left %d\n", next == before);
    close(next);
    const pid_t pid = child(writes_after_alarm);
    alarm_soon(SA_RESTART);
    const int r = open_or_end("f", O_RDONLY);
    printf("alarms %d\n", alarms);
    say_read("read", r);
    ended("the writer", pid);
    close(r), close(alarm_pipe[0]), close(alarm_pipe[1]);
    go(0);
    unlink("f");
}

// --- moved and killed while they wait ---

static void waits_to_write(void) {
    static char bytes[BIG_BYTES];
    for (int i = 0; i < BIG_BYTES; i++) bytes[i] = (char)(i * 7 >> 2);
    const int w = open_or_end("f", O_WRONLY);
    if (write(w, bytes, sizeof bytes) != sizeof bytes) _exit(9);
}

static void opens_only(void) { (void)open_or_end("f", O_RDONLY); }

static void test_moved(void) {
    mkfifo("f", 0600);
    for (int i = 0; i < ROUNDS; i++) {
        const pid_t reader = child(reads_all);
        until_asleep(reader);
        send_there(reader, 0);
        send_there(reader, 1);
        const int w = open_or_end("f", O_WRONLY);
        until_asleep(reader);                    // in read
        send_there(reader, 0);
        say("write", write(w, "moved", 5));
        close(w);
        ended("moved in open and read", reader);
        const pid_t writer = child(waits_to_write);
        until_asleep(writer);
        send_there(writer, 1);
        const int r = open_or_end("f", O_RDONLY);
        until_asleep(writer);                    // in write, in its midst
        send_there(writer, i & 1);
        static char bytes[8192];
        long at = 0, wrong = 0;
        for (ssize_t n; (n = read(r, bytes, sizeof bytes)) > 0; at += n)
            for (ssize_t k = 0; k < n; k++) wrong += bytes[k] != (char)((at + k) * 7 >> 2);
        close(r);
        printf("%ld bytes, %ld wrong\n", at, wrong);
        ended("moved in open and write", writer);
    }
    for (int i = 0; i < 2; i++) {
        const pid_t pid = child(opens_only);
        until_asleep(pid);
        send_there(pid, i);
        until_asleep(pid);
        kill(pid, SIGKILL);
        ended("killed in open", pid);
        opened("nobody reads", open("f", O_WRONLY | O_NONBLOCK));
    }
    unlink("f");
}

static void closes_late(void) {
    const int w = open_or_end("f", O_WRONLY);
    go(1);
    (void)!write(w, "x", 1);
}

static void test_epoll(void) {
    struct epoll_event e = {.events = EPOLLIN};
    char c;
    mkfifo("f", 0600);
    const int r = open_or_end("f", O_RDONLY | O_NONBLOCK), set = epoll_create1(0);
    say("add", epoll_ctl(set, EPOLL_CTL_ADD, r, &e));
    say("nobody yet", epoll_wait(set, &e, 1, 0));
    go(1);
    const pid_t pid = child(closes_late);
    say("ready", epoll_wait(set, &e, 1, -1));
    printf("  in %d\n", (e.events & EPOLLIN) != 0);
    say("read", read(r, &c, 1));
    while (epoll_wait(set, &e, 1, -1) != 1 || !(e.events & EPOLLHUP)) {}
    printf("  events %x\n", (unsigned)e.events);
    ended("the writer", pid);
    close(set), close(r);
    go(0);
    unlink("f");
}

static void opens_as_other(void) {
    if (geteuid() == 0 && setuid(1000) != 0) _exit(3);
    opened("to read", open("f", O_RDONLY | O_NONBLOCK));
    opened("to write", open("f", O_WRONLY | O_NONBLOCK));
    opened("both", open("f", O_RDWR));
}

static void test_permissions(void) {
    mkfifo("f", 0);
    ended("another user", child(opens_as_other));
    unlink("f");
}

int main(int argc, char **argv) {
    char top[40];
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    snprintf(top, sizeof top, "/tmp/fifos-%d", (int)getpid());
    if (mkdir(top, 0755) != 0 || chdir(top) != 0) return 1;
    signal(SIGPIPE, on_pipe);
    test_names();
    test_no_wait();
    test_both();
    test_no_name();
    test_full();
    test_wait();
    test_threads();
    test_signals();
    test_moved();
    test_epoll();
    test_permissions();
    say("rmdir", rmdir(top));
    printf("end\n");
    return 0;
}
