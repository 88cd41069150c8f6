/* SPDX-License-Identifier: Apache-2.0 */
/* The graph: what building refuses, edges against the rule written out, views, parameters,
 * simulation against the accesses, export. */
#include "base/rng.h"
#include "graph/graph.h"
#include "tests/lib/random_graph.h"

#include <errno.h>
#include <fsmoe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The rule of sequential consistency, pair by pair: i must come before j. */
static int conflict(const struct fsmoe_graph *g, int i, int j)
{
	for (int a = 0; a < g->nodes[i].naccess; a++)
		for (int b = 0; b < g->nodes[j].naccess; b++)
		{
			const struct fsmoe_access *x = &g->nodes[i].access[a],
						  *y = &g->nodes[j].access[b];
			if (g->tensors[x->tensor].base == g->tensors[y->tensor].base &&
			    ((x->mode | y->mode) & FSMOE_W))
				return 1;
		}
	return 0;
}

/* reach[i * n + j]: a path of edges from i to j. */
static char *paths(const struct fsmoe_graph *g, const int *first, const int *pred)
{
	size_t n = (size_t)g->nnodes;
	char *reach = calloc(n * n + 1, 1);

	for (size_t j = 0; j < n; j++)
		for (int k = first[j]; k < first[j + 1]; k++)
		{
			reach[(size_t)pred[k] * n + j] = 1;
			for (size_t i = 0; i < n; i++)
				reach[i * n + j] |= reach[i * n + (size_t)pred[k]];
		}
	return reach;
}

static void test_edges(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		fsmoe_graph_t g = random_graph(seed, NULL);
		int *first, *pred;

		assert_int_equal(fsmoe_graph_edges(g, &first, &pred), 0);
		char *reach = paths(g, first, pred);
		for (int j = 0; j < g->nnodes; j++)
			for (int i = 0; i < j; i++)
			{
				/* Whatever conflicts is ordered, and every edge is a conflict. */
				if (conflict(g, i, j))
					assert_int_equal(
						reach[(size_t)i * (size_t)g->nnodes + (size_t)j],
						1);
			}
		for (int j = 0; j < g->nnodes; j++)
			for (int k = first[j]; k < first[j + 1]; k++)
				assert_int_equal(conflict(g, pred[k], j), 1);
		free(reach);
		free(first);
		free(pred);
		fsmoe_graph_destroy(g);
	}
}

static double some_seconds(const struct fsmoe_node *node, void *arg)
{
	return 0.001 + fsmoe_rng_uniform(*(uint64_t *)arg, (uint64_t)node->id);
}

static void test_simulate(void **state)
{
	static const int wide[FSMOE_NLANES] = {3, 1, 1};
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		fsmoe_graph_t g = random_graph(seed, NULL);
		struct fsmoe_timeline one, three;
		double sum = 0;

		assert_int_equal(fsmoe_graph_simulate(g, some_seconds, &seed, NULL, &one), 0);
		assert_int_equal(fsmoe_graph_simulate(g, some_seconds, &seed, wide, &three), 0);
		assert_int_equal(timeline_breaks_order(g, &one), 0);
		assert_int_equal(timeline_breaks_order(g, &three), 0);
		for (int i = 0; i < g->nnodes; i++)
			sum += some_seconds(&g->nodes[i], &seed);
		/* One lane in use, one place: nothing overlaps and nothing waits. */
		assert_true(one.makespan > sum * (1 - 1e-12) && one.makespan < sum * (1 + 1e-12));
		fsmoe_timeline_destroy(&one);
		fsmoe_timeline_destroy(&three);
		fsmoe_graph_destroy(g);
	}
}

static fsmoe_tensor_t weight(fsmoe_graph_t g, const char *name, size_t n)
{
	return fsmoe_graph_param(
		g, &(struct fsmoe_param_spec){.name = name, .global = FSMOE_SHAPE1(n)});
}

