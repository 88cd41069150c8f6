/* SPDX-License-Identifier: Apache-2.0 */
/* Every dispatch on machines that nobody owns: the graphs of all ranks are built here, and their
 * collectives carried out in one memory. What arrives, and comes back, is what `flat` delivers. */
#include "codelets/collective.h"
#include "comm/comm.h"
#include "moe/modules.h"

#include <fsmoe/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum
{
	MOST = 48, /* ranks */
	SPAN = 2,  /* slots of a chunk */
	DIM = 3
};

struct rank
{
	fsmoe_groups_t groups;
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	struct fsmoe_moe_layer layer;
	fsmoe_tensor_t x, sent, back;
};

struct machine
{
	fsmoe_topo_t topo;
	int ranks;
	struct rank rank[MOST];
};

/* --- the graphs: a chunk out and back, without experts ---------------------------------------- */

static void build(struct rank *r, fsmoe_topo_t topo, struct fsmoe_layout layout, int rank,
		  const struct fsmoe_dispatch *dispatch)
{
	layout.rank = rank;
	assert_int_equal(fsmoe_groups_create(&r->groups, topo, &layout), 0);
	assert_int_equal(fsmoe_graph_create(&r->graph, r->groups), 0);
	size_t ep = (size_t)fsmoe_group_size(r->groups, FSMOE_GROUP_EP);
	size_t esp = (size_t)fsmoe_group_size(r->groups, FSMOE_GROUP_ESP);
	r->layer = (struct fsmoe_moe_layer){
		.graph = r->graph,
		.name = "moe",
		.hidden_size = DIM,
		.experts = 2 * ep,
		.local_experts = 2,
		.sources = ep * esp,
		.ep = (int)ep,
		.ep_rank = fsmoe_group_rank(r->groups, FSMOE_GROUP_EP),
		.esp = (int)esp,
		.esp_rank = fsmoe_group_rank(r->groups, FSMOE_GROUP_ESP),
	};
	r->x = fsmoe_graph_input(r->graph, FSMOE_REAL, FSMOE_SHAPE3(2 * ep, SPAN, DIM), "x");
	r->sent = dispatch->send(&r->layer, r->x);
	r->back = dispatch->combine(&r->layer, dispatch->reduce(&r->layer, r->sent));
	if (fsmoe_graph_status(r->graph) ||
	    fsmoe_memory_create(&r->memory, r->graph, FSMOE_F64, NULL))
		fail_msg("%s: %s", dispatch->module.name, fsmoe_last_error());
}

static void tear_down(struct machine *m)
{
	for (int r = 0; r < m->ranks; r++)
	{
		fsmoe_memory_destroy(m->rank[r].memory);
		fsmoe_graph_destroy(m->rank[r].graph);
		fsmoe_groups_destroy(m->rank[r].groups);
	}
}

/* --- their collectives ------------------------------------------------------------------------ */

static double *data_of(const struct machine *m, int rank, int node, int access)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(m->rank[rank].graph, &n);
	fsmoe_tensor_t tensor = nodes[node].access[access].tensor;

	return tensor == FSMOE_NONE ? NULL : fsmoe_memory_data(m->rank[rank].memory, tensor);
}

static size_t count_of(const struct machine *m, int rank, int node, int access)
{
	int n, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(m->rank[rank].graph, &n);
	fsmoe_tensor_t tensor = nodes[node].access[access].tensor;

	return fsmoe_shape_count(
		&fsmoe_graph_tensors(m->rank[rank].graph, &ntensors)[tensor].shape);
}

/* The pattern of a node, as its kernel makes it. */
static struct fsmoe_pattern pattern_of(const struct machine *m, int rank, int node, int size,
				       int index, enum fsmoe_pattern_kind kind)
{
	int n, ntensors;
	const struct fsmoe_node *nd = &fsmoe_graph_nodes(m->rank[rank].graph, &n)[node];
	const struct fsmoe_tensor_info *all = fsmoe_graph_tensors(m->rank[rank].graph, &ntensors);
	const struct fsmoe_tensor_info *tensor[2] = {NULL, NULL};
	struct fsmoe_comm comm = {.size = size, .rank = index};

	for (int i = 0; i < 2; i++)
		if (nd->access[i].tensor != FSMOE_NONE)
			tensor[i] = &all[nd->access[i].tensor];
	return fsmoe_collective_pattern(
		&(struct fsmoe_call){.args = nd->args, .tensor = tensor, .n = 2, .comm = &comm},
		kind, sizeof(double));
}

