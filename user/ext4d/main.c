// ext4d [-r] DRIVE /mnt/NAME: serves the ext4 file system on a drive, or on a file, as
// /mnt/NAME of all nodes, until it is unmounted. Ends at once with a reason where it cannot;
// otherwise the program goes on in the background and the command ends with status 0.
//
// A dirty file system is repaired by Debian's e2fsck first. While it is mounted for writing
// its drive is claimed and its superblock says that it is in use.
// With -i FILE it serves the messages in a file instead of a mount, each after the one before is
// answered, for tests on the host.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bits.h"
#include "user/ext4d/ext4d.h"

#define E2FSCK "/sbin/e2fsck.static"
#define BLOCKS_SUPPORTED (1ull << 32)
#define LAST_MOUNTED "ext4d"             // in the superblock: who left it as it is

static const char *drive_name;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "ext4d: %s: %s\n", drive_name, text);
}

static const char *reason(errcode_t code) {
    switch (code) {
    case EBUSY: return "in use: mounted already?";
    case EXT2_ET_BAD_MAGIC: return "no ext4 file system";
    case EXT2_ET_SB_CSUM_INVALID: return "the superblock's checksum is wrong";
    case EXT2_ET_CORRUPT_SUPERBLOCK: return "the superblock is corrupt";
    case EXT2_ET_UNSUPP_FEATURE: return "it has features that ext4d does not know";
    case EXT2_ET_RO_UNSUPP_FEATURE: return "it has features that allow reading only: mount -r";
    case EXT2_ET_INODE_CSUM_INVALID: return "an inode's checksum is wrong";
    case EXT2_ET_SHORT_READ: return "the drive is smaller than the file system";
    default: return code < 512 ? strerror((int)code) : "corrupt";
    }
}

status_t status_of(struct ext4d *s, errcode_t code) {
    if (code == 0) return S_OK;
    switch (code) {
    case EXT4D_LACKS: return S_RESTART;
    case EXT2_ET_FILE_NOT_FOUND: return E_NOENT;
    case EXT2_ET_NO_DIRECTORY: return E_NOTDIR;
    case EXT2_ET_BLOCK_ALLOC_FAIL: case EXT2_ET_INODE_ALLOC_FAIL: case EXT2_ET_DIR_NO_SPACE:
    case ENOSPC: return E_NOSPC;
    case EXT2_ET_DIR_EXISTS: case EXT2_ET_FILE_EXISTS: return E_EXIST;
    case EXT2_ET_NO_MEMORY: case ENOMEM: return E_NOMEM;
    case EXT2_ET_RO_FILSYS: return E_ROFS;
    case EXT2_ET_FILE_TOO_BIG: return E_FBIG;
    default: break;
    }
    static u32 told;
    if (told++ < 8) say("%s (%ld)", reason(code), code);
    if (s->fs && !s->read_only) {            // the next mount has it checked
        s->fs->super->s_state |= EXT2_ERROR_FS;
        ext2fs_mark_super_dirty(s->fs);
    }
    return E_IO;
}

// All changes to the drive, in order. Errors: those of the drive.
errcode_t fs_commit(struct ext4d *s) {
    errcode_t code = 0;
    if (s->fs->flags & EXT2_FLAG_DIRTY) code = ext2fs_flush2(s->fs, 0);
    if (!code) code = drive_commit(s->fs);
    if (code && !s->refused) say("the drive does not take what was changed: read-only");
    if (!code && s->refused) say("the drive takes changes again");
    s->refused = code != 0;
    return code;
}

// --- begin and end ---

static bool is_dirty(const struct ext2_super_block *super) {
    return !(super->s_state & EXT2_VALID_FS) || (super->s_state & EXT2_ERROR_FS) ||
           (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER);
}

static errcode_t open_drive(ext2_filsys *fs, int flags) {
    return ext2fs_open2(drive_name, NULL, flags | EXT2_FLAG_64BITS, 0, 0, drive_manager, fs);
}

// Runs Debian's e2fsck. Its exit status, or that of one that could not run.
static int check_run(const char *how) {
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(2, 1);
        execl(E2FSCK, "e2fsck", how, drive_name, (char *)NULL);
        fprintf(stderr, "ext4d: %s: %s\n", E2FSCK, strerror(errno));
        _exit(8);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 8;
    return WEXITSTATUS(status);
}

// Has it repaired. False: it is not to be used. A power cut while ext4d had it mounted may leave
// files without a name, for ext4d does not journal; those e2fsck does not connect unasked. All
// else that it would ask about is for a person.
static bool check(bool left_by_us) {
    say("not cleanly unmounted: checking it");
    int status = check_run("-p");
    if (status > 3 && status < 8 && left_by_us) status = check_run("-fy");
    if (status <= 3) return true;
    say("e2fsck could not repair it by itself (status %d): run e2fsck.static -fy %s", status,
        drive_name);
    return false;
}

static bool is_left_by_us(const struct ext2_super_block *super) {
    return !(super->s_state & (EXT2_VALID_FS | EXT2_ERROR_FS)) &&
           !strncmp((const char *)super->s_last_mounted, LAST_MOUNTED,
                    sizeof super->s_last_mounted);
}

