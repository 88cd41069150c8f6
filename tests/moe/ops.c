/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a Mixture-of-Experts layer, each alone, and the layer as one operation. */
#include "codelets/cuts.h"
#include "codelets/expert_mlp.h"
#include "codelets/expert_swiglu.h"
#include "codelets/order.h"
#include "codelets/route.h"
#include "tests/lib/opcase.h"
#include "reference.h"

#include <fsmoe/ops.h>
#include <stdlib.h>
#include <string.h>

/* --- gate: sizes T, M, E, k, group, factor in tenths, whether logits are differentiated ------- */

static struct reference gate_reference(const size_t *s)
{
	return (struct reference){.T = s[0],
				  .M = s[1],
				  .E = s[2],
				  .k = s[3],
				  .group = s[4],
				  .factor = (double)s[5] / 10};
}

/* The logits, if they are wanted, are an output of their own beside the routing. */
static struct fsmoe_route append_gate(struct opcase_graph *og, const size_t *s, fsmoe_tensor_t *x,
				      fsmoe_tensor_t *logits)
{
	const struct reference r = gate_reference(s);
	const struct fsmoe_route_args args = {.topk = r.k,
					      .group = r.group,
					      .capacity = reference_capacity(&r),
					      .weights = r.k > 1 ? FSMOE_WEIGHTS_CHOSEN
								 : FSMOE_WEIGHTS_ALL,
					      .drop = FSMOE_DROP_POSITION};
	fsmoe_tensor_t wg, score;

	*x = opcase_activation(og, FSMOE_SHAPE2(r.T, r.M), -1, 1);
	wg = opcase_param(og, FSMOE_SHAPE2(r.E, r.M), -1, 1);
	score = fsmoe_gate_logits(opcase_graph(og), *x, wg);
	if (logits)
		*logits = score;
	return fsmoe_route(opcase_graph(og), score, &args);
}

static fsmoe_tensor_t build_gate(struct opcase_graph *og, const size_t *s)
{
	fsmoe_tensor_t x, logits;
	struct fsmoe_route gate = append_gate(og, s, &x, &logits);

	opcase_also(og, s[6] ? gate.weight : logits);
	opcase_also(og, gate.expert);
	opcase_also(og, gate.slot);
	opcase_also(og, gate.counts);
	return s[6] ? logits : gate.weight;
}

static void expect_gate(const struct opcase_values *v)
{
	struct reference r = gate_reference(v->size);
	struct reference_routing routing = {.weight = v->out[v->size[6] ? 1 : 0],
					    .expert = v->out[2],
					    .slot = v->out[3],
					    .counts = v->out[4]};
	double *logits = v->out[v->size[6] ? 0 : 1];

	r.x = v->real[0];
	r.wg = v->real[1];
	reference_route(&r, &routing);
	for (size_t i = 0; i < r.T * r.E; i++)
	{
		logits[i] = 0;
		for (size_t m = 0; m < r.M; m++)
			logits[i] += r.x[i / r.E * r.M + m] * r.wg[i % r.E * r.M + m];
	}
}

static const size_t gate_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 1, 0, 0},   {1, 3, 4, 4, 1, 0, 0},  {7, 5, 3, 1, 7, 0, 0},
	{8, 9, 4, 2, 8, 10, 0},  {8, 17, 3, 2, 4, 5, 0}, {6, 3, 5, 3, 2, 10, 0},
	{12, 4, 3, 2, 3, 10, 1}, {5, 8, 4, 1, 5, 12, 1}, {9, 16, 8, 8, 9, 0, 1},
};

/* --- order: the same sizes, then lo * 10 + hi of the chunk ----------------------------------- */

static fsmoe_tensor_t build_order(struct opcase_graph *og, const size_t *s)
{
	fsmoe_tensor_t x;
	struct fsmoe_route gate = append_gate(og, s, &x, NULL);
	const struct fsmoe_lists lists = {s[2], gate.expert, gate.slot, gate.weight, 0};

	return fsmoe_order_chunk(opcase_graph(og), &lists, x, s[6], s[7]);
}

