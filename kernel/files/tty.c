// The line discipline of a terminal: echo, canonical lines, erase and kill, signals from
// the keyboard, end of file, newline translation. A pure machine; devfs drives it.
// Spec: POSIX.1 XBD 11 (General Terminal Interface); Linux termbits.h for numbers.
#include "kernel/files/tty.h"

#include "base/string.h"

enum { ISTRIP = 040, INLCR = 0100, IGNCR = 0200, ICRNL = 0400, IXON = 02000, IUTF8 = 040000 };
enum { OPOST = 1, ONLCR = 4 };
enum { ISIG = 1, ICANON = 2, ECHO = 010, ECHOE = 020, ECHOK = 040, ECHONL = 0100, NOFLSH = 0200,
       ECHOCTL = 01000, ECHOKE = 04000, IEXTEN = 0100000 };
enum { VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP, VSUSP, VEOL,
       VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2 };
#define CFLAG_DEFAULT 0x4bfu          // 38400 baud, 8 bits, CREAD, HUPCL
#define SIGNAL_INT 2u
#define SIGNAL_QUIT 3u
#define SIGNAL_TSTP 20u

// The settings a terminal starts with; out, signal and ctx are the owner's to set.
void tty_init(struct tty *t) {
    static const u8 cc[TTY_CC_COUNT] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22};
    *t = (struct tty){.termios = {.iflag = ICRNL | IXON, .oflag = OPOST | ONLCR,
        .cflag = CFLAG_DEFAULT,
        .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN},
        .winsize = {24, 80, 0, 0}};
    memcpy(t->termios.cc, cc, sizeof cc);
}

static bool has(const struct tty *t, u32 lflag) { return (t->termios.lflag & lflag) != 0; }

static void queue_put(struct tty *t, u16 what) {
    if (t->tail - t->head == TTY_QUEUE_MAX) {
        t->dropped++;
        return;
    }
    t->queue[t->tail++ % TTY_QUEUE_MAX] = what;
}

// Sends bytes to the line with output processing.
void tty_write(struct tty *t, const u8 *from, u32 len_bytes) {
    bool crlf = (t->termios.oflag & OPOST) && (t->termios.oflag & ONLCR);
    u32 start = 0;
    for (u32 i = 0; crlf && i < len_bytes; i++) {
        if (from[i] != '\n') continue;
        if (i > start) t->out(t->ctx, from + start, i - start);
        t->out(t->ctx, (const u8 *)"\r\n", 2);
        start = i + 1;
    }
    if (len_bytes > start) t->out(t->ctx, from + start, len_bytes - start);
}

static void echo(struct tty *t, u8 c) {
    if (!has(t, ECHO) && !(c == '\n' && has(t, ECHONL))) return;
    if (c < 32 && c != '\n' && c != '\t' && has(t, ECHOCTL)) {
        u8 pair[2] = {'^', (u8)(c + 64)};
        tty_write(t, pair, 2);
    } else {
        tty_write(t, &c, 1);
    }
}

static void erase_one(struct tty *t) {
    if (t->line_len == 0) return;
    u8 c = t->line[--t->line_len];
    while (t->line_len && (c & 0xc0) == 0x80) c = t->line[--t->line_len];   // UTF-8
    if (!has(t, ECHO) || !has(t, ECHOE)) return;
    tty_write(t, (const u8 *)"\b \b", 3);
    if (c < 32) tty_write(t, (const u8 *)"\b \b", 3);
}

// A line that does not fit is dropped whole, so `lines` counts what is in the queue.
static void line_commit(struct tty *t, u16 end) {
    if (t->line_len + 1 > TTY_QUEUE_MAX - (t->tail - t->head)) {
        t->dropped += t->line_len + 1;
        t->line_len = 0;
        return;
    }
    for (u32 i = 0; i < t->line_len; i++) queue_put(t, t->line[i]);
    t->line_len = 0;
    queue_put(t, end);
    t->lines++;
}

// Forgets what has been typed and not read.
void tty_flush_input(struct tty *t) {
    t->line_len = 0;
    t->head = t->tail = t->lines = 0;
}

static bool signal_key(struct tty *t, u8 c) {
    if (!has(t, ISIG) || c == 0) return false;
    u32 sig = c == t->termios.cc[VINTR] ? SIGNAL_INT : c == t->termios.cc[VQUIT] ? SIGNAL_QUIT
            : c == t->termios.cc[VSUSP] ? SIGNAL_TSTP : 0;
    if (!sig) return false;
    echo(t, c);
    if (!has(t, NOFLSH)) tty_flush_input(t);
    if (t->pgid) t->signal(t->ctx, t->pgid, sig);
    return true;
}

