/* SPDX-License-Identifier: Apache-2.0 */
/* Raw CD sectors: what stands around the 2048 bytes that an image holds. ECMA-130: clause 14
 * sector, 14.3 EDC, annex A error correction by RSPC, clause 22 control bytes. */
#include "ecc.h"

#include <string.h>

#define FRAMES_PER_SECOND 75u
#define PREGAP            150u
#define MSF_MAX           ((255u * 60 + 59) * FRAMES_PER_SECOND + 74)

/* Annex A numbers the 16-bit words from the header on; each of their two bytes is coded by itself.
 */
#define WORDS     1118u /* header, data, EDC, zeroes and P */
#define P_VECTORS 43u
#define P_LENGTH  24u
#define P_AT      1032u /* word */
#define Q_VECTORS 26u
#define Q_LENGTH  43u
#define Q_AT      1118u

void
cd_msf(uint64_t lba, uint8_t *msf)
{
    const uint64_t most = MSF_MAX;
    uint64_t frames = lba > most - PREGAP ? most : lba + PREGAP;

    msf[0] = (uint8_t)(frames / FRAMES_PER_SECOND / 60);
    msf[1] = (uint8_t)(frames / FRAMES_PER_SECOND % 60);
    msf[2] = (uint8_t)(frames % FRAMES_PER_SECOND);
}

uint8_t
cd_bcd(uint8_t value)
{
    /* minutes from 100 on count A0h, B0h ... as drives show them */
    return (uint8_t)(value / 10 << 4 | value % 10);
}

/* --- EDC: x^32 + x^31 + x^16 + x^15 + x^4 + x^3 + x + 1, least significant bit first -----------
 */

/* What four bits leave behind: a raw read makes this sum of every block. */
static const uint32_t edc_of_nibble[16] = {
    0x00000000, 0x99011001, 0x82012001, 0x1b003000, 0xb4014001, 0x2d005000, 0x36006000, 0xaf017001,
    0xd8018001, 0x41009000, 0x5a00a000, 0xc301b001, 0x6c00c000, 0xf501d001, 0xee01e001, 0x7700f000,
};

static uint32_t
edc(const uint8_t *data, uint32_t length)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < length; i++) {
        value ^= data[i];
        value = value >> 4 ^ edc_of_nibble[value & 15];
        value = value >> 4 ^ edc_of_nibble[value & 15];
    }
    return value;
}

/* --- RSPC over GF(2^8), x^8 + x^4 + x^3 + x^2 + 1 ----------------------------------------------
 */

static uint8_t
gf_double(uint8_t a)
{
    return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
}

static uint8_t
gf_multiply(uint8_t a, uint8_t b)
{
    uint8_t product = 0;

    for (; b != 0; b >>= 1, a = gf_double(a)) {
        product ^= b & 1 ? a : 0;
    }
    return product;
}

/* The two parity bytes p, q that follow the vector: its sum and its weighted sum (weights alpha^n-1
 * ... alpha, 1) become zero. With s the sum and h the weighted sum of the data:
 * p (1 + alpha) = s + h, q = s + p; F4h is 1 / (1 + alpha). */
static void
parity(uint8_t sum, uint8_t weighted, uint8_t *p, uint8_t *q)
{
    uint8_t h = gf_double(gf_double(weighted));

    *p = gf_multiply((uint8_t)(sum ^ h), 0xf4);
    *q = (uint8_t)(sum ^ *p);
}

static void
make_vectors(uint8_t *words, uint32_t vectors, uint32_t length, uint32_t parity_at,
             uint32_t vector_step, uint32_t step)
{
    for (uint32_t vector = 0; vector < 2 * vectors; vector++) {
        uint32_t plane = vector & 1;
        uint32_t word = vector / 2 * vector_step % WORDS;
        uint8_t sum = 0, weighted = 0;

        for (uint32_t i = 0; i < length; i++) {
            uint8_t byte = words[2 * word + plane];

            sum ^= byte;
            weighted = (uint8_t)(gf_double(weighted) ^ byte);
            word += step;
            word -= word >= WORDS ? WORDS : 0;
        }
        parity(sum, weighted, &words[2 * (parity_at + vector / 2) + plane],
               &words[2 * (parity_at + vectors + vector / 2) + plane]);
    }
}

void
cd_make_sector(uint64_t lba, const uint8_t *data, uint8_t *sector)
{
    uint8_t msf[3];
    uint32_t check;

    memset(sector, 0, CD_SECTOR);
    memset(sector + 1, 0xff, 10);
    cd_msf(lba, msf);
    for (uint32_t i = 0; i < 3; i++) {
        sector[CD_SYNC_END + i] = cd_bcd(msf[i]);
    }
    sector[15] = 0x01; /* mode 1 */
    memcpy(sector + CD_DATA_AT, data, CD_DATA);
    check = edc(sector, CD_EDC_AT);
    for (uint32_t i = 0; i < 4; i++) {
        sector[CD_EDC_AT + i] = (uint8_t)(check >> 8 * i);
    }
    make_vectors(sector + CD_SYNC_END, P_VECTORS, P_LENGTH, P_AT, 1, P_VECTORS);
    make_vectors(sector + CD_SYNC_END, Q_VECTORS, Q_LENGTH, Q_AT, P_VECTORS, P_VECTORS + 1);
}

/* --- control bytes -----------------------------------------------------------------------------
 */

/* CRC of Q: x^16 + x^12 + x^5 + 1, inverted. */
static uint16_t
q_crc(const uint8_t *q)
{
    uint32_t crc = 0;

    for (uint32_t i = 0; i < 10; i++) {
        crc ^= (uint32_t)q[i] << 8;
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021u : 0)) & 0xffff;
        }
    }
    return (uint16_t)~crc;
}

void
cd_make_q(uint64_t lba, uint8_t *q)
{
    uint8_t msf[3];
    uint16_t crc;

    memset(q, 0, 12);
    q[0] = 0x41; /* CONTROL: data track; ADR 1: position */
    q[1] = 0x01; /* track */
    q[2] = 0x01; /* index */
    cd_msf(lba < PREGAP ? 0 : lba - PREGAP, msf);
    if (lba < PREGAP) {
        msf[0] = 0;
        msf[1] = (uint8_t)(lba / FRAMES_PER_SECOND);
        msf[2] = (uint8_t)(lba % FRAMES_PER_SECOND);
    }
    for (uint32_t i = 0; i < 3; i++) {
        q[3 + i] = cd_bcd(msf[i]);
    }
    cd_msf(lba, msf);
    for (uint32_t i = 0; i < 3; i++) {
        q[7 + i] = cd_bcd(msf[i]);
    }
    crc = q_crc(q);
    q[10] = (uint8_t)(crc >> 8);
    q[11] = (uint8_t)crc;
}

void
cd_make_subcode(uint64_t lba, uint8_t *subcode)
{
    uint8_t q[12];

    cd_make_q(lba, q);
    for (uint32_t i = 0; i < CD_SUBCODE; i++) {
        subcode[i] = q[i / 8] >> (7 - i % 8) & 1 ? 0x40 : 0;
    }
}
