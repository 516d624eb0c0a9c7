/* SPDX-License-Identifier: Apache-2.0 */
/* Saved and restored between any two steps of any command, a guest sees, and a floppy holds, what
 * it would have without that. Each script runs once in one piece; then once for each of its steps,
 * with the state saved there, the controller used for something else, and the state put back. */
#include "floppy_test.h"

#include <stdio.h>

#define MAX_STEPS   200u
#define TRACE_BYTES 8192u
#define MEMORY      0x2000u /* of DATA, that scripts use */

enum kind { OUT, IN, INS, OUTS, CLOCK, DMA_TO, DMA_FROM, MASK, WAIT };

struct step {
    enum kind kind;
    uint32_t port;
    uint32_t value;
};

struct script {
    const char *name;
    const char *text;
};

/* Words: a byte in hexadecimal: to the FIFO; `PPP=VV`: to a port; `?PPP`: from a port; `<N` and
 * `>N`: N bytes from and to the FIFO; `+N`: N times 10 ms; `wait`: until
 * the controller asks for something; `toN` and `fromN`: DMA of N bytes to and
 * from memory; `mask`: the channel; `rN`: N result bytes. */
static const struct script scripts[] = {
    {"READ DATA by DMA", "mask c6 00 00 00 11 02 12 1b ff +30 to1500 wait r7"},
    {"READ DATA by PIO", "03 df 03 46 00 00 00 03 02 04 1b ff wait <1 <299 <212 wait <512 wait r7"},
    {"READ DATA with an implied seek", "13 00 60 00 to512 46 00 14 00 01 02 12 1b ff wait r7"},
    {"READ DELETED DATA",
     "from512 49 00 00 00 02 02 12 1b ff wait r7 to600 6c 00 00 00 01 02 12 1b ff "
     "wait r7"},
    {"WRITE DATA by DMA", "mask c5 00 00 00 12 02 12 1b ff +30 from700 wait r7"},
    {"WRITE DATA by PIO",
     "03 df 03 45 00 00 00 11 02 12 1b ff wait >1 >255 >256 wait >256 >256 wait r7"},
    {"WRITE DELETED DATA",
     "03 df 03 49 01 00 00 01 02 01 1b ff wait >200 >312 wait r7 03 df 03 46 01 00 "
     "00 01 02 01 1b ff wait <512 wait r7"},
    {"READ TRACK", "03 df 03 42 00 00 00 02 02 02 1b ff wait <300 <212 wait <512 wait r7"},
    {"FORMAT TRACK by PIO",
     "03 df 03 4d 00 02 03 54 e5 wait 00 00 >0 01 02 00 00 02 02 00 00 03 02 "
     "wait r7"},
    {"FORMAT TRACK by DMA", "mask 4d 04 02 02 54 e5 +30 from8 wait r7"},
    {"FORMAT AND WRITE", "03 df 03 ed 00 02 01 54 e5 wait 00 00 05 02 >100 >412 wait r7"},
    {"VERIFY", "d6 80 00 00 01 02 12 1b 24 wait r7"},
    {"SCAN", "03 df 03 5d 00 00 00 01 02 02 1b 01 wait >300 >212 wait >512 wait r7"},
    {"READ ID", "4a 00 wait r7 4a 00 wait r7"},
    {"overrun", "03 df 03 46 00 00 00 03 02 04 1b ff wait <100 +3 <412 <512 wait r7"},
    {"no such sector", "to512 46 00 00 00 13 02 13 1b ff wait r7"},
    {"seeks",
     "03 df 02 0f 00 0a 0f 01 14 +4 ?3f4 08 +6 ?3f0 r2 08 r2 cf 00 03 +9 08 r2 8f 00 01 +4 08 "
     "r2 07 00 +20 08 r2 07 03 +60 08 r2 04 00 r1"},
    {"resets", "3f2=08 ?3f4 3f2=0c 08 r2 08 r2 3f4=80 08 r2 08 r2 08 r2 08 r2 08 r1"},
    {"control commands",
     "10 r1 18 r1 03 a5 5a 13 00 57 22 12 84 94 r1 33 01 17 35 r1 8e 04 28 80 r4 0e "
     "r10 2e r16 4e 00 01 09 08 07 06 af 02 12 84 57 11 35 00 00 00 0e r10 ff r1"},
    {"registers", "3f2=1d 3f3=06 ?3f0 ?3f1 ?3f2 ?3f3 ?3f7 3f7=02 4a 00 wait r7 3f4=40 ?3f4 0e r10"},
};

