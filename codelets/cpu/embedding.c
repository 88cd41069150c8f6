/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/embedding.h"
#include "codelets/shape.h"

#include <errno.h>

static int check_tokens(const int32_t *tokens, size_t T, size_t V)
{
	for (size_t t = 0; t < T; t++)
		if (tokens[t] < 0 || (size_t)tokens[t] >= V)
			return fsmoe_fail(
				EDOM,
				"embedding: token %d of row %zu is outside 0..%zu; was the "
				"text tokenised for another vocabulary?",
				(int)tokens[t], t, V - 1);
	return 0;
}

static void embedding(const int32_t *tokens, /* (T) */
		      const real *table,     /* (V, M) */
		      const real *positions, /* (span, M), from the first on, or NULL */
		      real *y,               /* (T, M) */
		      size_t T, size_t M, size_t span)
{
	for (size_t t = 0; t < T; t++)
	{
		const real *row = table + (size_t)tokens[t] * M;
		if (!positions)
		{
			memcpy(y + t * M, row, M * sizeof(*y));
			continue;
		}
		const real *position = positions + t % span * M;
		for (size_t m = 0; m < M; m++)
			y[t * M + m] = row[m] + position[m];
	}
}

/* Adds the rows of dy to rows of `d`, in the order of t. */
static void add_row(const real *dy, real *d, size_t M)
{
	for (size_t m = 0; m < M; m++)
		d[m] += dy[m];
}

int KERNEL(embedding)(const struct fsmoe_call *call)
{
	const struct fsmoe_embedding_args *args = call->args;
	const real *positions = call->data[2];
	size_t T = fsmoe_count(call->tensor[0]), M = fsmoe_columns(call->tensor[1]);
	int err = check_tokens(call->data[0], T, fsmoe_rows(call->tensor[1]));

	if (err)
		return err;
	embedding(call->data[0], call->data[1], positions ? positions + args->first * M : NULL,
		  call->data[3], T, M, args->span);
	return 0;
}

int KERNEL(embedding_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_embedding_args *args = call->args;
	const int32_t *tokens = call->data[0]; /* (T) */
	const real *dy = call->data[1];        /* (T, M) */
	real *dtable = call->data[2];          /* (V, M) or NULL */
	real *dpositions = call->data[3];      /* (L, M) or NULL */
	size_t T = fsmoe_count(call->tensor[0]), M = fsmoe_columns(call->tensor[1]);
	int err = dtable ? check_tokens(tokens, T, fsmoe_rows(call->tensor[2])) : 0;

	if (err)
		return err;
	for (size_t t = 0; dtable && t < T; t++)
		add_row(dy + t * M, dtable + (size_t)tokens[t] * M, M);
	for (size_t t = 0; dpositions && t < T; t++)
		add_row(dy + t * M, dpositions + (args->first + t % args->span) * M, M);
	return 0;
}
