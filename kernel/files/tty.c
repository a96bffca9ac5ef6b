// The line discipline of a terminal: echo, canonical lines and their editing, signals and flow
// control from the keyboard, end of file, output processing. A pure machine; terminal.c drives it.
// Spec: POSIX.1 XBD 11 (General Terminal Interface); Linux termbits.h for numbers, its n_tty where
// POSIX leaves it open.
#include "kernel/files/tty.h"

#include "base/bits.h"
#include "base/string.h"

enum { ISTRIP = 040, INLCR = 0100, IGNCR = 0200, ICRNL = 0400, IXON = 02000, IXANY = 04000,
       IXOFF = 010000, IUTF8 = 040000 };
enum { OPOST = 1, OLCUC = 2, ONLCR = 4, OCRNL = 010, ONOCR = 020, ONLRET = 040, XTABS = 014000 };
enum { ISIG = 1, ICANON = 2, ECHO = 010, ECHOE = 020, ECHOK = 040, ECHONL = 0100, NOFLSH = 0200,
       TOSTOP = 0400, ECHOCTL = 01000, ECHOKE = 04000, IEXTEN = 0100000 };
enum { VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP, VSUSP, VEOL,
       VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2 };
#define CFLAG_DEFAULT 0x4bfu          // 38400 baud, 8 bits, CREAD, HUPCL
#define SIGNAL_INT 2u
#define SIGNAL_QUIT 3u
#define SIGNAL_TSTP 20u
#define EXPANDED_MAX 8u               // bytes that one of output may become: a tab's blanks
#define THROTTLE_ROOM 128u            // IXOFF: with less room than this the sender is to stop,
#define RELEASE_USED 128u             // and with fewer bytes waiting to go on
#define VTIME_NS 100000000ull         // a tenth of a second

// The settings a terminal starts with; out, room, signal and ctx are the owner's to set.
void tty_init(struct tty *t) {
    static const u8 cc[TTY_CC_COUNT] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22};
    *t = (struct tty){.termios = {.iflag = ICRNL | IXON, .oflag = OPOST | ONLCR,
        .cflag = CFLAG_DEFAULT,
        .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN}};
    memcpy(t->termios.cc, cc, sizeof cc);
}

static bool has(const struct tty *t, u32 lflag) { return (t->termios.lflag & lflag) != 0; }
static bool input_has(const struct tty *t, u32 iflag) { return (t->termios.iflag & iflag) != 0; }
static bool output_has(const struct tty *t, u32 oflag) { return (t->termios.oflag & oflag) != 0; }
static bool is_control(u8 c) { return c < 32 || c == 127; }
static bool is_key(const struct tty *t, u8 c, u32 key) { return c && c == t->termios.cc[key]; }
static bool is_inner(const struct tty *t, u8 c) {            // of a character of several bytes
    return input_has(t, IUTF8) && (c & 0xc0) == 0x80;
}

bool tty_stops_background(const struct tty *t) { return has(t, TOSTOP); }

static void queue_put(struct tty *t, u16 what) {
    if (t->tail - t->head == TTY_QUEUE_MAX) {
        t->dropped++;
        return;
    }
    t->queue[t->tail++ % TTY_QUEUE_MAX] = what;
}

// --- output ----------------------------------------------------------------------------------

struct out_run { u32 len; u8 bytes[128]; };

static void run_send(struct tty *t, struct out_run *r) {
    if (r->len) t->out(t->ctx, r->bytes, r->len);
    r->len = 0;
}

// What a byte becomes on the line, and where the cursor is then.
static void run_put(struct tty *t, struct out_run *r, u8 c) {
    if (r->len + EXPANDED_MAX > sizeof r->bytes) run_send(t, r);
    u32 blanks = 8 - (t->column & 7);
    if (!output_has(t, OPOST)) {
        r->bytes[r->len++] = c;
        return;
    }
    switch (c) {
    case '\n':
        if (output_has(t, ONLRET | ONLCR)) t->column = t->line_column = 0;
        if (output_has(t, ONLCR)) r->bytes[r->len++] = '\r';
        break;
    case '\r':
        if (output_has(t, ONOCR) && t->column == 0) return;
        if (output_has(t, OCRNL)) c = '\n';
        if (c == '\r' || output_has(t, ONLRET)) t->column = t->line_column = 0;
        break;
    case '\t':
        t->column += blanks;
        if (!output_has(t, XTABS)) break;
        while (blanks--) r->bytes[r->len++] = ' ';
        return;
    case '\b':
        if (t->column) t->column--;
        break;
    default:
        if (output_has(t, OLCUC) && c >= 'a' && c <= 'z') c = (u8)(c - 'a' + 'A');
        if (!is_control(c) && !is_inner(t, c)) t->column++;
    }
    r->bytes[r->len++] = c;
}

