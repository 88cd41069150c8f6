/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products of an expert layer in bf16, as codelets/cuda/product.c enqueues them beside
 * those that cuBLAS takes by default:
 *
 *	products [M H MATRICES SLOTS EXPERTS SOURCES]   without: gpt's and mixtral's of
 *	                                                doc/performance.md, a rank of two
 *
 * For each product it prints the milliseconds of both ways (medians of rounds in turns), Tflop/s,
 * and the number of the chosen tile. Exit status 1: the results differ by more than their rounding.
 */
#include "codelets/cuda/product.h"
#include "gpu/device.h"
#include "gpu/lanes.h"
#include "tests/lib/try.h"

#include <errno.h>
#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	ROUNDS = 9,
	REPEATS = 3,
	LOOK = 1 << 20, /* elements that are compared, at either end */
	PATTERN = 1 << 22
};

struct layer
{
	const char *name;
	size_t M, H, matrices, slots, experts, sources;
};

static const struct layer layers[] = {{"gpt", 2048, 8192, 1, 1229, 4, 2},
				      {"mixtral", 4096, 14336, 2, 1229, 4, 2}};

struct row
{
	const char *name;
	int trans_a, trans_b, into_float, adds;
	size_t m, n, k, lda, ldb, ldc;
};

struct bench
{
	struct fsmoe_lanes lanes;
	void *a, *b, *c, *d; /* c of ours, d of cuBLAS's */
	size_t bytes;
	cudaEvent_t begin, end;
};

#define CUDA(call) TRY(fsmoe_cuda_check((call), #call))

static int ascending(const void *x, const void *y)
{
	float a = *(const float *)x, b = *(const float *)y;

	return (a > b) - (a < b);
}

static void fill(void *at, size_t bytes, const uint16_t *pattern)
{
	const size_t most = PATTERN * sizeof(*pattern);

	for (size_t i = 0; i < bytes; i += most)
		CUDA(cudaMemcpy((char *)at + i, pattern, bytes - i < most ? bytes - i : most,
				cudaMemcpyHostToDevice));
}

/* Numbers of bf16 between -1/8 and 1/8. */
static void fill_factors(struct bench *b)
{
	uint16_t *pattern = malloc(PATTERN * sizeof(*pattern));
	uint32_t x = 1;

	for (size_t i = 0; pattern && i < PATTERN; i++)
	{
		float value;
		uint32_t bits;

		x = x * 1664525u + 1013904223u;
		value = ((float)(x >> 8) / (1 << 24) - 0.5f) / 4;
		memcpy(&bits, &value, sizeof(bits));
		pattern[i] = (uint16_t)(bits >> 16);
	}
	fill(b->a, b->bytes, pattern);
	fill(b->b, b->bytes, pattern);
	free(pattern);
}

