// A TCG plugin that counts the instructions of a guest's kernel exactly, without changing
// them or the guest's time, so in ordinary virtual machines too. The guest marks a point by
// a long nop (kernel/perf.h); each pass of a mark writes a line
//     MARK HOST_NS KERNEL_INSTRUCTIONS AT_USER
// to the file out=FILE, AT_USER being the count when user code last ran. A program may mark
// points of its own. With prof=1 the file holds instructions by address at the end.
// Loaded into QEMU (API version 1, whose prototypes Debian does not ship, so the few that are
// used stand here). The counters are one CPU's: run with -smp 1. Built by bench/freeze.py.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KERNEL_HALF (1ull << 63)
#define MARK_BYTES 7u                // 0f 1f 80 disp32: nopl disp32(%rax)
#define MARK_MAGIC 0x49530000u       // upper half of disp32; the lower is the mark
#define MARK_RESUMED 4u              // kernel/perf.h: PERF_RESUMED
#define MARK_FIRST_USER 5u           // the plugin's own: the first user code after it
#define BLOCKS_MAX 65536u

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*udata_cb)(unsigned int vcpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, udata_cb cb,
                                          enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
                                                enum qemu_plugin_op op, void *ptr, uint64_t imm);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, udata_cb cb,
                                            enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void *),
                                    void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const void *info, int argc,
                                                               char **argv);

static FILE *out;
static int profile;
static uint64_t kernel_count, at_user;      // at_user: when user code last ran
static int resumed;                          // mark 4 has passed, user code not yet
static struct block { uint64_t at, count; } blocks[BLOCKS_MAX];
static size_t block_count;

static void marked(unsigned int vcpu, void *data) {
    struct timespec now;
    (void)vcpu;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(out, "%u %llu %llu %llu\n", (unsigned)(uintptr_t)data,
            (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec,
            (unsigned long long)kernel_count, (unsigned long long)at_user);
    fflush(out);
    resumed |= (uintptr_t)data == MARK_RESUMED;
}

static void user_ran(unsigned int vcpu, void *data) {
    (void)data;
    at_user = kernel_count;
    if (!resumed) return;
    resumed = 0;
    marked(vcpu, (void *)(uintptr_t)MARK_FIRST_USER);
}

static void mark_register(struct qemu_plugin_insn *insn) {
    uint32_t disp;
    if (qemu_plugin_insn_size(insn) != MARK_BYTES) return;
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    memcpy(&disp, bytes + 3, sizeof disp);
    if (memcmp(bytes, "\x0f\x1f\x80", 3) || (disp & 0xffff0000u) != MARK_MAGIC) return;
    qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
                                           (void *)(uintptr_t)(disp & 0xffffu));
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    const uint64_t at = qemu_plugin_tb_vaddr(tb);
    const size_t insns = qemu_plugin_tb_n_insns(tb);
    (void)id;
    if (!(at & KERNEL_HALF)) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, user_ran, QEMU_PLUGIN_CB_NO_REGS, NULL);
        for (size_t i = 0; i < insns; i++) mark_register(qemu_plugin_tb_get_insn(tb, i));
        return;
    }
    uint64_t *block = NULL;
    if (profile && block_count < BLOCKS_MAX) {
        blocks[block_count].at = at;
        block = &blocks[block_count++].count;
    }
    for (size_t i = 0; i < insns; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   &kernel_count, 1);
        if (block) qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                              block, 1);
        mark_register(insn);
    }
}

static void ended(qemu_plugin_id_t id, void *data) {
    (void)id; (void)data;
    for (size_t i = 0; i < block_count; i++)
        fprintf(out, "%llx %llu\n", (unsigned long long)blocks[i].at,
                (unsigned long long)blocks[i].count);
    fclose(out);
}

// out=FILE: where marks go; prof=1: and at the end instructions by block.
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
        else if (!strncmp(argv[i], "prof=", 5)) profile = 1;
        else return -1;
    }
    if (!out) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
