/* SPDX-License-Identifier: Apache-2.0 */
#include "pairs.h"

#include "base/rng.h"
#include "tests/lib/opcase_internal.h"

#include <string.h>

/* One token; one expert; k = E; experts without tokens; 0 < f < 1; several groups, drops. */
const struct pair_shape pair_shapes[] = {
	{1, 3, 4, 2, 1, 1, 0, 1, 1},  {5, 3, 2, 1, 1, 5, 0, 2, 3},   {4, 2, 3, 3, 3, 4, 0, 3, 1},
	{3, 3, 4, 7, 2, 3, 0, 1, 2},  {8, 3, 4, 4, 2, 8, 0.5, 1, 2}, {12, 2, 3, 3, 2, 4, 1, 3, 5},
	{10, 3, 2, 3, 1, 5, 1, 2, 4},
};
const struct pair_option pair_options[] = {
	{NULL, NULL, 0},     {"probability", NULL, 0},   {"token", NULL, 0}, {NULL, "all", 0},
	{NULL, "chosen", 0}, {"position", "sigmoid", 0}, {NULL, NULL, 1},
};
const size_t pair_nshapes = sizeof(pair_shapes) / sizeof(pair_shapes[0]);
const size_t pair_noptions = sizeof(pair_options) / sizeof(pair_options[0]);

static const char *name_of(enum fsmoe_module_kind kind, size_t i)
{
	struct fsmoe_module_info infos[64];
	int n = 64;

	assert_int_equal(fsmoe_module_list(kind, infos, &n), 0);
	return i < (size_t)n ? infos[i].name : NULL;
}

const struct fsmoe_gate *pair_gate(size_t i)
{
	const char *name = name_of(FSMOE_MODULE_GATE, i);

	return name ? fsmoe_gate_find(name) : NULL;
}

const struct fsmoe_order *pair_order(size_t i)
{
	const char *name = name_of(FSMOE_MODULE_ORDER, i);

	return name ? fsmoe_order_find(name) : NULL;
}

const struct fsmoe_expert *pair_expert(size_t i)
{
	const char *name = name_of(FSMOE_MODULE_EXPERT, i);

	return name ? fsmoe_expert_find(name) : NULL;
}

int pair_fits(size_t gate, size_t order, size_t shape, size_t option)
{
	const struct fsmoe_gate *g = pair_gate(gate);
	const struct pair_option *o = &pair_options[option];

	if (!(pair_order(order)->routings & 1u << g->routing))
		return 0;
	if (fsmoe_gate_check_options(g,
				     &(struct fsmoe_gate_opts){.drop_policy = o->drop,
							       .routing_weights = o->weights,
							       .softmoe_normalize = o->normalize}))
		return 0;
	/* Softmax over one choice teaches nothing and is refused, but for experts that choose. */
	return pair_shapes[shape].k > 1 || !o->weights || strcmp(o->weights, "chosen") ||
	       g->causal == FSMOE_NOT_CAUSAL;
}

struct fsmoe_moe_spec pair_spec(const size_t *p)
{
	const struct pair_shape *s = &pair_shapes[p[PAIR_SHAPE]];
	const struct pair_option *o = &pair_options[p[PAIR_OPTION]];

	return (struct fsmoe_moe_spec){.name = "moe",
				       .experts = (int)s->E,
				       .top_k = (int)s->k,
				       .hidden_size = s->M,
				       .ffn_size = s->H,
				       .capacity_factor = s->factor,
				       .routing_group = s->group,
				       .forward_degree = s->forward_degree,
				       .backward_degree = s->backward_degree,
				       .gate = pair_gate(p[PAIR_GATE])->module.name,
				       .order = pair_order(p[PAIR_ORDER])->module.name,
				       .expert = pair_expert(p[PAIR_EXPERT])->module.name,
				       .gate_opts = {.drop_policy = o->drop,
						     .routing_weights = o->weights,
						     .softmoe_normalize = o->normalize}};
}

struct reference_gate pair_reference(const size_t *p)
{
	const struct pair_shape *s = &pair_shapes[p[PAIR_SHAPE]];
	const struct pair_option *o = &pair_options[p[PAIR_OPTION]];
	size_t d = s->E / 2 > 16 ? s->E / 2 : 16;

	return (struct reference_gate){.name = pair_gate(p[PAIR_GATE])->module.name,
				       .drop = o->drop,
				       .weights = o->weights,
				       .r = {.T = s->T,
					     .M = s->M,
					     .H = s->H,
					     .E = s->E,
					     .k = s->k,
					     .group = s->group,
					     .factor = s->factor},
				       .rank = d < s->M ? d : s->M,
				       .seed = opcase_step.seed,
				       .step = opcase_step.step,
				       .stream = fsmoe_rng_key(0, "moe")};
}

const double **pair_parameter(struct reference_gate *g, const char *name)
{
	const struct
	{
		const char *name;
		const double **at;
	} places[] = {
		{"moe.gate.weight", &g->weight},
		{"moe.gate.noise", &g->noise},
		{"moe.gate.projection", &g->projection},
		{"moe.gate.temperature", &g->temperature},
		{"moe.gate.phi", &g->phi},
		{"moe.experts.w1", &g->r.w1},
		{"moe.experts.b1", &g->r.b1},
		{"moe.experts.w2", &g->r.w2},
		{"moe.experts.w3", &g->r.w3},
		{"moe.experts.b2", &g->r.b2},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!strcmp(places[i].name, name))
			return places[i].at;
	return NULL;
}
