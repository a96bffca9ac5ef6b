// top: the processes of the cluster by the CPU time they had since the last look, with their
// nodes; a line for each node above. q ends it. With any option, or without a terminal, it is
// busybox's own top.
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include "user/cmd/process.h"

#define PAUSE_MS 2000
#define SECOND_NS 1000000000ll

static struct termios before;

static void terminal_back(void) {
    tcsetattr(0, TCSANOW, &before);
    fputs("\033[?25h\n", stdout);
    fflush(stdout);
}

static void on_signal(int number) {
    static const char back[] = "\033[?25h\n";
    tcsetattr(0, TCSANOW, &before);
    if (write(1, back, sizeof back - 1) < 0) _exit(1);
    _exit(128 + number);
}

// Keys come one by one and are not shown; what the terminal was comes back at the end.
static void terminal_take(void) {
    struct termios raw = before;
    struct sigaction end = {.sa_handler = on_signal};
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
    tcsetattr(0, TCSANOW, &raw);
    atexit(terminal_back);
    fputs("\033[?25l", stdout);
}

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static int by_pid(const void *a, const void *b) {
    return ((const struct process *)a)->pid - ((const struct process *)b)->pid;
}
static int by_ticks(const void *a, const void *b) {
    const struct process *x = a, *y = b;
    return x->ticks != y->ticks ? (x->ticks < y->ticks ? 1 : -1) : by_pid(a, b);
}

// Of each process what it had since `old`, in `list`.
static void since(struct processes *list, const struct processes *old) {
    for (size_t i = 0; i < list->count; i++) {
        struct process *p = &list->all[i];
        const struct process *was =
            old->count ? bsearch(p, old->all, old->count, sizeof *p, by_pid) : NULL;
        p->ticks = was && was->ticks <= p->ticks ? p->ticks - was->ticks : 0;
    }
}

static void copy(struct processes *to, const struct processes *from) {
    free(to->all);
    *to = (struct processes){malloc((from->count + 1) * sizeof *from->all), from->count, 0};
    if (!to->all) to->count = 0;
    else memcpy(to->all, from->all, from->count * sizeof *from->all);
    if (to->count) qsort(to->all, to->count, sizeof *to->all, by_pid);
}

// Per cent of one CPU, in tenths.
static unsigned long long share(unsigned long long ticks, long long passed_ns) {
    return passed_ns > 0 ? ticks * 10000000000ull / (unsigned long long)passed_ns : 0;
}

static int print_nodes(const struct processes *list, long long passed_ns) {
    int lines = 0;
    for (int node = 0; node < 64; node++) {
        unsigned long long ticks = 0;
        size_t count = 0;
        for (size_t i = 0; i < list->count; i++) {
            if (list->all[i].node != node) continue;
            ticks += list->all[i].ticks;
            count++;
        }
        if (count == 0) continue;
        const unsigned long long tenths = share(ticks, passed_ns);
        printf("node %d: %zu processes, CPU %llu.%llu %%\033[K\n", node, count, tenths / 10,
               tenths % 10);
        lines++;
    }
    return lines;
}

static void show(struct processes *list, long long passed_ns) {
    struct winsize screen = {.ws_row = 24, .ws_col = 80};
    if (ioctl(1, TIOCGWINSZ, &screen) != 0 || screen.ws_row < 5 || screen.ws_col < 40)
        screen = (struct winsize){.ws_row = 24, .ws_col = 80};
    fputs("\033[H", stdout);
    int row = print_nodes(list, passed_ns);
    printf("\033[7m%7s %4s %s %6s %8s %-*s\033[0m\n", "PID", "NODE", "S", "%CPU", "RSS kB",
           screen.ws_col - 32, "COMMAND");
    if (list->count) qsort(list->all, list->count, sizeof *list->all, by_ticks);
    row += 2;
    for (size_t i = 0; i < list->count && row < screen.ws_row; i++, row++) {
        const struct process *p = &list->all[i];
        const unsigned long long tenths = share(p->ticks, passed_ns);
        printf("%7d %4d %c %4llu.%llu %8llu %.*s\033[K\n", p->pid, p->node, p->state, tenths / 10,
               tenths % 10, p->pages * 4, screen.ws_col - 32, p->command);
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 1 || tcgetattr(0, &before) != 0) {
        execv("/bin/busybox", argv);
        perror("top: /bin/busybox");
        return 1;
    }
    terminal_take();
    fputs("\033[2J", stdout);
    struct processes old = {0};
    long long last_ns = now_ns();
    for (;;) {
        struct processes list = {0}, fresh = {0};
        if (processes_read(&list) != 0) return 1;
        const long long at_ns = now_ns();
        copy(&fresh, &list);
        since(&list, &old);
        show(&list, at_ns - last_ns);
        free(list.all);
        free(old.all);
        old = fresh;
        last_ns = at_ns;
        struct pollfd key = {.fd = 0, .events = POLLIN};
        char c;
        if (poll(&key, 1, PAUSE_MS) > 0 && (read(0, &c, 1) != 1 || c == 'q')) return 0;
    }
}
