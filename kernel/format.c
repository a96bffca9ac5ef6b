// ksnprintf: the formats that kernel/klog.h names, and nothing else. Pure; also linked
// into host tests. No lock.
#include "base/string.h"
#include "base/types.h"
#include "kernel/klog.h"

struct out {
    char *to;
    u64 size_bytes, len_bytes;       // len counts what did not fit, too
};

struct spec {
    bool left, zero, is_signed, upper;
    u32 width, precision;
    bool has_precision;
    u32 base;
};
#define NUMBER_DIGITS_MAX 24

static void put(struct out *o, char c) {
    if (o->len_bytes + 1 < o->size_bytes) o->to[o->len_bytes] = c;
    o->len_bytes++;
}

static void put_padded(struct out *o, const char *text, u64 len, const struct spec *s) {
    u64 pad = s->width > len ? s->width - len : 0;
    if (!s->left) for (; pad; pad--) put(o, ' ');
    for (u64 i = 0; i < len; i++) put(o, text[i]);
    for (; pad; pad--) put(o, ' ');
}

static void put_number(struct out *o, u64 value, const struct spec *s) {
    char digits[NUMBER_DIGITS_MAX];
    const bool negative = s->is_signed && (i64)value < 0;
    if (negative) value = 0 - value;
    u32 n = 0;
    do {
        const u32 d = (u32)(value % s->base);
        digits[n++] = (char)(d < 10 ? '0' + d : (s->upper ? 'A' : 'a') + d - 10);
        value /= s->base;
    } while (value);
    u32 zeros = s->has_precision && s->precision > n ? s->precision - n : 0;
    u32 len = n + (negative ? 1 : 0) + zeros;
    if (s->zero && !s->left && s->width > len) {
        zeros += s->width - len;
        len = s->width;
    }
    if (!s->left) for (u32 i = len; i < s->width; i++) put(o, ' ');
    if (negative) put(o, '-');
    for (; zeros; zeros--) put(o, '0');
    while (n) put(o, digits[--n]);
    if (s->left) for (u32 i = len; i < s->width; i++) put(o, ' ');
}

static void put_ipv4(struct out *o, u32 address) {
    const struct spec s = {.base = 10};
    for (u32 i = 0; i < 4; i++) {
        if (i) put(o, '.');
        put_number(o, address >> (24 - 8 * i) & 0xff, &s);
    }
}

static void put_mac(struct out *o, const u8 *mac) {
    const struct spec s = {.base = 16, .zero = true, .width = 2};
    for (u32 i = 0; i < 6; i++) {
        if (i) put(o, ':');
        put_number(o, mac[i], &s);
    }
}

static void put_string(struct out *o, const char *text, const struct spec *s) {
    if (!text) text = "(null)";
    u64 len = 0;
    while ((!s->has_precision || len < s->precision) && text[len]) len++;
    put_padded(o, text, len, s);
}

// %p, and our %pI (u32 IPv4 in host order) and %pM (6 bytes). Returns the last letter.
static const char *put_pointer(struct out *o, const char *at, const void *p) {
    if (at[1] == 'I') {
        put_ipv4(o, *(const u32 *)p);
        return at + 1;
    }
    if (at[1] == 'M') {
        put_mac(o, p);
        return at + 1;
    }
    const struct spec s = {.base = 16, .zero = true, .width = 16};
    put(o, '0');
    put(o, 'x');
    put_number(o, (u64)p, &s);
    return at;
}

static const char *read_flags(const char *f, struct spec *s, va_list *args) {
    for (;; f++) {
        if (*f == '-') s->left = true;
        else if (*f == '0') s->zero = true;
        else break;
    }
    if (*f == '*') {
        s->width = (u32)va_arg(*args, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++) s->width = s->width * 10 + (u32)(*f - '0');
    if (*f != '.') return f;
    s->has_precision = true;
    f++;
    if (*f == '*') {
        s->precision = (u32)va_arg(*args, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++) s->precision = s->precision * 10 + (u32)(*f - '0');
    return f;
}

static u64 read_integer(va_list *args, u32 longs, bool is_signed) {
    if (longs) return va_arg(*args, u64);
    return is_signed ? (u64)(i64)va_arg(*args, i32) : va_arg(*args, u32);
}

// As vsnprintf for the formats of klog.h; an unknown one is printed as it stands.
//   to: size_bytes bytes, always ended by a 0 where size_bytes > 0
// Returns the length without the 0 that the whole text has, as vsnprintf does.
int kvsnprintf(char *to, u64 size_bytes, const char *format, va_list args_in) {
    struct out o = {to, size_bytes, 0};
    va_list args;
    va_copy(args, args_in);
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        struct spec s = {.base = 10};
        f = read_flags(f + 1, &s, &args);
        u32 longs = 0;
        for (; *f == 'l' || *f == 'z'; f++) longs++;
        while (*f == 'h') f++;
        switch (*f) {
        case 'd': case 'i':
            s.is_signed = true;
            put_number(&o, read_integer(&args, longs, true), &s);
            break;
        case 'u':
            put_number(&o, read_integer(&args, longs, false), &s);
            break;
        case 'X': case 'x': case 'o':
            s.base = *f == 'o' ? 8 : 16;
            s.upper = *f == 'X';
            put_number(&o, read_integer(&args, longs, false), &s);
            break;
        case 'c': {
            const char c = (char)va_arg(args, int);
            put_padded(&o, &c, 1, &s);
            break;
        }
        case 's':
            put_string(&o, va_arg(args, const char *), &s);
            break;
        case 'p':
            f = put_pointer(&o, f, va_arg(args, const void *));
            break;
        case '%':
            put(&o, '%');
            break;
        case 0:
            f--;
            break;
        default:
            put(&o, '%');
            put(&o, *f);
            break;
        }
    }
    va_end(args);
    if (size_bytes) to[o.len_bytes < size_bytes ? o.len_bytes : size_bytes - 1] = 0;
    return (int)o.len_bytes;
}

int ksnprintf(char *to, u64 size_bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = kvsnprintf(to, size_bytes, format, args);
    va_end(args);
    return n;
}
