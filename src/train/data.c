/* SPDX-License-Identifier: Apache-2.0 */
#include "train/data.h"

#include "base/rng.h"
#include "train/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct piece /* one file of the text */
{
	const unsigned char *bytes;
	size_t start, size; /* start: its place in the text */
};

struct fsmoe_data
{
	struct piece *piece;
	int npieces;
	size_t begin[FSMOE_NSPLITS], end[FSMOE_NSPLITS];
};

static int unreadable(const char *path, int err)
{
	return fsmoe_fail(err, "cannot read the data %s: %s", path, strerror(err));
}

/* Maps a file. An empty one is a piece of no bytes. */
static int map(struct piece *piece, const char *path)
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
	piece->bytes = bytes;
	piece->size = (size_t)status.st_size;
	return 0;
}

static int check_vocab(const struct piece *piece, const char *path, int vocab)
{
	for (size_t i = 0; vocab < 256 && i < piece->size; i++)
		if (piece->bytes[i] >= vocab)
			return fsmoe_fail(EDOM,
					  "token %d, byte %zu of %s, is not in the vocabulary of "
					  "%d: bytes need --vocab=256",
					  piece->bytes[i], i, path, vocab);
	return 0;
}

static int open_pieces(struct fsmoe_data *data, const struct fsmoe_sources *sources, int vocab)
{
	size_t total = 0;

	data->piece = calloc((size_t)sources->n, sizeof(*data->piece));
	if (!data->piece)
		return fsmoe_fail(ENOMEM, "out of memory for the names of %d data files",
				  sources->n);
	for (int i = 0; i < sources->n; i++)
	{
		struct piece *piece = &data->piece[data->npieces];
		int err = map(piece, sources->path[i]);

		if (err)
			return err;
		if (!piece->size)
			continue;
		data->npieces++;
		err = check_vocab(piece, sources->path[i], vocab);
		if (err)
			return err;
		piece->start = total;
		total += piece->size;
	}
	data->end[FSMOE_SPLIT_TRAIN] = total - total / 10;
	data->begin[FSMOE_SPLIT_HELD_OUT] = total - total / 10;
	data->end[FSMOE_SPLIT_HELD_OUT] = total;
	return 0;
}

int fsmoe_data_open(struct fsmoe_data **data, const char *source, int vocab)
{
	struct fsmoe_sources sources;
	struct fsmoe_data *fresh;
	int err = fsmoe_sources_find(&sources, source);

	if (err)
		return err;
	fresh = calloc(1, sizeof(*fresh));
	if (fresh)
		err = open_pieces(fresh, &sources, vocab);
	else
		err = fsmoe_fail(ENOMEM, "out of memory while opening the data %s", source);
	if (!err && !fresh->npieces)
		err = fsmoe_fail(ENODATA, "the data %s is empty", source);
	fsmoe_sources_free(&sources);
	if (err)
	{
		fsmoe_data_close(fresh);
		return err;
	}
	*data = fresh;
	return 0;
}

void fsmoe_data_close(struct fsmoe_data *data)
{
	if (!data)
		return;
	for (int i = 0; i < data->npieces; i++)
		munmap((void *)data->piece[i].bytes, data->piece[i].size);
	free(data->piece);
	free(data);
}

int fsmoe_data_files(const struct fsmoe_data *data)
{
	return data->npieces;
}

size_t fsmoe_data_bytes(const struct fsmoe_data *data, enum fsmoe_split split)
{
	return data->end[split] - data->begin[split];
}

size_t fsmoe_data_samples(const struct fsmoe_data *data, enum fsmoe_split split, int seq)
{
	return fsmoe_data_bytes(data, split) / ((size_t)seq + 1);
}

/* The last piece that starts at `at` or before it. */
static const struct piece *find_piece(const struct fsmoe_data *data, size_t at)
{
	int low = 0, high = data->npieces - 1;

	while (low < high)
	{
		const int middle = (low + high + 1) / 2;

		if (data->piece[middle].start <= at)
			low = middle;
		else
			high = middle - 1;
	}
	return &data->piece[low];
}

/* Bytes at .. at + seq as tokens and targets; they may lie in several files. */
static void copy_window(const struct fsmoe_data *data, size_t at, int seq, int32_t *tokens,
			int32_t *targets)
{
	const struct piece *piece = find_piece(data, at);

	at -= piece->start;
	for (int i = 0; i <= seq; i++, at++)
	{
		while (at >= piece->size)
		{
			at -= piece->size;
			piece++;
		}
		if (i < seq)
			tokens[i] = piece->bytes[at];
		if (i > 0)
			targets[i - 1] = piece->bytes[at];
	}
}

static int too_short(const struct fsmoe_data *data, enum fsmoe_split split, int seq)
{
	return fsmoe_fail(ENODATA,
			  "the data is too short: %s has %zu bytes, a sample of --seq=%d takes %zu",
			  split == FSMOE_SPLIT_TRAIN ? "the training part (nine tenths)"
						     : "the held-out tenth",
			  fsmoe_data_bytes(data, split), seq, (size_t)seq + 1);
}

int fsmoe_data_batch(const struct fsmoe_data *data, uint64_t seed, uint64_t first, int batch,
		     int seq, int32_t *tokens, int32_t *targets)
{
	const size_t n = fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, seq);
	const uint64_t key = fsmoe_rng_key(seed, "data");

	if (!n)
		return too_short(data, FSMOE_SPLIT_TRAIN, seq);
	for (int i = 0; i < batch; i++)
	{
		const uint64_t sample = first + (uint64_t)i;
		const uint64_t epoch = fsmoe_rng_subkey(key, sample / n);
		const uint64_t window = fsmoe_rng_permute(epoch, n, sample % n);

		copy_window(data, data->begin[FSMOE_SPLIT_TRAIN] + window * ((size_t)seq + 1), seq,
			    tokens + (size_t)i * (size_t)seq, targets + (size_t)i * (size_t)seq);
	}
	return 0;
}

int fsmoe_data_windows(const struct fsmoe_data *data, enum fsmoe_split split, size_t first,
		       int count, int seq, int32_t *tokens, int32_t *targets)
{
	const size_t n = fsmoe_data_samples(data, split, seq);

	if (!n)
		return too_short(data, split, seq);
	if (first > n || (size_t)count > n - first)
		return fsmoe_fail(ENODATA, "windows %zu to %zu were asked for, there are %zu",
				  first, first + (size_t)count - 1, n);
	for (size_t i = 0; i < (size_t)count; i++)
		copy_window(data, data->begin[split] + (first + i) * ((size_t)seq + 1), seq,
			    tokens + i * (size_t)seq, targets + i * (size_t)seq);
	return 0;
}