// Looks whether it is dirty, and has it repaired: not where somebody has it mounted. e2fsck
// claims the drive itself, so nobody mounts it in between.
static bool make_clean(void) {
    ext2_filsys fs;
    const int fd = open(drive_name, O_RDWR | O_EXCL | O_CLOEXEC);
    if (fd < 0) {
        say("%s", reason(errno));
        return false;
    }
    close(fd);
    for (u32 round = 0; round < 2; round++) {
        const errcode_t code = open_drive(&fs, 0);
        bool dirty = code == EXT2_ET_SB_CSUM_INVALID, left_by_us = false;
        if (code && (!dirty || round)) {
            say("%s", reason(code));
            return false;
        }
        if (!code) {
            dirty = is_dirty(fs->super);
            left_by_us = is_left_by_us(fs->super);
            ext2fs_close_free(&fs);
        }
        if (!dirty) return true;
        if (round || !check(left_by_us)) break;
    }
    return false;
}

static errcode_t mark(struct ext4d *s, bool in_use) {
    struct ext2_super_block *super = s->fs->super;
    if (s->read_only) return 0;
    if (in_use) super->s_state &= (u16)~EXT2_VALID_FS;
    else if (!(super->s_state & EXT2_ERROR_FS)) super->s_state |= EXT2_VALID_FS;
    if (in_use) super->s_mnt_count++;
    memset(super->s_last_mounted, 0, sizeof super->s_last_mounted);
    memcpy(super->s_last_mounted, LAST_MOUNTED, sizeof LAST_MOUNTED);
    ext2fs_mark_super_dirty(s->fs);
    return fs_commit(s);
}

static bool begin(struct ext4d *s) {
    if (!s->read_only && !make_clean()) return false;
    errcode_t code = open_drive(&s->fs, s->read_only ? 0 : EXT2_FLAG_RW | EXT2_FLAG_EXCLUSIVE);
    if (!code && !s->read_only && is_dirty(s->fs->super)) code = EBUSY;   // in the meantime
    if (!code && ext2fs_blocks_count(s->fs->super) >= BLOCKS_SUPPORTED) code = EFBIG;
    if (!code && ext2fs_has_feature_inline_data(s->fs->super)) code = EXT2_ET_UNSUPP_FEATURE;
    if (!code && !s->read_only) code = ext2fs_read_bitmaps(s->fs);
    if (!code) code = drive_start(s->fs);
    if (!code) s->fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
    if (!code) code = mark(s, true);
    if (code) say("%s", reason(code));
    return code == 0;
}

static bool end(struct ext4d *s) {
    serve_end(s);
    errcode_t code = s->read_only ? 0 : fs_commit(s);
    if (!code) code = mark(s, false);
    if (code) say("not written whole: %s", reason(code));
    const errcode_t closed = ext2fs_close_free(&s->fs);
    return code == 0 && closed == 0;
}

// --- the mount ---

// Makes the pipes and mounts. to_serve: where to read and write.
static bool attach(const char *target, bool read_only, int to_serve[2]) {
    int to[2], from[2];
    char options[64];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return false;
    snprintf(options, sizeof options, "trans=fd,rfdno=%d,wfdno=%d", from[0], to[1]);
    if (mount(drive_name, target, "9p", read_only ? MS_RDONLY : 0, options) != 0) {
        fprintf(stderr, "ext4d: %s: %s\n", target,
                errno == EBUSY ? "something is mounted there" : strerror(errno));
        return false;
    }
    close(from[0]);
    close(to[1]);
    to_serve[0] = to[0];
    to_serve[1] = from[1];
    return true;
}

// The command ends once the server says that it is mounted, or has ended.
static int wait_for_server(int fd) {
    u8 status = 1;
    return read(fd, &status, 1) == 1 ? status : 1;
}

static void leave_terminal(void) {
    const int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    for (int i = 0; i < 3 && fd >= 0; i++) dup2(fd, i);
    if (fd > 2) close(fd);
}

static int run(struct ext4d *s, const char *target) {
    int said[2], pipes[2];
    if (pipe2(said, O_CLOEXEC) != 0) return 1;
    const pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid != 0) {
        close(said[1]);
        return wait_for_server(said[0]);
    }
    close(said[0]);
    setsid();
    if (chdir("/") != 0 || !begin(s)) return 1;
    if (!attach(target, s->read_only, pipes)) {
        (void)end(s);
        return 1;
    }
    leave_terminal();
    const u8 good = 0;
    if (write(said[1], &good, 1) != 1) return 1;
    close(said[1]);
    calls_serve(s, pipes[0], pipes[1], false);
    const bool whole = end(s);
    return whole ? 0 : 1;
}

int main(int argc, char **argv) {
    static struct ext4d server;
    const char *target = NULL, *input = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-r")) server.read_only = true;
        else if (!strcmp(argv[i], "-i") && i + 1 < argc) input = argv[++i];
        else if (!drive_name) drive_name = argv[i];
        else if (!target) target = argv[i];
        else drive_name = target = NULL;
    }
    if (!drive_name || !target == !input) {
        fprintf(stderr, "usage: ext4d [-r] DRIVE /mnt/NAME\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!input) return run(&server, target);
    const int from = open(input, O_RDONLY), to = open("/dev/null", O_WRONLY);
    if (from < 0 || !begin(&server)) return 1;
    calls_serve(&server, from, to, true);
    return end(&server) ? 0 : 1;
}
