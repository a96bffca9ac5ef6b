// Parser of static ELF executables (pure; host-tested): checks everything, maps nothing.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define ELF_SEGMENTS_MAX 16
#define ELF_HEADER_BYTES 4096u       // program headers must lie in the first page

struct elf_segment {
    u64 va, file_offset, file_bytes, mem_bytes;   // page-aligned va and file_offset
    u32 prot;                        // PROT_READ 1, WRITE 2, EXEC 4
};
struct elf_image {
    u64 entry, phdr_va, low, high;   // before relocation; high is page-aligned
    u16 phnum, phentsize;
    bool relocatable;                // ET_DYN: choose a base
    bool stack_exec;
    u32 segment_count;
    struct elf_segment segment[ELF_SEGMENTS_MAX];
    u64 interp_offset, interp_bytes; // 0: static
};
// E_NOEXEC and *why in words. `head`: the first head_bytes of a file of file_bytes.
status_t elf_parse(const u8 *head, u64 head_bytes, u64 file_bytes, struct elf_image *out,
                   const char **why);