static void expect_order(const struct opcase_values *v)
{
	struct reference r = gate_reference(v->size);
	size_t n = r.T * r.k, lo = v->size[6], hi = v->size[7];
	double *expert = malloc(n * sizeof(double)), *slot = malloc(n * sizeof(double));
	struct reference_routing routing = {.expert = expert, .slot = slot};

	r.x = v->real[0];
	r.wg = v->real[1];
	reference_route(&r, &routing);
	for (size_t i = 0; i < n; i++)
		for (size_t m = 0; m < r.M && slot[i] >= (double)lo && slot[i] < (double)hi; m++)
			v->out[0][((size_t)expert[i] * (hi - lo) + (size_t)slot[i] - lo) * r.M +
				  m] = r.x[i / r.k * r.M + m];
	free(expert);
	free(slot);
}

static const size_t order_sizes[][OPCASE_MAX_SIZES] = {
	{1, 2, 1, 1, 1, 0, 0, 1},  {7, 3, 3, 1, 7, 0, 2, 5},  {8, 3, 4, 2, 8, 10, 0, 4},
	{8, 3, 4, 2, 4, 10, 1, 4}, {6, 2, 5, 3, 2, 10, 0, 3},
};

/* --- order and inverse order: the gate's sizes, then the number of chunks -------------------- */

#define MAX_CHUNKS 8

static fsmoe_tensor_t build_inverse(struct opcase_graph *og, const size_t *s)
{
	const struct reference r = gate_reference(s);
	size_t slots = r.T / r.group * reference_capacity(&r), at[MAX_CHUNKS + 1];
	fsmoe_tensor_t x, chunk[MAX_CHUNKS];
	struct fsmoe_route gate = append_gate(og, s, &x, NULL);
	const struct fsmoe_lists lists = {s[2], gate.expert, gate.slot, gate.weight, 0};

	for (size_t i = 0; i <= s[6]; i++)
		at[i] = i * slots / s[6];
	for (size_t i = 0; i < s[6]; i++)
		chunk[i] = fsmoe_order_chunk(opcase_graph(og), &lists, x, at[i], at[i + 1]);
	return fsmoe_inverse_order(opcase_graph(og), &lists, (struct fsmoe_cuts){s[6], at}, chunk);
}

/* Experts that do nothing: y_t = x_t times the weights of the choices that were served. */
static void expect_inverse(const struct opcase_values *v)
{
	struct reference r = gate_reference(v->size);
	size_t n = r.T * r.k;
	double *weight = malloc(n * sizeof(double)), *slot = malloc(n * sizeof(double));
	struct reference_routing routing = {.weight = weight, .slot = slot};

	r.x = v->real[0];
	r.wg = v->real[1];
	reference_route(&r, &routing);
	for (size_t i = 0; i < n; i++)
		for (size_t m = 0; m < r.M && slot[i] >= 0; m++)
			v->out[0][i / r.k * r.M + m] += weight[i] * r.x[i / r.k * r.M + m];
	free(weight);
	free(slot);
}

static const size_t inverse_sizes[][OPCASE_MAX_SIZES] = {
	{1, 2, 1, 1, 1, 0, 1}, {7, 3, 3, 1, 7, 0, 4},  {8, 3, 4, 2, 8, 10, 3},
	{8, 3, 3, 2, 4, 5, 2}, {6, 2, 5, 3, 2, 10, 1},
};

/* --- expert mlp: P, E, c, M, H, biases as bits (1 b2, 2 b1), 1 for ReLU ---------------------- */

static fsmoe_tensor_t build_expert(struct opcase_graph *og, const size_t *s)
{
	size_t P = s[0], E = s[1], c = s[2], M = s[3], H = s[4];
	struct fsmoe_expert_chunk chunk;
	fsmoe_tensor_t weight[FSMOE_MLP_WEIGHTS], y;

	chunk.in = opcase_activation(og, FSMOE_SHAPE4(P, E, c, M), -1, 1);
	weight[FSMOE_MLP_W1] = opcase_param(og, FSMOE_SHAPE3(E, H, M), -1, 1);
	weight[FSMOE_MLP_W2] = opcase_param(og, FSMOE_SHAPE3(E, M, H), -1, 1);
	weight[FSMOE_MLP_B1] = s[5] & 2 ? opcase_param(og, FSMOE_SHAPE2(E, H), -1, 1) : FSMOE_NONE;
	weight[FSMOE_MLP_B2] = s[5] & 1 ? opcase_param(og, FSMOE_SHAPE2(E, M), -1, 1) : FSMOE_NONE;
	y = fsmoe_ffn_forward(opcase_graph(og),
			      (struct fsmoe_expert_args){
				      &fsmoe_ffn_mlp, s[6] ? FSMOE_FFN_RELU : FSMOE_FFN_GELU, {0}},
			      FSMOE_NONE, weight, &chunk);
	opcase_also(og, chunk.saved[0]);
	return y;
}

