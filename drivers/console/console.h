// The node's console: COM1 and, where there is one, the screen with a keyboard. Output is
// called under the log's lock (kernel/klog.c); input arrives by interrupt.
#pragma once

#include "base/status.h"
#include "base/types.h"

enum serial_port { SERIAL_COM1 = 0, SERIAL_COM2 = 1, SERIAL_COUNT };

void console_init(void);             // serial output, at once
void console_write(const char *text, u64 len_bytes);

bool serial_init(enum serial_port port);             // false: no such UART
bool serial_present(enum serial_port port);
void serial_write(enum serial_port port, const char *text, u64 len_bytes);  // raw bytes
// Interrupt context: takes what has arrived into the port's ring.
void serial_receive(enum serial_port port);
void serial_irq_enable(enum serial_port port);
int serial_read(enum serial_port port);              // next byte received, -1: none
u8 serial_irq_line(enum serial_port port);           // ISA interrupt
u64 serial_dropped(enum serial_port port);           // times that the UART lost bytes

bool kbd_init(void);                 // the keyboard behind an i8042; false: none
void kbd_receive(void);              // interrupt context
int kbd_read(void);                  // next byte typed, -1: none
u8 kbd_irq_line(void);
u64 kbd_dropped(void);               // keys lost, for nobody read

struct screen_config {
    volatile void *pixels;           // or text cells
    u32 pitch_bytes, width, height;  // pixels, or cells
    u8 bits_per_pixel;
    bool text;
    u8 red_shift, green_shift, blue_shift;
};
bool screen_init(const struct screen_config *config);
void screen_write(const char *text, u64 len_bytes);
