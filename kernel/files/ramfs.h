// The cpio newc parser (pure: bytes in, one file at a time out), and the wall clock.
#pragma once

#include "base/status.h"
#include "base/types.h"

struct cpio_file {
    const char *name;
    u32 name_len;                    // without the final 0
    u32 mode;
    u64 mtime_s, size;
    const u8 *data;
};
// The file at *at; moves *at to the next. E_NOENT: the trailer; E_INVAL: malformed.
status_t cpio_next(const u8 *cpio, u64 len_bytes, u64 *at, struct cpio_file *out);

u64 time_wall_ns(void);              // since 1970, UTC
