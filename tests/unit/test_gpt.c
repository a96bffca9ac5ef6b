// The GPT parser: a table as sgdisk would make it, then everything that can be wrong with
// one, each with right checksums so that the check itself is reached.
// links: kernel/gpt.c proto/roce/icrc.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gpt.h"
#include "proto/roce/icrc.h"
#include "tests/unit/suite_run.h"

#define BLOCKS 2048u
#define ENTRIES 128u
static u8 header[512], entries[ENTRIES * 128];
static struct gpt_header h;
static struct gpt_part parts[GPT_PARTS_MAX];
static u32 count;

static void put32(u8 *at, u32 v) { memcpy(at, &v, 4); }
static void put64(u8 *at, u64 v) { memcpy(at, &v, 8); }

static void seal(void) {
    const u64 bytes = (u64)ENTRIES * 128;
    put32(header + 88, ~crc32_update(~0u, entries, bytes));
    put32(header + 16, 0);
    put32(header + 16, ~crc32_update(~0u, header, 92));
}

static void part(u32 index, u64 first, u64 last, const char *name) {
    u8 *e = entries + index * 128;
    memset(e, 0xaf, 16);
    put64(e + 32, first);
    put64(e + 40, last);
    for (u32 i = 0; name[i]; i++) e[56 + 2 * i] = (u8)name[i];
}

static void setup(void) {
    memset(header, 0, sizeof header);
    memset(entries, 0, sizeof entries);
    memcpy(header, "EFI PART", 8);
    put32(header + 8, 0x10000);
    put32(header + 12, 92);
    put64(header + 24, 1);
    put64(header + 32, BLOCKS - 1);
    put64(header + 40, 34);
    put64(header + 48, BLOCKS - 34);
    put64(header + 72, 2);
    put32(header + 80, ENTRIES);
    put32(header + 84, 128);
    part(0, 64, 127, "boot");
    part(2, 128, 1000, "root");
    seal();
}

static status_t parse(void) {
    status_t s = gpt_header_parse(header, 512, 1, BLOCKS, &h);
    return s == S_OK ? gpt_entries_parse(&h, entries, parts, &count) : s;
}

START_TEST(good_table) {
    ck_assert_int_eq(parse(), S_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(parts[0].number, 1);
    ck_assert_uint_eq(parts[0].first, 64);
    ck_assert_uint_eq(parts[0].count, 64);
    ck_assert_str_eq(parts[0].name, "boot");
    ck_assert_uint_eq(parts[1].number, 3);
    ck_assert_str_eq(parts[1].name, "root");
}
END_TEST

START_TEST(crc_of_a_known_text) {
    ck_assert_uint_eq(~crc32_update(~0u, "123456789", 9), 0xcbf43926u);
}
END_TEST

START_TEST(no_table) {
    header[0] = 'X';
    ck_assert_int_eq(parse(), E_NOENT);
    ck_assert_int_eq(gpt_header_parse(header, 91, 1, BLOCKS, &h), E_NOENT);
}
END_TEST

START_TEST(every_flipped_bit_is_found) {
    for (u32 bit = 64; bit < 92 * 8; bit++) {
        setup();
        header[bit / 8] ^= (u8)(1u << (bit % 8));
        ck_assert_int_eq(parse(), E_INVAL);
    }
    for (u32 bit = 0; bit < ENTRIES * 128 * 8; bit += 37) {
        setup();
        entries[bit / 8] ^= (u8)(1u << (bit % 8));
        ck_assert_int_eq(parse(), E_INVAL);
        ck_assert_uint_eq(count, 0);
    }
}
END_TEST

// A header that says something impossible, with the right checksum.
static void bad_header(u32 at, u64 value, u32 bytes) {
    setup();
    memcpy(header + at, &value, bytes);
    seal();
    ck_assert_int_eq(gpt_header_parse(header, 512, 1, BLOCKS, &h), E_INVAL);
}

START_TEST(hostile_headers) {
    bad_header(8, 0x20000, 4);                   // revision
    bad_header(24, 2, 8);                        // not where it was read
    bad_header(48, BLOCKS, 8);                   // beyond the drive
    bad_header(48, ~0ull, 8);
    bad_header(40, BLOCKS - 33, 8);              // first behind last
    bad_header(72, 1, 8);                        // entries on top of the header
    bad_header(72, BLOCKS - 31, 8);              // entries beyond the end
    bad_header(72, ~0ull, 8);
    bad_header(80, 0, 4);
    bad_header(80, ENTRIES + 1, 4);
    bad_header(80, ~0u, 4);
    bad_header(84, 127, 4);
    bad_header(84, 192, 4);                      // no power of two
    bad_header(84, 8192, 4);
    for (u32 size = 0; size < 1000; size += 7) {
        if (size == 91 + 1) continue;
        setup();
        put32(header + 12, size);                // its checksum covers 92 bytes
        if (size != 92) ck_assert_int_eq(parse(), E_INVAL);
    }
    setup();
    ck_assert_int_eq(gpt_header_parse(header, 512, 1, 33, &h), E_INVAL);
}
END_TEST

START_TEST(hostile_entries) {
    static const u64 bad[][2] = {{33, 40}, {64, BLOCKS - 33}, {100, 99}, {0, ~0ull}, {~0ull, 0},
                                 {127, 300}, {900, 2000}, {64, 64}, {10, 1500}};
    for (u32 i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        setup();
        part(5, bad[i][0], bad[i][1], "x");
        seal();
        ck_assert_int_eq(parse(), E_INVAL);
    }
}
END_TEST

START_TEST(more_partitions_than_names) {
    for (u32 i = 0; i < 40; i++) part(i, 100 + 4 * i, 100 + 4 * i + 3, "p");
    seal();
    ck_assert_int_eq(parse(), S_OK);
    ck_assert_uint_eq(count, GPT_PARTS_MAX);
}
END_TEST

START_TEST(names_are_bounded) {
    u8 *e = entries + 56;
    memset(e, 'A', 72);                          // U+4141, never ended
    seal();
    ck_assert_int_eq(parse(), S_OK);
    ck_assert_uint_eq(strlen(parts[0].name), GPT_NAME_MAX);
    ck_assert_int_eq(parts[0].name[0], '?');
}
END_TEST

int main(void) {
    Suite *s = suite_create("gpt");
    TCase *c = tcase_create("gpt");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, good_table);
    tcase_add_test(c, crc_of_a_known_text);
    tcase_add_test(c, no_table);
    tcase_add_test(c, every_flipped_bit_is_found);
    tcase_add_test(c, hostile_headers);
    tcase_add_test(c, hostile_entries);
    tcase_add_test(c, more_partitions_than_names);
    tcase_add_test(c, names_are_bounded);
    suite_add_tcase(s, c);
    return suite_run(s);
}
