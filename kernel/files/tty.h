// A terminal's line discipline as a machine: bytes from the line in, bytes to the reader,
// echo and signals out. Pure: no lock, no waiting; devfs drives it under files_lock.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define TTY_LINE_MAX 4096u           // with its end, as Linux
#define TTY_QUEUE_MAX 8192u
#define TTY_CC_COUNT 19

struct tty_termios {                 // Linux's struct termios
    u32 iflag, oflag, cflag, lflag;
    u8 line, cc[TTY_CC_COUNT];
};
struct tty_winsize { u16 rows, columns, x_pixels, y_pixels; };
_Static_assert(sizeof(struct tty_termios) == 36, "Linux's layout");

struct tty {
    struct tty_termios termios;
    struct tty_winsize winsize;
    u32 pgid, sid;                   // foreground group, session; 0: none
    bool column_zero;
    u32 line_len;                    // canonical: not yet ended
    u8 line[TTY_LINE_MAX];
    u32 head, tail;                  // of queue: what a read may take
    u32 lines;                       // line ends and ends of file in the queue
    u16 queue[TTY_QUEUE_MAX];        // TTY_EOF_MARK or a byte
    u64 dropped;
    void (*out)(void *ctx, const u8 *bytes, u32 len_bytes);
    void (*signal)(void *ctx, u32 pgid, u32 sig);
    void *ctx;
};
#define TTY_EOF_MARK 0x100u

void tty_init(struct tty *t);
bool tty_has_room(const struct tty *t);      // false: leave the next byte on the line
bool tty_input(struct tty *t, u8 byte);      // true: a reader may have something now
bool tty_readable(const struct tty *t);
u32 tty_read(struct tty *t, u8 *to, u32 len_bytes);   // call only where readable
void tty_write(struct tty *t, const u8 *from, u32 len_bytes);
u32 tty_bytes_ready(const struct tty *t);
void tty_flush_input(struct tty *t);
void tty_set_termios(struct tty *t, const struct tty_termios *to);
