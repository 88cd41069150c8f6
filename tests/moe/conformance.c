/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the record between every gate and order: slots, sums, ties. */
#include "codelets/cuts.h"
#include "pairs.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- a gate and an order without experts ------------------------------------------------------ */

struct routed
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	struct fsmoe_moe_layer layer;
	struct fsmoe_routing routing;
	struct reference_gate reference;
	fsmoe_tensor_t x, y;
};

static double noise_of(const char *name, size_t i)
{
	uint64_t stream = 0;

	for (const char *c = name; *c; c++)
		stream = stream * 31 + (unsigned char)*c;
	if (strstr(name, "temperature"))
		return 7;
	return (double)(float)(2 * opcase_noise(5, stream, i) - 1);
}

static void fill(struct routed *r)
{
	int n, ntensors;
	const struct fsmoe_param *param = fsmoe_graph_params(r->graph, &n);
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(r->graph, &ntensors);

	for (int p = 0; p < n; p++)
	{
		double *data = fsmoe_memory_data(r->memory, param[p].tensor);
		const double **at = pair_parameter(&r->reference, param[p].spec.name);
		for (size_t i = 0; i < fsmoe_shape_count(&info[param[p].tensor].shape); i++)
			data[i] = noise_of(param[p].spec.name, i);
		if (at)
			*at = data;
	}
	r->reference.r.x = fsmoe_memory_data(r->memory, r->x);
}

static void route(struct routed *r, const size_t *pair)
{
	const struct fsmoe_moe_spec spec = pair_spec(pair);
	const struct fsmoe_gate *gate = pair_gate(pair[PAIR_GATE]);
	const struct fsmoe_order *order = pair_order(pair[PAIR_ORDER]);
	const struct pair_shape *s = &pair_shapes[pair[PAIR_SHAPE]];
	fsmoe_tensor_t chunk[100];
	struct fsmoe_cuts cuts;

	*r = (struct routed){.reference = pair_reference(pair)};
	assert_int_equal(fsmoe_graph_create(&r->graph, NULL), 0);
	r->x = fsmoe_graph_param(
		r->graph,
		&(struct fsmoe_param_spec){.name = "x", .global = FSMOE_SHAPE2(s->T, s->M)});
	assert_int_equal(fsmoe_moe_layer_init(&r->layer, r->graph, r->x, &spec), 0);
	r->routing = (struct fsmoe_routing){gate->routing, 0,          FSMOE_NONE, FSMOE_NONE,
					    FSMOE_NONE,    FSMOE_NONE, FSMOE_NONE, FSMOE_NONE,
					    FSMOE_NONE,    FSMOE_NONE, FSMOE_NONE, FSMOE_NONE};
	gate->forward(&r->layer, r->x, &r->routing);
	if (order->prepare)
		order->prepare(&r->layer, &r->routing);
	cuts = fsmoe_moe_cuts(r->graph, r->layer.slots, spec.forward_degree);
	for (size_t i = 0; i < cuts.n; i++)
		chunk[i] = order->order(&r->layer, &r->routing, r->x, cuts.at[i], cuts.at[i + 1]);
	r->y = order->inverse(&r->layer, &r->routing, cuts, chunk);
	if (fsmoe_graph_status(r->graph) ||
	    fsmoe_memory_create(&r->memory, r->graph, FSMOE_F64, NULL))
		fail_msg("%s", fsmoe_last_error());
	fill(r);
	if (fsmoe_graph_execute(r->graph, r->memory, NULL, &opcase_step))
		fail_msg("%s", fsmoe_last_error());
}

static void unroute(struct routed *r)
{
	fsmoe_memory_destroy(r->memory);
	fsmoe_graph_destroy(r->graph);
}

/* --- slots ------------------------------------------------------------------------------------ */

/* Lists as matrices (T, E C); fails when a slot is out of place or given twice. */
static void spread_lists(const struct routed *r, double *dispatch, double *combine)
{
	const struct fsmoe_moe_layer *l = &r->layer;
	const int32_t *expert = fsmoe_memory_data(r->memory, r->routing.expert);
	const int32_t *slot = fsmoe_memory_data(r->memory, r->routing.slot);
	const int32_t *counts = fsmoe_memory_data(r->memory, r->routing.counts);
	const double *weight = fsmoe_memory_data(r->memory, r->routing.weight);
	int *kept = calloc(l->groups * l->experts, sizeof(*kept));
	char *used = calloc(l->experts * l->slots, 1);

	memset(dispatch, 0, l->rows * l->experts * l->capacity * sizeof(*dispatch));
	memset(combine, 0, l->rows * l->experts * l->capacity * sizeof(*combine));
	for (size_t i = 0; i < l->rows * r->routing.width; i++)
	{
		size_t t = i / r->routing.width, g = t / l->group, s = (size_t)slot[i], at;
		assert_in_range(expert[i], 0, l->experts - 1);
		if (slot[i] < 0)
			continue;
		assert_in_range(s, g * l->capacity, (g + 1) * l->capacity - 1);
		assert_int_equal(used[(size_t)expert[i] * l->slots + s]++, 0);
		kept[g * l->experts + (size_t)expert[i]]++;
		at = (t * l->experts + (size_t)expert[i]) * l->capacity + s - g * l->capacity;
		dispatch[at] = 1;
		combine[at] = weight[i];
	}
	for (size_t i = 0; i < l->groups * l->experts; i++)
		assert_int_equal(kept[i], counts[i]);
	free(kept);
	free(used);
}

