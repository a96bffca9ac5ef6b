// The reader's machine of remote drives. Pure; the kernel drives it (kernel/remote_drive.c),
// tests do with an owner that changes everything in between. No lock.
#include "proto/cluster/drive_read.h"

// Drive, page, page_count, set_count, sets and again are set; the rest is made here.
enum drive_read_next drive_read_begin(struct drive_read *r) {
    r->tries = 0;
    return r->next = DRIVE_READ_SETS;
}

const struct drive_entry *drive_read_entry(const struct drive_read *r, u32 i) {
    return &r->sets[i * DRIVE_WAYS + r->way[i]];
}

// In entries from the begin of the index.
u64 drive_read_place(const struct drive_read *r, u32 i) {
    return (u64)drive_set(r->drive, r->page + i, r->set_count) * DRIVE_WAYS + r->way[i];
}

static enum drive_read_next again(struct drive_read *r) {
    return r->next = ++r->tries < DRIVE_READ_TRIES ? DRIVE_READ_SETS : DRIVE_READ_MISS;
}

static enum drive_read_next sets_look(struct drive_read *r) {
    bool changing = false;
    for (u32 i = 0; i < r->page_count; i++) {
        u32 way = 0;
        const struct drive_entry *set = &r->sets[i * DRIVE_WAYS];
        while (way < DRIVE_WAYS && set[way].key != drive_key(r->drive, r->page + i)) way++;
        if (way == DRIVE_WAYS) return r->next = DRIVE_READ_MISS;
        r->way[i] = way;
        changing |= set[way].version & 1;
    }
    return changing ? again(r) : (r->next = DRIVE_READ_PAGES);
}

static enum drive_read_next pages_look(struct drive_read *r) {
    if (r->doubtful) return again(r);
    for (u32 i = 0; i < r->page_count; i++) {
        const struct drive_entry *first = drive_read_entry(r, i), *last = &r->again[i];
        if (first->key != last->key || first->frame != last->frame ||
            first->version != last->version)
            return again(r);
    }
    return r->next = DRIVE_READ_HIT;
}

enum drive_read_next drive_read_step(struct drive_read *r) {
    return r->next == DRIVE_READ_SETS ? sets_look(r) : pages_look(r);
}
