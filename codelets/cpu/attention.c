/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/cpu/exp.h"
#include "codelets/cpu/real.h"
#include "codelets/shape.h"

/* --- one sequence ------------------------------------------------------------------------- */

/* Rows `first` .. `last` - 1 of a square of scores become probabilities over the columns that they
 * see; the rest of a row is zero. */
static void softmax_rows(const struct fsmoe_attention_args *a, real *p /* (S, S) */, size_t first,
			 size_t last)
{
	for (size_t i = first; i < last; i++)
	{
		size_t n = fsmoe_attention_seen(a, i);
		real *row = p + i * a->seq, max = row_max(row, n), sum = 0;
		for (size_t j = 0; j < n; j++)
			row[j] = fast_exp(row[j] - max);
		for (size_t j = 0; j < n; j++)
			sum += row[j];
		for (size_t j = 0; j < n; j++)
			row[j] /= sum;
		memset(row + n, 0, (a->seq - n) * sizeof(*row));
	}
}

static void forward_sequence(const struct fsmoe_attention_args *a, const real *qkv, /* (S, 3 HD) */
			     real *y,                                               /* (S, HD) */
			     real *probs /* (heads, S, S) */)
{
	size_t S = a->seq, D = a->head_dim, HD = a->heads * D, B = fsmoe_attention_block(a);
	real scale = 1 / sqrt((real)D);

	for (size_t h = 0; h < a->heads; h++)
	{
		const real *q = qkv + h * D, *k = q + HD, *v = k + HD;
		real *p = probs + h * S * S;
		for (size_t i = 0; i < S; i += B)
		{
			size_t n = i + B < S ? B : S - i, end = fsmoe_attention_seen(a, i + n - 1);
			gemm(0, 1, n, end, D, scale, q + i * 3 * HD, 3 * HD, k, 3 * HD, 0,
			     p + i * S, S);
			softmax_rows(a, p, i, i + n);
			gemm(0, 0, n, D, end, 1, p + i * S, S, v, 3 * HD, 0, y + i * HD + h * D,
			     HD);
		}
	}
}

/* dP (n rows of `end` columns, leading dimension S) becomes dS, given the same rows of P. */
static void softmax_backward(const real *p, real *dp, size_t n, size_t end, size_t S, real scale)
{
	for (size_t i = 0; i < n; i++, p += S, dp += S)
	{
		real dot = 0;
		for (size_t j = 0; j < end; j++)
			dot += p[j] * dp[j];
		for (size_t j = 0; j < end; j++)
			dp[j] = p[j] * (dp[j] - dot) * scale;
	}
}

static void backward_sequence(const struct fsmoe_attention_args *a, const real *qkv, /* (S, 3 HD) */
			      const real *probs, /* (heads, S, S) */
			      const real *dy,    /* (S, HD) */
			      real *dqkv,        /* (S, 3 HD) */
			      real *ds /* (B, S) */)
{
	size_t S = a->seq, D = a->head_dim, HD = a->heads * D, B = fsmoe_attention_block(a);
	size_t row = 3 * HD;
	real scale = 1 / sqrt((real)D);

	memset(dqkv, 0, S * row * sizeof(*dqkv)); /* dk and dv grow block by block */
	for (size_t h = 0; h < a->heads; h++)
	{
		const real *q = qkv + h * D, *k = q + HD, *v = k + HD;
		real *dq = dqkv + h * D, *dk = dq + HD, *dv = dk + HD;
		for (size_t i = 0; i < S; i += B)
		{
			size_t n = i + B < S ? B : S - i, end = fsmoe_attention_seen(a, i + n - 1);
			const real *p = probs + h * S * S + i * S, *dyi = dy + i * HD + h * D;
			gemm(1, 0, end, D, n, 1, p, S, dyi, HD, 1, dv, row);
			gemm(0, 1, n, end, D, 1, dyi, HD, v, row, 0, ds, S);
			softmax_backward(p, ds, n, end, S, scale);
			gemm(0, 0, n, D, end, 1, ds, S, k, row, 0, dq + i * row, row);
			gemm(1, 0, end, D, n, 1, ds, S, q + i * row, row, 1, dk, row);
		}
	}
}

/* --- rows of a sequence, where they lie in `parts` pieces --------------------------------- */

static size_t piece_at(const struct fsmoe_attention_args *a, size_t sequence, size_t part)
{
	return (part * a->batch + sequence) * (a->seq / a->parts);
}

static void gather(const struct fsmoe_attention_args *a, size_t sequence, size_t columns,
		   const real *from /* (T, columns) */, real *to /* (S, columns) */)
{
	size_t n = a->seq / a->parts * columns;

	for (size_t part = 0; part < a->parts; part++)
		memcpy(to + part * n, from + piece_at(a, sequence, part) * columns,
		       n * sizeof(*to));
}

static void scatter(const struct fsmoe_attention_args *a, size_t sequence, size_t columns,
		    const real *from /* (S, columns) */, real *to /* (T, columns) */)
{
	size_t n = a->seq / a->parts * columns;

	for (size_t part = 0; part < a->parts; part++)
		memcpy(to + piece_at(a, sequence, part) * columns, from + part * n,
		       n * sizeof(*to));
}

int KERNEL(attention)(const struct fsmoe_call *call)
{
	const struct fsmoe_attention_args *a = call->args;
	const real *qkv = call->data[0];
	real *y = call->data[1], *probs = call->data[2], *scratch = call->data[3];
	size_t S = a->seq, HD = a->heads * a->head_dim;

	for (size_t b = 0; b < a->batch; b++)
	{
		real *p = probs + b * a->heads * S * S;
		if (!fsmoe_attention_gathers(a))
		{
			forward_sequence(a, qkv + b * S * 3 * HD, y + b * S * HD, p);
			continue;
		}
		gather(a, b, 3 * HD, qkv, scratch);
		forward_sequence(a, scratch, scratch + S * 3 * HD, p);
		scatter(a, b, HD, scratch + S * 3 * HD, y);
	}
	return 0;
}

int KERNEL(attention_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_attention_args *a = call->args;
	const real *qkv = call->data[0], *probs = call->data[1], *dy = call->data[2];
	real *dqkv = call->data[3], *ds = call->data[4];
	size_t S = a->seq, HD = a->heads * a->head_dim;
	real *own_qkv = ds + fsmoe_attention_block(a) * S;
	real *own_dqkv = own_qkv + S * 3 * HD, *own_dy = own_dqkv + S * 3 * HD;

	for (size_t b = 0; b < a->batch; b++)
	{
		const real *p = probs + b * a->heads * S * S;
		if (!fsmoe_attention_gathers(a))
		{
			backward_sequence(a, qkv + b * S * 3 * HD, p, dy + b * S * HD,
					  dqkv + b * S * 3 * HD, ds);
			continue;
		}
		gather(a, b, 3 * HD, qkv, own_qkv);
		gather(a, b, HD, dy, own_dy);
		backward_sequence(a, own_qkv, p, own_dy, own_dqkv, ds);
		scatter(a, b, 3 * HD, own_dqkv, dqkv);
	}
	return 0;
}
