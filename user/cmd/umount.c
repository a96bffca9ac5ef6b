// umount: [-f|-l] /mnt/NAME...: returns once the server has written everything and ended.
// With -f or -l also where files are open: they get EIO.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int unmount(const char *target, int flags) {
    if (umount2(target, flags) == 0) return 0;
    fprintf(stderr, "umount: %s: %s\n", target,
            errno == EINVAL ? "not mounted" : strerror(errno));
    return 1;
}

int main(int argc, char **argv) {
    int flags = 0, option, failed = 0;
    while ((option = getopt(argc, argv, "fl")) != -1) {
        if (option != 'f' && option != 'l') return 2;
        flags |= option == 'f' ? MNT_FORCE : MNT_DETACH;
    }
    if (optind == argc) {
        fprintf(stderr, "usage: umount [-f|-l] /mnt/NAME...\n");
        return 2;
    }
    for (int i = optind; i < argc; i++) failed |= unmount(argv[i], flags);
    return failed;
}
