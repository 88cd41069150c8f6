/* SPDX-License-Identifier: Apache-2.0 */
/* A whole layer on one rank: drops are those of plain loops, published numbers come out, and the
 * nodes stand in the order of the paper. */
#include "bench.h"
#include "bench/noise.h"
#include "reference.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const params[] = {"x",
				     "moe.gate.weight",
				     "moe.experts.w1",
				     "moe.experts.b1",
				     "moe.experts.w2",
				     "moe.experts.b2"};
static const struct fsmoe_moe_spec plain = {.name = "moe",
					    .experts = 4,
					    .top_k = 2,
					    .hidden_size = 6,
					    .ffn_size = 5,
					    .capacity_factor = 1};

/* --- drops ------------------------------------------------------------------------------------ */

static struct reference reference_of(const struct bench *b, const struct fsmoe_moe_spec *spec)
{
	return (struct reference){.T = b->rows,
				  .M = spec->hidden_size,
				  .H = spec->ffn_size,
				  .E = (size_t)spec->experts,
				  .k = (size_t)spec->top_k,
				  .group = spec->routing_group ? spec->routing_group : b->rows,
				  .factor = spec->capacity_factor,
				  .x = bench_data(b, b->x),
				  .wg = bench_data(b, bench_param(b, "moe.gate.weight")->tensor),
				  .w1 = bench_data(b, bench_param(b, "moe.experts.w1")->tensor),
				  .b1 = bench_data(b, bench_param(b, "moe.experts.b1")->tensor),
				  .w2 = bench_data(b, bench_param(b, "moe.experts.w2")->tensor),
				  .b2 = bench_data(b, bench_param(b, "moe.experts.b2")->tensor)};
}

/* Ports of the operation route. */
enum
{
	ROUTE_SLOT = 2,
	ROUTE_COUNTS = 4
};

static void drops(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;
	double y[40 * 6];
	int dropped = 0, kept = 0, want;

	(void)state;
	spec.capacity_factor = 0.5;
	spec.routing_group = 20;
	spec.forward_degree = 3;
	bench_setup(&b, &spec, FSMOE_F64, NULL, 0, 40);
	assert_int_equal(bench_run(&b, NULL), 0);

	const struct reference r = reference_of(&b, &spec);
	fsmoe_tensor_t slot = bench_port(&b, "route", ROUTE_SLOT);
	fsmoe_tensor_t counts = bench_port(&b, "route", ROUTE_COUNTS);
	want = reference_layer(&r, y);
	for (size_t i = 0; i < bench_count(&b, slot); i++)
		dropped += ((const int32_t *)bench_data(&b, slot))[i] < 0;
	for (size_t i = 0; i < bench_count(&b, counts); i++)
		kept += ((const int32_t *)bench_data(&b, counts))[i];
	assert_true(want > 0);
	assert_int_equal(dropped, want);
	assert_int_equal(kept, 40 * 2 - want);
	for (size_t i = 0; i < 40 * 6; i++)
		assert_true(fabs(y[i] - ((const double *)bench_data(&b, b.y))[i]) < 1e-12);
	bench_teardown(&b);
}

/* The gate declares itself causal: without drops a token does not see later ones. */
static void later_tokens_are_not_seen(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;
	double before[7 * 6], *x;

	(void)state;
	spec.capacity_factor = 0;
	bench_setup(&b, &spec, FSMOE_F64, NULL, 0, 8);
	assert_int_equal(bench_run(&b, NULL), 0);
	memcpy(before, bench_data(&b, b.y), sizeof(before));
	x = bench_data(&b, b.x);
	for (int m = 0; m < 6; m++)
		x[7 * 6 + m] = -3 * x[7 * 6 + m] + 1;
	assert_int_equal(bench_run(&b, NULL), 0);
	assert_memory_equal(before, bench_data(&b, b.y), sizeof(before));
	bench_teardown(&b);
}

