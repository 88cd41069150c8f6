/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives as operations: values, gradients, lanes, access. */
#include "transfers.h"

#include "codelets/collective.h"
#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void transfer_over(const struct transfer *t, const struct group *g, struct fsmoe_shape shape)
{
	struct run r;
	int n;

	run_setup(&r, t, g, shape);
	if (fsmoe_graph_execute(r.graph, r.memory, job.comms, NULL))
		fail_msg("%s over %s: %s", t->name, fsmoe_group_name(g->kind), fsmoe_last_error());
	const double *y = fsmoe_memory_data(r.memory, r.y);
	for (size_t i = 0; i < r.nout; i++)
		if (y[i] != t->y(g, X, r.n, i))
			fail_msg("%s over %s: element %zu of %zu is %g, expected %g", t->name,
				 fsmoe_group_name(g->kind), i, r.nout, y[i], t->y(g, X, r.n, i));

	fsmoe_tensor_t grad = fsmoe_graph_tensors(r.graph, &n)[r.param].grad;
	const double *dx = fsmoe_memory_data(r.memory, grad);
	for (size_t i = 0; i < r.n; i++)
		if (dx[i] != t->dx(g, DY, r.nout, i))
			fail_msg("%s over %s, backward: element %zu of %zu is %g, expected %g",
				 t->name, fsmoe_group_name(g->kind), i, r.n, dx[i],
				 t->dx(g, DY, r.nout, i));
	run_teardown(&r);
}

static void values_and_gradients(void **state)
{
	(void)state;
	for (size_t t = 0; t < NTRANSFERS; t++)
		for (size_t k = 0; k < NKINDS; k++)
		{
			struct group g = group_of(kinds[k]);
			transfer_over(&transfers[t], &g, FSMOE_SHAPE1(g.size));
			transfer_over(&transfers[t], &g, FSMOE_SHAPE2(3 * g.size, 5));
			transfer_over(&transfers[t], &g, FSMOE_SHAPE3(g.size, 2, 67));
		}
}

static void allreduce(void **state)
{
	static const size_t sizes[] = {1, 7, 1001};

	(void)state;
	for (size_t k = 0; k < NKINDS; k++)
		for (size_t s = 0; s < 3; s++)
		{
			struct group g = group_of(kinds[k]);
			fsmoe_graph_t graph;
			fsmoe_memory_t memory;
			assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
			fsmoe_tensor_t x = fsmoe_graph_state(graph, FSMOE_SHAPE1(sizes[s]), "x");
			fsmoe_allreduce(graph, x, kinds[k]);
			assert_int_equal(fsmoe_memory_create(&memory, graph, FSMOE_F32, NULL), 0);
			float *data = fsmoe_memory_data(memory, x);
			for (size_t i = 0; i < sizes[s]; i++)
				data[i] = (float)held(&g, g.me, X, i);
			if (fsmoe_graph_execute(graph, memory, job.comms, NULL))
				fail_msg("%s", fsmoe_last_error());
			for (size_t i = 0; i < sizes[s]; i++)
			{
				float sum = (float)held(&g, 0, X, i);
				for (size_t member = 1; member < g.size; member++)
					sum += (float)held(&g, member, X, i);
				assert_true(data[i] == sum); /* to the bit: group order */
			}
			fsmoe_memory_destroy(memory);
			fsmoe_graph_destroy(graph);
		}
}

/* --- to and from rank 0 ----------------------------------------------------------------------- */