static void test_params(void **state)
{
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t a = weight(g, "a", 5), b = weight(g, "b", 7);
	assert_int_equal(weight(g, "a", 5), a);
	assert_int_equal(g->nbuckets, 1);
	assert_int_equal(g->tensors[a].base, g->tensors[b].base);
	assert_int_equal(g->tensors[b].offset % FSMOE_BUCKET_ALIGN, 0);
	assert_int_equal(g->tensors[g->tensors[b].grad].offset, g->tensors[b].offset);
	assert_int_equal(fsmoe_graph_find(g, "b"), b);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL), 0);
	assert_ptr_equal((float *)fsmoe_memory_data(memory, a) + FSMOE_BUCKET_ALIGN,
			 fsmoe_memory_data(memory, b));
	fsmoe_memory_destroy(memory);
	assert_int_equal(weight(g, "a", 6), FSMOE_NONE);
	assert_int_equal(fsmoe_graph_status(g), -EINVAL);
	assert_non_null(strstr(fsmoe_last_error(), "'a'"));
	fsmoe_graph_destroy(g);
}

/* Equal seeds give equal parameters however they are cut. */
static void test_init(void **state)
{
	double whole[6][4], part[3][2];

	(void)state;
	for (int cut = 0; cut < 2; cut++)
		for (int i = 0; i < (cut ? 4 : 1); i++)
		{
			fsmoe_topo_t topo;
			fsmoe_groups_t groups;
			fsmoe_graph_t g;
			fsmoe_memory_t memory;
			struct fsmoe_param_spec spec = {.name = "w",
							.global = FSMOE_SHAPE2(6, 4),
							.init = FSMOE_INIT_NORMAL,
							.scale = 2};
			if (cut)
			{
				spec.parts[0] = spec.parts[1] = 2;
				spec.index[0] = i / 2;
				spec.index[1] = i % 2;
			}
			assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:2", 0), 0);
			assert_int_equal(fsmoe_groups_create(&groups, topo,
							     &(struct fsmoe_layout){.rank = i}),
					 0);
			assert_int_equal(fsmoe_graph_create(&g, groups), 0);
			fsmoe_tensor_t w = fsmoe_graph_param(g, &spec);
			assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F64, NULL), 0);
			assert_int_equal(fsmoe_memory_init_params(memory, 7), 0);
			memcpy(cut ? (void *)part : whole, fsmoe_memory_data(memory, w),
			       cut ? sizeof(part) : sizeof(whole));
			for (int r = 0; cut && r < 3; r++)
				for (int c = 0; c < 2; c++)
					assert_true(part[r][c] ==
						    whole[r + 3 * (i / 2)][c + 2 * (i % 2)]);
			fsmoe_memory_destroy(memory);
			fsmoe_graph_destroy(g);
			fsmoe_groups_destroy(groups);
			fsmoe_topo_destroy(topo);
		}
}

/* The first failure is kept, the rest does nothing. */
static void test_sticky(void **state)
{
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t x = weight(g, "x", 4);
	fsmoe_tensor_t y = fsmoe_graph_view(g, x, 3, FSMOE_SHAPE1(2));
	assert_int_equal(y, FSMOE_NONE);
	assert_int_equal(fsmoe_gelu(g, y), FSMOE_NONE);
	assert_int_equal(fsmoe_graph_backward(g, y), -EINVAL);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL), -EINVAL);
	assert_non_null(strstr(fsmoe_last_error(), "view"));
	fsmoe_graph_destroy(g);
}

static void test_export(void **state)
{
	static const char *const formats[] = {"dot", "json", "text"};
	fsmoe_graph_t g = random_graph(3, NULL);

	(void)state;
	for (int i = 0; i < 3; i++)
	{
		char *text;
		size_t size;
		FILE *f = open_memstream(&text, &size);
		assert_int_equal(fsmoe_graph_export(g, f, formats[i]), 0);
		fclose(f);
		assert_non_null(strstr(text, "mix"));
		free(text);
	}
	assert_int_equal(fsmoe_graph_export(g, stdout, "yaml"), -EINVAL);
	fsmoe_graph_destroy(g);
}