static void bad_numbers_fail_the_step(void **state)
{
	struct bench b;

	(void)state;
	bench_setup(&b, &plain, FSMOE_F32, NULL, 0, 8);
	((float *)bench_data(&b, b.x))[5 * 6 + 2] = NAN;
	assert_true(bench_run(&b, NULL) < 0);
	assert_non_null(strstr(fsmoe_last_error(), "row 5"));
	bench_teardown(&b);
}

/* --- order of nodes --------------------------------------------------------------------------- */

/* The nodes of a communication lane, in order, as "alltoall0 ...": operation and chunk. */
static void lane_text(const struct bench *b, enum fsmoe_lane lane, enum fsmoe_phase phase,
		      char *text, size_t size)
{
	int n;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->graph, &n);

	text[0] = '\0';
	for (int i = 0; i < n; i++)
		if (node[i].lane == lane && node[i].phase == phase)
			snprintf(text + strlen(text), size - strlen(text), "%s%s%d",
				 *text ? " " : "", node[i].op->name, node[i].chunk);
}

/* Two nodes of two devices, nobody's machine: the lanes' order is that of spec and paper. */
static void lanes_are_in_order(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	const struct fsmoe_layout layout = {0};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct bench b;
	char text[1000];

	(void)state;
	spec.ffn_size = 6;
	spec.forward_degree = 2;
	spec.backward_degree = 3;
	assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:2", 0), 0);
	assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
	bench_build(&b, &spec, groups, 8);
	if (fsmoe_graph_status(b.graph))
		fail_msg("%s", fsmoe_last_error());
	lane_text(&b, FSMOE_INTER, FSMOE_FORWARD, text, sizeof(text));
	assert_string_equal(text, "alltoall0 alltoall1 alltoall0 alltoall1");
	lane_text(&b, FSMOE_INTRA, FSMOE_FORWARD, text, sizeof(text));
	assert_string_equal(text, "allgather0 allgather1 reduce_scatter0 reduce_scatter1");
	lane_text(&b, FSMOE_INTER, FSMOE_BACKWARD, text, sizeof(text));
	assert_string_equal(text, "alltoall0 alltoall1 alltoall2 alltoall0 alltoall1 alltoall2");
	lane_text(&b, FSMOE_INTRA, FSMOE_BACKWARD, text, sizeof(text));
	assert_string_equal(text, "allgather0 allgather1 allgather2 reduce_scatter0 "
				  "reduce_scatter1 reduce_scatter2");
	bench_teardown(&b);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
}

static int count_nodes(const struct bench *b, const char *op)
{
	int n, count = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->graph, &n);

	for (int i = 0; i < n; i++)
		count += !strcmp(node[i].op->name, op);
	return count;
}

/* Earlier chunks first, sending before computing, deferred weights last. */
static void priorities(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;
	int n, order = 1000, expert = 1000, after;
	const struct fsmoe_node *node;

	(void)state;
	spec.forward_degree = 4;
	bench_build(&b, &spec, NULL, 8);
	assert_int_equal(fsmoe_graph_status(b.graph), 0);
	node = fsmoe_graph_nodes(b.graph, &n);
	for (int i = 0; i < n; i++)
	{
		if (!strcmp(node[i].op->name, "order"))
		{
			assert_true(node[i].priority < order);
			order = node[i].priority;
		}
		if (!strcmp(node[i].op->name, "expert_mlp"))
		{
			assert_true(node[i].priority < expert && node[i].priority < order);
			expert = node[i].priority;
		}
		if (!strcmp(node[i].op->name, "expert_mlp.backward_weight"))
			assert_true(node[i].priority < 0);
		if (!strcmp(node[i].op->name, "bench.loss")) /* labels are the caller's again */
		{
			assert_int_equal(node[i].priority, 0);
			assert_int_equal(node[i].chunk, -1);
		}
	}
	after = count_nodes(&b, "expert_mlp.backward_weight");
	assert_int_equal(after, 1);
	bench_teardown(&b);
}