static uint32_t
add(struct step *steps, uint32_t count, enum kind kind, uint32_t port, uint32_t value)
{
    assert_true(count < MAX_STEPS);
    steps[count] = (struct step){kind, port, value};
    return count + 1;
}

static uint32_t
parse_word(struct step *steps, uint32_t count, const char *word)
{
    uint32_t a, b;

    if (sscanf(word, "%3x=%x", &a, &b) == 2) {
        return add(steps, count, OUT, a, b);
    }
    if (sscanf(word, "?%x", &a) == 1) {
        return add(steps, count, IN, a, 0);
    }
    if (sscanf(word, "<%u", &a) == 1) {
        return add(steps, count, INS, FIFO, a);
    }
    if (sscanf(word, ">%u", &a) == 1) {
        return add(steps, count, OUTS, FIFO, a);
    }
    if (sscanf(word, "to%u", &a) == 1) {
        return add(steps, count, DMA_TO, 0, a);
    }
    if (sscanf(word, "from%u", &a) == 1) {
        return add(steps, count, DMA_FROM, 0, a);
    }
    if (strcmp(word, "mask") == 0) {
        return add(steps, count, MASK, 0, 0);
    }
    if (strcmp(word, "wait") == 0) {
        count = add(steps, count, CLOCK, 0, 1);
        return add(steps, count, WAIT, 0, 0);
    }
    if (sscanf(word, "+%u", &a) == 1) {
        /* short steps where something happens; the last one takes what is left */
        for (b = 0; b < 3 && a > 1; b++, a--) {
            count = add(steps, count, CLOCK, 0, 1);
        }
        return add(steps, count, CLOCK, 0, a);
    }
    if (sscanf(word, "r%u", &a) == 1) {
        while (a-- > 0) {
            count = add(steps, count, IN, FIFO, 0);
        }
        return count;
    }
    assert_int_equal(sscanf(word, "%x", &a), 1);
    return add(steps, count, OUT, FIFO, a);
}

static uint32_t
parse(const char *text, struct step *steps)
{
    uint32_t count = 0;
    char word[16];
    int length = 0;

    while (sscanf(text, "%15s%n", word, &length) == 1) {
        count = parse_word(steps, count, word);
        text += length;
    }
    return count;
}

struct trace {
    uint32_t length;
    uint8_t bytes[TRACE_BYTES];
};

static void
note(struct trace *trace, uint8_t byte)
{
    assert_true(trace->length < TRACE_BYTES);
    trace->bytes[trace->length++] = byte;
}

static void
take(struct rig *rig, const struct step *step, struct trace *trace)
{
    uint8_t bytes[1024];

    assert_true(step->kind != INS || step->value <= sizeof(bytes));
    switch (step->kind) {
    case OUT:
        put(rig, (uint16_t)step->port, (uint8_t)step->value);
        break;
    case IN:
        note(trace, get(rig, (uint16_t)step->port));
        break;
    case INS:
        th_ins(rig->th, FIFO, 1, step->value, bytes);
        for (uint32_t i = 0; i < step->value; i++) {
            note(trace, bytes[i]);
        }
        break;
    case OUTS:
        memset(bytes, (int)(step->value & 0xff), sizeof(bytes));
        th_outs(rig->th, FIFO, 1, step->value, bytes);
        break;
    case CLOCK:
        th_clock_step(rig->th, step->value * UINT64_C(10000000));
        break;
    case DMA_TO:
        dma_to_memory(rig, step->value);
        break;
    case DMA_FROM:
        dma_from_memory(rig, step->value);
        break;
    case MASK:
        th_dma_mask(rig->th, 2, 1);
        break;
    case WAIT:
        for (uint32_t i = 0; i < 2000 && !(get(rig, MSR) & MSR_REQUEST); i++) {
            th_clock_step(rig->th, 1000000);
            th_run(rig->th);
        }
        break;
    }
}

