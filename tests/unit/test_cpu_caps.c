// Sets of CPU features: who covers whom, what state a feature needs, and the names.
// links: proto/cluster/cpu_caps.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "proto/cluster/cpu_caps.h"
#include "tests/unit/suite_run.h"

static const u32 offset[16] = {[2] = 576, [5] = 1088, [6] = 1152, [7] = 1664, [9] = 2688};
static u32 haswell[CPUID_WORDS] = {[CPUID_1_ECX] = 0x36fa3201 | 1u << 28,
                                   [CPUID_7_EBX] = 1u << 3 | 1u << 5 | 1u << 8};
static u32 nehalem[CPUID_WORDS] = {[CPUID_1_ECX] = 1u | 1u << 9 | 1u << 19 | 1u << 20};

START_TEST(a_set_covers_itself_and_less) {
    struct cpu_caps rich, poor, none = {0};
    cpu_caps_make(&rich, haswell, 7, offset);
    cpu_caps_make(&poor, nehalem, 3, offset);
    ck_assert(cpu_caps_cover(&rich, &rich));
    ck_assert(cpu_caps_cover(&rich, &none));
    ck_assert(!cpu_caps_cover(&poor, &rich));
    ck_assert(cpu_caps_cover(&poor, &none));
    ck_assert_uint_eq(poor.xcr0, 3);
}
END_TEST

// A feature whose registers are not saved is none: the program cannot use it.
START_TEST(avx_needs_its_state) {
    struct cpu_caps with, without;
    char names[CPU_CAPS_TEXT];
    cpu_caps_make(&with, haswell, 7, offset);
    cpu_caps_make(&without, haswell, 3, offset);
    ck_assert(!cpu_caps_cover(&without, &with));
    ck_assert(cpu_caps_cover(&with, &without));
    cpu_caps_text(&with, &without, names, sizeof names);
    ck_assert_str_eq(names, "fma avx f16c avx2");
}
END_TEST

START_TEST(each_missing_bit_counts_and_is_named) {
    for (u32 w = 0; w < CPUID_WORDS; w++)
        for (u32 bit = 0; bit < 32; bit++) {
            u32 one[CPUID_WORDS] = {0}, zero[CPUID_WORDS] = {0};
            struct cpu_caps need, have;
            char names[CPU_CAPS_TEXT];
            one[w] = 1u << bit;
            cpu_caps_make(&need, one, 0xe7, offset);
            cpu_caps_make(&have, zero, 0xe7, offset);
            const bool known = need.bits[0] || need.bits[1];
            ck_assert_int_eq(cpu_caps_cover(&have, &need), !known);
            ck_assert_int_eq(cpu_caps_text(&need, &have, names, sizeof names) > 0, known);
            ck_assert(cpu_caps_cover(&need, &have));
        }
}
END_TEST

// AMD puts AVX-512 elsewhere: the image of one is not loadable at the other.
START_TEST(state_at_another_place_is_another_machine) {
    static const u32 amd[16] = {[2] = 576, [5] = 832, [6] = 896, [7] = 1408};
    const u32 words[CPUID_WORDS] = {0};
    struct cpu_caps a, b, avx;
    char names[CPU_CAPS_TEXT];
    cpu_caps_make(&a, words, 0xe7, offset);
    cpu_caps_make(&b, words, 0xe7, amd);
    cpu_caps_make(&avx, words, 7, offset);
    ck_assert(!cpu_caps_cover(&a, &b) && !cpu_caps_cover(&b, &a));
    ck_assert(cpu_caps_cover(&a, &avx) && cpu_caps_cover(&b, &avx));
    cpu_caps_text(&a, &b, names, sizeof names);
    ck_assert_str_eq(names, "xsave-layout");
}
END_TEST

START_TEST(names_are_never_cut_or_too_long) {
    u32 all[CPUID_WORDS];
    char names[CPU_CAPS_TEXT];
    struct cpu_caps full;
    memset(all, 0xff, sizeof all);
    cpu_caps_make(&full, all, 0xe7, offset);
    const u32 whole = cpu_caps_text(&full, NULL, names, sizeof names);
    ck_assert_uint_lt(whole + 20, sizeof names);         // room: not cut
    for (u32 size = 1; size <= whole + 1; size++) {
        char cut[CPU_CAPS_TEXT];
        memset(cut, 'X', sizeof cut);
        const u32 len = cpu_caps_text(&full, NULL, cut, size);
        ck_assert_uint_lt(len, size);
        ck_assert_int_eq(cut[len], 0);
        ck_assert_int_eq(memcmp(cut, names, len), 0);
        ck_assert(names[len] == ' ' || names[len] == 0 || len == 0);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("cpu_caps");
    TCase *t = tcase_create("cpu_caps");
    tcase_add_test(t, a_set_covers_itself_and_less);
    tcase_add_test(t, avx_needs_its_state);
    tcase_add_test(t, each_missing_bit_counts_and_is_named);
    tcase_add_test(t, state_at_another_place_is_another_machine);
    tcase_add_test(t, names_are_never_cut_or_too_long);
    suite_add_tcase(s, t);
    return suite_run(s);
}
