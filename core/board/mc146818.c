/* SPDX-License-Identifier: Apache-2.0 */
/* MC146818A real-time clock and CMOS RAM. Reference: Motorola's MC146818A data sheet (registers
 * A-D, update cycle), Intel 290562 (PIIX4) 11.2 for the second bank and the NMI mask.
 *
 * The time is a function of a clock: seconds = whole seconds of (clock + phase) + offset. `phase`
 * is the divider chain, `offset` what the guest set. While the guest holds the time (SET) or the
 * divider is held in reset, the time cells are plain memory; when it lets go they are read back
 * into offset. Flags of register C are brought up to date when somebody looks. A timer is armed
 * only for an event that will raise the interrupt line. */
#include "board/mc146818.h"

#include "board/chip.h"
#include "board/mc146818_private.h"
#include "board/rtc_calendar.h"

#define CRYSTAL_HZ     UINT64_C(32768)
#define HALF_SECOND_NS (NS_PER_S / 2)
#define UIP_NS         UINT64_C(244140) /* tBUC: UIP leads the update by 244 us */
#define RTC_GSI        8
#define BANK_CELLS     0x80u

/* --- Periodic tap ---------------------------------------------------------------------------- */

static uint64_t
clocks_from_ns(uint64_t ns)
{
    return ns / NS_PER_S * CRYSTAL_HZ + ns % NS_PER_S * CRYSTAL_HZ / NS_PER_S;
}

static uint64_t
ns_from_clocks(uint64_t clocks) /* rounded up: at that time the clock has passed */
{
    return clocks / CRYSTAL_HZ * NS_PER_S +
           (clocks % CRYSTAL_HZ * NS_PER_S + CRYSTAL_HZ - 1) / CRYSTAL_HZ;
}

/* Period in crystal clocks; 0: off. RS 1 and 2 repeat the rates of 8 and 9 with this crystal. */
static uint64_t
period_clocks(const Mc146818 *chip)
{
    unsigned rs = chip->cells[CELL_A] & A_RS_MASK;

    if (rs == 0 || !rtc_divider_running(chip)) {
        return 0;
    }
    return UINT64_C(1) << ((rs <= 2 ? rs + 7 : rs) - 1);
}

/* --- Events ---------------------------------------------------------------------------------- */

static int64_t
next_change(const Mc146818 *chip, int64_t after, int32_t *delta_s)
{
    int64_t change;

    if ((chip->cells[CELL_B] & B_DSE) == 0) {
        return INT64_MAX;
    }
    change = rtc_next_daylight_change(after, delta_s);
    return change == chip->change_done ? rtc_next_daylight_change(change, delta_s) : change;
}

static void
note_seconds(Mc146818 *chip, int64_t last)
{
    if (chip->seen_s < last) {
        chip->cells[CELL_C] |= C_UF;
        if (rtc_next_alarm(chip, chip->seen_s) <= last) {
            chip->cells[CELL_C] |= C_AF;
        }
    }
    chip->seen_s = last;
}

/* Sets the flags of everything that happened since the last look. */
static void
note_events(Mc146818 *chip)
{
    uint64_t clocks = clocks_from_ns(virtual_clock_now(chip->clock));
    uint64_t period = period_clocks(chip);
    uint64_t fraction;

    if (period != 0 && clocks >= chip->period_clock + period) {
        chip->period_clock = clocks - (clocks - chip->period_clock) % period;
        chip->cells[CELL_C] |= C_PF;
    }
    if (rtc_counting(chip)) {
        int32_t delta = 0;
        int64_t now = rtc_current_second(chip, &fraction);
        int64_t change = next_change(chip, chip->seen_s, &delta);
        /* Two changes a year at most, and a clock of 64 bits of nanoseconds: this ends. */
        while (change <= now) {
            note_seconds(chip, change - 1);
            chip->offset_s += delta;
            chip->seen_s += delta;
            chip->cells_at = NO_SECOND;
            chip->change_done = change;
            note_seconds(chip, change + delta);
            now += delta;
            change = next_change(chip, chip->seen_s, &delta);
        }
        note_seconds(chip, now);
    }
}

