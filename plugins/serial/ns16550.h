/* SPDX-License-Identifier: Apache-2.0 */
/* One serial port: the chip (ns16550.c) and its place in the machine (serial.c). */
#ifndef SERIAL_NS16550_H
#define SERIAL_NS16550_H

#include <backplane/sdk/sdk.h>

#define UART_FIFO_BYTES 16u

#define UART_LCR_BREAK 0x40u
#define UART_LCR_DLAB  0x80u

struct uart {
    /* Registers as the guest wrote them. */
    uint8_t ier, fcr, lcr, mcr, scr;
    uint16_t divisor;
    uint8_t lsr_errors;     /* OE, PE, FE, BI since LSR was read */
    uint8_t msr_delta;      /* low half of MSR */
    uint8_t msr_level;      /* high half of MSR: the inputs now, or MCR's bits in loopback */
    uint8_t inputs;         /* the same from outside, kept while in loopback */
    uint8_t thre_interrupt; /* THRE has an interrupt to report */
    uint8_t rx_timeout;     /* the character timeout has an interrupt to report */
    /* Received characters, oldest at rx_head, and what was wrong with each (LSR bits). Without FIFO
     * there is room for one. */
    uint8_t rx[UART_FIFO_BYTES], rx_error[UART_FIFO_BYTES];
    uint8_t rx_head, rx_count;
    uint8_t rx_last; /* what RBR shows when it is empty */
    /* Characters that wait for the line. */
    uint8_t tx[UART_FIFO_BYTES];
    uint8_t tx_head, tx_count;
    /* Paced only: the character on the line. */
    uint8_t shift, shifting;
};

struct serial {
    struct uart uart;
    struct bp_services host;
    const struct bp_char_ops *backend; /* NULL: the line leads nowhere */
    void *backend_self;
    uint32_t irq_level;
    uint32_t pace;     /* characters take their time */
    uint32_t irq_gate; /* OUT2 must be set for an interrupt to get out */
    uint32_t credit;   /* bytes the backend may still deliver */
    /* Delivered by the backend when there was no room any more: credit is withdrawn too late for
     * what is on its way. Never more than one credit. */
    struct bp_fifo late;
    uint8_t late_data[UART_FIFO_BYTES];
    uint32_t rate, data_bits, parity, stop_bits; /* as last told to the backend */
};

/* --- the chip -------------------------------------------------------------------------------- */

/* Master reset. power_on: also what the pin MR leaves alone. */
void uart_reset(struct serial *serial, uint32_t power_on);
uint8_t uart_read(struct serial *serial, uint32_t offset);
void uart_write(struct serial *serial, uint32_t offset, uint8_t value);
/* Many characters at once, as by REP OUTSB. */
void uart_write_many(struct serial *serial, const uint8_t *data, uint32_t count);
/* Received characters the chip has room for. */
uint32_t uart_room(const struct serial *serial);
/* A character with the errors of LSR it came with. */
void uart_receive(struct serial *serial, uint8_t data, uint8_t errors);
void uart_receive_break(struct serial *serial);
/* The line is free again: sends what waits. */
void uart_line_ready(struct serial *serial);
/* The time of four characters without a character or a read is over. */
void uart_timeout(struct serial *serial);
/* The time of one character is over (paced). */
void uart_shifted(struct serial *serial);
/* Modem inputs: MSR's high half. */
void uart_set_inputs(struct serial *serial, uint8_t inputs);
/* Sets the interrupt line by what is pending. */
void uart_update(struct serial *serial);
/* Time of one character, ns. */
uint64_t uart_character_ns(const struct serial *serial);

/* --- its surroundings ------------------------------------------------------------------------ */

/* Puts characters on the line. Returns how many it took. */
uint32_t line_send(struct serial *serial, const uint8_t *data, uint32_t count);
void line_send_break(struct serial *serial);
/* DTR and RTS as MCR says. */
void line_set_outputs(struct serial *serial, uint32_t dtr, uint32_t rts);
/* Divisor or frame changed. */
void line_set_parameters(struct serial *serial);
/* The chip has another amount of room. */
void line_give_credit(struct serial *serial);
void line_arm_timeout(struct serial *serial);
void line_arm_shift(struct serial *serial);
void line_set_irq(struct serial *serial, uint32_t level);

#endif
