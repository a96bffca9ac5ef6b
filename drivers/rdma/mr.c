// Memory regions of soft RoCE: keys, bounds, and the way from an iova to bytes. A key is
// 32 random bits, looked up by hash; local and remote key are the same number. Device's
// lock; deregistering unlinks the key at once, and every packet looks it up again.
// Spec: IBTA Vol. 1 10.6, 9.7.4.1.5.
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"

struct rdma_mr *soft_reg_mr(struct rdma_pd *pd, void *addr, u64 length, u64 iova, u32 access,
                            const struct rdma_mr_pages *pages) {
    struct soft_dev *dev = soft_of(pd->dev);
    u32 key = 0;
    for (u32 i = 0; i < SOFT_ID_TRIES && key == 0; i++) {
        key = rng_u32(&dev->config.rng);
        if (id_find(&dev->mr_by_key, key) != NULL) key = 0;
    }
    struct list_node *node = key == 0 ? NULL : list_pop_front(&dev->mr_free);
    if (node == NULL) return NULL;
    struct soft_mr *mr = LIST_ENTRY(node, struct soft_mr, link);
    mr->base = (struct rdma_mr){pd->dev, key, key};
    mr->pd = (struct soft_pd *)pd;
    mr->iova = iova;
    mr->length = length;
    mr->addr = addr;
    mr->access = access;
    mr->pages = pages == NULL ? (struct rdma_mr_pages){0} : *pages;
    mr->pd->users++;
    id_insert(&dev->mr_by_key, &mr->key, key);
    return &mr->base;
}

void soft_dereg_mr(struct rdma_mr *base) {
    struct soft_mr *mr = (struct soft_mr *)base;
    struct soft_dev *dev = soft_of(base->dev);
    id_remove(&dev->mr_by_key, &mr->key);
    mr->pd->users--;
    list_push_front(&dev->mr_free, &mr->link);
}

// Key, domain, permission and bounds, none of which may overflow.
struct soft_mr *soft_mr_check(struct soft_dev *dev, const struct soft_pd *pd, u32 key, u64 va,
                              u64 len, u32 access) {
    struct id_node *node = id_find(&dev->mr_by_key, key);
    if (node == NULL) return NULL;
    struct soft_mr *mr = CONTAINER_OF(node, struct soft_mr, key);
    if (mr->pd != pd || (mr->access & access) != access) return NULL;
    if (len > mr->length || va - mr->iova > mr->length - len) return NULL;
    return mr;
}

bool soft_mr_span(const struct soft_mr *mr, u64 va, u64 len, u32 access,
                  struct soft_span *span) {
    if (mr->pages.page == NULL) {
        *span = (struct soft_span){.at = mr->addr + (va - mr->iova), .len = len};
        return true;
    }
    u64 in_page = va & PAGE_MASK, room = PAGE_SIZE - in_page;
    *span = (struct soft_span){.len = MIN(len, room)};
    u8 *page = mr->pages.page(mr->pages.ctx, va - in_page, access, &span->stable, &span->pa);
    if (page == NULL) return false;
    span->at = page + in_page;
    span->pa.v += in_page;
    return true;
}

typedef u64 __attribute__((may_alias)) word_t;

static void copy_word(u8 *to, const u8 *from) {
    u64 word;
    __builtin_memcpy(&word, from, 8);
    __atomic_store_n((word_t *)(void *)to, word, __ATOMIC_RELAXED);
}

// Copies so that every aligned 8 bytes of the target change by one store.
static void copy_words(u8 *to, const u8 *from, u64 len) {
    for (; len != 0 && ((uintptr_t)to & 7) != 0; len--) *to++ = *from++;
    for (; len >= 32; len -= 32, to += 32, from += 32) {
        copy_word(to, from);
        copy_word(to + 8, from + 8);
        copy_word(to + 16, from + 16);
        copy_word(to + 24, from + 24);
    }
    for (; len >= 8; len -= 8, to += 8, from += 8) copy_word(to, from);
    while (len-- != 0) *to++ = *from++;
}

bool soft_mr_write(const struct soft_mr *mr, u64 va, const u8 *from, u32 len, u32 access) {
    struct soft_span span[2 + NET_FRAME_MAX / PAGE_SIZE];
    u32 count = 0, left = len;
    for (u64 at = va; left != 0; at += span[count - 1].len) {
        ASSERT(count < ARRAY_COUNT(span));
        if (!soft_mr_span(mr, at, left, access, &span[count])) return false;
        left -= (u32)span[count++].len;
    }
    for (u32 i = 0; i < count; from += span[i++].len) copy_words(span[i].at, from, span[i].len);
    return true;
}
