/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <math.h>
#include <stdlib.h>

/* batch, seq, heads, head_dim, parts, bidirectional. */
static const size_t sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 1}, {1, 5, 1, 3, 1}, {2, 3, 2, 1, 1}, {3, 4, 1, 2, 2},
	{2, 6, 3, 2, 3}, {1, 6, 2, 5, 3}, {2, 5, 1, 3, 5},
};

static const size_t whole_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 1, 1},
	{1, 5, 2, 3, 1, 1},
	{3, 4, 1, 2, 2, 1},
	{2, 6, 3, 2, 3, 1},
};

/* More rows than a block of a kernel, and not a multiple; on a GPU columns by eights and one by
 * one, a row by a warp and by a block, and, with the most heads, products over strips of rows. */
static const size_t long_sizes[][OPCASE_MAX_SIZES] = {
	{1, 131, 2, 7, 1},     {2, 65, 1, 4, 5},    {1, 64, 1, 3, 1},
	{1, 131, 2, 7, 1, 1},  {2, 70, 1, 4, 5, 1}, {1, 520, 2, 7, 5},
	{1, 1096, 1, 3, 1, 1}, {1, 1544, 7, 1, 1},  {1, 1031, 15, 1, 1},
};

/* All matrices are aligned, as they mostly are; cuBLAS has other kernels for those. */
static const size_t strips_sizes[][OPCASE_MAX_SIZES] = {{1, 1544, 8, 8, 1}};

/* Heads for which a GPU has kernels of one pass: rows that fill tiles, and that do not. */
static const size_t fused_sizes[][OPCASE_MAX_SIZES] = {
	{1, 128, 1, 64, 1},     {2, 200, 2, 64, 2}, {1, 77, 1, 128, 1},
	{1, 333, 2, 128, 1, 1}, {2, 1, 1, 64, 1},
};

static const size_t blocks_sizes[][OPCASE_MAX_SIZES] = {
	{1, 67, 1, 1, 1},
	{2, 66, 1, 1, 3},
	{1, 67, 1, 1, 1, 1},
};

static fsmoe_tensor_t build(struct opcase_graph *og, const size_t *size)
{
	const struct fsmoe_attention_args args = {.batch = size[0],
						  .seq = size[1],
						  .heads = size[2],
						  .head_dim = size[3],
						  .parts = size[4],
						  .bidirectional = (int)size[5]};
	size_t rows = args.batch * args.seq, columns = 3 * args.heads * args.head_dim;

	return fsmoe_attention(opcase_graph(og),
			       opcase_activation(og, FSMOE_SHAPE2(rows, columns), -2, 2), &args);
}

/* Where row s of a sequence lies. */
static size_t row_of(const size_t *size, size_t sequence, size_t s)
{
	size_t piece = size[1] / size[4];

	return s / piece * size[0] * piece + sequence * piece + s % piece;
}

static void expect_row(const struct opcase_values *v, size_t sequence, size_t head, size_t i)
{
	size_t heads = v->size[2], D = v->size[3], HD = heads * D, row = 3 * HD;
	const double *q = v->real[0] + row_of(v->size, sequence, i) * row + head * D;
	double *y = v->out[0] + row_of(v->size, sequence, i) * HD + head * D;
	size_t seen = v->size[5] ? v->size[1] : i + 1;
	double *weight = calloc(seen, sizeof(*weight)), sum = 0;

	for (size_t j = 0; j < seen; j++)
	{
		const double *k = v->real[0] + row_of(v->size, sequence, j) * row + HD + head * D;
		double dot = 0;
		for (size_t d = 0; d < D; d++)
			dot += q[d] * k[d];
		weight[j] = exp(dot / sqrt((double)D));
		sum += weight[j];
	}
	for (size_t d = 0; d < D; d++)
		y[d] = 0;
	for (size_t j = 0; j < seen; j++)
		for (size_t d = 0; d < D; d++)
			y[d] += weight[j] / sum *
				v->real[0]
				       [row_of(v->size, sequence, j) * row + 2 * HD + head * D + d];
	free(weight);
}

static void expect(const struct opcase_values *v)
{
	for (size_t b = 0; b < v->size[0]; b++)
		for (size_t h = 0; h < v->size[2]; h++)
			for (size_t i = 0; i < v->size[1]; i++)
				expect_row(v, b, h, i);
}

const struct opcase attention_cases[] = {
	{"attention", build, expect, OPCASE_SIZES(sizes), .seed = 41},
	{"bidirectional attention", build, expect, OPCASE_SIZES(whole_sizes), .seed = 44},
	{"attention over blocks", build, expect, OPCASE_SIZES(blocks_sizes), .seed = 42},
	{"attention of long sequences", build, expect, OPCASE_SIZES(long_sizes),
	 .flags = OPCASE_LARGE, .seed = 43},
	{"attention in strips", build, expect, OPCASE_SIZES(strips_sizes), .flags = OPCASE_LARGE,
	 .seed = 45},
	{"attention in fused kernels", build, expect, OPCASE_SIZES(fused_sizes),
	 .flags = OPCASE_LARGE, .seed = 46},
};
const int nattention_cases = sizeof(attention_cases) / sizeof(attention_cases[0]);
