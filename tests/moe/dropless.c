/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dropless NODES: where nothing is dropped, a layer that sends and computes only the rows that
 * there are leaves what one leaves that has every slot filled up with zeros, in every layout of the
 * ranks it is started with. Before it runs everything holds NaN, so whatever reads a row that there
 * is not is seen; and rows that there are not still hold it afterwards.
 */
#include "bench.h"
#include "comm/comm.h"
#include "tests/lib/opcase_internal.h"

#include <float.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static fsmoe_topo_t topo;
static int compared, alike; /* pairs; those with the same bits */

static const struct size
{
	size_t rows, group, dim, hidden; /* hidden: of a shard */
	int forward, backward;
	const char *expert;
} sizes[] = {
	{6, 6, 5, 2, 1, 1, "gpt"},        {12, 6, 5, 2, 3, 2, "mixtral"},
	{12, 4, 5, 2, 2, 5, "gpt"},       {300, 300, 5, 2, 2, 1, "gpt"}, /* more than a block */
	{310, 31, 5, 2, 3, 4, "mixtral"}, {1, 1, 5, 2, 1, 1, "gpt"},
	{96, 32, 64, 64, 1, 1, "gpt"},
};

/* The choices of tokens: noise; or all the first experts, so that the others get nothing. */
enum want
{
	ANYBODY,
	THE_FIRST,
	NWANTS
};

static struct fsmoe_moe_spec spec_of(const struct size *size, int ep, int esp, const char *gate,
				     const char *dispatch, double factor)
{
	return (struct fsmoe_moe_spec){.name = "moe",
				       .experts = 3 * ep,
				       .top_k = 2,
				       .hidden_size = size->dim,
				       .ffn_size = size->hidden * (size_t)esp,
				       .capacity_factor = factor,
				       .routing_group = size->group,
				       .forward_degree = size->forward,
				       .backward_degree = size->backward,
				       .gate = gate,
				       .dispatch = dispatch,
				       .expert = size->expert};
}

static void poison(const struct bench *b)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(b->graph, &n);

	for (int i = 0; i < n; i++)
		if (t[i].base == i && t[i].role == FSMOE_ACTIVATION && t[i].dtype != FSMOE_INT32)
			for (size_t k = 0; k < bench_count(b, i); k++)
				bench_set(b, bench_data(b, i), k, NAN);
}

static void setup(struct bench *b, const struct fsmoe_moe_spec *spec, const struct size *size,
		  enum want want, enum fsmoe_real real, fsmoe_groups_t groups, fsmoe_comms_t comms)
{
	size_t first = size->rows * (size_t)fsmoe_topo_rank(topo);
	fsmoe_tensor_t gate;

	bench_setup(b, spec, real, groups, first, size->rows);
	gate = bench_param(b, "moe.gate.weight")->tensor;
	if (want == THE_FIRST)
		for (size_t i = 0; i < bench_count(b, gate); i++)
			bench_set(b, bench_data(b, gate), i, 0);
	poison(b);
	if (bench_run(b, comms))
		fail_msg("%s: %s", spec->dispatch, fsmoe_last_error());
}

/* Elements of what an operation wrote at a port, over all its nodes, and how many are still NaN. */
static size_t written(const struct bench *b, const char *op, int port, size_t *elements)
{
	int n;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->graph, &n);
	size_t there = 0;

	*elements = 0;
	for (int i = 0; i < n; i++)
	{
		const fsmoe_tensor_t y = node[i].access[port].tensor;
		if (strcmp(node[i].op->name, op))
			continue;
		for (size_t k = 0; k < bench_count(b, y); k++)
			there += !isnan(bench_get(b, bench_data(b, y), k));
		*elements += bench_count(b, y);
	}
	return there;
}

/* Sums are taken in the same order, but BLAS may round a row of a product by how many rows there
 * are. Returns whether the bits are the same. */
