/* SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"

#include "base/rng.h"
#include "data/sources.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

struct piece /* one file of the text */
{
	struct fsmoe_data_file file;
	size_t start; /* its place in the text */
};

struct fsmoe_data
{
	struct fsmoe_data_opts opts;
	struct piece *piece;
	int npieces;
	size_t begin[FSMOE_NSPLITS], end[FSMOE_NSPLITS];
};

static int open_pieces(struct fsmoe_data *data, const struct fsmoe_sources *sources)
{
	size_t total = 0, held_out;

	data->piece = calloc((size_t)sources->n, sizeof(*data->piece));
	if (!data->piece)
		return fsmoe_fail(ENOMEM, "out of memory for the names of %d data files",
				  sources->n);
	for (int i = 0; i < sources->n; i++)
	{
		struct piece *piece = &data->piece[data->npieces];
		int err = fsmoe_data_file_open(&piece->file, sources->path[i], data->opts.format,
					       data->opts.vocab_size);

		if (err)
			return err;
		if (!piece->file.n)
		{
			fsmoe_data_file_close(&piece->file);
			continue;
		}
		data->npieces++;
		if (piece->file.width != data->piece[0].file.width)
			return fsmoe_fail(EINVAL,
					  "the data %s has tokens of %d bytes, %s of %d: train on "
					  "one kind at a time",
					  sources->path[i], piece->file.width,
					  data->piece[0].file.path, data->piece[0].file.width);
		piece->start = total;
		total += piece->file.n;
	}
	held_out = (size_t)(data->opts.held_out * (double)total);
	data->end[FSMOE_SPLIT_TRAIN] = total - held_out;
	data->begin[FSMOE_SPLIT_HELD_OUT] = total - held_out;
	data->end[FSMOE_SPLIT_HELD_OUT] = total;
	return 0;
}

int fsmoe_data_open(struct fsmoe_data **data, const char *source,
		    const struct fsmoe_data_opts *opts)
{
	struct fsmoe_sources sources;
	struct fsmoe_data *fresh;
	int err = fsmoe_sources_find(&sources, source);

	if (err)
		return err;
	fresh = calloc(1, sizeof(*fresh));
	if (fresh)
	{
		fresh->opts = *opts;
		err = open_pieces(fresh, &sources);
	}
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
		fsmoe_data_file_close(&data->piece[i].file);
	free(data->piece);
	free(data);
}

int fsmoe_data_files(const struct fsmoe_data *data)
{
	return data->npieces;
}

const char *fsmoe_data_unit(const struct fsmoe_data *data)
{
	return data->piece[0].file.width == 1 ? "bytes" : "tokens";
}

size_t fsmoe_data_tokens(const struct fsmoe_data *data, enum fsmoe_split split)
{
	return data->end[split] - data->begin[split];
}

size_t fsmoe_data_samples(const struct fsmoe_data *data, enum fsmoe_split split, int seq)
{
	return fsmoe_data_tokens(data, split) / ((size_t)seq + 1);
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

/* Tokens at .. at + n - 1; they may lie in several files. */
static int copy(const struct fsmoe_data *data, size_t at, size_t n, int32_t *out)
{
	int err = 0;

	for (const struct piece *piece = find_piece(data, at); n > 0 && !err; piece++)
	{
		const size_t here = at - piece->start, left = piece->file.n - here;
		const size_t now = n < left ? n : left;

		err = fsmoe_data_file_read(&piece->file, here, now, data->opts.vocab_size, out);
		at += now;
		out += now;
		n -= now;
	}
	return err;
}

/* The window that begins at `at`. */
static int copy_window(const struct fsmoe_data *data, size_t at, int seq, int32_t *tokens,
		       int32_t *targets)
{
	int err = copy(data, at, (size_t)seq, tokens);

	if (err)
		return err;
	memcpy(targets, tokens + 1, (size_t)(seq - 1) * sizeof(*targets));
	return copy(data, at + (size_t)seq, 1, targets + seq - 1);
}

static int too_short(const struct fsmoe_data *data, enum fsmoe_split split, int seq)
{
	return fsmoe_fail(
		ENODATA,
		"the data is too short: the %s part has %zu %s, a sample of --seq-length=%d "
		"takes %zu",
		split == FSMOE_SPLIT_TRAIN ? "training" : "held-out",
		fsmoe_data_tokens(data, split), fsmoe_data_unit(data), seq, (size_t)seq + 1);
}

int fsmoe_data_batch(const struct fsmoe_data *data, uint64_t seed, uint64_t first, int batch,
		     int seq, int32_t *tokens, int32_t *targets)
{
	const size_t n = fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, seq), span = (size_t)seq;
	const uint64_t key = fsmoe_rng_key(seed, "data");
	int err = 0;

	if (!n)
		return too_short(data, FSMOE_SPLIT_TRAIN, seq);
	for (size_t i = 0; i < (size_t)batch && !err; i++)
	{
		const uint64_t sample = first + i;
		const uint64_t epoch = fsmoe_rng_subkey(key, sample / n);
		const uint64_t window = fsmoe_rng_permute(epoch, n, sample % n);

		err = copy_window(data, data->begin[FSMOE_SPLIT_TRAIN] + window * (span + 1), seq,
				  tokens + i * span, targets + i * span);
	}
	return err;
}

int fsmoe_data_windows(const struct fsmoe_data *data, enum fsmoe_split split, size_t first,
		       int count, int seq, int32_t *tokens, int32_t *targets)
{
	const size_t n = fsmoe_data_samples(data, split, seq), span = (size_t)seq;
	int err = 0;

	if (!n)
		return too_short(data, split, seq);
	if (first > n || (size_t)count > n - first)
		return fsmoe_fail(ENODATA, "windows %zu to %zu were asked for, there are %zu",
				  first, first + (size_t)count - 1, n);
	for (size_t i = 0; i < (size_t)count && !err; i++)
		err = copy_window(data, data->begin[split] + (first + i) * (span + 1), seq,
				  tokens + i * span, targets + i * span);
	return err;
}
