// proto/roce's crc_ops by PCLMULQDQ: the aligned middle by kernel/x86/crc32_pclmul.S, head
// and tail by the tables. net.c asks for it. No lock; interrupts off, as everywhere here.
#include "kernel/crc.h"

#include "base/bits.h"
#include "kernel/x86/cpu.h"

#define BLOCK 16u
#define FOLD_MIN_BYTES 128u          // shorter: head and tail cost more
#define FOLD_MIN_ALIGNED 48u         // without a head; shorter: saving the registers does

u32 crc32_pclmul_copy(u32 crc, void *dst, const void *src, size_t len_bytes);
u32 crc32_pclmul_update(u32 crc, void *unused, const void *src, size_t len_bytes);

static u32 copy(u32 crc, void *dst, const void *src, size_t len_bytes) {
    if (len_bytes < FOLD_MIN_BYTES) return crc_ops_table.copy(crc, dst, src, len_bytes);
    u8 *d = dst;
    const u8 *s = src;
    const size_t head = (size_t)(-(u64)s & (BLOCK - 1));
    const size_t middle = ALIGN_DOWN(len_bytes - head, (size_t)BLOCK);
    const size_t tail = len_bytes - head - middle;
    if (head) crc = crc_ops_table.copy(crc, d, s, head);
    crc = crc32_pclmul_copy(crc, d + head, s + head, middle);
    return tail ? crc_ops_table.copy(crc, d + head + middle, s + head + middle, tail) : crc;
}

static u32 update(u32 crc, const void *data, size_t len_bytes) {
    const u8 *s = data;
    const size_t head = (size_t)(-(u64)s & (BLOCK - 1));
    if (len_bytes < (head ? FOLD_MIN_BYTES : FOLD_MIN_ALIGNED))
        return crc_ops_table.update(crc, data, len_bytes);
    const size_t middle = ALIGN_DOWN(len_bytes - head, (size_t)BLOCK);
    const size_t tail = len_bytes - head - middle;
    if (head) crc = crc_ops_table.update(crc, s, head);
    crc = crc32_pclmul_update(crc, NULL, s + head, middle);
    return tail ? crc_ops_table.update(crc, s + head + middle, tail) : crc;
}

const struct crc_ops crc_ops_pclmul = {copy, update};

const struct crc_ops *kernel_crc_ops(void) {
    return cpu_features.pclmulqdq ? &crc_ops_pclmul : &crc_ops_table;
}
