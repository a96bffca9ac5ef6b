// migrate [--how=post|stop|pre] PID NODE: moves a running process, by writing to /proc/PID/node.
// --how: when its pages follow it; docs/reference/moves.md.
#include "user/cmd/node_file.h"

#define HOW "--how="

// NULL: no such way.
static const char *how_of(const char *word) {
    static const char *const names[] = {"post", "stop", "pre"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(word, HOW, strlen(HOW)) == 0 && strcmp(word + strlen(HOW), names[i]) == 0)
            return names[i];
    return NULL;
}

int main(int argc, char **argv) {
    char text[64];
    const char *how = argc == 4 ? how_of(argv[1]) : NULL;
    if (argc != 3 && !how) {
        fprintf(stderr, "usage: migrate [--how=post|stop|pre] PID NODE\n");
        return 2;
    }
    snprintf(text, sizeof text, how ? "%s %s" : "%s", argv[argc - 1], how);
    return node_file_write("migrate", argv[argc - 2], text) != 0;
}
