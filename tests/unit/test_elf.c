// links: kernel/elf.c
// The ELF parser against files that are cut off, overlap, or name kernel addresses.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/elf.h"
#include "tests/unit/suite_run.h"

#define FILE_BYTES 0x3000u

struct ehdr { u8 ident[16]; u16 type, machine; u32 version; u64 entry, phoff, shoff; u32 flags;
              u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx; };
struct phdr { u32 type, flags; u64 offset, vaddr, paddr, filesz, memsz, align; };
static struct { struct ehdr h; struct phdr p[3]; } image;
static const char *why;
static struct elf_image out;

static void good(void) {
    memset(&image, 0, sizeof image);
    memcpy(image.h.ident, "\177ELF\2\1\1", 7);
    image.h.type = 2, image.h.machine = 62, image.h.entry = 0x401000, image.h.phoff = 64;
    image.h.phentsize = 56, image.h.phnum = 2;
    image.p[0] = (struct phdr){1, 5, 0, 0x400000, 0, 0x2000, 0x2000, 0x1000};
    image.p[1] = (struct phdr){1, 6, 0x2010, 0x402010, 0, 0x100, 0x5000, 0x1000};
}
static status_t parse(u64 head) {
    return elf_parse((const u8 *)&image, head, FILE_BYTES, &out, &why);
}

START_TEST(test_good) {
    good();
    ck_assert_int_eq(parse(sizeof image), S_OK);
    ck_assert_uint_eq(out.segment_count, 2);
    ck_assert_uint_eq(out.segment[1].va, 0x402000);
    ck_assert_uint_eq(out.segment[1].file_bytes, 0x110);
    ck_assert_uint_eq(out.segment[1].mem_bytes, 0x6000);
    ck_assert_uint_eq(out.phdr_va, 0x400040);
    ck_assert_uint_eq(out.high, 0x408000);
}
END_TEST

START_TEST(test_truncated) {
    good();
    for (u64 n = 0; n < 64 + 2 * 56; n++) {      // exactly n bytes, so a sanitizer sees more
        u8 *head = malloc(n ? n : 1);
        memcpy(head, &image, n);
        ck_assert_int_eq(elf_parse(head, n, n, &out, &why), E_NOEXEC);
        ck_assert(*why);
        free(head);
    }
    image.p[1].filesz = 0x2000;                  // beyond the file's end
    image.p[1].memsz = 0x5000;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
}
END_TEST

START_TEST(test_refused) {
    good(), image.p[1].vaddr = 0x401010;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // overlap
    good(), image.p[1].vaddr = 0xffffffff80002010ull;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // kernel
    good(), image.p[1].vaddr = 0x7fffffffe010ull;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // runs into it
    good(), image.p[1].memsz = ~0ull - 0x10;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // wraps
    good(), image.p[1].filesz = 0x6000;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // more file than memory
    good(), image.p[1].offset = ~0ull - 0xfff + 0x10;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
    good(), image.h.entry = 0x402100;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // entry in data
    good(), image.p[0].vaddr = 0, image.h.entry = 0x1000;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);   // page zero
    good(), image.h.machine = 3;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
    good(), image.h.phnum = 0xffff;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
    good(), image.h.phoff = ~0ull - 8;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
    good(), image.h.type = 1;
    ck_assert_int_eq(parse(sizeof image), E_NOEXEC);
}
END_TEST

int main(void) {
    Suite *s = suite_create("elf");
    TCase *t = tcase_create("elf");
    tcase_add_test(t, test_good);
    tcase_add_test(t, test_truncated);
    tcase_add_test(t, test_refused);
    suite_add_tcase(s, t);
    return suite_run(s);
}