/* Labels set while building come out of the nodes and of their names. */
static void test_labels(void **state)
{
	fsmoe_graph_t g;
	char label[64];

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t x = weight(g, "x", 4);
	fsmoe_graph_set_layer(g, 3);
	fsmoe_graph_set_micro_batch(g, 1);
	fsmoe_graph_set_chunk(g, 2);
	fsmoe_graph_set_phase(g, FSMOE_UPDATE);
	fsmoe_graph_set_priority(g, 7);
	fsmoe_gelu(g, x);
	int length = fsmoe_node_label(&g->nodes[0], label, sizeof(label));
	assert_int_equal(length, strlen(label));
	assert_string_equal(label, "gelu.update L3 m1 c2");
	assert_string_equal(fsmoe_phase_name(g->nodes[0].phase), "update");
	assert_string_equal(fsmoe_lane_name(g->nodes[0].lane), "compute");
	assert_int_equal(g->nodes[0].priority, 7);
	fsmoe_graph_destroy(g);
}

static int no_gradient(struct fsmoe_backward *backward, const void *args)
{
	++**(int *const *)args;
	return fsmoe_graph_status(fsmoe_backward_graph(backward));
}

/* A region is differentiated once, by its own function, and regions do not nest. */
static void test_regions(void **state)
{
	int calls = 0, *counter = &calls;
	fsmoe_graph_t g;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t x = fsmoe_graph_param(
		g, &(struct fsmoe_param_spec){.name = "x", .global = FSMOE_SHAPE2(1, 2)});
	fsmoe_tensor_t targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(1), "targets");
	fsmoe_graph_region_begin(g, "twice");
	fsmoe_tensor_t y = fsmoe_gelu(g, fsmoe_gelu(g, x));
	fsmoe_graph_region_end(g, no_gradient, &counter, sizeof(counter));
	assert_int_equal(fsmoe_graph_backward(g, fsmoe_cross_entropy(g, y, targets, 1)), 0);
	assert_int_equal(calls, 1);
	fsmoe_graph_region_begin(g, "outer");
	fsmoe_graph_region_begin(g, "inner");
	assert_int_equal(fsmoe_graph_status(g), -EINVAL);
	assert_non_null(strstr(fsmoe_last_error(), "inner"));
	fsmoe_graph_destroy(g);
}

/* A tensor used twice gets the sum of both gradients; a residual costs no node. */
static void test_backward_sums(void **state)
{
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t x = fsmoe_graph_param(
		g, &(struct fsmoe_param_spec){
			   .name = "x", .global = FSMOE_SHAPE2(1, 2), .init = FSMOE_INIT_ONE});
	fsmoe_tensor_t targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(1), "targets");
	fsmoe_tensor_t y = fsmoe_residual(g, x, x, FSMOE_NONE);
	y = fsmoe_residual(g, y, x, FSMOE_NONE); /* 3 x */
	fsmoe_tensor_t loss = fsmoe_cross_entropy(g, y, targets, 1.0);
	assert_int_equal(fsmoe_graph_backward(g, loss), 0);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F64, NULL), 0);
	assert_int_equal(fsmoe_memory_init_params(memory, 1), 0);
	assert_int_equal(fsmoe_graph_execute(g, memory, NULL, NULL), 0);
	const double *dx = fsmoe_memory_data(memory, g->tensors[x].grad);
	assert_true(dx[0] > -1.5 - 1e-12 && dx[0] < -1.5 + 1e-12); /* 3 (1/2 - 1) */
	assert_true(dx[1] > 1.5 - 1e-12 && dx[1] < 1.5 + 1e-12);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),         cmocka_unit_test(test_simulate),
		cmocka_unit_test(test_params),        cmocka_unit_test(test_init),
		cmocka_unit_test(test_sticky),        cmocka_unit_test(test_export),
		cmocka_unit_test(test_backward_sums), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_regions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