static bool canonical_input(struct tty *t, u8 c) {
    const u8 *cc = t->termios.cc;
    if (c == cc[VERASE] || c == '\b') {
        erase_one(t);
    } else if (c && c == cc[VKILL]) {
        while (t->line_len) erase_one(t);
    } else if (c && c == cc[VWERASE]) {
        while (t->line_len && t->line[t->line_len - 1] == ' ') erase_one(t);
        while (t->line_len && t->line[t->line_len - 1] != ' ') erase_one(t);
    } else if (c && c == cc[VEOF]) {
        line_commit(t, TTY_EOF_MARK);
        return true;
    } else if (c == '\n' || (c && (c == cc[VEOL] || c == cc[VEOL2]))) {
        echo(t, c);
        line_commit(t, c);
        return true;
    } else if (t->line_len < TTY_LINE_MAX - 1) {
        t->line[t->line_len++] = c;
        echo(t, c);
    } else {
        t->dropped++;
    }
    return false;
}

// False: one more byte might be lost, so the owner leaves it on the line until a reader has
// made room. A line too long to be held takes bytes all the same, and drops them.
bool tty_has_room(const struct tty *t) {
    return TTY_QUEUE_MAX - (t->tail - t->head) > (has(t, ICANON) ? t->line_len : 0);
}

static bool is_line_end(const struct tty *t, u16 c) {
    const u8 *cc = t->termios.cc;
    return c == TTY_EOF_MARK || c == '\n' || (c && (c == cc[VEOL] || c == cc[VEOL2]));
}

// Counts the line ends that came while lines did not matter, the end-of-file key among them;
// what follows the last one is the line being typed again.
static void lines_recount(struct tty *t) {
    u32 rest = t->head;
    t->lines = 0;
    for (u32 i = t->head; i != t->tail; i++) {
        u16 *c = &t->queue[i % TTY_QUEUE_MAX];
        if (*c && *c == t->termios.cc[VEOF]) *c = TTY_EOF_MARK;
        if (!is_line_end(t, *c)) continue;
        t->lines++;
        rest = i + 1;
    }
    if (t->tail - rest >= TTY_LINE_MAX) return;  // too long to edit: behind the next end
    for (u32 i = rest; i != t->tail; i++) t->line[t->line_len++] = (u8)t->queue[i % TTY_QUEUE_MAX];
    t->tail = rest;
}

// Changes the settings. Input typed so far keeps its order and none is lost: a line that has
// not ended is readable at once where lines end to matter, and the other way round.
void tty_set_termios(struct tty *t, const struct tty_termios *to) {
    bool lines = has(t, ICANON);
    t->termios = *to;
    if (lines == has(t, ICANON)) return;
    if (!lines) {
        lines_recount(t);
        return;
    }
    for (u32 i = 0; i < t->line_len; i++) queue_put(t, t->line[i]);
    t->line_len = 0;
}

// One byte from the line. True: a reader may have something now.
bool tty_input(struct tty *t, u8 byte) {
    if (t->termios.iflag & ISTRIP) byte &= 0x7f;
    if (byte == '\r') {
        if (t->termios.iflag & IGNCR) return false;
        if (t->termios.iflag & ICRNL) byte = '\n';
    } else if (byte == '\n' && (t->termios.iflag & INLCR)) {
        byte = '\r';
    }
    if (signal_key(t, byte)) return false;
    if (has(t, ICANON)) return canonical_input(t, byte);
    echo(t, byte);
    queue_put(t, byte);
    return true;
}

// True where a read would not wait.
bool tty_readable(const struct tty *t) {
    if (has(t, ICANON)) return t->lines != 0;
    return t->head != t->tail || t->termios.cc[VMIN] == 0;
}

// How many bytes a read gets now; 0 while a line is not ended (ICANON).
u32 tty_bytes_ready(const struct tty *t) {
    return has(t, ICANON) && !t->lines ? 0 : t->tail - t->head;
}

// Takes at most one line (canonical) or what is there. 0: end of file.
u32 tty_read(struct tty *t, u8 *to, u32 len_bytes) {
    u32 done = 0;
    while (done < len_bytes && t->head != t->tail) {
        u16 c = t->queue[t->head++ % TTY_QUEUE_MAX];
        bool end = is_line_end(t, c);
        if (c != TTY_EOF_MARK) to[done++] = (u8)c;
        if (end && t->lines) t->lines--;
        if (has(t, ICANON) && end) break;
    }
    return done;
}
