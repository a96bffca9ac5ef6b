// Page-table entries: the hardware's bits, our software bits in present entries, and
// the encoding of not-present ones, which can name a frame of another node
// (docs/ARCHITECTURE.md). All levels use the same encoding.
// Spec: SDM Vol. 3A 4.5 (4-level paging), table 4-15..4-20.
#pragma once

#include "base/bits.h"
#include "base/types.h"
#include "base/units.h"

typedef u64 pte_t;

#define PTE_COUNT 512u              // entries of one table frame
#define PTE_LEVELS 4                // 4 = PML4 ... 1 = page table

// Present entries.
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_G BIT(8)
#define PTE_COW BIT(9)              // software: a write copies the frame first
#define PTE_SHARED BIT(10)          // software: a shared mapping, never copied on write
#define PTE_NX BIT(63)
#define PTE_FRAME_MASK GENMASK(51, 12)

// Not-present entries (bit 0 clear). All zero: nothing here, the map decides.
//   63 NX | 62..60 0 | 59..52 node | 51..12 frame | 11 0 | 10 SHARED | 9 COW |
//   8..4 0 | 3..2 kind | 1 W | 0 P = 0
// W, COW, SHARED and NX sit where the present entry has them, so translating an
// entry of a lender keeps them as they are.
#define NPTE_KIND_MASK GENMASK(3, 2)
#define NPTE_NODE_MASK GENMASK(59, 52)
enum npte_kind {
    NPTE_NONE = 0,
    NPTE_REMOTE_PAGE = 1,           // a page lies in `frame` of `node`
    NPTE_REMOTE_TABLE = 2,          // the table of the next level lies there
    NPTE_LOST = 3,                  // it lay on a node that is gone
};
#define NPTE_KEEP_MASK (PTE_NX | PTE_SHARED | PTE_COW | PTE_W)

static inline enum npte_kind npte_kind(pte_t e) {
    return (enum npte_kind)FIELD_GET(NPTE_KIND_MASK, e);
}
static inline u32 npte_node(pte_t e) { return (u32)FIELD_GET(NPTE_NODE_MASK, e); }
static inline paddr_t pte_frame(pte_t e) { return paddr(e & PTE_FRAME_MASK); }

static inline pte_t npte_make(enum npte_kind kind, u32 node, paddr_t frame, pte_t keep) {
    return FIELD_PREP(NPTE_KIND_MASK, kind) | FIELD_PREP(NPTE_NODE_MASK, node) |
           (frame.v & PTE_FRAME_MASK) | (keep & NPTE_KEEP_MASK);
}

_Static_assert((NPTE_KIND_MASK & (PTE_P | NPTE_KEEP_MASK)) == 0, "kind is apart");
_Static_assert((NPTE_NODE_MASK & (PTE_FRAME_MASK | PTE_NX)) == 0, "node is apart");