static void exchange(const struct machine *m, int node, const int *member, int size,
		     enum fsmoe_pattern_kind kind)
{
	if (kind == FSMOE_PATTERN_ALLTOALL && !data_of(m, member[0], node, 0))
		return; /* a rail of others than leaders */
	for (int from = 0; from < size; from++)
		for (int to = 0; to < size; to++)
		{
			struct fsmoe_pattern out =
				pattern_of(m, member[from], node, size, from, kind);
			struct fsmoe_pattern in = pattern_of(m, member[to], node, size, to, kind);
			fsmoe_pieces_copy(
				data_of(m, member[to], node, 1), fsmoe_pattern_recv(&in, from),
				data_of(m, member[from], node, 0), fsmoe_pattern_send(&out, to));
		}
}

static void allgather(const struct machine *m, int node, const int *member, int size)
{
	size_t n = count_of(m, member[0], node, 0);

	for (int to = 0; to < size; to++)
		for (int from = 0; from < size; from++)
			memcpy(data_of(m, member[to], node, 1) + (size_t)from * n,
			       data_of(m, member[from], node, 0), n * sizeof(double));
}

static void reduce_scatter(const struct machine *m, int node, const int *member, int size)
{
	size_t n = count_of(m, member[0], node, 1);

	for (int to = 0; to < size; to++)
		for (size_t i = 0; i < n; i++)
		{
			double sum = 0;
			for (int from = 0; from < size; from++)
				sum += data_of(m, member[from], node, 0)[(size_t)to * n + i];
			data_of(m, member[to], node, 1)[i] = sum;
		}
}

/* Node i of all ranks is the same collective; each group of them carries it out. */
static void carry_out(const struct machine *m, int i)
{
	int n;
	const struct fsmoe_node *node = &fsmoe_graph_nodes(m->rank[0].graph, &n)[i];
	enum fsmoe_group kind = node->op->group(node->args);

	for (int r = 0; r < m->ranks; r++)
	{
		int member[MOST], size = MOST, others;
		const struct fsmoe_node *mine = fsmoe_graph_nodes(m->rank[r].graph, &others);
		assert_int_equal(others, n);
		assert_ptr_equal(mine[i].op, node->op);
		assert_int_equal(mine[i].op->group(mine[i].args), kind);
		assert_int_equal(mine[i].lane, node->lane);
		assert_int_equal(fsmoe_groups_members(m->rank[r].groups, kind, r, member, &size),
				 0);
		if (member[0] != r)
			continue;
		if (node->op == &fsmoe_op_allgather)
			allgather(m, i, member, size);
		else if (node->op == &fsmoe_op_reduce_scatter)
			reduce_scatter(m, i, member, size);
		else if (node->op == &fsmoe_op_gather)
			exchange(m, i, member, size, FSMOE_PATTERN_GATHER);
		else if (node->op == &fsmoe_op_scatter)
			exchange(m, i, member, size, FSMOE_PATTERN_SCATTER);
		else
			exchange(m, i, member, size, FSMOE_PATTERN_ALLTOALL);
	}
}

/* --- what must come out ----------------------------------------------------------------------- */

/* Element i of rank r's chunk. */
static double value(int r, size_t i)
{
	return (double)(1000 * r) + (double)i;
}

static void check_rank(const struct machine *m, int r, const char *name)
{
	const struct rank *me = &m->rank[r];
	const struct fsmoe_moe_layer *l = &me->layer;
	const double *sent = fsmoe_memory_data(me->memory, me->sent);
	const double *back = fsmoe_memory_data(me->memory, me->back);
	size_t block = l->local_experts * SPAN * DIM, ep = (size_t)l->ep;
	int base = r - l->ep_rank * l->esp - l->esp_rank;

	for (size_t i = 0; i < l->sources * block; i++) /* (ESP, EP, block) */
	{
		int from = base + (int)(i / block % ep) * l->esp + (int)(i / block / ep);
		double want = value(from, (size_t)l->ep_rank * block + i % block);
		if (sent[i] != want)
			fail_msg("%s, %d ranks, rank %d: element %zu is %g, expected %g", name,
				 m->ranks, r, i, sent[i], want);
	}
	/* Shards add up: what comes back is what was sent, once a shard. */
	for (size_t i = 0; i < ep * block; i++)
		if (back[i] != l->esp * value(r, i))
			fail_msg("%s, %d ranks, rank %d: %g came back, %g was sent", name, m->ranks,
				 r, back[i], value(r, i));
}

static void try_machine(struct machine *m, struct fsmoe_layout layout, const char *name)
{
	int n;

	for (int r = 0; r < m->ranks; r++)
	{
		double *x;
		build(&m->rank[r], m->topo, layout, r, fsmoe_dispatch_find(name));
		x = fsmoe_memory_data(m->rank[r].memory, m->rank[r].x);
		for (size_t i = 0; i < m->rank[r].layer.experts * SPAN * DIM; i++)
			x[i] = value(r, i);
	}
	fsmoe_graph_nodes(m->rank[0].graph, &n);
	for (int i = 0; i < n; i++)
		carry_out(m, i);
	for (int r = 0; r < m->ranks; r++)
		check_rank(m, r, name);
	tear_down(m);
}

