/* SPDX-License-Identifier: Apache-2.0 */
/* A layer on four ranks gives every token what it gets on one rank that holds all of them, and the
 * parameters' gradients, summed over the group that their spec names, are parts of that rank's. */
#include "bench.h"
#include "comm/comm.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <math.h>
#include <string.h>

enum
{
	RANKS = 4,
	ROWS = 12 /* of a rank, which is a routing group */
};

static const struct fsmoe_moe_spec plain = {.name = "moe",
					    .experts = 8,
					    .top_k = 2,
					    .hidden_size = 6,
					    .ffn_size = 8,
					    .capacity_factor = 1,
					    .routing_group = ROWS};

static fsmoe_topo_t topo;

static void assert_part(const struct bench *part, const void *got, const struct bench *whole,
			const void *want, size_t i, size_t at, const char *what)
{
	double g = bench_get(part, got, i), w = bench_get(whole, want, at);
	double tolerance = opcase_tolerance(part->real, RANKS * ROWS + 2 * 6 + 2 * 8, fabs(w));

	if (!(fabs(g - w) <= tolerance))
		fail_msg("%s, element %zu (%zu of the whole): %.17g, expected %.17g", what, i, at,
			 g, w);
}

static void compare(const struct bench *part, fsmoe_comms_t comms, const struct bench *whole,
		    size_t first)
{
	size_t M = plain.hidden_size;
	int n;
	const struct fsmoe_param *param = fsmoe_graph_params(part->graph, &n);

	for (size_t i = 0; i < ROWS * M; i++)
	{
		assert_part(part, bench_data(part, part->y), whole, bench_data(whole, whole->y), i,
			    first * M + i, "y");
		assert_part(part, bench_grad(part, "x"), whole, bench_grad(whole, "x"), i,
			    first * M + i, "x");
	}
	for (int p = 0; p < n; p++)
	{
		const struct fsmoe_param_spec *spec = &param[p].spec;
		size_t count = bench_count(part, param[p].tensor);
		if (param[p].tensor == part->x)
			continue;
		assert_int_equal(fsmoe_comm_allreduce(fsmoe_comms_get(comms, spec->reduce),
						      part->real, bench_grad(part, spec->name),
						      count),
				 0);
		for (size_t i = 0; i < count; i++)
			assert_part(part, bench_grad(part, spec->name), whole,
				    bench_grad(whole, spec->name), i, bench_global_index(spec, i),
				    spec->name);
	}
}

static void try_layout(struct fsmoe_moe_spec spec, struct fsmoe_layout layout, int forward_degree,
		       int backward_degree)
{
	struct bench part, whole;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	size_t first = ROWS * (size_t)fsmoe_topo_rank(topo);

	bench_setup(&whole, &spec, FSMOE_F64, NULL, 0, RANKS * ROWS);
	assert_int_equal(bench_run(&whole, NULL), 0);
	spec.forward_degree = forward_degree;
	spec.backward_degree = backward_degree;
	assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
	assert_int_equal(fsmoe_comms_create(&comms, groups), 0);
	bench_setup(&part, &spec, FSMOE_F64, groups, first, ROWS);
	if (bench_run(&part, comms))
		fail_msg("%s", fsmoe_last_error());
	compare(&part, comms, &whole, first);
	bench_teardown(&part);
	bench_teardown(&whole);
	fsmoe_comms_destroy(comms);
	fsmoe_groups_destroy(groups);
}

/* Degrees of data, model, expert and shard parallelism; 4 / (ep * esp) ranks hold the same. */
static const struct fsmoe_layout layouts[] = {
	{.dp = 2, .tp = 2, .ep = 2, .esp = 2}, {.dp = 4, .tp = 1, .ep = 4, .esp = 1},
	{.dp = 1, .tp = 4, .ep = 1, .esp = 4}, {.dp = 4, .tp = 1, .ep = 2, .esp = 1},
	{.dp = 2, .tp = 2, .ep = 1, .esp = 2}, {.dp = 4, .tp = 1, .ep = 1, .esp = 1},
};

