// nodes: one line for each node of the cluster, from /nodes/N/status.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_MAX 65536             // a whole status, exit records too

// The value behind "KEY: " in a status text, or "-".
static const char *value_of(char *text, const char *key, char *to, size_t size) {
    size_t length = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, key, length) != 0 || line[length] != ':') continue;
        const char *from = line + length + 1 + strspn(line + length + 1, " ");
        snprintf(to, size, "%.*s", (int)strcspn(from, "\n"), from);
        return to;
    }
    return "-";
}

static void print_node(const char *name) {
    static const char *const keys[] = {"state", "address", "cpus", "free", "processes",
                                       "queue"};
    static char text[STATUS_MAX];
    char path[300], value[128];
    snprintf(path, sizeof path, "/nodes/%s/status", name);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[n] = 0;
    printf("%-4s", name);
    for (size_t i = 0; i + 1 < sizeof keys / sizeof keys[0]; i++)
        printf(" %-*s", i == 1 ? 15 : 9, value_of(text, keys[i], value, sizeof value));
    printf(" %s\n", value_of(text, "queue", value, sizeof value));
}

static int by_number(const void *a, const void *b) {
    return atoi(*(char *const *)a) - atoi(*(char *const *)b);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        fprintf(stderr, "nodes: %s: takes no argument; /nodes/N/status has all of one node\n",
                argv[1]);
        return 2;
    }
    DIR *dir = opendir("/nodes");
    if (!dir) {
        perror("nodes: /nodes");
        return 1;
    }
    char *names[64];
    size_t count = 0;
    for (struct dirent *e; (e = readdir(dir)) && count < 64;)
        if (e->d_name[0] >= '0' && e->d_name[0] <= '9') names[count++] = strdup(e->d_name);
    closedir(dir);
    qsort(names, count, sizeof names[0], by_number);
    printf("%-4s %-9s %-15s %-9s %-9s %-9s %s\n", "node", "state", "address", "cpus", "free",
           "processes", "queue");
    for (size_t i = 0; i < count; i++) print_node(names[i]);
    return 0;
}
