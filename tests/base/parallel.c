/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/parallel.h"
#include "base/rng.h"

#include <fsmoe/graph.h>
#include <stdlib.h>

static void add_one(void *arg, size_t lo, size_t hi)
{
	unsigned char *seen = arg;

	for (size_t i = lo; i < hi; i++)
		seen[i]++;
}

static void every_element_once(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 3, 64, 999, 100003};

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (size_t least = 1; least <= sizes[k] + 1; least *= 10)
		{
			unsigned char *seen = calloc(sizes[k] + 1, 1);

			assert_non_null(seen);
			fsmoe_parallel(sizes[k], least, add_one, seen);
			for (size_t i = 0; i < sizes[k]; i++)
				assert_int_equal(seen[i], 1);
			assert_int_equal(seen[sizes[k]], 0);
			free(seen);
		}
}

/* Large enough for threads: an element still depends only on its place
 * in the whole. */
static void initial_values_by_global_index(void **state)
{
	enum
	{
		E = 4,
		R = 300,
		C = 1002
	};
	const struct fsmoe_param_spec spec = {.name = "w",
					      .global = FSMOE_SHAPE3(E, R, C),
					      .init = FSMOE_INIT_NORMAL,
					      .scale = 0.5};
	const uint64_t key = fsmoe_rng_key(7, "w");
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&graph, NULL), 0);
	fsmoe_tensor_t w = fsmoe_graph_param(graph, &spec);
	assert_int_equal(fsmoe_memory_create(&memory, graph, FSMOE_F32, NULL), 0);
	assert_int_equal(fsmoe_memory_init_params(memory, 7), 0);
	const float *x = fsmoe_memory_data(memory, w);
	for (size_t i = 0; i < E * R * C; i++)
		assert_true(x[i] == (float)(0.5 * fsmoe_rng_normal(key, i)));
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_element_once),
		cmocka_unit_test(initial_values_by_global_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