/* x (3, 5) of all to (3, P, 5), and back. */
static void there_and_back_over(const struct group *g)
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	size_t P = g->size;

	assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
	fsmoe_tensor_t x = fsmoe_graph_input(graph, FSMOE_REAL, FSMOE_SHAPE2(3, 5), "x");
	fsmoe_tensor_t y = fsmoe_gather(graph, x, 1, g->kind);
	fsmoe_tensor_t z = fsmoe_scatter(graph, y, 1, FSMOE_SHAPE2(3, 5), g->kind);
	assert_int_equal(fsmoe_graph_status(graph), 0);
	assert_int_equal(fsmoe_memory_create(&memory, graph, FSMOE_F64, NULL), 0);
	double *data = fsmoe_memory_data(memory, x);
	for (size_t i = 0; i < 15; i++)
		data[i] = held(g, g->me, X, i);
	if (fsmoe_graph_execute(graph, memory, job.comms, NULL))
		fail_msg("%s", fsmoe_last_error());
	assert_int_equal(y != FSMOE_NONE, g->me == 0);
	const double *all = y == FSMOE_NONE ? NULL : fsmoe_memory_data(memory, y);
	for (size_t i = 0; all && i < 15 * P; i++)
		assert_true(all[i] == held(g, i / 5 % P, X, i / 5 / P * 5 + i % 5));
	assert_memory_equal(fsmoe_memory_data(memory, z), data, 15 * sizeof(*data));
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
}

static void there_and_back(void **state)
{
	(void)state;
	for (size_t k = 0; k < NKINDS; k++)
	{
		struct group g = group_of(kinds[k]);
		there_and_back_over(&g);
	}
}

/* All of it at a rank that is not the first, or nothing at the one that is. */
static void wrong_roots_are_refused(void **state)
{
	const int first = fsmoe_group_rank(job.groups, FSMOE_GROUP_WORLD) == 0;

	(void)state;
	for (const struct fsmoe_op *op = &fsmoe_op_gather; op;
	     op = op == &fsmoe_op_gather ? &fsmoe_op_scatter : NULL)
	{
		const struct fsmoe_collective_args args = {FSMOE_GROUP_WORLD, 1};
		const int one = op == &fsmoe_op_gather ? 0 : 1;
		struct fsmoe_access access[2] = {{FSMOE_NONE, 0, 0}, {FSMOE_NONE, 1, 0}};
		fsmoe_graph_t graph;
		assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
		access[one].tensor =
			fsmoe_graph_activation(graph, FSMOE_REAL, FSMOE_SHAPE1(3), "x");
		if (!first)
			access[1 - one].tensor =
				fsmoe_graph_activation(graph, FSMOE_REAL, FSMOE_SHAPE1(12), "y");
		fsmoe_graph_append(graph, op, &args, sizeof(args), access, 2);
		assert_int_equal(fsmoe_graph_status(graph), -EINVAL);
		assert_non_null(strstr(fsmoe_last_error(), "rank 0 of group world has all"));
		fsmoe_graph_destroy(graph);
	}
}

/* --- integers travel too --------------------------------------------------------------------- */

static void integers(void **state)
{
	struct group g = group_of(FSMOE_GROUP_WORLD);
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	int n;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
	fsmoe_tensor_t x = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE2(4, 3), "x");
	fsmoe_tensor_t y = fsmoe_alltoall(graph, x, FSMOE_GROUP_WORLD);
	fsmoe_tensor_t z = fsmoe_allgather(graph, x, FSMOE_GROUP_WORLD);
	assert_int_equal(fsmoe_graph_tensors(graph, &n)[y].dtype, FSMOE_INT32);
	assert_int_equal(fsmoe_memory_create(&memory, graph, FSMOE_F64, NULL), 0);
	int32_t *data = fsmoe_memory_data(memory, x);
	for (int i = 0; i < 12; i++)
		data[i] = 100 * (int32_t)g.me + i;
	assert_int_equal(fsmoe_graph_execute(graph, memory, job.comms, NULL), 0);
	const int32_t *exchanged = fsmoe_memory_data(memory, y);
	const int32_t *gathered = fsmoe_memory_data(memory, z);
	for (int i = 0; i < 12; i++)
		assert_int_equal(exchanged[i], 100 * (i / 3) + 3 * (int)g.me + i % 3);
	for (int i = 0; i < 48; i++)
		assert_int_equal(gathered[i], 100 * (i / 12) + i % 12);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
}

/* --- lanes, order, work; groups of one -------------------------------------------------------- */