/* Where row (p, e, s) of (P, E, c) lies by expert, as z does. */
static size_t by_expert(const size_t *size, size_t row)
{
	size_t P = size[0], E = size[1], c = size[2], block = row / c;

	return (block % E * P + block / E) * c + row % c;
}

static void expect_expert(const struct opcase_values *v)
{
	size_t P = v->size[0], E = v->size[1], c = v->size[2], M = v->size[3], H = v->size[4];
	const struct reference r = {.M = M,
				    .H = H,
				    .E = E,
				    .w1 = v->real[1],
				    .w2 = v->real[2],
				    .b1 = v->size[5] & 2 ? v->real[3] : NULL,
				    .b2 = v->size[5] & 1 ? v->real[3 + (v->size[5] > 1)] : NULL,
				    .relu = (int)v->size[6]};

	for (size_t row = 0; row < P * E * c; row++)
		reference_expert(&r, row / c % E, v->real[0] + row * M, v->out[0] + row * M,
				 v->out[1] + by_expert(v->size, row) * H);
}

/* The last two have more rows than a kernel takes at a time; the three before are of multiples of
 * eight, for which GPUs have kernels of their own. */
static const size_t expert_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 1, 3},   {1, 3, 4, 3, 5, 3},    {3, 1, 2, 4, 3, 2},    {2, 3, 5, 2, 4, 2},
	{2, 2, 3, 3, 2, 0},   {1, 2, 3, 2, 3, 1},    {2, 2, 3, 2, 4, 3, 1}, {1, 3, 2, 2, 3, 0, 1},
	{3, 1, 2, 3, 2, 2},   {2, 3, 16, 16, 24, 3}, {2, 3, 16, 16, 24, 0}, {3, 1, 24, 8, 40, 3},
	{1, 1, 300, 1, 2, 3}, {2, 2, 270, 1, 1, 3},
};

/* --- expert swiglu: P, E, c, M, H ------------------------------------------------------------ */

static fsmoe_tensor_t build_swiglu(struct opcase_graph *og, const size_t *s)
{
	size_t P = s[0], E = s[1], c = s[2], M = s[3], H = s[4];
	struct fsmoe_expert_chunk chunk;
	fsmoe_tensor_t weight[FSMOE_SWIGLU_WEIGHTS], y;

	chunk.in = opcase_activation(og, FSMOE_SHAPE4(P, E, c, M), -1, 1);
	weight[FSMOE_SWIGLU_W1] = opcase_param(og, FSMOE_SHAPE3(E, H, M), -1, 1);
	weight[FSMOE_SWIGLU_W3] = opcase_param(og, FSMOE_SHAPE3(E, H, M), -1, 1);
	weight[FSMOE_SWIGLU_W2] = opcase_param(og, FSMOE_SHAPE3(E, M, H), -1, 1);
	y = fsmoe_ffn_forward(opcase_graph(og),
			      (struct fsmoe_expert_args){&fsmoe_ffn_swiglu, FSMOE_FFN_SWIGLU, {0}},
			      FSMOE_NONE, weight, &chunk);
	opcase_also(og, chunk.saved[0]);
	return y;
}

static void expect_swiglu(const struct opcase_values *v)
{
	size_t P = v->size[0], E = v->size[1], c = v->size[2], M = v->size[3], H = v->size[4];
	const struct reference r = {
		.M = M, .H = H, .E = E, .w1 = v->real[1], .w3 = v->real[2], .w2 = v->real[3]};

	for (size_t row = 0; row < P * E * c; row++)
		reference_expert(&r, row / c % E, v->real[0] + row * M, v->out[0] + row * M,
				 v->out[1] + by_expert(v->size, row) * 2 * H);
}

static const size_t swiglu_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 1},    {1, 3, 4, 3, 5},   {3, 1, 2, 4, 3},   {2, 3, 5, 2, 4},
	{2, 3, 16, 16, 24}, {1, 1, 300, 1, 2}, {2, 2, 270, 1, 1},
};

