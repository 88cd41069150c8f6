/* SPDX-License-Identifier: Apache-2.0 */
/* Modules by name, modules of a program's own, and layers that cannot be. */
#include "bench.h"
#include "tests/lib/opcase_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

static const struct fsmoe_moe_spec plain = {.name = "moe",
					    .experts = 4,
					    .top_k = 2,
					    .hidden_size = 6,
					    .ffn_size = 5,
					    .capacity_factor = 1,
					    .forward_degree = 2,
					    .backward_degree = 3};

static void lists(void **state)
{
	static const char *const first[] = {"topk", "sparse", "flat", "mlp"};
	struct fsmoe_module_info infos[100];

	(void)state;
	for (int kind = 0; kind < FSMOE_NMODULES; kind++)
	{
		int n = 100, total = 0;
		assert_int_equal(fsmoe_module_list((enum fsmoe_module_kind)kind, infos, &n), 0);
		assert_true(n >= 1 && n <= 100);
		assert_string_equal(infos[0].name, first[kind]);
		for (int i = 0; i < n; i++)
			assert_true(strlen(infos[i].name) > 0 && strlen(infos[i].doc) > 0);
		assert_int_equal(fsmoe_module_list((enum fsmoe_module_kind)kind, NULL, &total), 0);
		assert_int_equal(total, n);
		assert_true(strlen(fsmoe_module_kind_name((enum fsmoe_module_kind)kind)) > 0);
	}
	int n = 0;
	assert_int_equal(fsmoe_module_list(FSMOE_NMODULES, NULL, &n), -EINVAL);
}

static void finds(void **state)
{
	(void)state;
	assert_ptr_equal(fsmoe_gate_find(NULL), fsmoe_gate_find("topk"));
	assert_non_null(fsmoe_order_find("sparse"));
	assert_non_null(fsmoe_dispatch_find("flat"));
	assert_non_null(fsmoe_expert_find("mlp"));
	assert_null(fsmoe_gate_find("tokp"));
	assert_non_null(strstr(fsmoe_last_error(), "gate 'tokp'"));
	assert_non_null(strstr(fsmoe_last_error(), "topk"));
}

/* --- modules of our own ----------------------------------------------------------------------- */

static int gate_calls, gate_refuses;

static int own_check(const struct fsmoe_moe_layer *layer)
{
	return gate_refuses ? fsmoe_fail(EDOM, "own gate: not with %zu experts", layer->experts)
			    : 0;
}

static void own_forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
			struct fsmoe_routing *routing)
{
	gate_calls++;
	fsmoe_gate_find("topk")->forward(layer, x, routing);
}

static const struct fsmoe_gate own_gate = {
	.module = {FSMOE_MODULE_ABI, "own", "a program's own gate", own_check},
	.routing = FSMOE_ROUTING_LISTS,
	.forward = own_forward,
};

static void registers(void **state)
{
	static const struct fsmoe_gate taken = {.module = {FSMOE_MODULE_ABI, "topk", "x", NULL}};
	static const struct fsmoe_gate old = {.module = {FSMOE_MODULE_ABI - 1, "old", "x", NULL}};
	static const struct fsmoe_gate nameless = {.module = {FSMOE_MODULE_ABI, NULL, "x", NULL}};
	static struct fsmoe_order order;
	static struct fsmoe_dispatch dispatch;
	static struct fsmoe_expert expert;

	(void)state;
	assert_int_equal(fsmoe_gate_register(&taken), -EEXIST);
	assert_int_equal(fsmoe_gate_register(&old), -EINVAL);
	assert_int_equal(fsmoe_gate_register(&nameless), -EINVAL);
	assert_int_equal(fsmoe_gate_register(&own_gate), 0);
	assert_int_equal(fsmoe_gate_register(&own_gate), -EEXIST);
	assert_ptr_equal(fsmoe_gate_find("own"), &own_gate);

	order = *fsmoe_order_find("sparse");
	order.module.name = "dense-only";
	order.routings = 1 << FSMOE_ROUTING_DENSE;
	assert_int_equal(fsmoe_order_register(&order), 0);
	dispatch = *fsmoe_dispatch_find("flat");
	dispatch.module.name = "own-dispatch";
	assert_int_equal(fsmoe_dispatch_register(&dispatch), 0);
	expert = *fsmoe_expert_find("mlp");
	expert.module.name = "own-expert";
	assert_int_equal(fsmoe_expert_register(&expert), 0);
}

static void own_modules_work(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench ours, theirs;

	(void)state;
	bench_setup(&theirs, &spec, FSMOE_F32, NULL, 0, 12);
	spec.gate = "own";
	spec.dispatch = "own-dispatch";
	spec.expert = "own-expert";
	bench_setup(&ours, &spec, FSMOE_F32, NULL, 0, 12);
	assert_int_equal(gate_calls, 1);
	assert_int_equal(bench_run(&ours, NULL), 0);
	assert_int_equal(bench_run(&theirs, NULL), 0);
	assert_memory_equal(bench_data(&ours, ours.y), bench_data(&theirs, theirs.y),
			    12 * 6 * sizeof(float));
	assert_memory_equal(bench_grad(&ours, "moe.experts.w1"),
			    bench_grad(&theirs, "moe.experts.w1"), 4 * 5 * 6 * sizeof(float));
	bench_teardown(&ours);
	bench_teardown(&theirs);
}

/* A gate from elsewhere reports what went wrong, and chooses for the experts. */
static int choose_fails;

static void picky_forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
			  struct fsmoe_routing *routing)
{
	fsmoe_tensor_t w =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, 1);

	if (choose_fails)
		fsmoe_graph_fail(layer->graph, fsmoe_fail(ERANGE, "picky: not today"));
	fsmoe_gate_choose_tokens(layer, fsmoe_gate_logits(layer->graph, x, w),
				 FSMOE_WEIGHTS_DEFAULT, routing);
}

