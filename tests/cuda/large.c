/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "check.h"
#include "codelets/expert_mlp.h"
#include "codelets/expert_swiglu.h"
#include "gpu/device.h"
#include "tests/lib/opcase.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Experts so large that product.c chooses the kernels of their bf16 products, which no case of the
 * tables is: forward and backward of two chunks from two sources, in float and in bf16. A
 * sample of rows, y and dx, and of hidden units, the gradients of the weights around them, is
 * computed plainly in double and compared element by element. All leaves are numbers that bf16
 * holds.
 */

enum
{
	P = 2,
	E = 4,
	CHUNK = 512,
	CHUNKS = 2,
	SLOTS = CHUNK * CHUNKS,
	M = 2048,
	H = 4096,
	ROWS = 24,
	COLUMNS = 12,
	MOST_COMPLAINTS = 8
};

_Static_assert(CHUNK >= 512 && 2.0 * CHUNK * M * H * E >= 3e10,
	       "large in codelets/cuda/multiply.c");

static const struct layer
{
	const char *name;
	const struct fsmoe_ffn *ffn;
	enum fsmoe_ffn_activation activation;
	int nin; /* matrices into the hidden layer: w1, or w1 and w3 */
	int in[2], out, weights;
} layers[] = {{"gpt",
	       &fsmoe_ffn_mlp,
	       FSMOE_FFN_GELU,
	       1,
	       {FSMOE_MLP_W1, 0},
	       FSMOE_MLP_W2,
	       FSMOE_MLP_WEIGHTS},
	      {"mixtral",
	       &fsmoe_ffn_swiglu,
	       FSMOE_FFN_SWIGLU,
	       2,
	       {FSMOE_SWIGLU_W1, FSMOE_SWIGLU_W3},
	       FSMOE_SWIGLU_W2,
	       FSMOE_SWIGLU_WEIGHTS}};

struct job
{
	const struct layer *l;
	enum fsmoe_real real;
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS];
	struct fsmoe_expert_chunk forward[CHUNKS], backward[CHUNKS];
	fsmoe_tensor_t y[CHUNKS], dx[CHUNKS];
	double worst; /* error over tolerance */
	int bad;
};

/* --- leaves: drawn by name and place, so that the reference draws them again ----------------- */

