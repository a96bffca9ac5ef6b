// Parser of cpio archives in the "new ASCII" format (070701, 070702). Pure: reads the
// given bytes alone. Called by ramfs at boot and by its unit test.
// Spec: cpio(5), "New ASCII Format".
#include "base/bits.h"
#include "base/string.h"
#include "kernel/files/ramfs.h"

#define CPIO_HEADER_BYTES 110u
#define CPIO_NAME_MAX 8192u           // with zeros that push data to a page

static bool hex8(const u8 *p, u64 *out) {
    u64 v = 0;
    for (int i = 0; i < 8; i++) {
        u8 c = p[i];
        u32 digit = c >= '0' && c <= '9' ? (u32)(c - '0')
                  : c >= 'a' && c <= 'f' ? (u32)(c - 'a' + 10)
                  : c >= 'A' && c <= 'F' ? (u32)(c - 'A' + 10) : 16u;
        if (digit == 16) return false;
        v = v * 16 + digit;
    }
    *out = v;
    return true;
}

// Parses the file at *at and moves on. Archives may follow one another after zero
// padding. E_NOENT: the end; E_INVAL: cut off or malformed, *at is where.
status_t cpio_next(const u8 *cpio, u64 len_bytes, u64 *at, struct cpio_file *out) {
    u64 mode, mtime, size, name_size;
    for (;;) {
        while (*at < len_bytes && cpio[*at] == 0) ++*at;
        if (*at == len_bytes) return E_NOENT;
        if (len_bytes - *at < CPIO_HEADER_BYTES) return E_INVAL;
        const u8 *h = cpio + *at;
        if (memcmp(h, "070701", 6) && memcmp(h, "070702", 6)) return E_INVAL;
        if (!hex8(h + 14, &mode) || !hex8(h + 46, &mtime) || !hex8(h + 54, &size) ||
            !hex8(h + 94, &name_size)) {
            return E_INVAL;
        }
        if (name_size == 0 || name_size > CPIO_NAME_MAX) return E_INVAL;
        u64 data = ALIGN_UP(*at + CPIO_HEADER_BYTES + name_size, 4ull);
        if (data > len_bytes || size > len_bytes - data) return E_INVAL;
        const char *name = (const char *)h + CPIO_HEADER_BYTES;
        if (name[name_size - 1] != 0) return E_INVAL;
        u64 next = ALIGN_UP(data + size, 4ull);
        *at = next < len_bytes ? next : len_bytes;
        if (!strcmp(name, "TRAILER!!!")) continue;
        *out = (struct cpio_file){name, (u32)strlen(name), (u32)mode, mtime, size, cpio + data};
        return S_OK;
    }
}
