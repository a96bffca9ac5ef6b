// See keymap.h. Called in interrupt context by kbd.c, and by its unit test; no lock.
// Spec: IBM PS/2 Hardware Interface, Keyboards, scan code set 1; ECMA-48 and xterm for the
// sequences of keys that are no characters.
#include "drivers/console/keymap.h"

#include "base/string.h"

#define RELEASE 0x80u
#define EXTENDED 0xe0u
#define PAUSE 0xe1u                  // then five bytes: 1d 45 e1 9d c5
#define PAUSE_REST 5u
#define ESCAPE 27

enum code {
    CODE_CONTROL = 0x1d, CODE_SHIFT_LEFT = 0x2a, CODE_SHIFT_RIGHT = 0x36, CODE_ALT = 0x38,
    CODE_CAPS = 0x3a, CODE_F1 = 0x3b, CODE_F10 = 0x44, CODE_NUM = 0x45, CODE_PAD_FIRST = 0x47,
    CODE_PAD_LAST = 0x53, CODE_F11 = 0x57, CODE_F12 = 0x58, CODE_LIMIT = 0x3a,
};

static const u8 plain[CODE_LIMIT] =
    "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const u8 shifted[CODE_LIMIT] =
    "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
// Keys of the pad, and of the cluster beside it with 0xe0 before them, from 0x47 on.
static const char pad_digits[] = "789-456+1230.";
static const char *const pad_keys[] = {"[H", "[A", "[5~", NULL, "[D", NULL, "[C", NULL,
                                       "[F", "[B", "[6~", "[2~", "[3~"};
static const char *const function_keys[] = {"OP", "OQ", "OR", "OS", "[15~", "[17~", "[18~",
                                            "[19~", "[20~", "[21~", "[23~", "[24~"};

static u32 sequence(const char *text, u8 *out) {
    if (!text) return 0;
    const u32 len = (u32)strlen(text);
    out[0] = ESCAPE;
    memcpy(out + 1, text, len);
    return 1 + len;
}

// Keys whose state counts, pressed or released. False: not one of them.
static bool modifier(struct keymap *k, u8 code, bool extended, bool pressed) {
    switch (code) {
    case CODE_SHIFT_LEFT:
        if (!extended) k->shift_left = pressed;  // with 0xe0: sent around other keys
        return true;
    case CODE_SHIFT_RIGHT:
        if (!extended) k->shift_right = pressed;
        return true;
    case CODE_CONTROL: *(extended ? &k->control_right : &k->control_left) = pressed; return true;
    case CODE_ALT: k->alt = pressed; return true;
    case CODE_CAPS: k->caps ^= pressed; return true;
    case CODE_NUM: k->num ^= pressed; return true;
    default: return false;
    }
}

static u32 character(const struct keymap *k, u8 code, bool extended, u8 *out) {
    if (extended && code != 0x1c && code != 0x35) return 0;   // the pad's enter and slash
    const bool shift = k->shift_left || k->shift_right;
    u8 c = shift && !extended ? shifted[code] : plain[code];
    if (c == 0) return 0;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter && k->caps) c ^= 0x20;
    if (k->control_left || k->control_right) {
        if (c == ' ' || c == '2') c = 0;
        else if (c == '/') c = 31;
        else if (c >= '@' && c <= '~') c &= 31;
    }
    u32 n = 0;
    if (k->alt) out[n++] = ESCAPE;
    out[n++] = c;
    return n;
}

static u32 pad(const struct keymap *k, u8 code, bool extended, u8 *out) {
    const u32 i = code - CODE_PAD_FIRST;
    const bool sign = pad_digits[i] == '-' || pad_digits[i] == '+';
    if (extended || (!k->num && !sign)) return sequence(pad_keys[i], out);
    out[0] = (u8)pad_digits[i];
    return 1;
}

// See keymap.h. Keys that mean nothing to a terminal give no byte.
u32 keymap_take(struct keymap *k, u8 code, u8 out[KEY_BYTES_MAX]) {
    if (k->skip) {
        k->skip--;
        return 0;
    }
    if (code == PAUSE) k->skip = PAUSE_REST;
    const bool extended = k->extended;
    k->extended = code == EXTENDED;
    if (code == EXTENDED || code == PAUSE) return 0;
    const u8 key = code & (u8)~RELEASE;
    if (modifier(k, key, extended, code == key) || code != key) return 0;
    if (key < CODE_LIMIT) return character(k, key, extended, out);
    if (key >= CODE_F1 && key <= CODE_F10) return sequence(function_keys[key - CODE_F1], out);
    if (key >= CODE_PAD_FIRST && key <= CODE_PAD_LAST) return pad(k, key, extended, out);
    if (key != CODE_F11 && key != CODE_F12) return 0;
    return sequence(function_keys[key - CODE_F11 + 10], out);
}