static void degree_is_clamped(void **state)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;

	(void)state;
	spec.forward_degree = 1000;
	spec.backward_degree = 5;
	bench_build_row(&b, fsmoe_schedule_find("fsmoe"), &spec, NULL, 8);
	assert_int_equal(fsmoe_graph_status(b.graph), 0);
	assert_int_equal(count_nodes(&b, "order"), 4); /* 2 * int(ceil(8 / 4)) slots */
	assert_int_equal(count_nodes(&b, "expert_mlp.backward_weight"), 4);
	bench_teardown(&b);
}

/* --- published numbers ------------------------------------------------------------------------ */

static double mean_square(const float *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum / (double)n;
}

/* Six digits are published. */
#define assert_published(value, want) assert_true(fabs((value) / (want)-1) < 2e-5)

static void try_peer(double factor, double y_rms, double y_dy, double dx_rms, double dwg_rms,
		     double dwe_rms)
{
	enum
	{
		T = 96,
		M = 64,
		H = 96,
		E = 8
	};
	const struct fsmoe_moe_spec spec = {.name = "moe",
					    .experts = E,
					    .top_k = 2,
					    .hidden_size = M,
					    .ffn_size = H,
					    .capacity_factor = factor,
					    .forward_degree = 3,
					    .backward_degree = 2};
	struct bench b;
	double dot = 0, w;

	bench_setup(&b, &spec, FSMOE_F32, NULL, 0, T);
	fsmoe_noise_fill(bench_data(&b, b.x), T * M, 7919 + 11, 1);
	fsmoe_noise_fill(bench_data(&b, b.dy), T * M, 7919 + 5003, 1);
	fsmoe_noise_fill(bench_data(&b, bench_param(&b, params[1])->tensor), E * M, 1,
			 pow(M, -0.5));
	for (size_t e = 0; e < E; e++)
	{
		float *w1 = bench_data(&b, bench_param(&b, params[2])->tensor);
		float *w2 = bench_data(&b, bench_param(&b, params[4])->tensor);
		fsmoe_noise_fill(w1 + e * H * M, H * M, 101000 + 10 * e, pow(M, -0.5));
		fsmoe_noise_fill(w2 + e * H * M, H * M, 101000 + 10 * e + 1, pow(H, -0.5));
	}
	memset(bench_data(&b, bench_param(&b, params[3])->tensor), 0, E * H * sizeof(float));
	memset(bench_data(&b, bench_param(&b, params[5])->tensor), 0, E * M * sizeof(float));
	assert_int_equal(bench_run(&b, NULL), 0);

	const float *y = bench_data(&b, b.y), *dy = bench_data(&b, b.dy);
	for (size_t i = 0; i < T * M; i++)
		dot += (double)y[i] * dy[i];
	w = mean_square(bench_grad(&b, params[2]), E * H * M) +
	    mean_square(bench_grad(&b, params[4]), E * H * M);
	assert_published(sqrt(mean_square(y, T * M)), y_rms);
	assert_published(dot / (T * M), y_dy);
	assert_published(sqrt(mean_square(bench_grad(&b, params[0]), T * M)), dx_rms);
	if (dwg_rms > 0)
		assert_published(sqrt(mean_square(bench_grad(&b, params[1]), E * M)), dwg_rms);
	if (dwe_rms > 0)
		assert_published(sqrt(w / 2), dwe_rms);
	bench_teardown(&b);
}

/* PyTorch, Tutel, DeepSpeed-MoE and Megatron-Core; gradients of weights by the first alone. */
static void peers_agree(void **state)
{
	(void)state;
	try_peer(0, 0.485204, 0.00595026, 0.564807, 8.30051, 1.54719);
	try_peer(1, 0.480257, 0.00620229, 0.558876, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops),
		cmocka_unit_test(later_tokens_are_not_seen),
		cmocka_unit_test(bad_numbers_fail_the_step),
		cmocka_unit_test(lanes_are_in_order),
		cmocka_unit_test(priorities),
		cmocka_unit_test(degree_is_clamped),
		cmocka_unit_test(peers_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
