// The blocks of a drive that are in memory: those that are changed stay until a commit, of the
// others CLEAN_MAX, by their last use. Called by drive.c and fetch.c, under the lock of calls.c.
#include <stdlib.h>
#include <string.h>

#include "user/ext4d/drive_priv.h"

static struct block **slot_of(struct drive *d, u64 number) {
    struct block **at = &d->buckets[number % BUCKETS];
    while (*at && (*at)->number != number) at = &(*at)->next;
    return at;
}

static void clean_unlink(struct drive *d, struct block *b) {
    *(b->newer ? &b->newer->older : &d->newest) = b->older;
    *(b->older ? &b->older->newer : &d->oldest) = b->newer;
    d->clean--;
}

static void clean_link(struct drive *d, struct block *b) {
    b->newer = NULL;
    b->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = b;
    d->newest = b;
    d->clean++;
}

static void block_drop(struct drive *d, struct block *b) {
    struct block **at = slot_of(d, b->number);
    *at = b->next;
    if (b->dirty) d->dirty--;
    else clean_unlink(d, b);
    free(b);
}

// Forgets everything, changed or not.
void cache_drop(struct drive *d) {
    for (u32 i = 0; i < BUCKETS; i++)
        while (d->buckets[i]) block_drop(d, d->buckets[i]);
}

// Back to the limit, after blocks became clean.
void cache_trim(struct drive *d) {
    while (d->clean > CLEAN_MAX) block_drop(d, d->oldest);
}

bool block_is_cached(struct drive *d, u64 number) { return *slot_of(d, number) != NULL; }

// A clean block with these bytes, which is not there yet. NULL: no memory.
struct block *block_add(io_channel c, u64 number, const void *bytes) {
    struct drive *d = drive_of(c);
    if (d->clean >= CLEAN_MAX) block_drop(d, d->oldest);
    struct block *b = malloc(sizeof *b + (size_t)c->block_size);
    if (!b) return NULL;
    b->number = number;
    b->dirty = false;
    b->next = d->buckets[number % BUCKETS];
    d->buckets[number % BUCKETS] = b;
    memcpy(b->bytes, bytes, (size_t)c->block_size);
    clean_link(d, b);
    return b;
}

// NULL: it is not in memory. It counts as used now.
struct block *block_find(struct drive *d, u64 number) {
    struct block *b = *slot_of(d, number);
    if (b && !b->dirty && b != d->newest) {
        clean_unlink(d, b);
        clean_link(d, b);
    }
    return b;
}

void block_make_dirty(struct drive *d, struct block *b) {
    if (b->dirty) return;
    clean_unlink(d, b);
    b->dirty = true;
    d->dirty++;
}

void block_make_clean(struct drive *d, struct block *b) {
    b->dirty = false;
    d->dirty--;
    clean_link(d, b);
}