static const struct fsmoe_gate picky_gate = {
	.module = {FSMOE_MODULE_ABI, "picky", "a gate of no fixed temper", NULL},
	.causal = FSMOE_NOT_CAUSAL,
	.routing = FSMOE_ROUTING_LISTS,
	.forward = picky_forward,
};

static void builders_fail_in_public(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;

	(void)state;
	assert_int_equal(fsmoe_gate_register(&picky_gate), 0);
	spec.gate = "picky";
	bench_setup(&b, &spec, FSMOE_F32, NULL, 0, 8);
	assert_int_equal(bench_run(&b, NULL), 0);
	fsmoe_graph_add_loss(b.graph, b.y);
	assert_int_equal(fsmoe_graph_status(b.graph), -EINVAL);
	assert_non_null(strstr(fsmoe_last_error(), "one element"));
	bench_teardown(&b);
	choose_fails = 1;
	bench_build(&b, &spec, NULL, 8);
	assert_int_equal(fsmoe_graph_status(b.graph), -ERANGE);
	assert_string_equal(fsmoe_last_error(), "picky: not today");
	bench_teardown(&b);
}

/* --- layers that cannot be -------------------------------------------------------------------- */

static void assert_refused(const struct fsmoe_moe_spec *spec, fsmoe_groups_t groups, size_t rows,
			   int status, const char *words)
{
	struct bench b;

	bench_build(&b, spec, groups, rows);
	assert_int_equal(fsmoe_graph_status(b.graph), status);
	if (!strstr(fsmoe_last_error(), words))
		fail_msg("'%s' was expected in: %s", words, fsmoe_last_error());
	bench_teardown(&b);
}

/* A copy of the plain spec with one field changed. */
#define REFUSED(field, value, rows, status, words)                                                 \
	do                                                                                         \
	{                                                                                          \
		struct fsmoe_moe_spec spec_ = plain;                                               \
		spec_.field = (value);                                                             \
		assert_refused(&spec_, NULL, rows, status, words);                                 \
	} while (0)

static void wrong_layers_are_refused(void **state)
{
	(void)state;
	REFUSED(name, "", 8, -EINVAL, "name");
	REFUSED(experts, 0, 8, -EINVAL, "experts per token");
	REFUSED(top_k, 0, 8, -EINVAL, "experts per token");
	REFUSED(top_k, 5, 8, -EINVAL, "5 experts per token of 4");
	REFUSED(ffn_size, 0, 8, -EINVAL, "hidden");
	REFUSED(routing_group, 3, 8, -EINVAL, "groups of 3");
	REFUSED(capacity_factor, -1.0, 8, -EINVAL, "capacity factor of -1");
	REFUSED(capacity_factor, 0.1, 8, -EINVAL, "leaves no slot");
	REFUSED(forward_degree, -1, 8, -EINVAL, "degree");
	REFUSED(gate, "nobody's", 8, -ENOENT, "no gate 'nobody's'");
	REFUSED(order, "dense-only", 8, -EINVAL, "cannot read");
	gate_refuses = 1;
	REFUSED(gate, "own", 8, -EINVAL, "own gate: not with 4 experts");
	gate_refuses = 0;
}

static void layouts_that_do_not_divide_are_refused(void **state)
{
	const struct fsmoe_layout layout = {.dp = 2, .tp = 2, .ep = 2, .esp = 2};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct fsmoe_moe_spec spec = plain;

	(void)state;
	assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:2", 0), 0);
	assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
	assert_refused(&spec, groups, 8, -EINVAL, "hidden size of 5 does not divide over 2");
	spec.ffn_size = 6;
	spec.experts = 3;
	assert_refused(&spec, groups, 8, -EINVAL, "3 experts do not divide over 2");
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
}

static void capacity_is_the_formula(void **state)
{
	(void)state;
	assert_int_equal(fsmoe_moe_capacity(96, 8, 2, 1), 24);
	assert_int_equal(fsmoe_moe_capacity(96, 8, 2, 1.2), 28);
	assert_int_equal(fsmoe_moe_capacity(97, 8, 1, 1), 13);
	assert_int_equal(fsmoe_moe_capacity(96, 8, 2, 0), 96);
	assert_int_equal(fsmoe_moe_capacity(10, 1, 1, 2.4), 10); /* never more than there are */
	assert_int_equal(fsmoe_moe_capacity(8, 8, 2, 0.5), 0);
}

static void cuts_are_balanced(void **state)
{
	fsmoe_graph_t graph;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&graph, NULL), 0);
	for (size_t slots = 1; slots < 40; slots++)
		for (int degree = 0; degree < 45; degree++)
		{
			struct fsmoe_cuts cuts = fsmoe_moe_cuts(graph, slots, degree);
			size_t want = degree < 1               ? 1
				      : (size_t)degree > slots ? slots
							       : (size_t)degree;
			assert_int_equal(cuts.n, want);
			assert_int_equal(cuts.at[0], 0);
			assert_int_equal(cuts.at[cuts.n], slots);
			for (size_t i = 0; i < cuts.n; i++)
			{
				size_t span = cuts.at[i + 1] - cuts.at[i];
				assert_true(span == slots / want || span == slots / want + 1);
			}
		}
	fsmoe_graph_destroy(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(finds),
		cmocka_unit_test(registers),
		cmocka_unit_test(own_modules_work),
		cmocka_unit_test(builders_fail_in_public),
		cmocka_unit_test(wrong_layers_are_refused),
		cmocka_unit_test(layouts_that_do_not_divide_are_refused),
		cmocka_unit_test(capacity_is_the_formula),
		cmocka_unit_test(cuts_are_balanced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
