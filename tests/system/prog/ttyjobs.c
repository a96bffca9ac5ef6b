// Job control of a pseudo-terminal, of whoever uses it: prints what came of it, the same on Linux
// and on a node. `ttyjobs [HERE THERE]`: the terminal is on HERE; its session's leader and the jobs
// are on either node, each in its turn. `ttyjobs HERE THERE dies`: the leader goes THERE, where the
// test ends it together with its node.
#include "pair.h"

static int leads, works;             // places of the leader and of its jobs

// A child in a group of its own (group 0) or in that of a job, at a place. In the child: 0.
static pid_t job(pid_t group, int place) {
    fflush(stdout);
    pid_t pid = fork();
    setpgid(pid, group ? group : pid);
    if (pid == 0) go(place);
    return pid;
}

static int job_end(pid_t pid) {      // how a job stopped or ended
    int status;
    while (waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR) continue;
    if (WIFSTOPPED(status)) return 1000 + WSTOPSIG(status);
    return WIFSIGNALED(status) ? 2000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int foreground(pid_t group) {
    signal(SIGTTOU, SIG_IGN);
    int result = tcsetpgrp(slave, group);
    signal(SIGTTOU, SIG_DFL);
    return result;
}

static void tostop_set(int on) {
    struct termios t;
    tcgetattr(slave, &t);
    t.c_lflag = on ? t.c_lflag | TOSTOP : t.c_lflag & ~(tcflag_t)TOSTOP;
    tcsetattr(slave, TCSANOW, &t);
}

static volatile sig_atomic_t count[65];
static void note(int sig) { count[sig]++; }
static void note_twice(int sig) {
    if (++count[sig] == 2) signal(sig, SIG_IGN);
}

// --- in the background -----------------------------------------------------------------------

enum { JOB_READ, JOB_WRITE, JOB_SET, JOB_GROUP, JOB_FLUSH, JOB_DRAIN, JOB_KINDS };
static int job_does(int kind) {
    struct termios t;
    char b;
    errno = 0;
    tcgetattr(slave, &t);
    switch (kind) {
    case JOB_READ: return read(slave, &b, 1) == 1 ? 0 : errno;
    case JOB_WRITE: return write(slave, "w", 1) == 1 ? 0 : errno;
    case JOB_SET: return tcsetattr(slave, TCSANOW, &t) == 0 ? 0 : errno;
    case JOB_GROUP: return tcsetpgrp(slave, getpgrp()) == 0 ? 0 : errno;
    case JOB_FLUSH: return tcflush(slave, TCOFLUSH) == 0 ? 0 : errno;
    default: return tcdrain(slave) == 0 ? 0 : errno;
    }
}

enum { LISTENS, IGNORES, BLOCKS, HANDLES, RESTARTS, WAYS };
static void hear(int sig, int way) {
    struct sigaction a = {.sa_handler = way == HANDLES ? note : note_twice,
                          .sa_flags = way == RESTARTS ? SA_RESTART : 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    if (way == IGNORES) signal(sig, SIG_IGN);
    if (way == BLOCKS) sigprocmask(SIG_BLOCK, &set, NULL);
    if (way >= HANDLES) sigaction(sig, &a, NULL);
}

// A job in the background does something.
static void background(int kind, int way, int tostop) {
    tostop_set(tostop);
    pid_t pid = job(0, works);
    if (pid == 0) {
        hear(SIGTTIN, way);
        hear(SIGTTOU, way);
        int error = job_does(kind);
        _exit(error + 50 * (count[SIGTTIN] + count[SIGTTOU]));
    }
    int how = job_end(pid);
    printf("background %d way %d tostop %d: %d", kind, way, tostop, how);
    if (how > 1000 && how < 2000) {              // in the foreground it does
        printf(" %d", foreground(pid));
        kill(-pid, SIGCONT);
        printf(" %d", job_end(pid));
    }
    foreground(getpgrp());
    printf("\n");
}

static void test_background(void) {
    for (int kind = 0; kind < JOB_KINDS; kind++)
        for (int way = 0; way < WAYS; way++)
            for (int tostop = 0; tostop < 2; tostop++)
                if (kind == JOB_WRITE || tostop == (kind == JOB_READ))
                    background(kind, way, tostop);
    tostop_set(0);
}

// One member reads, and all of the group stop, wherever they are; so they go on.
static void test_group(void) {
    int ready[2];
    char b;
    if (pipe(ready) < 0) exit(1);
    pid_t reader = job(0, works);
    if (reader == 0) {
        if (read(ready[0], &b, 1) != 1) _exit(9);
        _exit(job_does(JOB_READ));
    }
    pid_t other = job(reader, !works);
    if (other == 0) {
        sigset_t set, old;
        sigemptyset(&set);
        sigaddset(&set, SIGCONT);
        sigprocmask(SIG_BLOCK, &set, &old);
        signal(SIGCONT, note);
        if (write(ready[1], "r", 1) != 1) _exit(9);
        while (!count[SIGCONT]) sigsuspend(&old);
        _exit(7);
    }
    int how = job_end(reader);
    printf("group: %d %d", how, job_end(other));
    printf(" %d", foreground(reader));
    kill(-reader, SIGCONT);
    how = job_end(reader);
    printf(", then %d %d\n", how, job_end(other));
    foreground(getpgrp());
    close(ready[0]), close(ready[1]);
}

// A stopped job whose parent ends has nobody to continue it: SIGHUP and SIGCONT. What it does in
// the background then is an error.
static void test_orphan(void) {
    int tell[2];
    char b[64] = "";
    if (pipe(tell) < 0) exit(1);
    fflush(stdout);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t pid = job(0, works);
        if (pid == 0) {
            signal(SIGHUP, note);
            signal(SIGCONT, note);
            kill(getpid(), SIGSTOP);
            while (!count[SIGHUP] || !count[SIGCONT]) continue;
            kill(getpid(), SIGTSTP);             // has no effect
            dprintf(tell[1], "hup %d cont %d, read %d, write %d, set %d %d", count[SIGHUP],
                    count[SIGCONT], job_does(JOB_READ), job_does(JOB_WRITE), job_does(JOB_SET),
                    job_does(JOB_GROUP));
            _exit(0);
        }
        printf("stopped: %d\n", job_end(pid));
        fflush(stdout);
        _exit(0);
    }
    waitpid(parent, NULL, 0);
    close(tell[1]);
    read_until(tell[0], b, sizeof b - 1, "\n");
    close(tell[0]);
    printf("orphan: %s\n", b);
}

// A member whose own parent has ended is not orphaned as long as another one's has not.
static void test_kept(void) {
    int tell[2];
    char b = '?';
    if (pipe(tell) < 0) exit(1);
    pid_t pid = job(0, works);
    if (pid == 0) {
        pid_t between = fork();
        if (between == 0) {
            pid_t me = getpid();
            if (fork()) _exit(0);
            while (getppid() == me) usleep(1000);
            go(!works);
            b = (char)('0' + job_does(JOB_READ));
            if (write(tell[1], &b, 1) != 1) _exit(1);
            _exit(0);
        }
        signal(SIGCONT, note);
        waitpid(between, NULL, 0);
        while (!count[SIGCONT]) usleep(1000);
        _exit(7);
    }
    printf("kept: %d", job_end(pid));
    printf(" %d", foreground(pid));
    kill(-pid, SIGCONT);
    printf(" %d", job_end(pid));
    close(tell[1]);
    printf(", reads %d", (int)read(tell[0], &b, 1));
    printf(" %c\n", b);
    close(tell[0]);
    foreground(getpgrp());
}

// --- whose terminal it is --------------------------------------------------------------------

static int error_of(int result) { return result < 0 ? errno : 0; }

static void test_numbers(void) {
    pid_t ended = fork(), group;
    if (ended == 0) _exit(0);
    waitpid(ended, NULL, 0);
    pid_t plain = fork();                        // of this group
    if (plain == 0) {
        pause();
        _exit(0);
    }
    printf("own: %d %d", tcgetpgrp(slave) == getpgrp(), tcgetsid(slave) == getsid(0));
    printf(", master's: %d", ioctl(master, TIOCGPGRP, &group) == 0 && group == getpgrp());
    printf(" %d\n", ioctl(master, TIOCGSID, &group) == 0 && group == getsid(0));
    printf("no group: %d", error_of(tcsetpgrp(slave, -5)));
    printf(" %d", error_of(tcsetpgrp(slave, ended)));
    printf(" %d", error_of(tcsetpgrp(slave, plain)));
    printf(" %d", error_of(tcsetpgrp(slave, plain)));      // in the background now, and orphaned
    foreground(getpgrp());
    printf(" %d\n", error_of(tcsetpgrp(slave, getpgid(getppid()))));
    kill(plain, SIGKILL);
    waitpid(plain, NULL, 0);
}

static void test_take(void) {
    const int saved = slave, saved_master = master;
    printf("again: %d", error_of(ioctl(slave, TIOCSCTTY, 0)));
    open_pair();
    printf("another: %d", error_of(ioctl(slave, TIOCSCTTY, 0)));
    close_pair();
    slave = saved, master = saved_master;
    pid_t pid = job(0, works);
    if (pid == 0) {
        printf("no leader: %d\n", error_of(ioctl(slave, TIOCSCTTY, 0)));
        fflush(stdout);
        pid_t other = fork();
        if (other == 0) {
            setsid();
            printf("held: %d, not own: %d", error_of(ioctl(slave, TIOCSCTTY, 0)),
                   error_of(tcgetpgrp(slave)));
            printf(" %d", error_of(tcsetpgrp(slave, getpgrp())));
            printf(" %d", error_of(ioctl(slave, TIOCNOTTY)));
            printf(" %d\n", error_of(open("/dev/tty", O_RDWR)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(other, NULL, 0);
        printf("leaves it: %d", error_of(ioctl(slave, TIOCNOTTY)));
        printf(", then %d, reads %d\n", error_of(open("/dev/tty", O_RDWR)), job_does(JOB_READ));
        fflush(stdout);
        _exit(0);
    }
    printf("taker: %d\n", job_end(pid));
}

// --- how it ends -----------------------------------------------------------------------------

static int said[2];                  // what the job in the foreground heard

static void hear_all(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCONT);
    sigprocmask(SIG_BLOCK, set, NULL);
}

// A job in the foreground waits for that many signals, says which and whether it may still use the
// terminal.
static pid_t listener(int signals) {
    int ready[2];
    char b;
    if (pipe(ready) < 0) exit(1);
    pid_t pid = job(0, works);
    if (pid == 0) {
        sigset_t set;
        int sig;
        close(master);
        hear_all(&set);
        if (write(ready[1], "r", 1) != 1) _exit(1);
        for (int i = 0; i < signals; i++)
            if (sigwait(&set, &sig) == 0) dprintf(said[1], "%d ", sig);
        int own = open("/dev/tty", O_RDWR);
        dprintf(said[1], "own %d, write %d\n", own < 0 ? errno : 0,
                write(slave, "w", 1) == 1 ? 0 : errno);
        _exit(0);
    }
    if (read(ready[0], &b, 1) != 1) exit(1);
    close(ready[0]), close(ready[1]);
    printf("foreground: %d\n", foreground(pid));
    return pid;
}

enum { LEADER_ENDS, LEADER_LEAVES, LINE_GOES, END_KINDS, LEADER_DIES = END_KINDS };
static void leader(int kind) {
    sigset_t set;
    int sig;
    close(said[0]);
    lead_session();
    hear_all(&set);
    go(leads);
    pid_t pid = listener(kind == LEADER_ENDS || kind == LEADER_DIES ? 1 : 2);
    if (kind == LEADER_LEAVES) {
        printf("leaves it: %d", error_of(ioctl(slave, TIOCNOTTY)));
        printf(" %d\n", error_of(open("/dev/tty", O_RDWR)));
        printf("job: %d\n", job_end(pid));
        int again = open(name, O_RDWR);          // without O_NOCTTY
        printf("opens it: %d %d\n", again >= 0, tcgetpgrp(again) == getpgrp());
    } else if (kind == LINE_GOES) {
        close(master);
        fflush(stdout);
        if (write(said[1], "go\n", 3) != 3) _exit(1);
        if (sigwait(&set, &sig) == 0) printf("leader: %d", sig);
        if (sigwait(&set, &sig) == 0) printf(" %d", sig);
        printf(", %d\n", error_of(open("/dev/tty", O_RDWR)));
    }
    fflush(stdout);
    while (kind == LEADER_DIES) pause();
    _exit(0);
}

static void test_end(int kind) {
    char b[64] = "";
    static const char *const about[] = {"the leader ends", "it leaves", "the line goes", "it dies"};
    printf("%s\n", about[kind]);
    fflush(stdout);
    open_pair();
    if (pipe(said) < 0) exit(1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) leader(kind);
    close(said[1]);
    if (kind == LINE_GOES) {
        ssize_t n = read_until(said[0], b, sizeof b, "go\n");
        printf("hangs up: %d\n", n == 3);
        fflush(stdout);
        close(master);
    }
    ssize_t n = read_until(said[0], b, sizeof b, "\n");
    int how = job_end(pid);
    show("heard:", b, n);
    printf("leader: %d\n", how);
    if (kind != LINE_GOES) {
        pid_t group;
        n = read_until(master, b, sizeof b, "w");
        show("shown:", b, n);
        printf("free: %d\n", error_of(ioctl(master, TIOCGSID, &group)));
        close(master);
    }
    close(slave), close(said[0]);
}

// --- all -------------------------------------------------------------------------------------

static void test_session(void) {
    open_pair();
    type("typed for those who read it, one at a time, all the way, as far as they like\n");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        lead_session();
        go(leads);
        test_background();
        test_group();
        tostop_set(1);
        test_orphan();
        tostop_set(0);
        test_kept();
        test_numbers();
        test_take();
        fflush(stdout);
        _exit(0);
    }
    printf("session ended: %d\n", job_end(pid));
    close_pair();
}

int main(int argc, char **argv) {
    alarm(500);                                  // a hang detector
    setvbuf(stdout, NULL, _IOFBF, 0);
    if (argc >= 3) places[0] = argv[1], places[1] = argv[2];
    go(0);
    if (argc == 4) {
        leads = 1;
        test_end(LEADER_DIES);
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        leads = i & 1, works = i >> 1;
        test_session();
        for (int kind = 0; kind < END_KINDS; kind++) test_end(kind);
    }
    printf("end\n");
    return 0;
}
