// Checks system calls from inside: prints one line per check, "ok name" or "FAIL name".
// Built static by musl-gcc, gcc, and gcc -static-pie; the same source for each.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(const char *name, int good) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    fflush(stdout);
}

static int exit_of(pid_t pid) {
    int status = -1;
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void test_fork(void) {
    static int value = 1;
    char *heap = malloc(1 << 20);
    memset(heap, 7, 1 << 20);
    pid_t pid = fork();
    if (pid == 0) {
        value = 2;
        memset(heap, 9, 1 << 20);
        _exit(heap[12345] == 9 && value == 2 ? 5 : 6);
    }
    int status = exit_of(pid);
    check("fork: the child's writes are its own", WIFEXITED(status) && WEXITSTATUS(status) == 5);
    check("fork: the parent's memory is unchanged", value == 1 && heap[12345] == 7 && heap[0] == 7);
    free(heap);
    check("wait: no child left is ECHILD", wait(NULL) == -1 && errno == ECHILD);
}

static volatile sig_atomic_t caught, caught_value;
static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)context;
    caught = sig;
    caught_value = info->si_pid;
}

static void test_signals(void) {
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, NULL);
    volatile double x = 1.5;
    kill(getpid(), SIGUSR1);
    check("signal: the handler runs before kill returns",
          caught == SIGUSR1 && caught_value == getpid());
    check("signal: vector registers survive a handler", x * 2 == 3.0);
    int fds[2];
    if (pipe(fds)) return;
    sa.sa_flags = 0;
    sigaction(SIGALRM, &sa, NULL);
    alarm(1);
    char c;
    check("signal: a waiting read is interrupted", read(fds[0], &c, 1) == -1 && errno == EINTR);
    pid_t pid = fork();
    if (pid == 0) for (;;) pause();
    kill(pid, SIGKILL);
    int status = exit_of(pid);
    check("kill: SIGKILL ends a waiting process",
          WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    pid = fork();
    if (pid == 0) {
        *(volatile int *)16 = 1;
        _exit(0);
    }
    status = exit_of(pid);
    check("fault: a bad address is SIGSEGV", WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    pid = fork();
    if (pid == 0) {
        *(volatile int *)0xffffffff80200000ull = 1;
        _exit(0);
    }
    status = exit_of(pid);
    check("fault: a kernel address is SIGSEGV", WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    pid = fork();
    if (pid == 0) for (;;) pause();
    kill(pid, SIGSTOP);
    check("stop: waitpid reports it",
          waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    check("continue: waitpid reports it",
          waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    kill(pid, SIGTERM);
    exit_of(pid);
    close(fds[0]);
    signal(SIGPIPE, SIG_IGN);
    check("pipe: a write without reader is EPIPE", write(fds[1], "x", 1) == -1 && errno == EPIPE);
    close(fds[1]);
}

static void test_memory(void) {
    size_t len = 8 << 20;
    unsigned char *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int zero = 1;
    for (size_t i = 0; i < len; i += 4096) zero &= m[i] == 0;
    check("mmap: fresh pages are zero", zero);
    for (size_t i = 0; i < len; i += 4096) m[i] = (unsigned char)(i >> 12);
    check("munmap: a hole in the middle", munmap(m + 4096, 4096) == 0 && m[8192] == 2 && m[0] == 0);
    m = mremap(m + 8192, len - 8192, len * 2, MREMAP_MAYMOVE);
    check("mremap: grows and keeps", m != MAP_FAILED && m[0] == 2 && m[4096] == 3 && m[len] == 0);
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        *shared = 42;
        _exit(0);
    }
    exit_of(pid);
    check("mmap: shared memory is shared over fork", *shared == 42);
    pid = fork();
    if (pid == 0) {
        mprotect(m, 4096, PROT_READ);
        m[0] = 1;
        _exit(0);
    }
    int status = exit_of(pid);
    check("mprotect: a write to read-only is SIGSEGV",
          WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    check("mprotect: the parent still writes", (m[0] = 9) == 9);
}

static void test_files(void) {
    int fd = open("/tmp/calls", O_RDWR | O_CREAT | O_TRUNC, 0644);
    check("file: write and read back", write(fd, "0123456789", 10) == 10);
    char buf[16] = {0};
    check("pread: at an offset", pread(fd, buf, 4, 3) == 4 && !memcmp(buf, "3456", 4));
    char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    m[0] = 'X';
    check("mmap: a private file mapping does not write the file",
          pread(fd, buf, 1, 0) == 1 && buf[0] == '0');
    char *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    s[1] = 'Y';
    check("mmap: a shared one does", pread(fd, buf, 2, 0) == 2 && buf[1] == 'Y');
    struct stat st;
    check("fstat: the size", fstat(fd, &st) == 0 && st.st_size == 10);
    check("ftruncate: grows with zeros",
          ftruncate(fd, 5000) == 0 && pread(fd, buf, 1, 4999) == 1 && !buf[0]);
    int two = dup(fd);
    lseek(fd, 100, SEEK_SET);
    check("dup: shares the offset", lseek(two, 0, SEEK_CUR) == 100);
    unlink("/tmp/calls");
    check("unlink: the open file lives on",
          pread(fd, buf, 1, 0) == 1 && access("/tmp/calls", F_OK) == -1);
    int fds[2];
    check("pipe2", pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    check("pipe: empty and non-blocking is EAGAIN", read(fds[0], buf, 1) == -1 && errno == EAGAIN);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    check("poll: a timeout", poll(&p, 1, 20) == 0);
    (void)!write(fds[1], "a", 1);
    check("poll: ready", poll(&p, 1, -1) == 1 && p.revents == POLLIN);
}

// Big transfer through a pipe between two processes, checked byte by byte.
static void test_pipe(void) {
    int fds[2];
    size_t total = 3 << 20, got = 0;
    if (pipe(fds)) return;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        unsigned char *b = malloc(total);
        for (size_t i = 0; i < total; i++) b[i] = (unsigned char)(i * 31 >> 3);
        _exit(write(fds[1], b, total) == (ssize_t)total ? 0 : 1);
    }
    close(fds[1]);
    unsigned char buf[5000];
    int right = 1;
    for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0; got += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            right &= buf[i] == (unsigned char)((got + (size_t)i) * 31 >> 3);
    check("pipe: 3 MiB in one write arrive whole", right && got == total && exit_of(pid) == 0);
    close(fds[0]);
}

// Every number with bad pointers: none may do harm; those that take a buffer say EFAULT.
static void test_bad_pointers(void) {
    static const int skip[] = {
        SYS_exit,       SYS_exit_group,   SYS_fork,          SYS_vfork,     SYS_clone,
        SYS_pause,      SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_munmap,    SYS_brk,
        SYS_mprotect,   SYS_mremap,       SYS_kill,          SYS_tkill,     SYS_tgkill,
        SYS_close,      SYS_close_range,  SYS_dup2,          SYS_dup3,      SYS_alarm,
        SYS_arch_prctl, SYS_mmap,         SYS_madvise,       SYS_wait4,     SYS_waitid,
        SYS_setsid,     SYS_setpgid,      SYS_select,        SYS_poll,      SYS_reboot,
        SYS_umask,      SYS_setuid,       SYS_setgid,        SYS_setresuid, SYS_setresgid};
    static const uint64_t bad[] = {0x10, 0xffffffff80000000ull, 0x800000000000ull, ~0ull - 100};
    pid_t pid = fork();
    if (pid == 0) {
        for (long nr = 0; nr < 470; nr++) {
            int skipped = 0;
            for (size_t i = 0; i < sizeof skip / sizeof *skip; i++) skipped |= skip[i] == nr;
            for (int b = 0; !skipped && b < 4; b++) {
                syscall(nr, bad[b], bad[b], bad[b], bad[b], bad[b], bad[b]);
                syscall(nr, 1, bad[b], 1, bad[b], bad[b], bad[b]);
            }
        }
        _exit(7);
    }
    int status = exit_of(pid);
    check("bad pointers to every call do no harm", WIFEXITED(status) && WEXITSTATUS(status) == 7);
    char *nowhere = (char *)0xffffffff80000000ull;
    int fd = open("/dev/zero", O_RDWR);
    check("EFAULT: read", read(fd, nowhere, 1) == -1 && errno == EFAULT);
    check("EFAULT: write", write(fd, nowhere, 1) == -1 && errno == EFAULT);
    check("EFAULT: open", open(nowhere, O_RDONLY) == -1 && errno == EFAULT);
    check("EFAULT: stat", syscall(SYS_stat, "/", nowhere) == -1 && errno == EFAULT);
    check("EFAULT: pipe", syscall(SYS_pipe2, nowhere, 0) == -1 && errno == EFAULT);
    check("EFAULT: execve", syscall(SYS_execve, nowhere, NULL, NULL) == -1 && errno == EFAULT);
    check("EBADF: read", read(400, nowhere, 1) == -1 && errno == EBADF);
    close(fd);
}

static void test_exec(void) {
    int fd = open("/tmp/junk", O_RDWR | O_CREAT | O_TRUNC, 0755);
    (void)!write(fd, "\177ELF junk that is no program", 29);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"junk", NULL};
        execv("/tmp/junk", argv);
        _exit(errno == ENOEXEC ? 9 : 1);
    }
    int status = exit_of(pid);
    check("exec: junk is ENOEXEC", WIFEXITED(status) && WEXITSTATUS(status) == 9);
    fd = open("/tmp/script", O_RDWR | O_CREAT | O_TRUNC, 0755);
    (void)!write(fd, "#!/bin/sh\nexit $#\n", 18);
    close(fd);
    pid = fork();
    if (pid == 0) execl("/tmp/script", "script", "a", "b", "c", (char *)NULL);
    status = exit_of(pid);
    check("exec: a script gets its arguments", WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

int main(void) {
    test_fork();
    test_signals();
    test_memory();
    test_files();
    test_pipe();
    test_bad_pointers();
    test_exec();
    return 0;
}