static void lanes(void **state)
{
	fsmoe_graph_t graph;
	int n, ntensors;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
	fsmoe_tensor_t x = fsmoe_graph_input(graph, FSMOE_REAL, FSMOE_SHAPE2(2, 3), "x");
	fsmoe_tensor_t y = fsmoe_alltoall(graph, x, FSMOE_GROUP_EP);        /* inter 0 */
	fsmoe_tensor_t z = fsmoe_allgather(graph, y, FSMOE_GROUP_ESP);      /* intra 0 */
	fsmoe_tensor_t s = fsmoe_reduce_scatter(graph, z, FSMOE_GROUP_ESP); /* intra 1 */
	fsmoe_alltoall(graph, s, FSMOE_GROUP_EP);                           /* inter 1 */
	/* Its group has one member: nothing. */
	assert_int_equal(fsmoe_alltoall(graph, s, FSMOE_GROUP_EDP), s);
	fsmoe_allreduce(graph, s, FSMOE_GROUP_EDP);
	assert_int_equal(fsmoe_graph_status(graph), 0);

	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);
	static const enum fsmoe_lane lane[] = {FSMOE_INTER, FSMOE_INTRA, FSMOE_INTRA, FSMOE_INTER};
	static const int seq[] = {0, 0, 1, 1};
	static const double bytes[] = {24, 48, 48, 24};
	assert_int_equal(n, 4);
	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_tensor_info *all = fsmoe_graph_tensors(graph, &ntensors);
		const struct fsmoe_tensor_info *t[] = {&all[nodes[i].access[0].tensor],
						       &all[nodes[i].access[1].tensor]};
		assert_int_equal(nodes[i].lane, lane[i]);
		assert_int_equal(nodes[i].seq, seq[i]);
		assert_true(nodes[i].op->work(nodes[i].args, t, 2) == bytes[i]);
	}
	fsmoe_graph_destroy(graph);
}

/* --- access: the kernels are called together on all ranks, equally often ---------------------- */

static int communicates(const struct fsmoe_op *op)
{
	return FSMOE_KIND_IS_COMM(op->kind);
}

static void rows_and_mutants(void **state)
{
	struct group g = group_of(FSMOE_GROUP_WORLD);
	static struct opcase_ports ports;

	(void)state;
	for (size_t t = 0; t < NTRANSFERS; t++)
	{
		struct run r;
		run_setup(&r, &transfers[t], &g, FSMOE_SHAPE2(8, 3));
		fsmoe_allreduce(r.graph, r.y, FSMOE_GROUP_WORLD);
		fsmoe_memory_destroy(r.memory);
		assert_int_equal(fsmoe_memory_create(&r.memory, r.graph, FSMOE_F64, NULL), 0);
		run_fill(&r, &g);
		opcase_observe_graph(&ports, r.graph, r.memory,
				     fsmoe_comms_get(job.comms, FSMOE_GROUP_WORLD), communicates);
		run_teardown(&r);
	}
	/* Only rank 0 has both ports of these, so each of them is alone here. */
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	assert_int_equal(fsmoe_graph_create(&graph, job.groups), 0);
	fsmoe_tensor_t x = fsmoe_graph_input(graph, FSMOE_REAL, FSMOE_SHAPE2(3, 5), "x");
	fsmoe_scatter(graph, fsmoe_gather(graph, x, 1, FSMOE_GROUP_EDP), 1, FSMOE_SHAPE2(3, 5),
		      FSMOE_GROUP_EDP);
	assert_int_equal(fsmoe_memory_create(&memory, graph, FSMOE_F64, NULL), 0);
	for (size_t i = 0; i < 15; i++)
		((double *)fsmoe_memory_data(memory, x))[i] = held(&g, g.me, X, i);
	opcase_observe_graph(&ports, graph, memory, fsmoe_comms_get(job.comms, FSMOE_GROUP_EDP),
			     communicates);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
	opcase_judge(&ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_and_gradients),
		cmocka_unit_test(allreduce),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(wrong_roots_are_refused),
		cmocka_unit_test(integers),
		cmocka_unit_test(lanes),
		cmocka_unit_test(rows_and_mutants),
	};

	return cmocka_run_group_tests_name("collectives", tests, job_start, job_stop);
}
