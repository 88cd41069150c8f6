/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DATA_DATA_H
#define FSMOE_DATA_DATA_H

#include "data/file.h"

/*
 * Tokens to train on: bytes of text, or files of token numbers. Several files count as one, one
 * after another in the order of their names. The last part is held out; nothing trained on
 * overlaps it.
 *
 * A sample is a window of seq + 1 tokens: seq tokens, and the same one further as targets.
 * Windows do not overlap. Sample i of an endless run is window i % n of epoch i / n in an order
 * that is a pure function of (seed, epoch, window), the same on every rank.
 */
struct fsmoe_data;

enum fsmoe_split
{
	FSMOE_SPLIT_TRAIN,
	FSMOE_SPLIT_HELD_OUT,
	FSMOE_NSPLITS
};

struct fsmoe_data_opts
{
	int vocab_size;
	enum fsmoe_data_format format;
	double held_out; /* the last part of the tokens, 0 to 1 */
};

/* `source` is a file, a directory (its regular files whose names have no '.'), or a pattern of
 * glob(7). Files are mapped, not read. Local. -ENOENT, -EACCES, ...; -ENODATA when there is not
 * one token; -EPROTO, -EDOM as data/file.h says. */
int fsmoe_data_open(struct fsmoe_data **data, const char *source,
		    const struct fsmoe_data_opts *opts);
void fsmoe_data_close(struct fsmoe_data *data); /* NULL is legal */

int fsmoe_data_files(const struct fsmoe_data *data);
/* "bytes" or "tokens". */
const char *fsmoe_data_unit(const struct fsmoe_data *data);
size_t fsmoe_data_tokens(const struct fsmoe_data *data, enum fsmoe_split split);
/* Windows of a split: 0 when it is too short for one. */
size_t fsmoe_data_samples(const struct fsmoe_data *data, enum fsmoe_split split, int seq);

/* Samples first .. first + batch - 1 of the run into tokens and targets, (batch, seq) each.
 * -ENODATA when the split is too short for one sample; -EDOM for a token outside the vocabulary. */
int fsmoe_data_batch(const struct fsmoe_data *data, uint64_t seed, uint64_t first, int batch,
		     int seq, int32_t *tokens, int32_t *targets);
/* Windows first .. of a split as they lie in the text. -ENODATA beyond its end. */
int fsmoe_data_windows(const struct fsmoe_data *data, enum fsmoe_split split, size_t first,
		       int count, int seq, int32_t *tokens, int32_t *targets);

#endif