/* Every group's columns of dispatch, and every row of combine, sum to 1. */
static void check_sums(const struct routed *r, const double *dispatch, const double *combine)
{
	const struct fsmoe_moe_layer *l = &r->layer;
	size_t N = l->experts * l->capacity;

	for (size_t i = 0; i < l->groups * N; i++)
	{
		double sum = 0;
		for (size_t t = 0; t < l->group; t++)
			sum += dispatch[(i / N * l->group + t) * N + i % N];
		assert_true(fabs(sum - 1) < 1e-12);
	}
	for (size_t t = 0; t < l->rows; t++)
	{
		double sum = 0;
		for (size_t n = 0; n < N; n++)
			sum += combine[t * N + n];
		assert_true(fabs(sum - 1) < 1e-12);
	}
}

/* Without computation every slot comes back once, at its weight. */
static void check_return(const struct routed *r, const double *dispatch, const double *combine)
{
	const struct fsmoe_moe_layer *l = &r->layer;
	size_t N = l->experts * l->capacity, M = l->hidden_size;
	const double *x = r->reference.r.x, *y = fsmoe_memory_data(r->memory, r->y);

	for (size_t i = 0; i < l->rows * M; i++)
	{
		size_t t = i / M, first = t / l->group * l->group;
		double want = 0;
		for (size_t n = 0; n < N; n++)
			for (size_t o = first; o < first + l->group; o++)
				want += combine[t * N + n] * dispatch[o * N + n] * x[o * M + i % M];
		assert_true(fabs(y[i] - want) <= opcase_tolerance(FSMOE_F64, N * l->group, 1));
	}
}

static void check_routing(const size_t *pair)
{
	struct routed r;

	route(&r, pair);
	size_t n = r.layer.rows * r.layer.experts * r.layer.capacity;
	double *dispatch = malloc(n * sizeof(double)), *combine = malloc(n * sizeof(double));
	double *want_dispatch = malloc(n * sizeof(double));
	double *want_combine = malloc(n * sizeof(double));

	if (r.routing.kind == FSMOE_ROUTING_LISTS)
		spread_lists(&r, dispatch, combine);
	else
	{
		memcpy(dispatch, fsmoe_memory_data(r.memory, r.routing.dispatch),
		       n * sizeof(double));
		memcpy(combine, fsmoe_memory_data(r.memory, r.routing.combine), n * sizeof(double));
		check_sums(&r, dispatch, combine);
	}
	check_return(&r, dispatch, combine);
	assert_true(reference_gate_route(&r.reference, want_dispatch, want_combine));
	for (size_t i = 0; i < n; i++)
		if (fabs(dispatch[i] - want_dispatch[i]) > 1e-12 ||
		    fabs(combine[i] - want_combine[i]) > 1e-12)
			fail_msg("%s and %s, shape %zu, option %zu, element %zu: dispatch %g, %g; "
				 "combine %.15g, %.15g",
				 r.reference.name, pair_order(pair[PAIR_ORDER])->module.name,
				 pair[PAIR_SHAPE], pair[PAIR_OPTION], i, dispatch[i],
				 want_dispatch[i], combine[i], want_combine[i]);
	free(dispatch);
	free(combine);
	free(want_dispatch);
	free(want_combine);
	unroute(&r);
}

static void every_slot_comes_back_once(void **state)
{
	(void)state;
	for (size_t g = 0; pair_gate(g); g++)
		for (size_t o = 0; pair_order(o); o++)
			for (size_t s = 0; s < pair_nshapes; s++)
				for (size_t option = 0; option < pair_noptions; option++)
					if (pair_fits(g, o, s, option))
						check_routing((size_t[]){g, o, s, option, 0});
}

/* Equal scores: the lower expert, the earlier token, on every run. */
static void ties_go_to_the_lower_number(void **state)
{
	(void)state;
	for (size_t g = 0; pair_gate(g); g++)
		for (size_t option = 0; option < 3; option++)
		{
			const size_t pair[] = {g, 0, 5, option, 0};
			struct routed r;
			if (!pair_fits(g, 0, 5, option) ||
			    !strcmp(pair_gate(g)->module.name, "gshard"))
				continue;
			route(&r, pair);
			memset(fsmoe_memory_data(r.memory, r.x), 0,
			       r.layer.rows * r.layer.hidden_size * sizeof(double));
			assert_int_equal(fsmoe_graph_execute(r.graph, r.memory, NULL, &opcase_step),
					 0);
			const int32_t *expert = fsmoe_memory_data(r.memory, r.routing.expert);
			const int32_t *slot = fsmoe_memory_data(r.memory, r.routing.slot);
			for (size_t i = 0; i < r.layer.rows * r.routing.width; i++)
			{
				size_t t = i / r.routing.width, C = r.layer.capacity;
				size_t in = t % r.layer.group, g0 = t / r.layer.group * C;
				assert_int_equal(expert[i], i % r.routing.width);
				assert_int_equal(slot[i], in < C ? (int)(g0 + in) : -1);
			}
			unroute(&r);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_comes_back_once),
		cmocka_unit_test(ties_go_to_the_lower_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
