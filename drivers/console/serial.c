// The 16550 UARTs at COM1 and COM2. Output polls with a limit; input comes by interrupt
// into a ring. The console's output runs under the log's lock; each ring has one producer
// (the interrupt's CPU) and one consumer. Spec: National PC16550D data sheet.
#include "base/ring.h"
#include "drivers/console/console.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/port.h"

enum uart_reg {
    UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5,
    UART_MSR = 6, UART_SCRATCH = 7,
};
#define LSR_DATA 1u
#define LSR_OVERRUN 2u
#define LSR_NOISE 0x1cu              // parity, framing, break: of the byte that is next
#define LSR_THR_EMPTY 0x20u
#define LCR_8N1 3u
#define LCR_DLAB 0x80u
#define IER_DATA 1u
#define MCR_DTR_RTS_OUT2 0xbu
#define SEND_POLLS_MAX 200000u       // some 100 ms of port reads; then the byte is lost
#define RECEIVE_BATCH_MAX 256u
#define INPUT_RING 1024u

struct serial {
    u16 base;
    u8 irq;
    bool present;
    bool paused;                     // receive interrupt off: the ring was full
    struct ring ring;
    u8 input[INPUT_RING];
    u64 dropped;
};
static struct serial serials[SERIAL_COUNT] = {{.base = 0x3f8, .irq = 4}, {.base = 0x2f8, .irq = 3}};

// What came before the port is set up, which forgets it: keys typed while the machine started. A
// sender that goes on at that moment loses a byte all the same; the launcher sends none to a node
// that is not up.
static void earlier_take(struct serial *s) {
    for (u32 n = 0; n < INPUT_RING; n++) {
        const u8 status = port_in8(s->base + UART_LSR);
        if (!(status & LSR_DATA)) return;
        const u8 byte = port_in8(s->base + UART_DATA);
        if (status & LSR_NOISE) continue;
        s->input[ring_tail_index(&s->ring)] = byte;
        ring_produce(&s->ring);
    }
}

// Finds and sets the port to 115200 8N1, interrupts off. False where there is none.
bool serial_init(enum serial_port port) {
    struct serial *s = &serials[port];
    port_out8(s->base + UART_SCRATCH, 0x5a);
    if (port_in8(s->base + UART_SCRATCH) != 0x5a) return false;
    ring_init(&s->ring, INPUT_RING);
    port_out8(s->base + UART_IER, 0);
    port_out8(s->base + UART_LCR, LCR_8N1);      // the loader may have left the divisor in sight
    earlier_take(s);
    port_out8(s->base + UART_LCR, LCR_DLAB | LCR_8N1);
    port_out8(s->base + UART_DATA, 1);           // divisor of 115200
    port_out8(s->base + UART_IER, 0);
    port_out8(s->base + UART_LCR, LCR_8N1);
    port_out8(s->base + UART_FCR, 0xc7);         // FIFOs on and empty, 14 bytes
    port_out8(s->base + UART_MCR, MCR_DTR_RTS_OUT2);
    s->present = true;
    return true;
}

bool serial_present(enum serial_port port) { return serials[port].present; }
u8 serial_irq_line(enum serial_port port) { return serials[port].irq; }
u64 serial_dropped(enum serial_port port) { return serials[port].dropped; }

// Sends bytes as they are. A byte that the UART does not take in the limit is lost.
void serial_write(enum serial_port port, const char *text, u64 len_bytes) {
    const struct serial *s = &serials[port];
    if (!s->present) return;
    for (u64 i = 0; i < len_bytes; i++) {
        for (u32 n = 0; n < SEND_POLLS_MAX; n++) {
            if (port_in8(s->base + UART_LSR) & LSR_THR_EMPTY) break;
            cpu_relax();
        }
        port_out8(s->base + UART_DATA, (u8)text[i]);
    }
}

// Takes what has arrived. Interrupt context, on the one CPU the line is routed to. With
// the ring full the rest stays in the UART, whose interrupt is off until serial_read has
// made room: a sender that heeds the UART loses nothing.
void serial_receive(enum serial_port port) {
    struct serial *s = &serials[port];
    for (u32 n = 0; n < RECEIVE_BATCH_MAX; n++) {
        const u8 status = port_in8(s->base + UART_LSR);
        if (status & LSR_OVERRUN) s->dropped++;
        if (!(status & LSR_DATA)) return;
        if (ring_full(&s->ring)) {
            port_out8(s->base + UART_IER, 0);
            __atomic_store_n(&s->paused, true, __ATOMIC_RELEASE);
            return;
        }
        s->input[ring_tail_index(&s->ring)] = port_in8(s->base + UART_DATA);
        ring_produce(&s->ring);
    }
    // More than a batch: the line is an edge, so it is let fall and rise again.
    port_out8(s->base + UART_IER, 0);
    serial_irq_enable(port);
}

void serial_irq_enable(enum serial_port port) {
    if (serials[port].present) port_out8(serials[port].base + UART_IER, IER_DATA);
}

// The next byte received, or -1. One consumer; it comes again after each interrupt.
int serial_read(enum serial_port port) {
    struct serial *s = &serials[port];
    if (!s->present) return -1;
    if (__atomic_load_n(&s->paused, __ATOMIC_ACQUIRE) && ring_space(&s->ring) >= INPUT_RING / 2) {
        __atomic_store_n(&s->paused, false, __ATOMIC_RELEASE);
        serial_irq_enable(port);
    }
    if (ring_empty(&s->ring)) return -1;
    const u8 byte = s->input[ring_peek_index(&s->ring, 0)];
    ring_consume(&s->ring);
    return byte;
}

// COM1 as the console, from the first line of boot on.
void console_init(void) { serial_init(SERIAL_COM1); }

// Text to COM1 (newline becomes CR LF) and the screen.
void console_write(const char *text, u64 len_bytes) {
    u64 start = 0;
    for (u64 i = 0; i < len_bytes; i++) {
        if (text[i] != '\n') continue;
        serial_write(SERIAL_COM1, text + start, i - start);
        serial_write(SERIAL_COM1, "\r\n", 2);
        start = i + 1;
    }
    serial_write(SERIAL_COM1, text + start, len_bytes - start);
    screen_write(text, len_bytes);
}