/* --- experts in chunks: P, E, M, H, 1 for mixtral, backward chunks of the first weight node -- */

static fsmoe_tensor_t expert_leaf(struct opcase_graph *og, enum fsmoe_ffn_part part,
				  const size_t *s, int gradient)
{
	const size_t E = s[1], M = s[2], H = s[3];
	const struct fsmoe_shape shape = part == FSMOE_FFN_IN        ? FSMOE_SHAPE3(E, H, M)
					 : part == FSMOE_FFN_OUT     ? FSMOE_SHAPE3(E, M, H)
					 : part == FSMOE_FFN_IN_BIAS ? FSMOE_SHAPE2(E, H)
								     : FSMOE_SHAPE2(E, M);

	return gradient ? opcase_state(og, shape, -1, 1) : opcase_param(og, shape, -1, 1);
}

/* Forward and backward as a layer builds them, cut differently: outputs are dx of every chunk and
 * the weights' gradients. What they must be the layer's own cases say; here it is the same of all
 * types and machines. */
static fsmoe_tensor_t build_chunks(struct opcase_graph *og, const size_t *s)
{
	static const size_t at[] = {0, 5, 9}, back_at[] = {0, 4, 6, 9};
	const struct fsmoe_ffn *ffn = s[4] ? &fsmoe_ffn_swiglu : &fsmoe_ffn_mlp;
	const struct fsmoe_expert_args net = {ffn, s[4] ? FSMOE_FFN_SWIGLU : FSMOE_FFN_GELU, {0}};
	struct fsmoe_expert_chunk x[2], dy[3];
	const struct fsmoe_expert_pass forward = {{2, at}, x};
	struct fsmoe_expert_pass backward = {{3, back_at}, dy};
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS], gradient[FSMOE_EXPERT_WEIGHTS], dx[3];
	fsmoe_graph_t graph = opcase_graph(og);

	for (int w = 0; w < ffn->nweights; w++)
		weight[w] = expert_leaf(og, ffn->part[w], s, 0);
	for (int w = 0; w < ffn->nweights; w++)
		gradient[w] = expert_leaf(og, ffn->part[w], s, 1);
	for (int i = 0; i < 2; i++)
	{
		x[i].in = opcase_activation(og, FSMOE_SHAPE4(s[0], s[1], at[i + 1] - at[i], s[2]),
					    -1, 1);
		fsmoe_ffn_forward(graph, net, FSMOE_NONE, weight, &x[i]);
	}
	for (size_t i = 0; i < 3; i++)
	{
		dy[i].in = opcase_activation(
			og, FSMOE_SHAPE4(s[0], s[1], back_at[i + 1] - back_at[i], s[2]), -1, 1);
		dx[i] = fsmoe_ffn_backward_input(graph, net, FSMOE_NONE, weight, &forward,
						 &backward, i);
	}
	fsmoe_ffn_backward_weight(graph, net, FSMOE_NONE, gradient, &forward, &backward, 0, s[5]);
	if (s[5] < 3)
		fsmoe_ffn_backward_weight(graph, net, FSMOE_NONE, gradient, &forward, &backward,
					  s[5], 3);
	opcase_also(og, dx[1]);
	opcase_also(og, dx[2]);
	for (int w = 0; w < ffn->nweights; w++)
		opcase_also(og, gradient[w]);
	return dx[0];
}

static const size_t chunks_sizes[][OPCASE_MAX_SIZES] = {
	{2, 3, 3, 5, 0, 3},  {2, 3, 16, 24, 0, 2}, {3, 1, 8, 16, 0, 3},  {3, 1, 4, 6, 0, 1},
	{1, 2, 16, 8, 0, 2}, {2, 3, 3, 5, 1, 2},   {2, 3, 16, 24, 1, 3}, {3, 1, 8, 16, 1, 2},
};

/* --- the layer: T, M, H, E, k, group, factor in tenths, degrees forward * 10 + backward, and 100
 * for expert swiglu ---------------------------------------------------------------------------- */

static struct reference layer_reference(const size_t *s)
{
	return (struct reference){.T = s[0],
				  .M = s[1],
				  .H = s[2],
				  .E = s[3],
				  .k = s[4],
				  .group = s[5] ? s[5] : s[0],
				  .factor = (double)s[6] / 10};
}

