// File servers whose files are made when read: /proc and /nodes. A server describes its
// tree by struct synth_dir entries; kernel/files/synth.c does the rest.
#pragma once

#include "kernel/files/object.h"

struct text {
    char *bytes;
    u32 len, size;
    bool full;
};
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const void *bytes, u32 len);

struct synth_entry;
struct synth_ops {
    // Entry number i of the directory `arg`; false: no more. Static entries come first.
    bool (*list)(u64 arg, u32 i, char *name, u32 *mode);
    // A dynamic entry by name. E_NOENT.
    status_t (*find)(u64 arg, const char *name, const struct synth_entry **entry, u64 *arg_out);
};
struct synth_entry {
    const char *name;                // NULL ends a list
    u32 mode;                        // S_IFDIR, S_IFREG, S_IFLNK and permissions
    const struct synth_entry *children;
    const struct synth_ops *dynamic; // of a directory
    // The content of a file or the target of a link; files_lock held.
    status_t (*show)(u64 arg, struct text *out);
    status_t (*write)(u64 arg, const char *text, u32 len_bytes);
    bool (*alive)(u64 arg);          // NULL: always
    void (*own)(u64 arg, struct p9_attr *a);      // whose it is and what is below; NULL: user 0's
    bool owner_only;                 // its content is for its owner and user 0, whatever its mode
    status_t (*open)(struct object *o, struct p9_call *c);   // of a directory; NULL: as it is
    status_t (*ioctl)(struct p9_call *c);         // NULL: E_NOTTY
    struct object_id (*mount)(u64 arg);   // a directory of another server: its root
};
struct object *synth_root(const struct synth_entry *root);