static void
update_irq(Mc146818 *chip)
{
    uint8_t *c = &chip->cells[CELL_C];
    bool active = (*c & chip->cells[CELL_B] & C_SOURCES) != 0;

    *c = (uint8_t)((*c & C_SOURCES) | (active ? C_IRQF : 0));
    irq_source_set(chip->irq, active);
}

static void
arm_second_timer(Mc146818 *chip)
{
    uint64_t fraction;
    int64_t now_s = rtc_current_second(chip, &fraction);
    int64_t event = INT64_MAX;
    int32_t delta;

    if ((chip->cells[CELL_B] & B_UIE) != 0) {
        event = now_s + 1;
    } else if ((chip->cells[CELL_B] & B_AIE) != 0) {
        event = MIN(rtc_next_alarm(chip, now_s), next_change(chip, now_s, &delta));
    }
    if (event == INT64_MAX || !rtc_counting(chip)) {
        loop_timer_cancel(chip->second_timer);
        return;
    }
    loop_timer_arm(chip->second_timer,
                   rtc_source_now(chip) + (uint64_t)(event - now_s) * NS_PER_S - fraction);
}

static void
arm_periodic_timer(Mc146818 *chip)
{
    uint64_t period = period_clocks(chip);

    if (period == 0 || (chip->cells[CELL_B] & B_PIE) == 0) {
        loop_timer_cancel(chip->periodic_timer);
        return;
    }
    loop_timer_arm(chip->periodic_timer, ns_from_clocks(chip->period_clock + period));
}

/* After every change: line, then timers for what can raise it next. */
static void
settle(Mc146818 *chip)
{
    update_irq(chip);
    if ((chip->cells[CELL_C] & C_IRQF) != 0) {
        /* Nothing more to tell until the guest reads register C. */
        loop_timer_cancel(chip->second_timer);
        loop_timer_cancel(chip->periodic_timer);
        return;
    }
    arm_second_timer(chip);
    arm_periodic_timer(chip);
}

static void
timer_fired(void *opaque)
{
    Mc146818 *chip = opaque;

    note_events(chip);
    settle(chip);
}

/* --- Registers ------------------------------------------------------------------------------- */

static void
write_a(Mc146818 *chip, uint8_t value)
{
    bool was_running = rtc_divider_running(chip);
    bool was_counting = rtc_counting(chip);

    rtc_refresh_cells(chip);
    chip->cells[CELL_A] = value & (uint8_t)~A_UIP;
    if (!was_running && rtc_divider_running(chip)) {
        /* Released from reset, the first update comes after half a second (data sheet, "Divider
         * control"), and the taps start from zero. */
        uint64_t within = rtc_source_now(chip) % NS_PER_S;
        chip->phase_ns = (NS_PER_S + HALF_SECOND_NS - within) % NS_PER_S;
        chip->period_clock = clocks_from_ns(virtual_clock_now(chip->clock));
    }
    if (!was_counting && rtc_counting(chip)) {
        rtc_load_cells(chip);
    }
}

static void
write_b(Mc146818 *chip, uint8_t value)
{
    bool was_counting = rtc_counting(chip);
    uint8_t changed = chip->cells[CELL_B] ^ value;

    rtc_refresh_cells(chip); /* in the old format */
    if ((value & B_SET) != 0) {
        value &= (uint8_t)~B_UIE;
    }
    chip->cells[CELL_B] = value;
    if (!was_counting && rtc_counting(chip)) {
        rtc_load_cells(chip);
    } else if ((changed & (B_DM | B_24H)) != 0) {
        chip->cells_at = NO_SECOND;
    }
}

static bool
is_time_cell(uint8_t cell)
{
    return cell == CELL_CENTURY || (cell >= CELL_DAY_OF_WEEK && cell <= CELL_YEAR) ||
           (cell <= CELL_HOURS && cell % 2 == 0);
}

