/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DATA_FILE_H
#define FSMOE_DATA_FILE_H

#include <stddef.h>
#include <stdint.h>

/* How the tokens of a file are written. */
enum fsmoe_data_format
{
	FSMOE_DATA_AUTO,   /* by its first bytes, then by its name: *.bin is uint16 */
	FSMOE_DATA_BYTES,  /* a token a byte */
	FSMOE_DATA_UINT16, /* nanoGPT's .bin: little-endian, nothing else in the file */
	FSMOE_DATA_LLMC,   /* llm.c's .bin: a header of 1024 bytes says how many of which width */
};

/* One file of tokens, mapped. */
struct fsmoe_data_file
{
	char *path;
	void *map;
	size_t map_bytes;
	const unsigned char *tokens; /* the first one */
	int width;                   /* bytes of a token: 1, 2 or 4 */
	size_t n;                    /* tokens */
	int checked;                 /* every token is known to be in the vocabulary */
};

/* An empty file has no tokens and width 0. A file with a checksum beside it (data/checksum.h) is
 * compared with it and checked for wrong tokens here, in one pass. Without one, small files and
 * such that cannot hold a wrong token are checked here, others where they are read: nothing is read
 * twice. -EDOM names the token's place; -EPROTO a header or checksum that is wrong. On failure
 * there is nothing to close. */
int fsmoe_data_file_open(struct fsmoe_data_file *file, const char *path,
			 enum fsmoe_data_format format, int vocab);
void fsmoe_data_file_close(struct fsmoe_data_file *file);

/* Tokens at .. at + n - 1 of the file; -EDOM when one is not below vocab. */
int fsmoe_data_file_read(const struct fsmoe_data_file *file, size_t at, size_t n, int vocab,
			 int32_t *tokens);

#endif
