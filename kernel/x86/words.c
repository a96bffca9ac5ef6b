// The one place in the kernel that touches the value of a shared64_t.
// Lock: none, the operations are atomic. Spec: SDM Vol. 3A 9.1 (locked operations).
#include "kernel/x86/words.h"

static u64 words_read(void *ctx, const shared64_t *word) {
    (void)ctx;
    return __atomic_load_n(&word->private_value, __ATOMIC_SEQ_CST);
}

static u64 words_cas(void *ctx, shared64_t *word, u64 expected, u64 desired) {
    (void)ctx;
    __atomic_compare_exchange_n(&word->private_value, &expected, desired, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

static u64 words_add(void *ctx, shared64_t *word, u64 addend) {
    (void)ctx;
    return __atomic_fetch_add(&word->private_value, addend, __ATOMIC_SEQ_CST);
}

const struct word_ops cpu_word_ops = {
    .coherent = true, .read = words_read, .cas = words_cas, .add = words_add};
