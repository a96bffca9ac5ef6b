// The reader of remote drives against an owner that reuses frames, changes bytes and takes
// pages away between any two READs: what the machine calls a hit is one page at one version.
// links: proto/cluster/drive_read.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cluster/drive_read.h"
#include "tests/unit/suite_run.h"

#define SETS 8u
#define ENTRIES (SETS * DRIVE_WAYS)
#define PAGES 20u                    // of the drive; more than fit
static struct drive_entry index_[ENTRIES];
static u64 frame[ENTRIES][2];        // two words: {page, times it was written}
static u64 written[PAGES], rng = 3;
static u32 busy = ENTRIES;           // entry that is odd, or ENTRIES

static u32 dice(u32 n) {
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(rng >> 33) % n;
}

static struct drive_entry *owner_find(u64 page) {
    for (u32 w = 0; w < DRIVE_WAYS; w++) {
        struct drive_entry *e = &index_[drive_set(1, page, SETS) * DRIVE_WAYS + w];
        if (e->key == drive_key(1, page)) return e;
    }
    return NULL;
}

// One step of the owner: begins or ends a change of an entry; in between anything is there.
static void owner_step(void) {
    if (busy < ENTRIES) {
        struct drive_entry *e = &index_[busy];
        const u64 page = e->key & GENMASK(55, 0);
        frame[e->frame][0] = page;
        frame[e->frame][1] = written[page];
        e->version++;
        busy = ENTRIES;
        return;
    }
    const u64 page = dice(PAGES);
    struct drive_entry *e = owner_find(page);
    if (!e) e = &index_[drive_set(1, page, SETS) * DRIVE_WAYS + dice(DRIVE_WAYS)];
    else written[page]++;
    e->version++;
    e->key = drive_key(1, page);
    busy = (u32)(e - index_);
    frame[e->frame][0] = ~0ull;
}

static struct drive_entry sets[DRIVE_READ_PAGES_MAX * DRIVE_WAYS], again[DRIVE_READ_PAGES_MAX];
static u64 got[DRIVE_READ_PAGES_MAX][2];

static void maybe(u32 chance) {
    while (chance && dice(chance) == 0) owner_step();
}

// READs as the wire makes them: one after the other, word by word, the owner going on.
static void read_entry(struct drive_entry *to, u64 place, u32 chance) {
    const u64 *from = (const u64 *)&index_[place];
    for (u32 i = 0; i < 4; i++) {
        maybe(chance);
        ((u64 *)to)[i] = from[i];
    }
}

// The frame of page i; after the entry: a request that was sent again, whose first answer was
// lost while the first answer to the entry's request came late.
static void read_frame(struct drive_read *r, u32 i, u32 chance) {
    for (u32 k = 0; k < 2; k++) {
        maybe(chance);
        got[i][k] = frame[drive_read_entry(r, i)->frame][k];
    }
}

static enum drive_read_next run(struct drive_read *r, u32 chance) {
    enum drive_read_next next = drive_read_begin(r);
    for (u32 steps = 0; next < DRIVE_READ_HIT; steps++) {
        r->doubtful = false;
        ck_assert_uint_le(steps, 2 * DRIVE_READ_TRIES);
        for (u32 i = 0; i < r->page_count; i++) {
            if (next == DRIVE_READ_SETS) {
                const u64 set = drive_set(1, r->page + i, SETS);
                for (u32 w = 0; w < DRIVE_WAYS; w++)
                    read_entry(&sets[i * DRIVE_WAYS + w], set * DRIVE_WAYS + w, chance);
                continue;
            }
            read_frame(r, i, chance);
            read_entry(&again[i], drive_read_place(r, i), chance);
            if (chance == 0 || dice(20) != 0) continue;
            r->doubtful = true;
            maybe(2);
            read_frame(r, i, chance);
        }
        next = drive_read_step(r);
    }
    return next;
}

static void setup(void) {
    memset(index_, 0, sizeof index_);
    memset(written, 0, sizeof written);
    for (u32 i = 0; i < ENTRIES; i++) {
        index_[i].frame = i;
        index_[i].key = DRIVE_KEY_NONE;
    }
    busy = ENTRIES;
}

START_TEST(hits_are_whole_and_not_older_than_the_read) {
    u32 hits = 0, misses = 0;
    for (u32 round = 0; round < 60000; round++) {
        struct drive_read r = {.drive = 1, .set_count = SETS, .page = dice(PAGES - 3),
                               .page_count = 1 + dice(3), .sets = sets, .again = again};
        u64 before[3];
        for (u32 i = 0; i < r.page_count; i++) before[i] = written[r.page + i];
        // A write that is under way has not been acknowledged.
        if (busy < ENTRIES) owner_step();
        if (run(&r, 30 + dice(300)) == DRIVE_READ_MISS) {
            misses++;
            continue;
        }
        hits++;
        for (u32 i = 0; i < r.page_count; i++) {
            if (got[i][0] != r.page + i) ck_abort_msg("another page, round %u", round);
            if (got[i][1] < before[i] || got[i][1] > written[r.page + i])
                ck_abort_msg("stale or torn, round %u", round);
        }
    }
    ck_assert_uint_gt(hits, 1000);
    ck_assert_uint_gt(misses, 1000);
}
END_TEST

START_TEST(without_changes_it_is_two_steps) {
    for (u64 page = 0; page < 8; page++) {
        struct drive_entry *e = &index_[drive_set(1, page, SETS) * DRIVE_WAYS];
        e->key = drive_key(1, page);
        e->version = 2;
        frame[e->frame][0] = page;
    }
    struct drive_read r = {.drive = 1, .set_count = SETS, .page_count = 8, .sets = sets,
                           .again = again};
    ck_assert_int_eq(run(&r, 0), DRIVE_READ_HIT);
    ck_assert_uint_eq(r.tries, 0);
    r.page = 1;                                  // page 8 is not there
    ck_assert_int_eq(run(&r, 0), DRIVE_READ_MISS);
    r.page = 0;
    owner_find(3)->version = 3;                  // for ever odd: bounded tries, then a message
    ck_assert_int_eq(run(&r, 0), DRIVE_READ_MISS);
    ck_assert_uint_eq(r.tries, DRIVE_READ_TRIES);
}
END_TEST

int main(void) {
    Suite *s = suite_create("drive_read");
    TCase *c = tcase_create("drive_read");
    tcase_set_timeout(c, 120);                   // a hang detector
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, hits_are_whole_and_not_older_than_the_read);
    tcase_add_test(c, without_changes_it_is_two_steps);
    suite_add_tcase(s, c);
    return suite_run(s);
}
