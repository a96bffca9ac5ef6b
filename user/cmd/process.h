// The processes of the whole cluster as /proc has them. Used by ps, top and where.
#pragma once

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 65536u

struct process {
    int pid, ppid, node;
    char state;
    unsigned uid;
    unsigned long long ticks;        // of CPU, 100 a second
    unsigned long long bytes, pages; // virtual, resident
    char command[256];               // its arguments, or (name) where it has none
};
struct processes { struct process *all; size_t count, size; };

// The first size - 1 bytes of a file, and a 0. Returns how many; -1: it cannot be read.
static inline ssize_t process_file(int pid, const char *name, char *to, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, to, size - 1);
    close(fd);
    to[n > 0 ? n : 0] = 0;
    return n;
}

// Which node has it; -1: none.
static inline int process_node(int pid) {
    char text[16];
    return process_file(pid, "node", text, sizeof text) > 0 ? atoi(text) : -1;
}

static inline void process_command(struct process *p, const char *name, int name_len) {
    ssize_t n = process_file(p->pid, "cmdline", p->command, sizeof p->command);
    for (ssize_t i = 0; i < n; i++)
        if (iscntrl((unsigned char)p->command[i])) p->command[i] = ' ';
    while (n > 0 && p->command[n - 1] == ' ') p->command[--n] = 0;
    if (n <= 0) snprintf(p->command, sizeof p->command, "(%.*s)", name_len, name);
}

// 0; -1: it has ended meanwhile.
static inline int process_read(int pid, struct process *p) {
    char stat[512], status[1024];
    unsigned long long user, kernel;
    *p = (struct process){.pid = pid, .node = process_node(pid)};
    if (p->node < 0 || process_file(pid, "stat", stat, sizeof stat) <= 0) return -1;
    char *name = strchr(stat, '('), *end = strrchr(stat, ')');
    if (!name || !end ||
        sscanf(end + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s "
               "%*s %*s %llu %llu", &p->state, &p->ppid, &user, &kernel, &p->bytes,
               &p->pages) != 6)
        return -1;
    p->ticks = user + kernel;
    if (process_file(pid, "status", status, sizeof status) > 0) {
        const char *uid = strstr(status, "\nUid:");
        if (uid) p->uid = (unsigned)strtoul(uid + 5, NULL, 10);
    }
    process_command(p, name + 1, (int)(end - name - 1));
    return 0;
}

// All of them, by number. -1: /proc cannot be read, or no memory. The caller frees list->all.
static inline int processes_read(struct processes *list) {
    DIR *dir = opendir("/proc");
    if (!dir) return -1;
    int failed = 0;
    for (struct dirent *e; (e = readdir(dir)) && list->count < PROCESSES_MAX;) {
        if (!isdigit((unsigned char)e->d_name[0])) continue;
        if (list->count == list->size) {
            size_t size = list->size ? 2 * list->size : 64;
            struct process *more = realloc(list->all, size * sizeof *more);
            if (!more) {
                failed = -1;
                break;
            }
            list->all = more;
            list->size = size;
        }
        if (process_read(atoi(e->d_name), &list->all[list->count]) == 0) list->count++;
    }
    closedir(dir);
    return failed;
}
