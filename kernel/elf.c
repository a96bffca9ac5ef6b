// Parser of x86-64 ELF executables: ET_EXEC and ET_DYN (static PIE). Pure: it reads the
// file's first bytes and says what to map; a file that is cut off, overlaps itself or
// names kernel addresses is refused with the reason. Called by exec and its unit test.
// Spec: System V ABI, chapters 4 and 5; AMD64 supplement 4.1.
#include "kernel/elf.h"

#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"

#define ELF_USER_END 0x00007ffffffff000ull
#define ELF_USER_MIN 0x10000ull

struct elf_header {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_phdr) == 56, "ELF64");

enum { ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62 };
enum { PT_LOAD = 1, PT_INTERP = 3, PT_PHDR = 6, PT_GNU_STACK = 0x6474e551 };
enum { PF_X = 1, PF_W = 2, PF_R = 4 };

static status_t refuse(const char **why, const char *text) {
    *why = text;
    return E_NOEXEC;
}

static status_t check_header(const struct elf_header *h, u64 head_bytes, const char **why) {
    static const u8 ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    if (memcmp(h->ident, ident, sizeof ident)) return refuse(why, "not a 64-bit ELF file");
    if (h->machine != EM_X86_64) return refuse(why, "not for x86-64");
    if (h->type != ET_EXEC && h->type != ET_DYN) return refuse(why, "not an executable");
    if (h->phentsize != sizeof(struct elf_phdr)) return refuse(why, "program header size");
    if (h->phnum == 0) return refuse(why, "no program headers");
    if (h->phoff > head_bytes || h->phnum > (head_bytes - h->phoff) / sizeof(struct elf_phdr))
        return refuse(why, "program headers lie beyond the first page");
    return S_OK;
}

static status_t add_segment(const struct elf_phdr *p, u64 file_bytes, struct elf_image *out,
                            const char **why) {
    if (p->memsz == 0) return S_OK;
    if (p->filesz > p->memsz) return refuse(why, "segment: more file than memory");
    if (p->offset > file_bytes || p->filesz > file_bytes - p->offset)
        return refuse(why, "segment lies beyond the end of the file (truncated?)");
    if (p->vaddr >= ELF_USER_END || p->memsz > ELF_USER_END - p->vaddr)
        return refuse(why, "segment lies in kernel addresses");
    if ((p->vaddr & PAGE_MASK) != (p->offset & PAGE_MASK))
        return refuse(why, "segment: address and offset differ within the page");
    if (out->segment_count == ELF_SEGMENTS_MAX) return refuse(why, "too many segments");
    u64 slack = p->vaddr & PAGE_MASK;
    struct elf_segment s = {p->vaddr - slack, p->offset - slack, p->filesz + slack,
                            ALIGN_UP(p->memsz + slack, PAGE_SIZE),
                            (p->flags & PF_R ? 1u : 0) | (p->flags & PF_W ? 2u : 0) |
                                (p->flags & PF_X ? 4u : 0)};
    if (p->filesz == 0) s.file_bytes = 0;
    for (u32 i = 0; i < out->segment_count; i++) {
        const struct elf_segment *o = &out->segment[i];
        if (s.va < o->va + o->mem_bytes && o->va < s.va + s.mem_bytes)
            return refuse(why, "segments overlap");
    }
    out->low = MIN(out->low, s.va);
    out->high = MAX(out->high, s.va + s.mem_bytes);
    out->segment[out->segment_count++] = s;
    return S_OK;
}

static bool entry_is_in_code(const struct elf_image *e) {
    for (u32 i = 0; i < e->segment_count; i++) {
        const struct elf_segment *s = &e->segment[i];
        if ((s->prot & 4) && e->entry >= s->va && e->entry - s->va < s->mem_bytes) return true;
    }
    return false;
}

static u64 phdr_address(const struct elf_header *h, const struct elf_image *e) {
    for (u32 i = 0; i < e->segment_count; i++) {
        const struct elf_segment *s = &e->segment[i];
        if (h->phoff >= s->file_offset && h->phoff < s->file_offset + s->file_bytes)
            return s->va + (h->phoff - s->file_offset);
    }
    return 0;
}

status_t elf_parse(const u8 *head, u64 head_bytes, u64 file_bytes, struct elf_image *out,
                   const char **why) {
    struct elf_header h;
    *out = (struct elf_image){.low = ~0ull};
    *why = "";
    if (head_bytes < sizeof h) return refuse(why, "file is shorter than an ELF header");
    memcpy(&h, head, sizeof h);
    status_t s = check_header(&h, head_bytes, why);
    for (u32 i = 0; s == S_OK && i < h.phnum; i++) {
        struct elf_phdr p;
        memcpy(&p, head + h.phoff + i * sizeof p, sizeof p);
        if (p.type == PT_LOAD) {
            s = add_segment(&p, file_bytes, out, why);
        } else if (p.type == PT_INTERP) {
            if (p.offset > file_bytes || p.filesz > file_bytes - p.offset || p.filesz == 0)
                return refuse(why, "interpreter's name lies beyond the file");
            out->interp_offset = p.offset;
            out->interp_bytes = p.filesz;
        } else if (p.type == PT_GNU_STACK) {
            out->stack_exec = (p.flags & PF_X) != 0;
        }
    }
    if (s != S_OK) return s;
    out->entry = h.entry;
    out->relocatable = h.type == ET_DYN;
    out->phnum = h.phnum;
    out->phentsize = h.phentsize;
    if (out->segment_count == 0) return refuse(why, "no loadable segment");
    if (!out->relocatable && out->low < ELF_USER_MIN)
        return refuse(why, "segment lies in the lowest pages");
    if (!entry_is_in_code(out)) return refuse(why, "entry point is in no executable segment");
    out->phdr_va = phdr_address(&h, out);
    return S_OK;
}
