// ps: one line for each process of the cluster, with the node that has it. With any option
// it is busybox's own ps, which knows nothing of nodes.
#include <pwd.h>
#include <sys/ioctl.h>

#include "user/cmd/process.h"

static void print_process(const struct process *p, int width) {
    char line[512], who[16];
    const struct passwd *user = getpwuid(p->uid);
    snprintf(who, sizeof who, "%u", p->uid);
    const unsigned long long seconds = p->ticks / 100;
    snprintf(line, sizeof line, "%7d %4d %-8.8s %c %5llu:%02llu %s", p->pid, p->node,
             user ? user->pw_name : who, p->state, seconds / 60, seconds % 60, p->command);
    printf("%.*s\n", width, line);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        execv("/bin/busybox", argv);
        perror("ps: /bin/busybox");
        return 1;
    }
    struct winsize screen = {.ws_col = 0};
    int width = (int)sizeof(((struct process *)NULL)->command) + 64;
    if (ioctl(1, TIOCGWINSZ, &screen) == 0 && screen.ws_col > 40) width = screen.ws_col - 1;
    struct processes list = {0};
    if (processes_read(&list) != 0) {
        perror("ps: /proc");
        return 1;
    }
    printf("%7s %4s %-8s %c %8s %s\n", "PID", "NODE", "USER", 'S', "TIME", "COMMAND");
    for (size_t i = 0; i < list.count; i++) print_process(&list.all[i], width);
    free(list.all);
    return 0;
}