/* Between -scale and scale, with the first 16 bits of a float. */
static float drawn(uint64_t key, size_t i, double scale)
{
	float x = (float)(scale * (2 * fsmoe_rng_uniform(key, i) - 1));
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	bits &= 0xffff0000;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Where a row's numbers begin. */
static size_t row_at(size_t p, size_t e, size_t slot)
{
	return ((p * E + e) * SLOTS + slot) * M;
}

static void draw_row(const char *name, size_t p, size_t e, size_t slot, double *x)
{
	const uint64_t key = fsmoe_rng_key(1, name);

	for (size_t m = 0; m < M; m++)
		x[m] = (double)drawn(key, row_at(p, e, slot) + m, 1);
}

static void fill_chunk(struct job *j, fsmoe_tensor_t tensor, const char *name, size_t chunk)
{
	const uint64_t key = fsmoe_rng_key(1, name);
	float *x = fsmoe_memory_data(j->memory, tensor);

	for (size_t b = 0; b < P * E; b++)
		for (size_t s = 0; s < CHUNK; s++)
			for (size_t m = 0; m < M; m++)
				*x++ = drawn(key, row_at(b / E, b % E, chunk * CHUNK + s) + m, 1);
}

/* Draws weights such that sums of M or H terms are of order 1, and initial gradients. */
static void fill_weight(struct job *j, int i)
{
	const double scale = sqrt(3.0 / (i == j->l->out ? H : M));
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(j->graph, &n);
	float *w = fsmoe_memory_data(j->memory, j->weight[i]),
	      *dw = fsmoe_memory_data(j->memory, info[j->weight[i]].grad);

	for (size_t k = 0; k < (size_t)E * M * H; k++)
	{
		w[k] = drawn(fsmoe_rng_subkey(2, (uint64_t)i), k, scale);
		dw[k] = drawn(fsmoe_rng_subkey(3, (uint64_t)i), k, 1);
	}
}

/* --- the graph ------------------------------------------------------------------------------- */

static void add_weights(struct job *j)
{
	for (int i = 0; i < j->l->weights; i++)
	{
		const int into = i == j->l->in[0] || (j->l->nin == 2 && i == j->l->in[1]);
		char name[16];

		j->weight[i] = FSMOE_NONE;
		if (!into && i != j->l->out)
			continue; /* a bias */
		snprintf(name, sizeof(name), "w.%d", i);
		j->weight[i] = fsmoe_graph_param(
			j->graph, &(struct fsmoe_param_spec){.name = name,
							     .global = into ? FSMOE_SHAPE3(E, H, M)
									    : FSMOE_SHAPE3(E, M, H),
							     .reduce = FSMOE_GROUP_WORLD});
	}
}

static void build(struct job *j)
{
	static size_t cuts[CHUNKS + 1] = {0, CHUNK, 2 * CHUNK};
	const struct fsmoe_expert_args net = {j->l->ffn, j->l->activation, {0}};
	const struct fsmoe_expert_pass forward = {{CHUNKS, cuts}, j->forward};
	struct fsmoe_expert_pass backward = {{CHUNKS, cuts}, j->backward};
	fsmoe_tensor_t gradient[FSMOE_EXPERT_WEIGHTS];
	int n;

	TRY(fsmoe_graph_create(&j->graph, NULL));
	add_weights(j);
	for (size_t i = 0; i < CHUNKS; i++)
	{
		j->forward[i].in =
			fsmoe_graph_input(j->graph, FSMOE_REAL, FSMOE_SHAPE4(P, E, CHUNK, M), "x");
		j->backward[i].in =
			fsmoe_graph_input(j->graph, FSMOE_REAL, FSMOE_SHAPE4(P, E, CHUNK, M), "dy");
		j->y[i] = fsmoe_ffn_forward(j->graph, net, FSMOE_NONE, j->weight, &j->forward[i]);
	}
	for (size_t i = 0; i < CHUNKS; i++)
		j->dx[i] = fsmoe_ffn_backward_input(j->graph, net, FSMOE_NONE, j->weight, &forward,
						    &backward, i);
	for (int i = 0; i < j->l->weights; i++)
		gradient[i] = j->weight[i] == FSMOE_NONE
				      ? FSMOE_NONE
				      : fsmoe_graph_tensors(j->graph, &n)[j->weight[i]].grad;
	fsmoe_ffn_backward_weight(j->graph, net, FSMOE_NONE, gradient, &forward, &backward, 0,
				  CHUNKS);
	TRY(fsmoe_graph_status(j->graph));
	TRY(fsmoe_memory_create(&j->memory, j->graph, FSMOE_F32, NULL));
	for (int i = 0; i < j->l->weights; i++)
		if (j->weight[i] != FSMOE_NONE)
			fill_weight(j, i);
	for (size_t i = 0; i < CHUNKS; i++)
	{
		fill_chunk(j, j->forward[i].in, "x", i);
		fill_chunk(j, j->backward[i].in, "dy", i);
	}
}

static void run_on_gpu(struct job *j)
{
	struct fsmoe_device_memory *gpu;

	TRY(fsmoe_device_memory_create_as(&gpu, j->graph, 0, j->real));
	TRY(fsmoe_device_memory_upload(gpu, j->memory));
	TRY(fsmoe_graph_stream(j->graph, gpu, NULL, &(struct fsmoe_step){.step = 1}));
	TRY(fsmoe_device_memory_download(gpu, j->memory));
	fsmoe_device_memory_destroy(gpu);
}

/* --- the reference --------------------------------------------------------------------------- */

/* h of a hidden unit, and what dh becomes before each matrix. */
struct unit
{
	double h, dz[2];
};

static struct unit hidden(const struct layer *l, const double z[2], double dh)
{
	if (l->nin == 1)
	{
		const double c = sqrt(2 / acos(-1)), t = tanh(c * (z[0] + 0.044715 * pow(z[0], 3)));
		const double slope =
			(1 + t) / 2 + z[0] / 2 * (1 - t * t) * c * (1 + 3 * 0.044715 * z[0] * z[0]);
		return (struct unit){z[0] / 2 * (1 + t), {dh * slope, 0}};
	}
	const double s = 1 / (1 + exp(-z[0]));
	return (struct unit){z[0] * s * z[1],
			     {dh * z[1] * s * (1 + z[0] * (1 - s)), dh * z[0] * s}};
}

static double dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static double dot_row(const double *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * (double)b[i];
	return sum;
}

/* Weights of an expert; from row `row` on. */
static const float *matrix(const struct job *j, int i, size_t e, size_t row, size_t columns)
{
	const float *w = fsmoe_memory_data(j->memory, j->weight[i]);

	return w + e * M * H + row * columns;
}

/* Tolerance: a sum of `length` terms no larger than `term`, rounded as `real` is on the way and in
 * the result. */
static void compare(struct job *j, const char *what, size_t i, double got, double want,
		    size_t length, double term)
{
	const double tolerance = term * opcase_tolerance(j->real, length, 1) +
				 fabs(want) * opcase_tolerance(j->real, 0, 1);
	const double off = fabs(got - want);

	j->worst = fmax(j->worst, off / tolerance);
	if (!(off <= tolerance) && j->bad++ < MOST_COMPLAINTS)
		printf("  %s, element %zu: the GPU has %.9g, the reference %.9g, tolerance %.3g\n",
		       what, i, got, want, tolerance);
}

static void check_row(struct job *j, size_t p, size_t e, size_t slot)
{
	static double x[M], dy[M], dx[M], y[M], h[H], dh[H], dz[2][H];
	const size_t chunk = slot / CHUNK, at = ((p * E + e) * CHUNK + slot % CHUNK) * M;
	const float *got_y = fsmoe_memory_data(j->memory, j->y[chunk]),
		    *got_dx = fsmoe_memory_data(j->memory, j->dx[chunk]);
	double most_h = 0, most_dz = 0;

	draw_row("x", p, e, slot, x);
	draw_row("dy", p, e, slot, dy);
	memset(dh, 0, sizeof(dh));
	memset(dx, 0, sizeof(dx));
	for (size_t m = 0; m < M; m++)
		for (size_t k = 0; k < H; k++)
			dh[k] += dy[m] * (double)matrix(j, j->l->out, e, m, H)[k];
	for (size_t k = 0; k < H; k++)
	{
		double z[2] = {0};
		for (int i = 0; i < j->l->nin; i++)
			z[i] = dot_row(x, matrix(j, j->l->in[i], e, k, M), M);
		const struct unit u = hidden(j->l, z, dh[k]);
		h[k] = u.h;
		most_h = fmax(most_h, fabs(u.h));
		for (int i = 0; i < j->l->nin; i++)
		{
			const float *w = matrix(j, j->l->in[i], e, k, M);
			dz[i][k] = u.dz[i];
			most_dz = fmax(most_dz, fabs(u.dz[i]));
			for (size_t m = 0; m < M; m++)
				dx[m] += dz[i][k] * (double)w[m];
		}
	}
	for (size_t m = 0; m < M; m++)
	{
		y[m] = dot_row(h, matrix(j, j->l->out, e, m, H), H);
		compare(j, "y", at + m, (double)got_y[at + m], y[m], M + H, most_h * sqrt(3.0 / H));
		compare(j, "dx", at + m, (double)got_dx[at + m], dx[m], M + (size_t)j->l->nin * H,
			most_dz * sqrt(3.0 / M));
	}
}

/* Contribution of an expert's rows to the weights around one hidden unit. */
static void check_column(struct job *j, size_t e, size_t k)
{
	static double x[M], dy[M], w2[M], dw[2][M], dw2[M], w[2][M];
	double most_h = 0, most_dz = 0;
	int n;

	memset(dw, 0, sizeof(dw));
	memset(dw2, 0, sizeof(dw2));
	for (size_t m = 0; m < M; m++)
	{
		w2[m] = (double)matrix(j, j->l->out, e, m, H)[k];
		for (int i = 0; i < j->l->nin; i++)
			w[i][m] = (double)matrix(j, j->l->in[i], e, k, M)[m];
	}
	for (size_t row = 0; row < (size_t)P * SLOTS; row++)
	{
		double z[2] = {0};
		draw_row("x", row / SLOTS, e, row % SLOTS, x);
		draw_row("dy", row / SLOTS, e, row % SLOTS, dy);
		for (int i = 0; i < j->l->nin; i++)
			z[i] = dot(x, w[i], M);
		const struct unit u = hidden(j->l, z, dot(dy, w2, M));
		most_h = fmax(most_h, fabs(u.h));
		most_dz = fmax(most_dz, fmax(fabs(u.dz[0]), fabs(u.dz[1])));
		for (size_t m = 0; m < M; m++)
		{
			dw2[m] += u.h * dy[m];
			for (int i = 0; i < j->l->nin; i++)
				dw[i][m] += u.dz[i] * x[m];
		}
	}
	for (int i = 0; i <= j->l->nin; i++)
	{
		const int into = i < j->l->nin, which = into ? j->l->in[i] : j->l->out;
		const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(j->graph, &n);
		const float *got = fsmoe_memory_data(j->memory, info[j->weight[which]].grad);
		for (size_t m = 0; m < M; m++)
		{
			const size_t at = e * M * H + (into ? k * M + m : m * H + k);
			const float before = drawn(fsmoe_rng_subkey(3, (uint64_t)which), at, 1);
			compare(j, into ? "gradient of w in" : "gradient of w out", at,
				(double)got[at] - (double)before, into ? dw[i][m] : dw2[m],
				(size_t)P * SLOTS + M, into ? most_dz : most_h);
		}
	}
}

static int check(const struct layer *l, enum fsmoe_real real)
{
	struct job j = {.l = l, .real = real};

	build(&j);
	run_on_gpu(&j);
	/* The first and the last row of each expert, source and chunk, or nearly, and some between;
	 * numbers that have no factor in common with the sizes spread the others. */
	for (size_t i = 0; i < ROWS; i++)
		check_row(&j, i % P, i / P % E,
			  i < (size_t)P * E ? i * (SLOTS - 1) / (P * E - 1) : i * 397 % SLOTS);
	for (size_t i = 0; i < COLUMNS; i++)
		check_column(&j, i % E, i < E ? i * (H - 1) / (E - 1) : i * 1571 % H);
	printf("%s in %s, P %d E %d chunks %d x %d, M %d H %d: %d rows and %d hidden units, worst "
	       "error over tolerance %.3f, %d elements off\n",
	       l->name, real == FSMOE_BF16 ? "bf16" : "float", P, E, CHUNKS, CHUNK, M, H, ROWS,
	       COLUMNS, j.worst, j.bad);
	fsmoe_memory_destroy(j.memory);
	fsmoe_graph_destroy(j.graph);
	return j.bad;
}

int check_large(void)
{
	int bad = 0;

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		bad += check(&layers[i], FSMOE_F32) + check(&layers[i], FSMOE_BF16);
	return bad;
}