static void
write_cell(Mc146818 *chip, uint8_t cell, uint8_t value)
{
    if (cell > CELL_D && cell != CELL_CENTURY) {
        chip->cells[cell] = value;
        return;
    }
    note_events(chip);
    if (is_time_cell(cell)) {
        rtc_refresh_cells(chip);
        chip->cells[cell] = value;
        if (rtc_counting(chip)) {
            rtc_load_cells(chip);
        }
    } else if (cell == CELL_A) {
        write_a(chip, value);
    } else if (cell == CELL_B) {
        write_b(chip, value);
    } else if (cell != CELL_C && cell != CELL_D) {
        chip->cells[cell] = value; /* the three alarm bytes */
    }
    settle(chip);
}

static uint8_t
read_a(Mc146818 *chip)
{
    uint64_t fraction;

    (void)rtc_current_second(chip, &fraction);
    if (rtc_counting(chip) && NS_PER_S - fraction <= UIP_NS) {
        return chip->cells[CELL_A] | A_UIP;
    }
    return chip->cells[CELL_A];
}

static uint8_t
read_cell(Mc146818 *chip, uint8_t cell)
{
    uint8_t value;

    if (cell > CELL_D && cell != CELL_CENTURY) {
        return chip->cells[cell];
    }
    note_events(chip);
    rtc_refresh_cells(chip);
    value = cell == CELL_A ? read_a(chip) : chip->cells[cell];
    if (cell == CELL_C) {
        update_irq(chip); /* an event noted just now counts before the read clears it */
        value = chip->cells[CELL_C];
        chip->cells[CELL_C] = 0;
        settle(chip);
    }
    return value;
}

static uint64_t
bank0_read(void *opaque, uint64_t offset, unsigned size)
{
    Mc146818 *chip = opaque;

    return offset == 0 ? 0xFF : read_cell(chip, chip->index); /* 70h is write-only */
}

static void
bank0_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Mc146818 *chip = opaque;

    if (offset == 0) {
        chip->index = value & (BANK_CELLS - 1);
        chip->nmi_masked = (value & 0x80) != 0;
    } else {
        write_cell(chip, chip->index, (uint8_t)value);
    }
}

static uint64_t
bank1_read(void *opaque, uint64_t offset, unsigned size)
{
    Mc146818 *chip = opaque;

    return offset == 0 ? 0xFF : chip->cells[BANK_CELLS | chip->extended_index];
}

static void
bank1_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Mc146818 *chip = opaque;

    if (offset == 0) {
        chip->extended_index = value & (BANK_CELLS - 1);
    } else {
        chip->cells[BANK_CELLS | chip->extended_index] = (uint8_t)value;
    }
}

static const RegionOps bank0_ops = {.read = bank0_read, .write = bank0_write};
static const RegionOps bank1_ops = {.read = bank1_read, .write = bank1_write};

/* --- Object ---------------------------------------------------------------------------------- */

void
mc146818_write_cell(Mc146818 *chip, uint8_t cell, uint8_t value)
{
    g_mutex_lock(&chip->lock);
    write_cell(chip, cell, value);
    g_mutex_unlock(&chip->lock);
}

uint8_t
mc146818_read_cell(Mc146818 *chip, uint8_t cell)
{
    uint8_t value;

    g_mutex_lock(&chip->lock);
    value = read_cell(chip, cell);
    g_mutex_unlock(&chip->lock);
    return value;
}

bool
mc146818_nmi_masked(Mc146818 *chip)
{
    bool masked;

    g_mutex_lock(&chip->lock);
    masked = chip->nmi_masked;
    g_mutex_unlock(&chip->lock);
    return masked;
}

