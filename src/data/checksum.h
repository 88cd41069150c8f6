/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DATA_CHECKSUM_H
#define FSMOE_DATA_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of a data file, which formats of tokens do not have themselves: FILE.crc32c beside
 * FILE, one line with the CRC32C of the whole file in eight hexadecimal digits, its bytes and its
 * name.
 */
#define FSMOE_CHECKSUM_SUFFIX ".crc32c"

struct fsmoe_checksum
{
	int present; /* 0: there is no such file */
	uint32_t crc;
	uint64_t bytes;
};

/* What FILE.crc32c says. Where there is none: 0, not present. -EPROTO: it is not such a line, or
 * of a file with another name; else -errno with a sentence. Local, as everything here. */
int fsmoe_checksum_read(const char *path, struct fsmoe_checksum *sum);

/* -EPROTO, with a sentence, unless a file of that many bytes with that checksum is the one. */
int fsmoe_checksum_compare(const char *path, const struct fsmoe_checksum *sum, uint32_t crc,
			   uint64_t bytes);

/* Reads a file through. */
int fsmoe_checksum_make(const char *path, struct fsmoe_checksum *sum);

/* FILE.crc32c, at once or not at all. */
int fsmoe_checksum_write(const char *path, const struct fsmoe_checksum *sum);

/* Whether a path is that of a checksum. */
int fsmoe_checksum_is(const char *path);

#endif