// Sends bytes to the line with output processing, as many as it has room for now. How many;
// fewer: the line is stopped or full.
u32 tty_write(struct tty *t, const u8 *from, u32 len_bytes) {
    struct out_run r = {0};
    u32 i = 0;
    for (; i < len_bytes && !t->stopped; i++) {
        if (t->room && t->room(t->ctx) < r.len + EXPANDED_MAX) break;
        run_put(t, &r, from[i]);
    }
    run_send(t, &r);
    return i;
}

// True where tty_write would take at least one byte.
bool tty_writable(const struct tty *t) {
    return !t->stopped && (!t->room || t->room(t->ctx) >= EXPANDED_MAX);
}

// Echo is never waited for: what the line has no room for is lost; while it is stopped, it is
// held back.
static void echo_send(struct tty *t, struct out_run *r) {
    if (!t->stopped) {
        run_send(t, r);
        return;
    }
    const u32 n = (u32)MIN(r->len, TTY_HELD_MAX - t->held_len);
    memcpy(t->held + t->held_len, r->bytes, n);
    t->held_len += n;
    t->dropped += r->len - n;
    r->len = 0;
}

static void echo_raw(struct tty *t, const char *text) {
    struct out_run r = {0};
    for (; *text; text++) run_put(t, &r, (u8)*text);
    echo_send(t, &r);
}

static void echo(struct tty *t, u8 c) {
    struct out_run r = {0};
    if (has(t, ECHOCTL) && is_control(c) && c != '\t') {
        run_put(t, &r, '^');
        c ^= 0100;
    }
    run_put(t, &r, c);
    echo_send(t, &r);
}

// Output stops, as by VSTOP.
void tty_stop(struct tty *t) { t->stopped = true; }

// Output goes on; who waits to write may.
void tty_start(struct tty *t) {
    if (!t->stopped) return;
    t->stopped = false;
    if (t->held_len) t->out(t->ctx, t->held, t->held_len);
    t->held_len = 0;
}

// Sends the line's other end the key that stops or starts its output.
void tty_send_flow(struct tty *t, bool stop) {
    const u8 c = t->termios.cc[stop ? VSTOP : VSTART];
    if (c) t->out(t->ctx, &c, 1);
}

// --- editing ---------------------------------------------------------------------------------

// How far a tab that ends the line typed so far went.
static u32 tab_width(const struct tty *t) {
    u32 columns = 0, i = t->line_len;
    while (i > 0 && t->line[i - 1] != '\t') {
        const u8 c = t->line[--i];
        if (is_control(c)) columns += has(t, ECHOCTL) ? 2 : 0;
        else if (!is_inner(t, c)) columns++;
    }
    if (i == 0) columns += t->line_column;
    return 8 - (columns & 7);
}

static void unecho(struct tty *t, u8 c, bool by_erase) {
    if (!has(t, ECHO)) return;
    if (by_erase && !has(t, ECHOE)) {
        echo(t, t->termios.cc[VERASE]);
    } else if (c == '\t') {
        for (u32 n = tab_width(t); n > 0 && t->column > 0; n--) echo_raw(t, "\b");
    } else {
        if (is_control(c) && has(t, ECHOCTL)) echo_raw(t, "\b \b");
        if (!is_control(c) || has(t, ECHOCTL)) echo_raw(t, "\b \b");
    }
}

// Takes the last character of the line away. False: there is none.
static bool erase_one(struct tty *t, bool by_erase) {
    u32 at = t->line_len;
    while (at > 0 && is_inner(t, t->line[at - 1])) at--;
    if (at == 0) return false;
    t->line_len = at - 1;
    unecho(t, t->line[at - 1], by_erase);
    return true;
}