void
mc146818_reset(Mc146818 *chip)
{
    g_mutex_lock(&chip->lock);
    note_events(chip);
    chip->cells[CELL_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    chip->cells[CELL_C] = 0;
    chip->nmi_masked = true;
    settle(chip);
    g_mutex_unlock(&chip->lock);
}

static Region *
add_region(Mc146818 *chip, AddressSpace *pio, uint16_t port, const RegionOps *ops, GError **error)
{
    RegionArgs args = {
        .name = "rtc", .base = port, .length = 2, .ops = ops, .opaque = chip, .lock = &chip->lock};

    return chip_claim(pio, &args, error);
}

Mc146818 *
mc146818_new(const Mc146818Args *args, GError **error)
{
    g_autoptr(Mc146818) chip = g_new0(Mc146818, 1);
    uint64_t fraction;

    g_mutex_init(&chip->lock);
    chip->loop = args->loop;
    chip->clock = args->clock;
    chip->source = args->source;
    chip->offset_s = args->offset_s + (args->source == CLOCK_SOURCE_WALL ? 0 : args->base_s);
    chip->cells[CELL_A] = 0x26; /* 32.768 kHz, 1024 Hz: what PC firmware leaves */
    chip->cells[CELL_B] = B_24H;
    chip->cells[CELL_D] = D_VRT;
    chip->cells_at = NO_SECOND;
    chip->change_done = INT64_MIN;
    chip->seen_s = rtc_current_second(chip, &fraction);
    chip->irq = irq_source_new(args->irqs, RTC_GSI);
    chip->second_timer = loop_timer_new(args->loop, args->source, &chip->lock, timer_fired, chip);
    chip->periodic_timer =
        loop_timer_new(args->loop, CLOCK_SOURCE_VIRTUAL, &chip->lock, timer_fired, chip);
    chip->regions[0] = add_region(chip, args->pio, 0x70, &bank0_ops, error);
    if (chip->regions[0] == NULL) {
        return NULL;
    }
    chip->regions[1] = add_region(chip, args->pio, 0x72, &bank1_ops, error);
    if (chip->regions[1] == NULL) {
        return NULL;
    }
    return g_steal_pointer(&chip);
}

/* Years 1 to 9999, about: what follows from a time is counted in daylight changes. */
static bool
check_state(const void *object)
{
    const Mc146818 *chip = object;
    const int64_t limit = INT64_C(1) << 38;

    return chip->offset_s > -limit && chip->offset_s < limit && chip->seen_s > -limit &&
           chip->seen_s < limit;
}

void
mc146818_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_ARRAY(1, Mc146818, cells),
        CHIP_FIELD(2, Mc146818, index, 127),
        CHIP_FIELD(3, Mc146818, extended_index, 127),
        CHIP_BOOL(4, Mc146818, nmi_masked),
        CHIP_FIELD(5, Mc146818, phase_ns, NS_PER_S - 1),
        CHIP_FIELD(6, Mc146818, offset_s, 0),
        CHIP_FIELD(7, Mc146818, seen_s, 0),
        CHIP_FIELD(8, Mc146818, cells_at, 0),
        CHIP_FIELD(9, Mc146818, weekday_bias, 6),
        CHIP_FIELD(10, Mc146818, change_done, 0),
        CHIP_FIELD(11, Mc146818, period_clock, 0),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, Mc146818, check_state);
    Mc146818 *rtc = chip;

    g_mutex_lock(&rtc->lock);
    if (state->phase == CHIP_STATE_SAVE) {
        note_events(rtc);
        settle(rtc);
    }
    chip_state_object(state, &object, 0, rtc);
    if (chip_state_is_after(state)) {
        note_events(rtc);
        settle(rtc);
    }
    g_mutex_unlock(&rtc->lock);
}

void
mc146818_free(Mc146818 *chip)
{
    if (chip == NULL) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(chip->regions); i++) {
        region_free(chip->regions[i]);
    }
    loop_timer_free(chip->second_timer);
    loop_timer_free(chip->periodic_timer);
    irq_source_free(chip->irq);
    loop_drain(chip->loop);
    g_mutex_clear(&chip->lock);
    g_free(chip);
}