static int assert_same(const struct bench *a, const void *x, const struct bench *b, const void *y,
		       size_t n, const struct fsmoe_moe_spec *spec, const char *what)
{
	double most = 0, tolerance = 64 * (a->real == FSMOE_F32 ? FLT_EPSILON : DBL_EPSILON);
	int same = 1;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(bench_get(a, x, i)));
	for (size_t i = 0; i < n; i++)
	{
		const double want = bench_get(a, x, i), got = bench_get(b, y, i);
		same = same && got == want;
		if (!(fabs(got - want) <= tolerance * most))
			fail_msg("%s, %s, %d experts, groups of %zu, %d and %d chunks, rank %d: "
				 "element %zu of %s is %.9g, but %.9g with every slot filled",
				 spec->gate, spec->dispatch, spec->experts, spec->routing_group,
				 spec->forward_degree, spec->backward_degree, fsmoe_topo_rank(topo),
				 i, what, got, want);
	}
	return same;
}

static void compare(const struct bench *full, const struct bench *exact,
		    const struct fsmoe_moe_spec *spec)
{
	int n;
	const struct fsmoe_param *param = fsmoe_graph_params(full->graph, &n);
	int same = assert_same(full, bench_data(full, full->y), exact, bench_data(exact, exact->y),
			       bench_count(full, full->y), spec, "y");

	for (int p = 0; p < n; p++)
	{
		const char *name = param[p].spec.name;
		same &= assert_same(full, bench_grad(full, name), exact, bench_grad(exact, name),
				    bench_count(full, param[p].tensor), spec, name);
	}
	compared++;
	alike += same;
}

/* A token has k rows: so many leave this rank, and no more are written. */
static void check_rows(const struct bench *b, const struct size *size,
		       const struct fsmoe_moe_spec *spec)
{
	const size_t rows = size->rows * (size_t)spec->top_k;
	size_t all;

	assert_int_equal(written(b, "order", 3, &all), rows * spec->hidden_size);
	assert_int_equal(written(b, "inverse_order.backward_chunk", 4, &all),
			 rows * spec->hidden_size);
	assert_int_equal(all, (size_t)spec->experts * size->rows * spec->hidden_size);
}

static void try_layout(fsmoe_groups_t groups, fsmoe_comms_t comms, const struct size *size,
		       enum want want, enum fsmoe_real real)
{
	static const char *const gates[] = {"topk", "sigmoid"};
	static const char *const dispatches[] = {"flat", "2dh", "1dh"};
	const int ep = fsmoe_group_size(groups, FSMOE_GROUP_EP);
	const int esp = fsmoe_group_size(groups, FSMOE_GROUP_ESP);
	const char *gate = gates[real];

	for (int d = 0; d < 3; d++)
	{
		/* A factor of E: as many slots, but with 1dh all are always sent. */
		const struct fsmoe_moe_spec all =
			spec_of(size, ep, esp, gate, dispatches[d], 3 * ep);
		const struct fsmoe_moe_spec none = spec_of(size, ep, esp, gate, dispatches[d], 0);
		struct bench full, exact;

		setup(&full, &all, size, want, real, groups, comms);
		setup(&exact, &none, size, want, real, groups, comms);
		compare(&full, &exact, &none);
		if (d < 2)
			check_rows(&exact, size, &none);
		bench_teardown(&full);
		bench_teardown(&exact);
	}
}

static void the_same_as_with_every_slot_filled(void **state)
{
	const int ranks = fsmoe_topo_ranks(topo);

	(void)state;
	for (int ep = 1; ep <= ranks; ep++)
		for (int esp = 1; ranks % ep == 0 && esp <= ranks / ep; esp++)
		{
			struct fsmoe_layout layout = {.tp = 1, .ep = ep, .esp = esp};
			fsmoe_groups_t groups;
			fsmoe_comms_t comms;

			if (ranks % (ep * esp))
				continue;
			assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
			assert_int_equal(fsmoe_comms_create(&comms, groups), 0);
			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
				for (int want = 0; want < NWANTS; want++)
					for (int real = 0; real < FSMOE_NREALS; real++)
						try_layout(groups, comms, &sizes[s],
							   (enum want)want, (enum fsmoe_real)real);
			fsmoe_comms_destroy(comms);
			fsmoe_groups_destroy(groups);
		}
	if (fsmoe_topo_rank(topo) == 0)
		printf("%d pairs of layers on %d ranks on %d nodes, %d with the same bits here\n",
		       compared, ranks, fsmoe_topo_nodes(topo), alike);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_as_with_every_slot_filled)};
	int failed;

	if (fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 1))
	{
		fprintf(stderr, "%s\n", fsmoe_last_error());
		return 99;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fsmoe_topo_destroy(topo);
	return failed ? 1 : 0;
}
