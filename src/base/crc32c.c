/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

/*
 * Polynomials over the field of two elements, modulo the one of CRC32C, with their bits reflected:
 * the highest bit is the coefficient of x^0.
 */
#define POLYNOMIAL 0x82f63b78u

enum
{
	SLICES = 8 /* bytes taken at once: a table for each */
};

static uint32_t table[SLICES][256];
static uint32_t power[64]; /* x^(8 * 2^k) */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The product of two polynomials. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = 1u << 31; bit; bit >>= 1)
	{
		product ^= a & bit ? b : 0;
		b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
	}
	return product;
}

static void make_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++)
	{
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][byte] = crc;
	}
	for (int slice = 1; slice < SLICES; slice++)
		for (int byte = 0; byte < 256; byte++)
		{
			const uint32_t before = table[slice - 1][byte];

			table[slice][byte] = before >> 8 ^ table[0][before & 255];
		}
	power[0] = 1u << (31 - 8);
	for (int k = 1; k < 64; k++)
		power[k] = multiply(power[k - 1], power[k - 1]);
}

/* Eight bytes at once: the first four with the CRC so far, in the order of their weight. */
static uint32_t step(uint32_t crc, const unsigned char *byte)
{
	crc ^= (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
	       (uint32_t)byte[3] << 24;
	return table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^
	       table[4][crc >> 24] ^ table[3][byte[4]] ^ table[2][byte[5]] ^ table[1][byte[6]] ^
	       table[0][byte[7]];
}

uint32_t fsmoe_crc32c_raw(uint32_t raw, const void *data, size_t bytes)
{
	const unsigned char *byte = data;

	pthread_once(&once, make_tables);
	for (; bytes >= SLICES; bytes -= SLICES, byte += SLICES)
		raw = step(raw, byte);
	for (; bytes; bytes--, byte++)
		raw = raw >> 8 ^ table[0][(raw ^ *byte) & 255];
	return raw;
}

uint32_t fsmoe_crc32c_zeros(uint32_t raw, uint64_t bytes)
{
	pthread_once(&once, make_tables);
	for (int k = 0; raw && bytes; k++, bytes >>= 1)
		if (bytes & 1)
			raw = multiply(power[k], raw);
	return raw;
}

/* A CRC starts from all ones and ends inverted. */
uint32_t fsmoe_crc32c_final(uint32_t raw, uint64_t bytes)
{
	return ~(raw ^ fsmoe_crc32c_zeros(UINT32_MAX, bytes));
}

uint32_t fsmoe_crc32c(const void *data, size_t bytes)
{
	return ~fsmoe_crc32c_raw(UINT32_MAX, data, bytes);
}
