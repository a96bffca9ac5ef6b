// A terminal's line discipline as a machine: bytes from the line in, bytes to the reader,
// echo and signals out. Pure: no lock, no waiting; terminal.c drives it under files_lock.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define TTY_LINE_MAX 4096u           // with its end, as Linux
#define TTY_QUEUE_MAX 8192u
#define TTY_HELD_MAX 256u
#define TTY_CC_COUNT 19
#define TTY_IUTF8 040000u            // of iflag

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
    u32 column, line_column;         // of the cursor; where the line that is typed began
    bool lnext;                      // the next byte stands for itself
    bool stopped;                    // by VSTOP: output waits
    bool throttled;                  // the other end was told to stop
    u32 held_len;
    u8 held[TTY_HELD_MAX];           // echo of a stopped line
    u32 line_len;                    // canonical: not yet ended
    u8 line[TTY_LINE_MAX];
    u32 head, tail;                  // of queue: what a read may take
    u32 lines;                       // line ends and ends of file in the queue
    u16 queue[TTY_QUEUE_MAX];        // TTY_EOF_MARK or a byte
    u64 dropped;
    void (*out)(void *ctx, const u8 *bytes, u32 len_bytes);
    u32 (*room)(void *ctx);          // bytes that `out` takes now; NULL: any number
    void (*flush)(void *ctx);        // forgets what is on its way out; NULL: nothing ever is
    void (*signal)(void *ctx, u32 pgid, u32 sig);
    void *ctx;
};
#define TTY_EOF_MARK 0x100u

// TIMED: for a byte or a time-out.
enum tty_read_state { TTY_READ_NOW, TTY_READ_WAIT, TTY_READ_TIMED };

void tty_init(struct tty *t);
bool tty_has_room(const struct tty *t);      // false: leave the next byte on the line
bool tty_input(struct tty *t, u8 byte);      // true: a reader may have something now
bool tty_readable(const struct tty *t);
enum tty_read_state tty_read_look(const struct tty *t, u32 len_bytes, u64 waited_ns, u64 *left_ns);
u32 tty_read(struct tty *t, u8 *to, u32 len_bytes);   // where tty_read_look says NOW
u32 tty_write(struct tty *t, const u8 *from, u32 len_bytes);
bool tty_writable(const struct tty *t);
u32 tty_bytes_ready(const struct tty *t);
void tty_flush_input(struct tty *t);
void tty_stop(struct tty *t);
void tty_start(struct tty *t);
void tty_send_flow(struct tty *t, bool stop);
bool tty_stops_background(const struct tty *t);       // TOSTOP
void tty_set_termios(struct tty *t, const struct tty_termios *to);
