// The screen: EGA text cells or an RGB framebuffer, as the loader left it. A small
// terminal: newline, return, backspace, tab, scrolling, and of ECMA-48's sequences those that
// move the cursor or erase; the others are skipped. The cursor's cell is inverted (pixels only).
// The text is kept in `shadow`, so nothing is read back from the card, and scrolling
// draws only cells that change. Called under the log's lock.
#include "drivers/console/console.h"
#include "drivers/console/font.h"

#define TAB_CELLS 8u
#define TEXT_ATTRIBUTE 0x0700u
#define COLUMNS_MAX 256u
#define ROWS_MAX 128u
#define GREY 0xbbu
#define PARAMETERS_MAX 2u
#define PARAMETER_MAX 9999u

static struct screen_config screen;
static bool screen_on;
static u32 columns, rows, column, row;
static u8 shadow[ROWS_MAX][COLUMNS_MAX];
static enum { ESC_NONE, ESC_SEEN, ESC_CSI } escape;
static u32 parameter[PARAMETERS_MAX], parameter_count;

static void draw_pixel(volatile u8 *at, u32 color) {
    const u32 bytes = (screen.bits_per_pixel + 7u) / 8;
    if (bytes == 4) {
        *(volatile u32 *)at = color;
        return;
    }
    for (u32 i = 0; i < bytes; i++) at[i] = (u8)(color >> 8 * i);
}

static void draw_glyph(u32 x, u32 y, u8 c, bool cursor) {
    const u32 ink = GREY << screen.red_shift | GREY << screen.green_shift |
                    GREY << screen.blue_shift;
    const u32 bytes = (screen.bits_per_pixel + 7u) / 8;
    if (c < FONT_FIRST || c > FONT_LAST) c = '?';
    const u8 *glyph = font_glyphs[c - FONT_FIRST];
    for (u32 line = 0; line < FONT_HEIGHT; line++) {
        volatile u8 *at = (volatile u8 *)screen.pixels +
                          (u64)(y * FONT_HEIGHT + line) * screen.pitch_bytes +
                          (u64)x * FONT_WIDTH * bytes;
        const u32 bits = cursor ? ~(u32)glyph[line] : glyph[line];
        for (u32 i = 0; i < FONT_WIDTH; i++, at += bytes)
            draw_pixel(at, bits >> (FONT_WIDTH - 1 - i) & 1 ? ink : 0);
    }
}

static void cell_set(u32 x, u32 y, u8 c) {
    if (shadow[y][x] == c) return;
    shadow[y][x] = c;
    if (screen.text)
        ((volatile u16 *)screen.pixels)[y * (screen.pitch_bytes / 2) + x] =
            (u16)(TEXT_ATTRIBUTE | c);
    else draw_glyph(x, y, c, false);
}

// Takes the screen over and clears it.
//   config: mapped cells (width, height in cells) or pixels of 24 or 32 bits
// False: it cannot be drawn on and stays as it is.
bool screen_init(const struct screen_config *config) {
    if (!config->pixels) return false;
    if (!config->text && config->bits_per_pixel != 24 && config->bits_per_pixel != 32)
        return false;
    screen = *config;
    columns = config->text ? config->width : config->width / FONT_WIDTH;
    rows = config->text ? config->height : config->height / FONT_HEIGHT;
    if (columns > COLUMNS_MAX) columns = COLUMNS_MAX;
    if (rows > ROWS_MAX) rows = ROWS_MAX;
    screen_on = columns && rows;
    for (u32 y = 0; y < rows; y++)
        for (u32 x = 0; x < columns; x++) cell_set(x, y, ' ');
    return screen_on;
}

static void newline(void) {
    column = 0;
    if (++row < rows) return;
    row = rows - 1;
    for (u32 y = 0; y < rows; y++)
        for (u32 x = 0; x < columns; x++) cell_set(x, y, y + 1 < rows ? shadow[y + 1][x] : ' ');
}

static void erase(u32 from_x, u32 from_y, u32 to_x, u32 to_y) {
    for (u32 y = from_y; y <= to_y; y++)
        for (u32 x = y == from_y ? from_x : 0; x < (y == to_y ? to_x : columns); x++)
            cell_set(x, y, ' ');
}

static u32 parameter_or(u32 index, u32 otherwise) {
    return index < parameter_count && parameter[index] ? parameter[index] : otherwise;
}

// The end of a sequence: ECMA-48 8.3 CUU, CUD, CUF, CUB, CUP, ED, EL.
static void sequence(u8 final) {
    const u32 n = parameter_or(0, 1), what = parameter_or(0, 0);
    switch (final) {
    case 'A': row -= n < row ? n : row; break;
    case 'B': row = row + n < rows ? row + n : rows - 1; break;
    case 'C': column = column + n < columns ? column + n : columns - 1; break;
    case 'D': column -= n < column ? n : column; break;
    case 'H':
        row = (n < rows ? n : rows) - 1;
        column = parameter_or(1, 1) < columns ? parameter_or(1, 1) - 1 : columns - 1;
        break;
    case 'J':
        if (what == 0) erase(column, row, columns, rows - 1);
        else erase(0, 0, what == 1 ? column + 1 : columns, what == 1 ? row : rows - 1);
        break;
    case 'K': erase(what == 0 ? column : 0, row, what == 1 ? column + 1 : columns, row); break;
    default: break;
    }
}

static void parameter_take(u8 c) {
    if (c == ';') {
        parameter_count = parameter_count ? parameter_count + 1 : 2;
        if (parameter_count > PARAMETERS_MAX) parameter_count = PARAMETERS_MAX;
        return;
    }
    if (c < '0' || c > '9') return;
    const u32 i = parameter_count ? parameter_count - 1 : 0;
    parameter_count = i + 1;
    parameter[i] = parameter[i] * 10 + c - '0';
    if (parameter[i] > PARAMETER_MAX) parameter[i] = PARAMETER_MAX;
}

// Whether c belongs to an escape sequence.
static bool escape_takes(u8 c) {
    if (escape == ESC_NONE) {
        if (c == 27) escape = ESC_SEEN;
        return c == 27;
    }
    if (escape == ESC_SEEN) {
        escape = c == '[' ? ESC_CSI : ESC_NONE;
        parameter_count = 0;
        for (u32 i = 0; i < PARAMETERS_MAX; i++) parameter[i] = 0;
    } else if (c >= 0x40 && c <= 0x7e) {
        escape = ESC_NONE;
        sequence(c);
    } else {
        parameter_take(c);
    }
    return true;
}

static void put(u8 c) {
    if (escape_takes(c)) return;
    if (c == '\n') newline();
    else if (c == '\r') column = 0;
    else if (c == '\b') column -= column ? 1 : 0;
    else if (c == '\t') column = (column / TAB_CELLS + 1) * TAB_CELLS;
    else if (c >= 32) cell_set(column++, row, c);
    if (column >= columns) newline();
}

static void cursor_show(bool on) {
    if (!screen.text) draw_glyph(column, row, shadow[row][column], on);
}

// Shows bytes at the cursor; with no screen nothing. Lock: the console's.
void screen_write(const char *text, u64 len_bytes) {
    if (!screen_on || len_bytes == 0) return;
    cursor_show(false);
    for (u64 i = 0; i < len_bytes; i++) put((u8)text[i]);
    cursor_show(true);
}