static struct fsmoe_product product_of(const struct bench *b, const struct row *r, size_t experts,
				       void *c)
{
	const size_t rows_a = r->trans_a ? r->k : r->m, rows_b = r->trans_b ? r->n : r->k;

	return (struct fsmoe_product){.type = CUDA_R_16BF,
				      .into = r->into_float ? CUDA_R_32F : CUDA_R_16BF,
				      .m = r->m,
				      .n = r->n,
				      .k = r->k,
				      .a = {b->a, r->lda, rows_a * r->lda, r->trans_a},
				      .b = {b->b, r->ldb, rows_b * r->ldb, r->trans_b},
				      .c = c,
				      .ldc = r->ldc,
				      .stride_c = r->m * r->ldc,
				      .batch = experts,
				      .alpha = 1,
				      .beta = r->adds ? 1 : 0,
				      .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
}

static void ours(struct bench *b, const struct fsmoe_product *p)
{
	static const struct fsmoe_op op = {.name = "product"};
	const struct fsmoe_node node = {.op = &op};
	const struct fsmoe_call call = {.node = &node};
	int done = 0;

	TRY(fsmoe_product_enqueue(&call, &b->lanes.cuda[FSMOE_COMPUTE], p, &done));
	if (!done)
		TRY(fsmoe_fail(ENOTSUP, "cuBLASLt has no kernel for this product"));
}

static void by_default(struct bench *b, const struct fsmoe_product *p)
{
	const cublasOperation_t op_a = p->a.trans ? CUBLAS_OP_T : CUBLAS_OP_N,
				op_b = p->b.trans ? CUBLAS_OP_T : CUBLAS_OP_N;

	if (cublasGemmStridedBatchedEx(
		    b->lanes.cuda[FSMOE_COMPUTE].cublas, op_b, op_a, (int)p->n, (int)p->m,
		    (int)p->k, &p->alpha, p->b.x, p->type, (int)p->b.ld, (long long)p->b.stride,
		    p->a.x, p->type, (int)p->a.ld, (long long)p->a.stride, &p->beta, p->c, p->into,
		    (int)p->ldc, (long long)p->stride_c, (int)p->batch, CUBLAS_COMPUTE_32F,
		    CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
		TRY(fsmoe_fail(EIO, "cuBLAS failed"));
}

static float milliseconds(struct bench *b, const struct fsmoe_product *p,
			  void (*run)(struct bench *, const struct fsmoe_product *))
{
	cudaStream_t stream = b->lanes.cuda[FSMOE_COMPUTE].stream;
	float ms = 0;

	CUDA(cudaEventRecord(b->begin, stream));
	for (int i = 0; i < REPEATS; i++)
		run(b, p);
	CUDA(cudaEventRecord(b->end, stream));
	CUDA(cudaEventSynchronize(b->end));
	CUDA(cudaEventElapsedTime(&ms, b->begin, b->end));
	return ms / REPEATS;
}

static float value_at(const void *from, size_t i, int is_float)
{
	uint32_t bits = is_float ? ((const uint32_t *)from)[i]
				 : (uint32_t)((const uint16_t *)from)[i] << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The largest difference of n elements from `first` on, relative to the largest number. */
static double difference(struct bench *b, size_t first, size_t n, int is_float)
{
	const size_t size = is_float ? sizeof(float) : sizeof(uint16_t);
	char *c = malloc(n * size), *d = malloc(n * size);
	double most = 0, off = 0;

	CUDA(cudaMemcpy(c, (char *)b->c + first * size, n * size, cudaMemcpyDeviceToHost));
	CUDA(cudaMemcpy(d, (char *)b->d + first * size, n * size, cudaMemcpyDeviceToHost));
	for (size_t i = 0; i < n; i++)
	{
		const double x = value_at(c, i, is_float), y = value_at(d, i, is_float);

		most = fmax(most, fabs(y));
		off = isfinite(x - y) ? fmax(off, fabs(x - y)) : INFINITY;
	}
	free(c);
	free(d);
	return most > 0 ? off / most : INFINITY;
}

static int measure(struct bench *b, const struct row *r, size_t experts)
{
	const struct fsmoe_product p = product_of(b, r, experts, b->c),
				   q = product_of(b, r, experts, b->d);
	const size_t count = r->m * r->ldc * experts, n = count < LOOK ? count : LOOK;
	const double flops = 2.0 * (double)r->m * (double)r->n * (double)r->k * (double)experts;
	float mine[ROUNDS], theirs[ROUNDS];
	double off;

	CUDA(cudaMemset(b->c, 0, count * (r->into_float ? 4 : 2)));
	CUDA(cudaMemset(b->d, 0, count * (r->into_float ? 4 : 2)));
	CUDA(cudaDeviceSynchronize());
	for (int i = 0; i < ROUNDS; i++)
	{
		mine[i] = milliseconds(b, &p, ours);
		theirs[i] = milliseconds(b, &q, by_default);
	}
	off = fmax(difference(b, 0, n, r->into_float), difference(b, count - n, n, r->into_float));
	qsort(mine, ROUNDS, sizeof(float), ascending);
	qsort(theirs, ROUNDS, sizeof(float), ascending);
	printf("  %-34s %6zu %6zu %6zu  default %7.4f ms %4.0f Tflop/s  ours %7.4f ms %4.0f  "
	       "%.3f  tile %3d  off by %.1g\n",
	       r->name, r->m, r->n, r->k, theirs[ROUNDS / 2], 1e-9 * flops / theirs[ROUNDS / 2],
	       mine[ROUNDS / 2], 1e-9 * flops / mine[ROUNDS / 2],
	       mine[ROUNDS / 2] / theirs[ROUNDS / 2],
	       fsmoe_product_tile(b->lanes.cuda[FSMOE_COMPUTE].products, &p), off);
	return off > (r->into_float ? 1e-5 : 1.0 / 128);
}

static int measure_layer(struct bench *b, const struct layer *l)
{
	const size_t M = l->M, H = l->H, Z = H * l->matrices, c = l->slots, all = c * l->sources;
	const struct row rows[] = {
		{"forward, in", 0, 1, 0, 0, c, H, M, M, M, Z},
		{"forward, out", 0, 1, 0, 0, c, M, H, H, H, M},
		{"to the hidden layer", 0, 0, 0, 0, c, H, M, M, H, Z},
		{"to the input", 0, 0, 0, 0, c, M, H, Z, M, M},
		{"to the input, adding", 0, 0, 0, 1, c, M, H, Z, M, M},
		{"weights in", 1, 0, 1, 0, H, M, c, Z, M, M},
		{"weights in, adding", 1, 0, 1, 1, H, M, c, Z, M, M},
		{"weights in, all sources at once", 1, 0, 1, 0, H, M, all, Z, M, M},
		{"weights out, all sources at once", 1, 0, 1, 0, M, H, all, M, H, H},
	};
	int bad = 0;

	printf("%s M %zu H %zu, %zu slots of %zu experts, %zu sources: m n k\n", l->name, M, H, c,
	       l->experts, l->sources);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		bad |= measure(b, &rows[i], l->experts);
	return bad;
}

/* Bytes of the largest factor or of the largest result of a layer. */
static size_t most(const struct layer *l, int results)
{
	const size_t rows = l->slots * l->sources * l->experts, Z = l->H * l->matrices;
	const size_t weights = l->experts * l->M * l->H;

	return results ? (weights * 4 > rows * Z * 2 ? weights * 4 : rows * Z * 2)
		       : (weights > rows * Z ? weights : rows * Z) * 2;
}

int main(int argc, char **argv)
{
	struct layer own = {.name = "layer"};
	const struct layer *l = layers;
	size_t n = sizeof(layers) / sizeof(layers[0]), results = 0;
	struct bench b = {0};
	int bad = 0;

	if (argc == 7)
	{
		size_t *into[] = {&own.M,     &own.H,       &own.matrices,
				  &own.slots, &own.experts, &own.sources};
		for (int i = 0; i < 6; i++)
			*into[i] = strtoul(argv[i + 1], NULL, 10);
		l = &own;
		n = 1;
	}
	else if (argc != 1)
	{
		fprintf(stderr, "usage: products [M H MATRICES SLOTS EXPERTS SOURCES]\n");
		return 64;
	}
	if (fsmoe_device_count() == 0)
	{
		printf("products: skipped, there is no GPU here\n");
		return 77;
	}
	for (size_t i = 0; i < n; i++)
	{
		b.bytes = most(&l[i], 0) > b.bytes ? most(&l[i], 0) : b.bytes;
		results = most(&l[i], 1) > results ? most(&l[i], 1) : results;
	}
	TRY(fsmoe_lanes_make(&b.lanes, 0));
	CUDA(cudaMalloc(&b.a, b.bytes));
	CUDA(cudaMalloc(&b.b, b.bytes));
	CUDA(cudaMalloc(&b.c, results));
	CUDA(cudaMalloc(&b.d, results));
	CUDA(cudaEventCreate(&b.begin));
	CUDA(cudaEventCreate(&b.end));
	fill_factors(&b);
	for (size_t i = 0; i < n; i++)
		bad |= measure_layer(&b, &l[i]);
	fsmoe_lanes_free(&b.lanes);
	return bad;
}
