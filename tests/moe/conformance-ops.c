/* SPDX-License-Identifier: Apache-2.0 */
/* Every gate with every order and expert, as a whole layer: outputs against plain loops, gradients
 * of everything against finite differences, float against double, access modes of every new row;
 * and the auxiliary losses alike. */
#include "codelets/gate_loss.h"
#include "codelets/gate_scores.h"
#include "codelets/route.h"
#include "pairs.h"
#include "tests/lib/opcase_internal.h"

#include <stdlib.h>
#include <string.h>

static int is_ours(const struct fsmoe_op *op)
{
	static const char *const prefixes[] = {"gate_", "route", "order_mask", "einsum"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(op->name, "gate_topk", 9) && /* has cases in ops.c */
		    !strncmp(op->name, prefixes[i], strlen(prefixes[i])))
			return 1;
	return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

/* The parameters of the layer built last, which are its leaves after x. */
static char leaf_name[OPCASE_MAX_LEAVES][64];
static int nleaves;

static fsmoe_tensor_t build_layer(struct opcase_graph *og, const size_t *pair)
{
	const struct fsmoe_moe_spec spec = pair_spec(pair);
	const struct pair_shape *s = &pair_shapes[pair[PAIR_SHAPE]];
	/* Cosines ask for vectors so long that a difference quotient does not turn them around, and
	 * a temperature at which they are neither lost nor a step function. */
	int cosine = reference_gate_is_cosine(spec.gate) || spec.gate_opts.softmoe_normalize;
	/* A projection makes them longer. */
	double most = !cosine ? 1 : !strcmp(spec.gate, "cosine") ? 6 : 3;
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(s->T, s->M), -most, most);
	fsmoe_tensor_t y = fsmoe_moe(opcase_graph(og), x, &spec);
	const struct fsmoe_param *param;
	int n;

	param = fsmoe_graph_params(opcase_graph(og), &n);
	nleaves = 0;
	for (int i = 0; i < n; i++)
		if (!strncmp(param[i].spec.name, "moe.", 4))
			snprintf(leaf_name[nleaves++], sizeof(leaf_name[0]), "%s",
				 param[i].spec.name);
	for (int l = 0; l < nleaves; l++)
		if (strstr(leaf_name[l], "temperature"))
			opcase_adopt(og, leaf_name[l], spec.gate_opts.softmoe_normalize ? 1 : 6,
				     spec.gate_opts.softmoe_normalize ? 2 : 9);
		else if (cosine && strstr(leaf_name[l], ".gate."))
			opcase_adopt(og, leaf_name[l], -4, 4);
		else
			opcase_adopt(og, leaf_name[l], -1, 1);
	return y;
}

static void expect_layer(const struct opcase_values *v)
{
	struct reference_gate g = pair_reference(v->size);

	g.r.x = v->real[0];
	for (int l = 0; l < nleaves; l++)
	{
		const double **at = pair_parameter(&g, leaf_name[l]);
		if (!at)
			fail_msg("the reference has no parameter '%s'", leaf_name[l]);
		*at = v->real[1 + l];
	}
	if (!reference_gate_layer(&g, v->out[0]))
		fail_msg("gate '%s' has no reference in tests/moe/gates.c", g.name);
}

/* --- losses: T, M, E, k, group, 1 with noise, which loss -------------------------------------- */

