/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/cpu/exp.h"
#include "codelets/cpu/real.h"
#include "codelets/shape.h"

/* --- one sequence ------------------------------------------------------------------------- */

/* n rows of `end` columns, S apart, the first of them row i of a square: scores become
 * probabilities over the columns that a row sees, the rest is zero. Of every row its largest score
 * and the sum it is divided by are in `stats`, from the first time on. */
static void softmax_rows(const struct fsmoe_attention_args *a, int again, real *p, size_t i,
			 size_t n, size_t end, real (*stats)[2])
{
	for (size_t r = 0; r < n; r++, p += a->seq)
	{
		size_t seen = fsmoe_attention_seen(a, i + r);
		real max = again ? stats[r][0] : row_max(p, seen), sum = 0;

		for (size_t j = 0; j < seen; j++)
			p[j] = fast_exp(p[j] - max);
		for (size_t j = 0; j < seen && !again; j++)
			sum += p[j];
		if (!again)
		{
			stats[r][0] = max;
			stats[r][1] = sum;
		}
		for (size_t j = 0; j < seen; j++)
			p[j] /= stats[r][1];
		memset(p + seen, 0, (end - seen) * sizeof(*p));
	}
}

static void forward_sequence(const struct fsmoe_attention_args *a, const real *qkv, /* (S, 3 HD) */
			     real *y,                                               /* (S, HD) */
			     real (*stats)[2],                                      /* (heads, S) */
			     real *p /* (B, S) */)
{
	size_t S = a->seq, D = a->head_dim, HD = a->heads * D, B = fsmoe_attention_block(a);
	real scale = 1 / sqrt((real)D);

	for (size_t h = 0; h < a->heads; h++)
	{
		const real *q = qkv + h * D, *k = q + HD, *v = k + HD;
		for (size_t i = 0; i < S; i += B)
		{
			size_t n = i + B < S ? B : S - i, end = fsmoe_attention_seen(a, i + n - 1);
			gemm(0, 1, n, end, D, scale, q + i * 3 * HD, 3 * HD, k, 3 * HD, 0, p, S);
			softmax_rows(a, 0, p, i, n, end, stats + h * S + i);
			gemm(0, 0, n, D, end, 1, p, S, v, 3 * HD, 0, y + i * HD + h * D, HD);
		}
	}
}

/* dP (n rows of `end` columns, S apart) becomes dS, given the same rows of P. */
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

/* What the backward of a sequence reads, and scratch. */
struct backward
{
	const real *qkv;  /* (S, 3 HD) */
	const real *dy;   /* (S, HD) */
	real (*stats)[2]; /* (heads, S) */
	real *p, *ds;     /* (B, S) */
};

static void backward_sequence(const struct fsmoe_attention_args *a, const struct backward *b,
			      real *dqkv /* (S, 3 HD) */)
{
	size_t S = a->seq, D = a->head_dim, HD = a->heads * D, B = fsmoe_attention_block(a);
	size_t row = 3 * HD;
	real scale = 1 / sqrt((real)D), *p = b->p, *ds = b->ds;

	memset(dqkv, 0, S * row * sizeof(*dqkv)); /* dk and dv grow block by block */
	for (size_t h = 0; h < a->heads; h++)
	{
		const real *q = b->qkv + h * D, *k = q + HD, *v = k + HD;
		real *dq = dqkv + h * D, *dk = dq + HD, *dv = dk + HD;
		for (size_t i = 0; i < S; i += B)
		{
			size_t n = i + B < S ? B : S - i, end = fsmoe_attention_seen(a, i + n - 1);
			const real *dy = b->dy + i * HD + h * D;
			gemm(0, 1, n, end, D, scale, q + i * row, row, k, row, 0, p, S);
			softmax_rows(a, 1, p, i, n, end, b->stats + h * S + i);
			gemm(1, 0, end, D, n, 1, p, S, dy, HD, 1, dv, row);
			gemm(0, 1, n, end, D, 1, dy, HD, v, row, 0, ds, S);
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
	real *y = call->data[1], (*stats)[2] = call->data[2], *p = call->data[3];
	size_t S = a->seq, HD = a->heads * a->head_dim;
	real *own_qkv = p + fsmoe_attention_block(a) * S, *own_y = own_qkv + S * 3 * HD;

	for (size_t b = 0; b < a->batch; b++, stats += a->heads * S)
	{
		if (!fsmoe_attention_gathers(a))
		{
			forward_sequence(a, qkv + b * S * 3 * HD, y + b * S * HD, stats, p);
			continue;
		}
		gather(a, b, 3 * HD, qkv, own_qkv);
		forward_sequence(a, own_qkv, own_y, stats, p);
		scatter(a, b, HD, own_y, y);
	}
	return 0;
}

int KERNEL(attention_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_attention_args *a = call->args;
	const real *qkv = call->data[0], *dy = call->data[2];
	real(*stats)[2] = call->data[1], *dqkv = call->data[3], *p = call->data[4];
	size_t S = a->seq, HD = a->heads * a->head_dim, block = fsmoe_attention_block(a) * S;
	real *own_qkv = p + 2 * block, *own_dqkv = own_qkv + S * 3 * HD;
	real *own_dy = own_dqkv + S * 3 * HD;

	for (size_t b = 0; b < a->batch; b++, stats += a->heads * S)
	{
		struct backward s = {qkv + b * S * 3 * HD, dy + b * S * HD, stats, p, p + block};

		if (!fsmoe_attention_gathers(a))
		{
			backward_sequence(a, &s, dqkv + b * S * 3 * HD);
			continue;
		}
		gather(a, b, 3 * HD, qkv, own_qkv);
		gather(a, b, HD, dy, own_dy);
		s.qkv = own_qkv;
		s.dy = own_dy;
		backward_sequence(a, &s, own_dqkv);
		scatter(a, b, 3 * HD, own_dqkv, dqkv);
	}
	return 0;
}
