// What shell commands cannot ask of a drive. Prints one line each; drives.py compares.
//   drive size PATH           BLKGETSIZE64, the end by lseek, the block size
//   drive claim PATH PART     O_EXCL on PATH: second claims of it and of PART, then after close
//   drive errors PATH SECTOR  a write by who claims PATH to a bad one; fsync by another, it, it
//   drive preads PATH COUNT   FNV-1a over COUNT preads at pseudo-random offsets and lengths
//   drive writes PATH COUNT   the same with pwrite of pseudo-random bytes, then fsync
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BLKGETSIZE64_ 0x80081272u
#define BLKSSZGET_ 0x1268u
#define LENGTH_MAX 70000u

static unsigned long long state = 7;
static unsigned random_next(void) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33);
}

static int size(const char *path) {
    unsigned long long bytes = 0;
    int block = 0, fd = open(path, O_RDONLY);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64_, &bytes) || ioctl(fd, BLKSSZGET_, &block)) return 1;
    printf("size %llu %lld %d\n", bytes, (long long)lseek(fd, 0, SEEK_END), block);
    return 0;
}

static const char *claim_try(const char *path) {
    int fd = open(path, O_RDWR | O_EXCL);
    if (fd < 0) return strerror(errno);
    close(fd);
    return "open";
}

static int claim(const char *path, const char *part) {
    int fd = open(path, O_RDWR | O_EXCL);
    if (fd < 0) return 1;
    printf("claim %s, %s", claim_try(path), claim_try(part));
    int plain = open(path, O_RDONLY);
    printf(", %s", plain < 0 ? "refused" : "read");
    close(fd);
    printf(", %s, %s\n", claim_try(path), claim_try(part));
    return 0;
}

static int errors(const char *path, long long sector) {
    const int claimer = open(path, O_RDWR | O_EXCL), other = open(path, O_RDWR);
    static const unsigned char bytes[512];
    if (claimer < 0 || other < 0 || pwrite(claimer, bytes, 512, sector * 512) != 512) return 1;
    printf("errors %d", fsync(other) ? errno : 0);
    printf(" %d", fsync(claimer) ? errno : 0);
    printf(" %d\n", fsync(claimer) ? errno : 0);
    return 0;
}

static int moves(const char *path, unsigned count, int writes) {
    static unsigned char bytes[LENGTH_MAX];
    int fd = open(path, writes ? O_RDWR : O_RDONLY);
    long long end = lseek(fd, 0, SEEK_END);
    unsigned long long hash = 0xcbf29ce484222325ull;
    if (fd < 0 || end <= 0) return 1;
    for (unsigned i = 0; i < count; i++) {
        long long at = random_next() % end;
        unsigned length = random_next() % (i % 8 ? 600 : LENGTH_MAX);
        if (length > end - at) length = (unsigned)(end - at);
        for (unsigned k = 0; writes && k < length; k++) bytes[k] = (unsigned char)random_next();
        long long got = writes ? pwrite(fd, bytes, length, at) : pread(fd, bytes, length, at);
        if (got != (long long)length) {
            printf("at %lld: %lld of %u: %s\n", at, got, length, strerror(errno));
            return 1;
        }
        for (unsigned k = 0; k < length; k++) hash = (hash ^ bytes[k]) * 0x100000001b3ull;
    }
    if (writes && fsync(fd)) return 1;
    printf("%s %016llx\n", writes ? "writes" : "preads", hash);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "errors")) return errors(argv[2], atoll(argv[3]));
    if (argc == 3 && !strcmp(argv[1], "size")) return size(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "claim")) return claim(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "preads")) return moves(argv[2], (unsigned)atoi(argv[3]), 0);
    if (argc == 4 && !strcmp(argv[1], "writes")) return moves(argv[2], (unsigned)atoi(argv[3]), 1);
    return 2;
}