/* Something that leaves traces in every register, and none in memory or on a floppy. */
static void
use_otherwise(struct rig *rig)
{
    static const uint8_t bytes[] = {0x03, 0x11, 0x22, 0x13, 0, 0x1f, 9,    0x12, 0xbc, 0x0f,
                                    0x00, 33,   0x0f, 1,    3, 0x94, 0x8e, 0x1f, 0x46};

    th_reset(rig->fdc, BP_RESET_POWER_ON);
    put(rig, DOR, 0x3d);
    put(rig, TDR, 0x02);
    put(rig, CCR, 0x03);
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        put(rig, FIFO, bytes[i]);
        if (bytes[i] == 0x94) {
            (void)get(rig, FIFO);
        }
    }
}

static void
save_and_restore(struct rig *rig)
{
    uint8_t *saved = NULL;
    uint64_t length = 0;

    assert_int_equal(th_quiesce(rig->fdc), 0);
    assert_int_equal(th_save(rig->fdc, &saved, &length), 0);
    use_otherwise(rig); /* at rest all the time: DMA and backends do not take part in this */
    assert_int_equal(th_restore(rig->fdc, saved, length), 0);
    th_resume(rig->fdc);
    free(saved);
}

/* Returns the number of steps. at: before which step; late: after its host has run. */
static uint32_t
run(const struct script *script, const char *options, uint32_t at, uint32_t late,
    struct trace *trace, struct rig *rig)
{
    struct step steps[MAX_STEPS];
    uint32_t count = parse(script->text, steps);

    *rig = rig_new_media(SIZE_1440K, SIZE_1440K, options);
    trace->length = 0;
    put(rig, DOR, 0x3c);
    fill_pattern(data(rig), 5000, MEMORY / FLOPPY_SECTOR_BYTES, 7);
    th_clock_step(rig->th, 1000000000);
    for (uint32_t i = 0; i < count; i++) {
        take(rig, &steps[i], trace);
        if (i == at && !late) {
            save_and_restore(rig);
        }
        th_run(rig->th);
        if (i == at && late) {
            save_and_restore(rig);
        }
        note(trace, get(rig, MSR));
        note(trace, (uint8_t)irq(rig));
    }
    return count;
}

static void
compare(const char *options)
{
    static struct trace whole, pieces;
    uint32_t saves = 0;

    for (uint32_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct rig reference, rig;
        uint32_t count = run(&scripts[i], options, UINT32_MAX, 0, &whole, &reference);
        for (uint32_t at = 0; at < 2 * count; at++, saves++) {
            run(&scripts[i], options, at / 2, at % 2, &pieces, &rig);
            if (pieces.length != whole.length ||
                memcmp(pieces.bytes, whole.bytes, whole.length) != 0) {
                fail_msg("%s, saved at step %u%s: the guest saw something else", scripts[i].name,
                         at / 2, at % 2 ? ", late" : "");
            }
            if (memcmp(data(&rig), data(&reference), MEMORY) != 0 ||
                memcmp(th_block_durable(rig.a), th_block_durable(reference.a), SIZE_1440K) != 0 ||
                memcmp(th_block_durable(rig.b), th_block_durable(reference.b), SIZE_1440K) != 0) {
                fail_msg("%s, saved at step %u: other data", scripts[i].name, at / 2);
            }
            rig_free(&rig);
        }
        if (get(&reference, MSR) != MSR_REQUEST) {
            fail_msg("%s does not come to its end", scripts[i].name);
        }
        rig_free(&reference);
    }
    print_message("# %u states\n", saves);
}

static void
test_commands_go_on_from_any_point(void **state)
{
    compare(NULL);
}

static void
test_commands_that_take_their_time_go_on_from_any_point(void **state)
{
    compare("timing = \"real\";");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_go_on_from_any_point),
        cmocka_unit_test(test_commands_that_take_their_time_go_on_from_any_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
