// mount: [-t TYPE] [-r] [-o OPTIONS] SOURCE /mnt/NAME. ext4 (ext3, ext2) starts ext4d, which
// serves the drive; other types go to mount(2). Without arguments: what is mounted on which
// node. Options: ro or read-only; the rest goes to mount(2).
//
// Busybox's shell prefers its own mount, which calls mount(2) and, since that knows no ext4,
// mount.ext4: this program. It does not hand on `ro`, but does hand on `read-only`.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define NODES_SHOWN 64

static int show_node(int node) {
    char path[64], line[1024], source[512], target[256], type[64], options[128];
    snprintf(path, sizeof path, "/nodes/%d/proc/mounts", node);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%511s %255s %63s %127s", source, target, type, options) == 4 &&
            (node == 0 || strncmp(target, "/mnt/", 5) == 0))
            printf("%s on %s type %s (%s) by node %d\n", source, target, type, options, node);
    fclose(file);
    return 0;
}

// One word of the options: true where it is ours.
static int has_word(const char *options, const char *word) {
    const size_t len = strlen(word);
    for (const char *at = options; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : "")
        if (strncmp(at, word, len) == 0 && (at[len] == 0 || at[len] == ',')) return 1;
    return 0;
}

struct args { const char *type, *options, *name[2]; int names, read_only; };

// 0: malformed.
static int parse(int argc, char **argv, struct args *a) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!strcmp(word, "-r")) a->read_only = 1;
        else if (!strcmp(word, "-t") && i + 1 < argc) a->type = argv[++i];
        else if (!strcmp(word, "-o") && i + 1 < argc) a->options = argv[++i];
        else if (word[0] == '-' || a->names == 2) return 0;
        else a->name[a->names++] = word;
    }
    a->read_only |= has_word(a->options, "ro") || has_word(a->options, "read-only");
    return a->names == 2;
}

static int mount_other(const struct args *a) {
    const unsigned long flags = a->read_only ? MS_RDONLY : 0;
    if (mount(a->name[0], a->name[1], a->type, flags, a->options) == 0) return 0;
    fprintf(stderr, "mount: %s on %s: %s\n", a->name[0], a->name[1],
            errno == ENODEV ? "no such type of file system" : strerror(errno));
    return 1;
}

int main(int argc, char **argv) {
    struct args a = {.type = "ext4", .options = ""};
    const char *self = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const int helper = strncmp(self, "mount.", 6) == 0;
    if (helper) a.type = self + 6;
    if (argc == 1) {
        for (int node = 0; node < NODES_SHOWN; node++) show_node(node);
        return 0;
    }
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: mount [-t ext4|9p] [-r] [-o OPTIONS] SOURCE /mnt/NAME\n");
        return 2;
    }
    if (strncmp(a.type, "ext", 3) != 0) return mount_other(&a);
    if (a.read_only) execl("/bin/ext4d", "ext4d", "-r", a.name[0], a.name[1], (char *)NULL);
    else execl("/bin/ext4d", "ext4d", a.name[0], a.name[1], (char *)NULL);
    perror("mount: /bin/ext4d");
    return 1;
}