static void every_dispatch_delivers(void **state)
{
	static struct machine m;
	static const int machines[][2] = {{1, 4}, {2, 2}, {2, 3}, {3, 2}, {4, 1}, {2, 4},
					  {4, 2}, {3, 4}, {6, 8}, {4, 6}, {8, 4}};
	struct fsmoe_module_info info[16];
	int n = 16;

	(void)state;
	assert_int_equal(fsmoe_module_list(FSMOE_MODULE_DISPATCH, info, &n), 0);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
	{
		char text[40];
		snprintf(text, sizeof(text), "node:%d gpu:%d", machines[i][0], machines[i][1]);
		assert_int_equal(fsmoe_topo_create(&m.topo, text, 0), 0);
		m.ranks = fsmoe_topo_ranks(m.topo);
		for (int ep = 1; ep <= m.ranks; ep++)
			for (int esp = 1; ep * esp <= m.ranks && m.ranks % ep == 0; esp++)
				for (int d = 0; d < n && m.ranks % (ep * esp) == 0; d++)
					try_machine(&m, (struct fsmoe_layout){.ep = ep, .esp = esp},
						    info[d].name);
		fsmoe_topo_destroy(m.topo);
	}
}

/* --- stages and lanes ------------------------------------------------------------------------- */

/* "alltoall ep-rail inter, ..." of rank r. */
static void assert_stages(const char *machine, struct fsmoe_layout layout, int r, const char *name,
			  const char *want)
{
	char got[400] = "";
	struct rank rank;
	fsmoe_topo_t topo;
	int n;

	assert_int_equal(fsmoe_topo_create(&topo, machine, 0), 0);
	build(&rank, topo, layout, r, fsmoe_dispatch_find(name));
	const struct fsmoe_node *node = fsmoe_graph_nodes(rank.graph, &n);
	for (int i = 0; i < n; i++)
	{
		size_t used = strlen(got);
		snprintf(got + used, sizeof(got) - used, "%s%s %s %s", i ? ", " : "",
			 node[i].op->name, fsmoe_group_name(node[i].op->group(node[i].args)),
			 fsmoe_lane_name(node[i].lane));
	}
	assert_string_equal(got, want);
	fsmoe_memory_destroy(rank.memory);
	fsmoe_graph_destroy(rank.graph);
	fsmoe_groups_destroy(rank.groups);
	fsmoe_topo_destroy(topo);
}

static void stages_are_on_their_lanes(void **state)
{
	static const struct fsmoe_layout all = {.ep = 8, .esp = 1}, shards = {.ep = 4, .esp = 2};

	(void)state;
	assert_stages("node:2 gpu:4", all, 5, "flat", "alltoall ep inter, alltoall ep inter");
	assert_stages("node:2 gpu:4", all, 5, "2dh",
		      "alltoall ep-rail inter, alltoall ep-node intra, "
		      "alltoall ep-rail inter, alltoall ep-node intra");
	for (int r = 4; r < 6; r++) /* a leader, and one who is none */
		assert_stages(
			"node:2 gpu:4", all, r, "1dh",
			"gather ep-node intra, alltoall ep-rail inter, scatter ep-node intra, "
			"gather ep-node intra, alltoall ep-rail inter, scatter ep-node "
			"intra");
	assert_stages("node:2 gpu:4", shards, 3, "2dh",
		      "alltoall ep-rail inter, alltoall ep-node intra, allgather esp intra, "
		      "reduce_scatter esp intra, alltoall ep-rail inter, alltoall ep-node intra");
	/* One node; one rank a node; groups that take up a node and a half. */
	assert_stages("node:1 gpu:8", all, 3, "2dh", "alltoall ep intra, alltoall ep intra");
	assert_stages("node:8 gpu:1", all, 3, "1dh", "alltoall ep inter, alltoall ep inter");
	assert_stages("node:4 gpu:2", (struct fsmoe_layout){.ep = 4, .esp = 2}, 3, "2dh",
		      "alltoall ep inter, allgather esp intra, reduce_scatter esp intra, "
		      "alltoall ep inter");
	assert_stages("node:4 gpu:4", (struct fsmoe_layout){.ep = 2, .esp = 8}, 3, "1dh",
		      "alltoall ep inter, allgather esp inter, reduce_scatter esp inter, "
		      "alltoall ep inter");
	assert_stages("node:4 gpu:3", (struct fsmoe_layout){.ep = 2, .esp = 1}, 3, "2dh",
		      "alltoall ep inter, alltoall ep inter");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_dispatch_delivers),
					   cmocka_unit_test(stages_are_on_their_lanes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
