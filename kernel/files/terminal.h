// A terminal: a line discipline with those who wait for it, its session and its settings. The
// console (devfs.c) and the slaves of pseudo-terminals (pty.c) are terminals. Contracts stand above
// the definitions in kernel/files/terminal.c.
#pragma once

#include "base/list.h"
#include "kernel/files/object.h"
#include "kernel/files/tty.h"

struct terminal {
    struct tty tty;
    struct object *object;           // its id is what proc_desc.tty holds
    struct wait_list readers, writers;
    u32 changes;                     // input that came, for edge-triggered waits
    bool hung_up;
    bool timed;                      // a read waits for a time-out:
    u64 since_ns, until_ns;          // from here, or from the last byte; at the latest to there
    struct list_node link;           // all of this node
};

// All: files_lock held.
void terminal_init(struct terminal *t, struct object *object);
void terminal_end(struct terminal *t);
status_t terminal_read(struct terminal *t, struct p9_call *c);
status_t terminal_write(struct terminal *t, struct p9_call *c);
status_t terminal_ioctl(struct terminal *t, struct p9_call *c);
u32 terminal_poll(const struct terminal *t);
void terminal_opened(struct terminal *t, u32 flags);
void terminal_input(struct terminal *t, u8 byte);
void terminal_input_end(struct terminal *t);
void terminal_hang_up(struct terminal *t);

void terminal_session_ended(u32 sid);            // takes it
u32 terminal_session_next(u32 sid);              // takes it

// What of its requests concerns whoever makes them, too. Numbers: Linux asm-generic/ioctls.h.
#define TIOCSCTTY 0x540eu            // data: out, the terminal's own object
#define TIOCSPGRP 0x5410u            // data: struct terminal_group
#define TIOCNOTTY 0x5422u
struct terminal_group { u32 pgid, sid; };        // sid: of that group, or process
#define TERMINAL_NO_PROCESS (~0u)                // sid: there is neither