static fsmoe_tensor_t build_layer(struct opcase_graph *og, const size_t *s)
{
	const struct fsmoe_moe_spec spec = {.name = "moe",
					    .experts = (int)s[3],
					    .top_k = (int)s[4],
					    .hidden_size = s[1],
					    .ffn_size = s[2],
					    .capacity_factor = (double)s[6] / 10,
					    .routing_group = s[5],
					    .forward_degree = (int)s[7] / 10 % 10,
					    .backward_degree = (int)s[7] % 10,
					    .expert = s[7] < 100 ? "gpt" : "mixtral"};
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(s[0], s[1]), -1, 1);
	fsmoe_tensor_t y = fsmoe_moe(opcase_graph(og), x, &spec);

	opcase_adopt(og, "moe.gate.weight", -1, 1);
	opcase_adopt(og, "moe.experts.w1", -1, 1);
	opcase_adopt(og, "moe.experts.w2", -1, 1);
	if (s[7] >= 100)
	{
		opcase_adopt(og, "moe.experts.w3", -1, 1);
		return y;
	}
	opcase_adopt(og, "moe.experts.b1", -1, 1);
	opcase_adopt(og, "moe.experts.b2", -1, 1);
	return y;
}

static void expect_layer(const struct opcase_values *v)
{
	struct reference r = layer_reference(v->size);

	r.x = v->real[0];
	r.wg = v->real[1];
	r.w1 = v->real[2];
	r.w2 = v->real[3];
	if (v->size[7] >= 100)
		r.w3 = v->real[4];
	else
	{
		r.b1 = v->real[4];
		r.b2 = v->real[5];
	}
	reference_layer(&r, v->out[0]);
}

/* One token; one expert; k = E; experts without tokens; drops; groups smaller than the rows. */
static const size_t layer_sizes[][OPCASE_MAX_SIZES] = {
	{1, 3, 4, 2, 1, 0, 0, 0},    {5, 3, 2, 1, 1, 0, 0, 23},    {4, 2, 3, 3, 3, 0, 0, 31},
	{3, 3, 4, 7, 2, 0, 0, 12},   {8, 3, 4, 4, 2, 0, 10, 43},   {8, 3, 4, 2, 2, 0, 5, 13},
	{12, 2, 3, 3, 2, 4, 10, 35}, {8, 3, 4, 4, 2, 2, 10, 14},   {5, 3, 2, 2, 1, 0, 0, 123},
	{8, 3, 4, 4, 2, 0, 10, 143}, {12, 2, 3, 3, 2, 4, 10, 135}, {12, 2, 3, 3, 2, 4, 0, 12},
	{12, 2, 3, 5, 2, 3, 0, 121},
};

/* The operations that gates are made of have their own cases, in conformance-ops and test-ops. */
static int is_covered(const struct fsmoe_op *op)
{
	return strncmp(op->name, "route", 5) && strncmp(op->name, "gate_", 5) &&
	       strncmp(op->name, "linear", 6);
}

static const struct opcase cases[] = {
	{"gate", build_gate, expect_gate, OPCASE_SIZES(gate_sizes), .seed = 1,
	 .covers = is_covered},
	{"order", build_order, expect_order, OPCASE_SIZES(order_sizes), .seed = 1,
	 .covers = is_covered},
	{"inverse_order", build_inverse, expect_inverse, OPCASE_SIZES(inverse_sizes), .seed = 1,
	 .covers = is_covered},
	{"expert_mlp", build_expert, expect_expert, OPCASE_SIZES(expert_sizes), .seed = 1,
	 .covers = is_covered},
	{"expert_swiglu", build_swiglu, expect_swiglu, OPCASE_SIZES(swiglu_sizes), .seed = 1,
	 .covers = is_covered},
	{"experts in chunks", build_chunks, NULL, OPCASE_SIZES(chunks_sizes),
	 .flags = OPCASE_NO_GRADIENT, .seed = 1, .covers = is_covered},
	{"moe layer", build_layer, expect_layer, OPCASE_SIZES(layer_sizes), .seed = 1,
	 .covers = is_covered},
};

int main(void)
{
	return opcase_main("moe", cases, (int)(sizeof(cases) / sizeof(cases[0])));
}
