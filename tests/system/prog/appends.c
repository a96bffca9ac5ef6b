// appends DIR FIRST COUNT: appends records FIRST to FIRST + COUNT - 1 to five files of DIR, each
// with an fsync, among other changes that nobody asks to be safe. For every fsync that returned
// it prints `synced NUMBER FILE BEGIN END` on the console: where the record lies in its file.
// tests/system/power.py has the same records.
//   appends -c DIR NUMBER FILE BEGIN  is that record there? Prints what is wrong.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 5u
#define RECORD_MAX 10000u

static unsigned long long state;
static unsigned random_next(void) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33);
}

// What record `number` is: a line that names it, and bytes. Returns its length.
static unsigned record_make(unsigned number, unsigned char *to) {
    state = number;
    const unsigned length = 64 + random_next() % (RECORD_MAX - 64);
    for (unsigned i = 0; i < length; i++) to[i] = (unsigned char)(random_next() >> 8);
    char head[64];
    const int len = snprintf(head, sizeof head, "record %08u of %u bytes\n", number, length);
    memcpy(to, head, (size_t)len);
    return length;
}

static void fail(const char *what, const char *path) {
    printf("failed: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void noise(const char *dir, unsigned number) {
    static const unsigned char bytes[20000] = "noise";
    char path[256], other[256];
    snprintf(path, sizeof path, "%s/noise%u", dir, number);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) fail("open", path);
    if (write(fd, bytes, 1 + random_next() % sizeof bytes) < 0) fail("write", path);
    close(fd);
    snprintf(other, sizeof other, "%s/moved%u", dir, number % 7);
    if (random_next() % 3 == 0 && rename(path, other)) fail("rename", path);
    snprintf(other, sizeof other, "%s/noise%u", dir, number - 5);
    if (number >= 5 && unlink(other) && errno != ENOENT) fail("unlink", other);
}

static int append(const char *dir, unsigned first, unsigned count) {
    static unsigned char bytes[RECORD_MAX];
    char path[256], line[128];
    int files[FILES];
    const int console = open("/dev/console", O_WRONLY);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/log%u", dir, i);
        files[i] = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
        if (files[i] < 0) fail("open", path);
    }
    for (unsigned n = first; n < first + count; n++) {
        const unsigned length = record_make(n, bytes), which = random_next() % FILES;
        const int fd = files[which];
        const long long begin = lseek(fd, 0, SEEK_END);
        if (begin < 0 || write(fd, bytes, length) != (ssize_t)length) fail("write", "log");
        noise(dir, n);
        if (fsync(fd)) fail("fsync", "log");
        const int len = snprintf(line, sizeof line, "synced %u %u %lld %lld\n", n, which, begin,
                                 begin + length);
        if (write(console, line, (size_t)len) != len) return 1;
    }
    return 0;
}

static int check(const char *dir, unsigned number, const char *which, long long begin) {
    static unsigned char want[RECORD_MAX], got[RECORD_MAX];
    char path[256];
    const unsigned length = record_make(number, want);
    snprintf(path, sizeof path, "%s/log%s", dir, which);
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || pread(fd, got, length, begin) != (ssize_t)length) fail("read", path);
    if (!memcmp(want, got, length)) return 0;
    printf("failed: record %u of %s differs\n", number, path);
    return 1;
}

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "-c"))
        return check(argv[2], (unsigned)atoi(argv[3]), argv[4], atoll(argv[5]));
    if (argc == 4) return append(argv[1], (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    return 2;
}
