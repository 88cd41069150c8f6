/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch-ranks NODES: a whole layer, forward and backward, in every layout of the ranks it is
 * started with and by every dispatch, leaves the same bits as `flat`.
 */
#include "bench.h"
#include "comm/comm.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

enum
{
	ROWS = 6
};

static fsmoe_topo_t topo;
static int layouts, staged; /* tried; and those in which some dispatch goes in stages */

static struct fsmoe_moe_spec spec_of(int ep, int esp, const char *dispatch, int forward,
				     int backward)
{
	return (struct fsmoe_moe_spec){.name = "moe",
				       .experts = 2 * ep,
				       .top_k = 2,
				       .hidden_size = 5,
				       .ffn_size = (size_t)(2 * esp),
				       .capacity_factor = 2,
				       .routing_group = ROWS,
				       .forward_degree = forward,
				       .backward_degree = backward,
				       .dispatch = dispatch};
}

static void assert_same(const struct bench *a, const void *x, const struct bench *b, const void *y,
			size_t n, const struct fsmoe_moe_spec *spec, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (bench_get(a, x, i) != bench_get(b, y, i))
			fail_msg("%s, %d experts, rank %d: element %zu of %s is %.9g, but %.9g "
				 "with flat",
				 spec->dispatch, spec->experts, fsmoe_topo_rank(topo), i, what,
				 bench_get(b, y, i), bench_get(a, x, i));
}

static void compare(const struct bench *flat, const struct bench *other,
		    const struct fsmoe_moe_spec *spec)
{
	int n;
	const struct fsmoe_param *param = fsmoe_graph_params(flat->graph, &n);

	assert_same(flat, bench_data(flat, flat->y), other, bench_data(other, other->y),
		    bench_count(flat, flat->y), spec, "y");
	for (int p = 0; p < n; p++)
	{
		const char *name = param[p].spec.name;
		assert_same(flat, bench_grad(flat, name), other, bench_grad(other, name),
			    bench_count(flat, param[p].tensor), spec, name);
	}
}

static void try_dispatch(const struct bench *flat, struct fsmoe_moe_spec spec,
			 fsmoe_groups_t groups, fsmoe_comms_t comms)
{
	size_t first = ROWS * (size_t)fsmoe_topo_rank(topo);
	struct bench b;

	bench_setup(&b, &spec, flat->real, groups, first, ROWS);
	if (bench_run(&b, comms))
		fail_msg("%s: %s", spec.dispatch, fsmoe_last_error());
	compare(flat, &b, &spec);
	bench_teardown(&b);
}

static void try_layout(int ep, int esp, const struct fsmoe_module_info *info, int n)
{
	static const int degrees[][2] = {{1, 1}, {3, 2}};
	struct fsmoe_layout layout = {.tp = 1, .ep = ep, .esp = esp};
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;

	assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
	assert_int_equal(fsmoe_comms_create(&comms, groups), 0);
	for (size_t i = 0; i < 2; i++)
	{
		struct fsmoe_moe_spec spec = spec_of(ep, esp, "flat", degrees[i][0], degrees[i][1]);
		struct bench flat;
		bench_setup(&flat, &spec, (enum fsmoe_real)i, groups,
			    ROWS * (size_t)fsmoe_topo_rank(topo), ROWS);
		if (bench_run(&flat, comms))
			fail_msg("flat: %s", fsmoe_last_error());
		for (int d = 0; d < n; d++)
		{
			spec.dispatch = info[d].name;
			try_dispatch(&flat, spec, groups, comms);
		}
		bench_teardown(&flat);
	}
	layouts++;
	staged += fsmoe_group_size(groups, FSMOE_GROUP_EP_NODE) > 1;
	fsmoe_comms_destroy(comms);
	fsmoe_groups_destroy(groups);
}

static void the_same_bits_as_flat(void **state)
{
	struct fsmoe_module_info info[16];
	int n = 16, ranks = fsmoe_topo_ranks(topo);

	(void)state;
	assert_int_equal(fsmoe_module_list(FSMOE_MODULE_DISPATCH, info, &n), 0);
	for (int ep = 2; ep <= ranks; ep++)
		for (int esp = 1; ranks % ep == 0 && esp <= ranks / ep; esp++)
			if (ranks % (ep * esp) == 0)
				try_layout(ep, esp, info, n);
	assert_true(staged > 0);
	if (fsmoe_topo_rank(topo) == 0)
		printf("%d layouts of %d ranks on %d nodes, %d of them in stages\n", layouts, ranks,
		       fsmoe_topo_nodes(topo), staged);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits_as_flat)};
	int failed;

	if (fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 2))
	{
		fprintf(stderr, "%s\n", fsmoe_last_error());
		return 99;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fsmoe_topo_destroy(topo);
	return failed ? 1 : 0;
}