static void layouts_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
	{
		try_layout(plain, layouts[i], 1, 1);
		try_layout(plain, layouts[i], 3, 2);
		try_layout(plain, layouts[i], 2, 4);
	}
}

/* Sharded and not: an expert's options; its biases are added by one shard alone. */
static void expert_options_agree(void **state)
{
	static const struct fsmoe_expert_opts opts[] = {{"relu", 0}, {NULL, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++)
	{
		struct fsmoe_moe_spec spec = plain;
		spec.expert_opts = opts[i];
		try_layout(spec, layouts[0], 2, 3);
		try_layout(spec, layouts[2], 3, 1);
		try_layout(spec, layouts[3], 1, 2);
	}
}

static int list(enum fsmoe_module_kind kind, struct fsmoe_module_info *info)
{
	int n = 32;

	assert_int_equal(fsmoe_module_list(kind, info, &n), 0);
	return n;
}

/* Returns all losses that a gate can take, and the i-th drop policy. */
static struct fsmoe_gate_opts options(const struct fsmoe_gate *g, int i)
{
	static const char *const drops[] = {"position", "probability", "token"};

	return (struct fsmoe_gate_opts){
		.drop_policy = g->options & FSMOE_GATE_DROP ? drops[i % 3] : NULL,
		.balance_loss = g->losses & FSMOE_LOSS_BALANCE ? 0.5 : 0,
		.importance_loss = g->losses & FSMOE_LOSS_IMPORTANCE ? 0.3 : 0,
		.z_loss = g->losses & FSMOE_LOSS_Z ? 0.1 : 0,
	};
}

/* Every gate with every order that reads it, every dispatch and every expert: where the dispatch
 * has stages, where there are shards, and in one layout more. Losses, drops and noise included: all
 * of it is of groups and tokens, not of ranks. */
static void modules_agree(void **state)
{
	struct fsmoe_module_info gate[32], order[32], dispatch[32], expert[32];
	int ngates = list(FSMOE_MODULE_GATE, gate), norders = list(FSMOE_MODULE_ORDER, order);
	int ndispatches = list(FSMOE_MODULE_DISPATCH, dispatch);
	int nexperts = list(FSMOE_MODULE_EXPERT, expert), tried = 0;

	(void)state;
	for (int i = 0; i < ngates * norders * ndispatches * nexperts; i++)
	{
		const struct fsmoe_gate *g = fsmoe_gate_find(gate[i % ngates].name);
		const struct fsmoe_order *o = fsmoe_order_find(order[i / ngates % norders].name);
		struct fsmoe_moe_spec spec = plain;
		if (!(o->routings & 1u << g->routing))
			continue;
		spec.gate = g->module.name;
		spec.order = o->module.name;
		spec.dispatch = dispatch[i / ngates / norders % ndispatches].name;
		spec.expert = expert[i / ngates / norders / ndispatches].name;
		spec.gate_opts = options(g, i);
		try_layout(spec, layouts[1], 2, 3);
		if (!strcmp(spec.dispatch, "flat")) /* the others are flat in these */
		{
			try_layout(spec, layouts[0], 3, 2);
			try_layout(spec, layouts[2 + i % 4], 1, 2);
		}
		tried++;
	}
	if (fsmoe_topo_rank(topo) == 0)
		printf("%d layers\n", tried);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(layouts_agree),
					   cmocka_unit_test(expert_options_agree),
					   cmocka_unit_test(modules_agree)};
	int failed;

	if (fsmoe_topo_create(&topo, NULL, 2))
	{
		fprintf(stderr, "%s\n", fsmoe_last_error());
		return 99;
	}
	if (fsmoe_topo_ranks(topo) != RANKS)
	{
		fprintf(stderr, "this test is for %d ranks\n", RANKS);
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fsmoe_topo_destroy(topo);
	return failed ? 1 : 0;
}