static fsmoe_tensor_t build_loss(struct opcase_graph *og, const size_t *s)
{
	fsmoe_graph_t graph = opcase_graph(og);
	const struct fsmoe_gate_noise_args noise_args = {0, {0, s[0], s[0]}};
	const struct fsmoe_route_args route = {
		.topk = s[3], .group = s[4], .capacity = s[4], .weights = FSMOE_WEIGHTS_ALL};
	const double scale = 1.0 / (double)s[0];
	const struct fsmoe_gate_loss_args args = {.balance = s[6] == 0 ? scale : 0,
						  .importance = s[6] == 1 ? scale : 0,
						  .z = s[6] == 2 ? scale : 0,
						  .group = s[4],
						  .topk = s[3]};
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(s[0], s[1]), -1, 1);
	fsmoe_tensor_t wg = opcase_param(og, FSMOE_SHAPE2(s[2], s[1]), -1, 1), wnoise;
	struct fsmoe_gate_loss_inputs in = {fsmoe_gate_logits(graph, x, wg), FSMOE_NONE, FSMOE_NONE,
					    FSMOE_NONE};
	struct fsmoe_gate_noise noise;

	if (s[5])
	{
		wnoise = opcase_param(og, FSMOE_SHAPE2(s[2], s[1]), -1, 1);
		noise = fsmoe_gate_noise(graph, in.logits, fsmoe_gate_logits(graph, x, wnoise),
					 &noise_args);
		in.noisy = noise.noisy;
		in.deviation = noise.deviation;
	}
	in.expert = fsmoe_route(graph, s[5] ? in.noisy : in.logits, &route).expert;
	return fsmoe_gate_loss(graph, &in, &args);
}

static void expect_loss(const struct opcase_values *v)
{
	const size_t *s = v->size;
	const struct reference_gate g = {
		.name = s[5] ? "gshard" : "topk",
		.r = {.T = s[0], .M = s[1], .E = s[2], .k = s[3], .group = s[4], .x = v->real[0]},
		.weight = v->real[1],
		.noise = s[5] ? v->real[2] : NULL,
		.seed = opcase_step.seed,
		.step = opcase_step.step};
	double loss[3];

	assert_int_equal(reference_gate_losses(&g, loss), 1);
	v->out[0][0] = loss[s[6]];
}

static const size_t loss_sizes[][OPCASE_MAX_SIZES] = {
	{1, 2, 1, 1, 1, 0, 0},  {8, 3, 4, 2, 8, 0, 0},  {12, 3, 3, 1, 4, 1, 0},
	{8, 3, 4, 2, 8, 0, 1},  {12, 3, 3, 1, 4, 1, 1}, {6, 2, 3, 3, 6, 1, 1},
	{10, 2, 5, 2, 5, 1, 1}, {1, 2, 1, 1, 1, 0, 1},  {12, 3, 3, 1, 4, 0, 2},
};

/* --- all of them ------------------------------------------------------------------------------ */

static size_t pairs[1000][OPCASE_MAX_SIZES];

static int add_pairs(int n, size_t gate, size_t order, size_t expert)
{
	for (size_t i = 0; i < pair_nshapes * pair_noptions; i++)
	{
		size_t shape = i / pair_noptions, option = i % pair_noptions;
		/* Options only where something can be dropped, which the other shapes would not
		 * notice, and with one expert, since experts know nothing of gates. */
		if (!pair_fits(gate, order, shape, option) ||
		    (option > 0 && (pair_shapes[shape].factor == 0 || expert > 0)))
			continue;
		assert_true(n < 1000);
		pairs[n][PAIR_GATE] = gate;
		pairs[n][PAIR_ORDER] = order;
		pairs[n][PAIR_EXPERT] = expert;
		pairs[n][PAIR_SHAPE] = shape;
		pairs[n++][PAIR_OPTION] = option;
	}
	return n;
}

static int list_pairs(void)
{
	int n = 0;

	for (size_t g = 0; pair_gate(g); g++)
		for (size_t o = 0; pair_order(o); o++)
			for (size_t e = 0; pair_expert(e); e++)
				n = add_pairs(n, g, o, e);
	return n;
}

int main(void)
{
	const struct opcase cases[] = {
		{"gates and orders", build_layer, expect_layer, .sizes = pairs,
		 .nsizes = list_pairs(), .seed = 1, .covers = is_ours},
		{"gate_loss", build_loss, expect_loss, OPCASE_SIZES(loss_sizes), .seed = 1,
		 .covers = is_ours},
	};

	printf("%d layers\n", cases[0].nsizes);
	return opcase_main("conformance", cases, (int)(sizeof(cases) / sizeof(cases[0])));
}
