// Pseudo-terminals and the line discipline: prints what came of them, the same on Linux and on a
// node. `ptys [HERE THERE]`: moves itself between the ends' uses. Job control: ttyjobs.c.
#include <poll.h>

#include "pair.h"

// --- the line discipline ---------------------------------------------------------------------

static const struct chat {
    const char *about;
    unsigned i_off, i_on, o_off, o_on, l_off, l_on;
    const char *typed;
} chats[] = {
    {"a line", 0, 0, 0, 0, 0, 0, "hello\r"},
    {"erase and kill", 0, 0, 0, 0, 0, 0, "abX\177c\025de\177\177\177f\r"},
    {"words", 0, 0, 0, 0, 0, 0, "one two_3  \027x \027\027\027y\r"},
    {"control characters", 0, 0, 0, 0, 0, 0, "\001a\002\177\177\177\033[A\r"},
    {"tabs", 0, 0, 0, 0, 0, 0, "ab\tc\t\177\177\177d\r"},
    {"tab over a control", 0, 0, 0, 0, 0, 0, "\001\t\177z\r"},
    {"next stands for itself", 0, 0, 0, 0, 0, 0, "a\026\003\026\026b\026\004\026\177c\r"},
    {"reprint", 0, 0, 0, 0, 0, 0, "ab\001\022c\r"},
    {"end of file", 0, 0, 0, 0, 0, 0, "ab\004cd\r"},
    {"without ECHO", 0, 0, 0, 0, ECHO, 0, "quiet\177\025x\r"},
    {"ECHONL", 0, 0, 0, 0, ECHO, ECHONL, "quiet\r"},
    {"without ECHOE", 0, 0, 0, 0, ECHOE, 0, "abc\177\177d\025e\r"},
    {"without ECHOK", 0, 0, 0, 0, ECHOK, 0, "abc\025e\r"},
    {"without ECHOKE", 0, 0, 0, 0, ECHOKE, 0, "abc\025e\r"},
    {"without ECHOCTL", 0, 0, 0, 0, ECHOCTL, 0, "a\001b\177\177\177c\r"},
    {"without IEXTEN", 0, 0, 0, 0, IEXTEN, 0, "a\027b\026\022c\r"},
    {"stopped", 0, 0, 0, 0, 0, 0, "ab\023cd\021e\r"},
    {"stopped, any key", 0, IXANY, 0, 0, 0, 0, "ab\023cd\r"},
    {"without IXON", IXON, 0, 0, 0, 0, 0, "ab\023c\021\r"},
    {"without ISIG", 0, 0, 0, 0, ISIG, 0, "a\003\034\032b\r"},
    {"interrupt forgets", 0, 0, 0, 0, 0, 0, "abc\003d\r"},
    {"NOFLSH", 0, 0, 0, 0, 0, NOFLSH, "abc\003d\r"},
    {"INLCR", ICRNL, INLCR, 0, 0, ICANON, 0, "a\nb\r"},
    {"IGNCR", 0, IGNCR, 0, 0, 0, 0, "a\rb\n"},
    {"ISTRIP", 0, ISTRIP, 0, 0, 0, 0, "\341\342c\r"},
    {"UTF-8", 0, IUTF8, 0, 0, 0, 0, "a\303\244b\303\266\177\177c\303\244\025d\r"},
    {"raw", ICRNL | IXON, 0, OPOST, 0, ICANON | ECHO | ISIG | IEXTEN, 0, "a\003\r\n\023\177\026"},
    {"raw with echo", 0, 0, 0, 0, ICANON, 0, "a\001\r\tb\177"},
    {"OLCUC", 0, 0, 0, OLCUC, 0, 0, "abc\r"},
    {"XTABS", 0, 0, 0, XTABS, 0, 0, "ab\tc\r"},
    {"OCRNL, ONOCR", ICRNL, 0, 0, OCRNL | ONOCR, ICANON | ECHOCTL, 0, "\ra\rb\n\r"},
    {"ONLRET", 0, 0, ONLCR, ONLRET, 0, 0, "a\tb\r\tc\r"},
};

static void chat_run(const struct chat *c, const struct termios *plain) {
    struct termios t = *plain;
    char buffer[512];
    t.c_iflag = (t.c_iflag & ~c->i_off) | c->i_on;
    t.c_oflag = (t.c_oflag & ~c->o_off) | c->o_on;
    t.c_lflag = (t.c_lflag & ~c->l_off) | c->l_on;
    t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0;
    tcsetattr(slave, TCSANOW, &t);
    printf("%s\n", c->about);
    if (write(master, c->typed, strlen(c->typed)) < 0) printf("not typed\n");
    const char *end = t.c_lflag & ICANON ? "~\n" : "~";
    if (write(master, end, strlen(end)) < 0) printf("not typed\n");
    for (int ended = 0, i = 0; !ended && i < 100; i++) {
        ssize_t n = read(slave, buffer, sizeof buffer);
        ended = n > 0 && memchr(buffer, '~', (size_t)n);
        if (t.c_lflag & ICANON) show("  read", buffer, n);
    }
    if (write(slave, "=END=", 5) != 5) printf("not written\n");
    show("  shown", buffer, read_until(master, buffer, sizeof buffer, "=END="));
}

