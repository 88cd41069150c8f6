/* SPDX-License-Identifier: Apache-2.0 */
#include "data/file.h"

#include "base/crc32c.h"
#include "data/checksum.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
	LLMC_HEADER = 1024,           /* bytes: 256 int32, of which three mean something */
	CHECKED_AT_OPENING = 1 << 26, /* bytes, where there is no checksum */
	AT_ONCE = 1 << 16,            /* bytes that stay in a cache between two looks at them */
	MOST_BYTE = 255,
	MOST_UINT16 = 65535,
};

/* The headers of llm.c, one row each. */
static const struct llmc
{
	uint32_t magic, version;
	int width;
} llmc[] = {
	{20240520, 1, 2}, /* GPT-2's tokens */
	{20240801, 7, 4}, /* Llama 3's */
};
#define NLLMC (sizeof(llmc) / sizeof(llmc[0]))

static int unreadable(const char *path, int err)
{
	return fsmoe_fail(err, "cannot read the data %s: %s", path, strerror(err));
}

static int map(struct fsmoe_data_file *file, const char *path)
{
	/* Without O_NONBLOCK, opening a pipe that nobody writes would wait for ever. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	void *bytes = NULL;
	int err = 0;

	if (fd < 0)
		return unreadable(path, errno);
	if (fstat(fd, &status))
		err = errno;
	else if (!S_ISREG(status.st_mode))
		err = -1;
	else if (status.st_size > 0)
	{
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			err = errno;
	}
	close(fd);
	if (err < 0)
		return fsmoe_fail(EINVAL, "the data %s is not a regular file", path);
	if (err)
		return unreadable(path, err);
	file->map = bytes;
	file->map_bytes = (size_t)status.st_size;
	return 0;
}

static uint32_t header_word(const struct fsmoe_data_file *file, size_t i)
{
	uint32_t word = 0;

	if ((i + 1) * sizeof(word) <= file->map_bytes)
		memcpy(&word, (const char *)file->map + i * sizeof(word), sizeof(word));
	return le32toh(word);
}

static const struct llmc *find_llmc(const struct fsmoe_data_file *file)
{
	for (size_t i = 0; i < NLLMC; i++)
		if (header_word(file, 0) == llmc[i].magic)
			return &llmc[i];
	return NULL;
}

static int read_llmc(struct fsmoe_data_file *file)
{
	const struct llmc *kind = find_llmc(file);
	uint64_t n = header_word(file, 2);

	if (!kind || file->map_bytes < LLMC_HEADER)
		return fsmoe_fail(EPROTO,
				  "the data %s has no header of llm.c: it begins with %u, not %u "
				  "or %u, or ends before byte 1024",
				  file->path, header_word(file, 0), llmc[0].magic, llmc[1].magic);
	if (header_word(file, 1) != kind->version)
		return fsmoe_fail(EPROTO,
				  "the data %s has version %u of llm.c's header: version %u is "
				  "understood",
				  file->path, header_word(file, 1), kind->version);
	if (LLMC_HEADER + n * (uint64_t)kind->width != file->map_bytes)
		return fsmoe_fail(EPROTO,
				  "the data %s has %zu bytes, its header says %llu tokens of %d "
				  "bytes: it was cut short or is damaged",
				  file->path, file->map_bytes, (unsigned long long)n, kind->width);
	file->tokens = (const unsigned char *)file->map + LLMC_HEADER;
	file->width = kind->width;
	file->n = (size_t)n;
	return 0;
}

static int read_plain(struct fsmoe_data_file *file, int width)
{
	if (file->map_bytes % (size_t)width)
		return fsmoe_fail(EPROTO,
				  "the data %s has %zu bytes, which is no whole number of uint16 "
				  "tokens: it was cut short, or is text (--data-format=bytes)",
				  file->path, file->map_bytes);
	file->tokens = file->map;
	file->width = width;
	file->n = file->map_bytes / (size_t)width;
	return 0;
}

static int has_suffix(const char *path, const char *suffix)
{
	const size_t n = strlen(path), m = strlen(suffix);

	return n >= m && !strcmp(path + n - m, suffix);
}

static int interpret(struct fsmoe_data_file *file, enum fsmoe_data_format format)
{
	if (!file->map_bytes)
		return 0;
	if (format == FSMOE_DATA_AUTO)
		format = find_llmc(file)                  ? FSMOE_DATA_LLMC
			 : has_suffix(file->path, ".bin") ? FSMOE_DATA_UINT16
							  : FSMOE_DATA_BYTES;
	if (format == FSMOE_DATA_LLMC)
		return read_llmc(file);
	return read_plain(file, format == FSMOE_DATA_UINT16 ? 2 : 1);
}

static uint32_t token_at(const struct fsmoe_data_file *file, size_t at)
{
	const unsigned char *token = file->tokens + at * (size_t)file->width;

	switch (file->width)
	{
	case 1:
		return token[0];
	case 2:
		return (uint32_t)(token[0] | token[1] << 8);
	default:
		return token[0] | (uint32_t)token[1] << 8 | (uint32_t)token[2] << 16 |
		       (uint32_t)token[3] << 24;
	}
}

static int outside(const struct fsmoe_data_file *file, size_t at, int vocab)
{
	const size_t byte = (size_t)(file->tokens - (const unsigned char *)file->map) +
			    at * (size_t)file->width;

	return fsmoe_fail(EDOM, "token %u, byte %zu of %s, is not in the vocabulary of %d: %s",
			  token_at(file, at), byte, file->path, vocab,
			  file->width == 1 ? "bytes need --vocab-size=256"
					   : "give the tokenizer's size with --vocab-size");
}

/* The first of the tokens [at, end) that is outside of the vocabulary, or `end`. */
static size_t first_outside(const struct fsmoe_data_file *file, size_t at, size_t end, int vocab)
{
	while (at < end && token_at(file, at) < (uint32_t)vocab)
		at++;
	return at;
}

/* Both looks at a byte in one pass: the checksum's, and the vocabulary's. A damaged file is told
 * as such, even where the damage leaves the vocabulary. */
static int check_all(struct fsmoe_data_file *file, const struct fsmoe_checksum *sum, int vocab)
{
	const size_t header = (size_t)(file->tokens - (const unsigned char *)file->map),
		     once = AT_ONCE / (size_t)file->width;
	uint32_t raw = sum->present ? fsmoe_crc32c_raw(0, file->map, header) : 0;
	size_t bad = file->n;
	int err = 0;

	for (size_t at = 0; at < file->n && (sum->present || bad == file->n); at += once)
	{
		const size_t n = once < file->n - at ? once : file->n - at;

		if (sum->present)
			raw = fsmoe_crc32c_raw(raw, file->tokens + at * (size_t)file->width,
					       n * (size_t)file->width);
		if (!file->checked && bad == file->n)
		{
			const size_t found = first_outside(file, at, at + n, vocab);

			bad = found < at + n ? found : bad;
		}
	}
	if (sum->present)
		err = fsmoe_checksum_compare(
			file->path, sum, fsmoe_crc32c_final(raw, file->map_bytes), file->map_bytes);
	if (!err && bad < file->n)
		err = outside(file, bad, vocab);
	file->checked = !err;
	return err;
}

static int check(struct fsmoe_data_file *file, const struct fsmoe_checksum *sum, int vocab)
{
	if ((file->width == 1 && vocab > MOST_BYTE) || (file->width == 2 && vocab > MOST_UINT16))
		file->checked = 1;
	if (!file->n || (!sum->present && (file->checked || file->map_bytes > CHECKED_AT_OPENING)))
		return 0;
	return check_all(file, sum, vocab);
}

int fsmoe_data_file_open(struct fsmoe_data_file *file, const char *path,
			 enum fsmoe_data_format format, int vocab)
{
	struct fsmoe_checksum sum;
	int err;

	memset(file, 0, sizeof(*file));
	file->path = strdup(path);
	if (!file->path)
		return fsmoe_fail(ENOMEM, "out of memory while opening the data %s", path);
	err = map(file, path);
	if (!err)
		err = fsmoe_checksum_read(path, &sum);
	/* Before the header is asked how long the file should be. */
	if (!err && sum.present && sum.bytes != file->map_bytes)
		err = fsmoe_checksum_compare(path, &sum, 0, file->map_bytes);
	if (!err)
		err = interpret(file, format);
	if (!err)
		err = check(file, &sum, vocab);
	if (err)
		fsmoe_data_file_close(file);
	return err;
}

void fsmoe_data_file_close(struct fsmoe_data_file *file)
{
	if (file->map)
		munmap(file->map, file->map_bytes);
	free(file->path);
	memset(file, 0, sizeof(*file));
}

int fsmoe_data_file_read(const struct fsmoe_data_file *file, size_t at, size_t n, int vocab,
			 int32_t *tokens)
{
	for (size_t i = 0; i < n; i++)
	{
		const uint32_t token = token_at(file, at + i);

		if (!file->checked && token >= (uint32_t)vocab)
			return outside(file, at + i, vocab);
		tokens[i] = (int32_t)token;
	}
	return 0;
}