static bool is_word(u8 c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void erase_word(struct tty *t) {
    bool seen = false;
    while (t->line_len > 0) {
        const u8 c = t->line[t->line_len - 1];
        if (is_word(c)) seen = true;
        else if (seen && !is_inner(t, c)) return;
        if (!erase_one(t, false)) return;
    }
}

static void erase_line(struct tty *t) {
    if (t->line_len == 0) return;
    if (has(t, ECHO) && !(has(t, ECHOK) && has(t, ECHOKE) && has(t, ECHOE))) {
        t->line_len = 0;
        echo(t, t->termios.cc[VKILL]);
        if (has(t, ECHOK)) echo_raw(t, "\n");
    }
    while (t->line_len > 0 && erase_one(t, false)) continue;
    t->line_len = 0;
}

static void reprint(struct tty *t) {
    echo(t, t->termios.cc[VREPRINT]);
    echo_raw(t, "\n");
    for (u32 i = 0; i < t->line_len; i++) echo(t, t->line[i]);
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
    t->lnext = false;
    t->head = t->tail = t->lines = 0;
}

// --- input -----------------------------------------------------------------------------------

static bool flow_key(struct tty *t, u8 c) {
    if (!input_has(t, IXON)) return false;
    if (is_key(t, c, VSTART)) tty_start(t);
    else if (is_key(t, c, VSTOP)) tty_stop(t);
    else return false;
    return true;
}

static bool signal_key(struct tty *t, u8 c) {
    if (!has(t, ISIG) || c == 0) return false;
    u32 sig = c == t->termios.cc[VINTR] ? SIGNAL_INT : c == t->termios.cc[VQUIT] ? SIGNAL_QUIT
            : c == t->termios.cc[VSUSP] ? SIGNAL_TSTP : 0;
    if (!sig) return false;
    if (!has(t, NOFLSH)) {
        tty_flush_input(t);
        t->held_len = 0;
        if (t->flush) t->flush(t->ctx);
    }
    if (input_has(t, IXON)) tty_start(t);
    if (has(t, ECHO)) echo(t, c);
    if (t->pgid) t->signal(t->ctx, t->pgid, sig);
    return true;
}

// A character that stands for itself.
static bool plain_input(struct tty *t, u8 c) {
    if (has(t, ICANON) && t->line_len >= TTY_LINE_MAX - 1) {
        t->dropped++;
        return false;
    }
    if (has(t, ECHO)) {
        if (has(t, ICANON) && t->line_len == 0) t->line_column = t->column;
        if (c == '\n') echo_raw(t, "\n");
        else echo(t, c);
    }
    if (has(t, ICANON)) t->line[t->line_len++] = c;
    else queue_put(t, c);
    return !has(t, ICANON);
}

static bool canonical_input(struct tty *t, u8 c) {
    const bool extended = has(t, IEXTEN);
    if (is_key(t, c, VERASE)) {
        (void)erase_one(t, true);
    } else if (is_key(t, c, VKILL)) {
        erase_line(t);
    } else if (extended && is_key(t, c, VWERASE)) {
        erase_word(t);
    } else if (extended && is_key(t, c, VLNEXT)) {
        t->lnext = true;
        if (has(t, ECHO) && has(t, ECHOCTL)) echo_raw(t, "^\b");
    } else if (extended && has(t, ECHO) && is_key(t, c, VREPRINT)) {
        reprint(t);
    } else if (is_key(t, c, VEOF)) {
        line_commit(t, TTY_EOF_MARK);
        return true;
    } else if (c == '\n') {
        if (has(t, ECHO | ECHONL)) echo_raw(t, "\n");
        line_commit(t, c);
        return true;
    } else if (is_key(t, c, VEOL) || (extended && is_key(t, c, VEOL2))) {
        if (has(t, ECHO)) echo(t, c);
        line_commit(t, c);
        return true;
    } else {
        return plain_input(t, c);
    }
    return false;
}

// False: one more byte might be lost, so the owner leaves it on the line until a reader has
// made room. A line too long to be held takes bytes all the same, and drops them.
bool tty_has_room(const struct tty *t) {
    return TTY_QUEUE_MAX - (t->tail - t->head) > (has(t, ICANON) ? t->line_len : 0);
}

static bool input_take(struct tty *t, u8 c) {
    if (input_has(t, ISTRIP)) c &= 0x7f;
    if (t->lnext) {
        t->lnext = false;
        return plain_input(t, c);
    }
    if (flow_key(t, c) || signal_key(t, c)) return false;
    if (input_has(t, IXON) && input_has(t, IXANY)) tty_start(t);
    if (c == '\r') {
        if (input_has(t, IGNCR)) return false;
        if (input_has(t, ICRNL)) c = '\n';
    } else if (c == '\n' && input_has(t, INLCR)) {
        c = '\r';
    }
    return has(t, ICANON) ? canonical_input(t, c) : plain_input(t, c);
}

// One byte from the line. True: a reader may have something now.
bool tty_input(struct tty *t, u8 byte) {
    const bool ready = input_take(t, byte);
    const u32 used = t->tail - t->head + t->line_len;
    if (input_has(t, IXOFF) && !t->throttled && used + THROTTLE_ROOM > TTY_QUEUE_MAX) {
        t->throttled = true;
        tty_send_flow(t, true);
    }
    return ready;
}

// --- settings --------------------------------------------------------------------------------

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
// not ended is readable at once where lines end to matter, and the other way round. Without IXON
// nothing can start a stopped line, so it goes on.
void tty_set_termios(struct tty *t, const struct tty_termios *to) {
    bool lines = has(t, ICANON);
    t->termios = *to;
    if (!input_has(t, IXON)) tty_start(t);
    if (lines == has(t, ICANON)) return;
    t->lnext = false;
    if (!lines) {
        lines_recount(t);
        return;
    }
    for (u32 i = 0; i < t->line_len; i++) queue_put(t, t->line[i]);
    t->line_len = 0;
}

// --- reading ---------------------------------------------------------------------------------

// True where poll says so.
bool tty_readable(const struct tty *t) {
    if (has(t, ICANON)) return t->lines != 0;
    const u32 least = t->termios.cc[VTIME] == 0 && t->termios.cc[VMIN] ? t->termios.cc[VMIN] : 1;
    return t->tail - t->head >= least;
}

// Whether a read for so many bytes ends now, or what it waits for.
//   waited_ns  since it began, or since the last byte came where there are some
//   left_ns    TTY_READ_TIMED: until the time-out
enum tty_read_state tty_read_look(const struct tty *t, u32 len_bytes, u64 waited_ns, u64 *left_ns) {
    if (has(t, ICANON)) return t->lines ? TTY_READ_NOW : TTY_READ_WAIT;
    const u32 there = t->tail - t->head, least = t->termios.cc[VMIN];
    const u64 time_ns = t->termios.cc[VTIME] * VTIME_NS;
    if (there >= MIN(least ? least : 1, len_bytes)) return TTY_READ_NOW;
    if (least == 0 && time_ns == 0) return TTY_READ_NOW;
    if (time_ns == 0 || (least && there == 0)) return TTY_READ_WAIT;
    if (waited_ns >= time_ns) return TTY_READ_NOW;
    *left_ns = time_ns - waited_ns;
    return TTY_READ_TIMED;
}

// How many bytes a read gets now; 0 while a line is not ended (ICANON).
u32 tty_bytes_ready(const struct tty *t) {
    return has(t, ICANON) && !t->lines ? 0 : t->tail - t->head;
}

// Takes at most one line (canonical) or what is there. 0: end of file.
u32 tty_read(struct tty *t, u8 *to, u32 len_bytes) {
    u32 done = 0;
    bool ended = false;
    while (done < len_bytes && t->head != t->tail && !ended) {
        u16 c = t->queue[t->head++ % TTY_QUEUE_MAX];
        bool end = is_line_end(t, c);
        if (c != TTY_EOF_MARK) to[done++] = (u8)c;
        if (end && t->lines) t->lines--;
        ended = has(t, ICANON) && end;
    }
    // A full buffer takes the end of file behind it along: the next read is for the next line.
    if (has(t, ICANON) && !ended && done && t->head != t->tail &&
        t->queue[t->head % TTY_QUEUE_MAX] == TTY_EOF_MARK) {
        t->head++;
        if (t->lines) t->lines--;
    }
    if (t->throttled && t->tail - t->head + t->line_len <= RELEASE_USED) {
        t->throttled = false;
        tty_send_flow(t, false);
    }
    return done;
}