static void test_discipline(void) {
    struct termios plain;
    tcgetattr(slave, &plain);
    printf("defaults %o %o %o %o\n", plain.c_iflag & ~IUTF8, plain.c_oflag, plain.c_cflag,
           plain.c_lflag);
    for (int i = 0; i < 17; i++) printf(" %d", plain.c_cc[i]);
    printf("\n");
    for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) {
        go((int)i & 1);
        chat_run(&chats[i], &plain);
    }
    go(0);
    plain.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    static const struct { int least, tenths; const char *typed; int count; } reads[] = {
        {0, 0, "", 9}, {0, 1, "", 9}, {0, 1, "ab", 9}, {2, 0, "abc", 9}, {2, 0, "a", 1},
        {3, 1, "ab", 9}, {1, 1, "abc", 2}, {5, 0, "abcde", 9}};
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        char b[16];
        plain.c_cc[VMIN] = (cc_t)reads[i].least, plain.c_cc[VTIME] = (cc_t)reads[i].tenths;
        tcsetattr(slave, TCSAFLUSH, &plain);
        int there = 0, typed = (int)strlen(reads[i].typed);
        if (write(master, reads[i].typed, (size_t)typed) != typed) printf("not typed\n");
        while (there < typed) ioctl(slave, FIONREAD, &there);
        ssize_t n = read(slave, b, (size_t)reads[i].count);
        printf("least %d, %d tenths:", reads[i].least, reads[i].tenths);
        show("", b, n);
    }
    fcntl(slave, F_SETFL, O_NONBLOCK);
    char b;
    plain.c_cc[VMIN] = 1, plain.c_cc[VTIME] = 0;
    tcsetattr(slave, TCSAFLUSH, &plain);
    printf("nothing: %d\n", read(slave, &b, 1) < 0 && errno == EAGAIN);
    struct pollfd p = {slave, POLLIN | POLLOUT, 0};
    printf("poll: %d", poll(&p, 1, 0));
    printf(" %#x\n", p.revents);
    tcflow(slave, TCOOFF);
    printf("stopped: %d\n", write(slave, "x", 1) < 0 && errno == EAGAIN);
    tcflow(slave, TCOON);
    printf("goes on: %d\n", (int)write(slave, "x", 1));
    printf("read: %d\n", (int)read(master, &b, 1));
}

// --- sessions and jobs -----------------------------------------------------------------------

static void expect(const char *text) {
    char b[512];
    ssize_t n = read_until(master, b, sizeof b, text);
    show("  shown", b, n);
}

// The keys' signals and the window's, for a session's leader, wherever it is.
static void test_keys(void) {
    printf("keys\n");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        int sig;
        close(master);
        lead_session();
        sigemptyset(&set);
        int wanted[] = {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP, SIGCONT};
        for (int i = 0; i < 6; i++) sigaddset(&set, wanted[i]);
        sigprocmask(SIG_BLOCK, &set, NULL);
        struct termios t;                        // Linux echoes a key behind its signal: the answer
        tcgetattr(slave, &t);                    // to that may be shown before it
        t.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(slave, TCSANOW, &t);
        go(1);
        say("ready;");
        for (int i = 0; i < 4; i++) {
            struct winsize w;
            char text[64];
            sigwait(&set, &sig);
            do                                   // Linux tells of the new size before it is set
                ioctl(slave, TIOCGWINSZ, &w);
            while (sig == SIGWINCH && w.ws_row == 0);
            snprintf(text, sizeof text, "%d %dx%d;", sig, w.ws_row, w.ws_col);
            say(text);
        }
        int own = open("/dev/tty", O_RDWR);
        if (own < 0 || write(own, "own;", 4) != 4) say("none;");
        close(slave);
        close(own);
        int hup = sigwait(&set, &sig) == 0 && sig == SIGHUP;
        int cont = sigwait(&set, &sig) == 0 && sig == SIGCONT;
        _exit(6 + hup + 2 * cont);
    }
    expect("ready;");
    type("\003");
    expect("2 0x0;");
    type("\034");
    expect("3 0x0;");
    type("\032");
    expect("20 0x0;");
    struct winsize w = {33, 101, 0, 0};
    ioctl(master, TIOCSWINSZ, &w);
    expect("own;");
    pid_t group = 0;
    printf("group: %d", ioctl(master, TIOCGPGRP, &group));
    printf(" %d\n", group == pid);
    close(master);                               // which hangs up
    int status = 0;
    waitpid(pid, &status, 0);
    printf("ended: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    char b;
    printf("hung up: read %d", (int)read(slave, &b, 1));
    printf(", write %d\n", write(slave, "x", 1) < 0 && errno == EIO);
    close(slave);
}

static void test_ends(void) {
    printf("ends\n");
    open_pair();
    char b[8];
    if (write(slave, "last", 4) != 4) printf("not written\n");
    close(slave);
    ssize_t n = read_until(master, b, sizeof b, "last");
    show("what was written is read:", b, n);
    printf("then: %d\n", read(master, b, 1) < 0 && errno == EIO);
    struct pollfd p = {master, POLLIN, 0};
    printf("poll: %d", poll(&p, 1, -1));
    printf(" %d\n", (p.revents & POLLHUP) != 0);
    slave = open(name, O_RDWR | O_NOCTTY);
    printf("open again: %d\n", slave >= 0 && write(slave, "x", 1) == 1 && read(master, b, 1) == 1);
    close_pair();
    printf("gone: %d\n", open(name, O_RDWR | O_NOCTTY) < 0);
}

int main(int argc, char **argv) {
    alarm(300);                                  // a hang detector
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3) places[0] = argv[1], places[1] = argv[2];
    open_pair();
    test_discipline();
    close_pair();
    open_pair();
    test_keys();
    test_ends();
    printf("end\n");
    return 0;
}
