/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the buffers of AlltoAlls and AllGathers lie in a window (gpu/symmetric.h): of a
 * training step, on machines nobody owns, the same on every rank, apart from each other, and none
 * that a collective sums.
 */
#include "tests/base/unit.h"

#include "codelets/collective.h"
#include "codelets/rows.h"
#include "graph/memory.h"
#include "gpu/symmetric.h"
#include "step/step.h"

#include <fsmoe/model.h>

static const unsigned all_groups = (1u << FSMOE_NGROUPS) - 1;

struct machine
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct fsmoe_step_graph step;
};

static void machine_make(struct machine *m, const char *text, int esp, const char *dispatch,
			 int rank)
{
	const struct fsmoe_layout layout = {.tp = esp, .ep = 4 / esp, .esp = esp, .rank = rank};
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;

	assert_int_equal(fsmoe_topo_create(&m->topo, text, 0), 0);
	assert_int_equal(fsmoe_groups_create(&m->groups, m->topo, &layout), 0);
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.dispatch = dispatch;
	spec.experts = 8;
	spec.forward_degree = 2;
	spec.backward_degree = 3;
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	if (fsmoe_step_create(&m->step, m->groups, fsmoe_model_as_forward(&spec), &opts))
		fail_msg("%s", fsmoe_last_error());
}

static void machine_free(struct machine *m)
{
	fsmoe_step_destroy(&m->step);
	fsmoe_groups_destroy(m->groups);
	fsmoe_topo_destroy(m->topo);
}

static void apart(const struct fsmoe_symmetric *s, const struct fsmoe_tensor_info *t, int n,
		  enum fsmoe_real real)
{
	char *taken = calloc(s->bytes + 1, 1);

	assert_non_null(taken);
	for (int i = 0; i < n; i++)
	{
		if (s->at[i] == FSMOE_ELSEWHERE)
			continue;
		assert_int_equal(t[i].base, i);
		assert_int_equal(t[i].role, FSMOE_ACTIVATION);
		assert_int_equal(s->at[i] % 256, 0);
		assert_true(s->at[i] + fsmoe_tensor_bytes(real, &t[i]) <= s->bytes);
		for (size_t k = 0; k < fsmoe_tensor_bytes(real, &t[i]); k++)
			assert_int_equal(taken[s->at[i] + k]++, 0);
	}
	free(taken);
}

/* Nodes that find both buffers in the window; what is summed is elsewhere. */
static int carried(const struct fsmoe_symmetric *s, fsmoe_graph_t graph, const char *name)
{
	int nnodes, ntensors, n = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
	{
		int in = 1;

		for (int a = 0; a < node[i].naccess; a++)
			in &= node[i].access[a].tensor != FSMOE_NONE &&
			      s->at[t[node[i].access[a].tensor].base] != FSMOE_ELSEWHERE;
		if (node[i].op->kind == FSMOE_KIND_REDUCE_SCATTER ||
		    node[i].op->kind == FSMOE_KIND_ALLREDUCE)
			assert_true(s->at[t[node[i].access[0].tensor].base] == FSMOE_ELSEWHERE);
		n += in && !strcmp(node[i].op->name, name);
	}
	return n;
}

static int of_op(fsmoe_graph_t graph, const char *name)
{
	int nnodes, n = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);

	for (int i = 0; i < nnodes; i++)
		n += !strcmp(node[i].op->name, name);
	return n;
}

static void every_rank_has_the_same_places(void **state)
{
	struct fsmoe_symmetric first = {0}, s;

	(void)state;
	for (int rank = 0; rank < 4; rank++)
		for (int real = FSMOE_F32; real <= FSMOE_BF16; real += FSMOE_BF16 - FSMOE_F32)
		{
			struct machine m;
			int n;

			machine_make(&m, "node:2 gpu:2", 2, "flat", rank);
			const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(m.step.graph, &n);
			assert_int_equal(fsmoe_symmetric_lay_out(&s, m.step.graph,
								 (enum fsmoe_real)real, all_groups,
								 NULL),
					 0);
			apart(&s, t, n, (enum fsmoe_real)real);
			assert_int_equal(carried(&s, m.step.graph, "alltoall"),
					 of_op(m.step.graph, "alltoall"));
			assert_true(carried(&s, m.step.graph, "alltoall") >= 2 * (2 + 3));
			assert_true(carried(&s, m.step.graph, "allgather") > 0);
			assert_true(s.groups & 1u << FSMOE_GROUP_EP);
			assert_true(s.groups & 1u << FSMOE_GROUP_ESP);
			assert_int_equal(s.refused, 0);
			if (rank == 0 && real == FSMOE_F32)
				first = s;
			else if (real == FSMOE_F32)
			{
				assert_true(s.bytes == first.bytes && s.hash == first.hash);
				assert_memory_equal(s.at, first.at, (size_t)n * sizeof(*s.at));
			}
			else
				assert_true(s.bytes < first.bytes && s.hash != first.hash);
			if (s.at != first.at)
				free(s.at);
			machine_free(&m);
		}
	free(first.at);
}

/* The AlltoAll inside a node runs along a middle dimension: its parts are pieces. */
static void pieces_are_sent_as_before(void **state)
{
	struct fsmoe_symmetric s;
	struct machine m;

	(void)state;
	machine_make(&m, "node:2 gpu:2", 1, "2dh", 1);
	assert_int_equal(fsmoe_symmetric_lay_out(&s, m.step.graph, FSMOE_F32, all_groups, NULL), 0);
	assert_true(s.groups & 1u << FSMOE_GROUP_EP_RAIL);
	assert_false(s.groups & 1u << FSMOE_GROUP_EP_NODE);
	free(s.at);
	machine_free(&m);
}

static void groups_that_may_not_are_told(void **state)
{
	struct fsmoe_symmetric s;
	struct machine m;
	char *elsewhere;
	int n;

	(void)state;
	machine_make(&m, "node:2 gpu:2", 2, "flat", 3);
	assert_int_equal(fsmoe_symmetric_lay_out(&s, m.step.graph, FSMOE_F32,
						 all_groups & ~(1u << FSMOE_GROUP_EP), NULL),
			 0);
	assert_int_equal(s.refused, 1u << FSMOE_GROUP_EP);
	assert_false(s.groups & 1u << FSMOE_GROUP_EP);
	free(s.at);
	fsmoe_graph_tensors(m.step.graph, &n);
	elsewhere = malloc((size_t)n);
	assert_non_null(elsewhere);
	memset(elsewhere, 1, (size_t)n);
	assert_int_equal(
		fsmoe_symmetric_lay_out(&s, m.step.graph, FSMOE_F32, all_groups, elsewhere), 0);
	assert_true(s.bytes == 0 && s.groups == 0 && s.refused == 0);
	free(elsewhere);
	free(s.at);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rank_has_the_same_places),
		cmocka_unit_test(pieces_are_sent_as_before),
		cmocka_unit_test(groups_that_may_not_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
