// One read of another node's cached drive without its help: READ the entries, chain READ
// frame and READ entry again, take the bytes only if both are equal and even, and the entry's
// answer cannot be older than the frame's. A pure machine: it says what to READ next; its host
// fills `sets`, the pages and `again`.
// Spec: docs/reference/drives.md.
#pragma once

#include "proto/cluster/drive_index.h"

#define DRIVE_READ_PAGES_MAX 14u
#define DRIVE_READ_TRIES 3u          // then the owner is asked by a message

enum drive_read_next {
    DRIVE_READ_SETS,     // READ the sets of all pages, in order, into `sets`
    DRIVE_READ_PAGES,    // READ the frame of each page, then its entry into `again`
    DRIVE_READ_HIT,      // the pages are good
    DRIVE_READ_MISS,     // ask the owner
};

struct drive_read {
    u32 drive, set_count, page_count, tries;
    u64 page;                        // first
    struct drive_entry *sets;        // [page_count * DRIVE_WAYS]
    struct drive_entry *again;       // [page_count]
    enum drive_read_next next;       // what was asked for last
    bool doubtful;                   // set before a step: an entry may be older than its page
    u32 way[DRIVE_READ_PAGES_MAX];
};

enum drive_read_next drive_read_begin(struct drive_read *r);
// What was asked for has come.
enum drive_read_next drive_read_step(struct drive_read *r);
// The entry of page i as it was read first, and its place in the owner's index.
const struct drive_entry *drive_read_entry(const struct drive_read *r, u32 i);
u64 drive_read_place(const struct drive_read *r, u32 i);
