/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step is built as it was planned: its nodes on every communication lane stand in the order in
 * which the planner walks them, gradients where and as large as the plan says, the same on every
 * rank, for random plans on machines nobody owns.
 */
#include "machine.h"
#include "random_plan.h"

#include "plan/layer_walk.h"

enum
{
	PLANS = 200,
	CHUNKS = 6,
	TEXT = 16384
};

static void add(char *text, const char *format, ...)
{
	const size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, TEXT - used, format, args);
	va_end(args);
	assert_true(strlen(text) + 1 < TEXT);
}

/* --- as planned --------------------------------------------------------------------------- */

static void plan_moe(const struct random_plan *r, int layer, enum fsmoe_phase phase,
		     char *const *text)
{
	static const char names[FSMOE_NLAYER_TASKS] = {
		[FSMOE_DISPATCH] = 'D', [FSMOE_GATHER] = 'A',  [FSMOE_EXPERTS] = 'E',
		[FSMOE_SCATTER] = 'R',  [FSMOE_COMBINE] = 'C', [FSMOE_GRADIENTS] = 'G'};
	const struct fsmoe_plan_layer *l = &r->layer[layer];
	const int degree = phase == FSMOE_FORWARD ? l->forward_degree : l->backward_degree;
	const double gradient = phase == FSMOE_BACKWARD && l->moe.bytes ? 1 : 0;
	struct fsmoe_layer_event event[FSMOE_LAYER_EVENTS(CHUNKS)];
	int n;

	fsmoe_layer_walk(&r->row, &(struct fsmoe_chunk){1, 1, 1, 1, 0}, degree, gradient, event,
			 &n);
	for (int i = 0; i < n; i++)
	{
		if (event[i].task == FSMOE_GRADIENTS)
			add(text[event[i].lane], " G%zu", (size_t)l->moe.bytes / 4);
		else if (event[i].lane != FSMOE_COMPUTE)
			add(text[event[i].lane], " %c%d", names[event[i].task], event[i].chunk);
	}
}

/* fsmoe_dense_seconds: AllGather, gradients beside what is computed, ReduceScatter. */
static void plan_dense(const struct random_plan *r, int layer, enum fsmoe_phase phase,
		       char *const *text)
{
	const struct fsmoe_share *share = &r->layer[layer].dense;

	add(text[r->row.gather_lane], " a");
	if (phase == FSMOE_BACKWARD && share->bytes)
		add(text[r->row.alltoall_lane], " G%zu", (size_t)share->bytes / 4);
	add(text[r->row.gather_lane], " r");
}

static void plan_step(const struct random_plan *r, char *const *text)
{
	for (int i = 0; i < LAYERS; i++)
	{
		plan_dense(r, i, FSMOE_FORWARD, text);
		plan_moe(r, i, FSMOE_FORWARD, text);
	}
	for (int i = LAYERS - 1; i >= 0; i--)
	{
		plan_moe(r, i, FSMOE_BACKWARD, text);
		plan_dense(r, i, FSMOE_BACKWARD, text);
	}
}

/* --- as built ----------------------------------------------------------------------------- */

/* Every AllReduce by itself (exactly) or neighbours as one; of an AlltoAll, whether its chunk goes
 * out or comes back. Forward and backward alone. */
static void read_lane(fsmoe_graph_t graph, enum fsmoe_lane lane, char *text)
{
	int n, tensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	const struct fsmoe_tensor_info *tensor = fsmoe_graph_tensors(graph, &tensors);
	char out[LAYERS][CHUNKS][FSMOE_NPHASES] = {{{0}}};
	size_t together = 0;

	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_node *o = &node[i];

		if (o->lane != lane || o->phase == FSMOE_UPDATE)
			continue;
		if (o->op->kind == FSMOE_KIND_ALLREDUCE)
		{
			together += count_of(tensor, o);
			continue;
		}
		if (together)
			add(text, " G%zu", together);
		together = 0;
		if (o->op->kind == FSMOE_KIND_ALLTOALL)
			add(text, " %c%d", out[o->layer][o->chunk][o->phase]++ ? 'C' : 'D',
			    o->chunk);
		else if (o->chunk >= 0)
			add(text, " %c%d", o->op->kind == FSMOE_KIND_ALLGATHER ? 'A' : 'R',
			    o->chunk);
		else
			add(text, " %c", o->op->kind == FSMOE_KIND_ALLGATHER ? 'a' : 'r');
	}
	if (together)
		add(text, " G%zu", together);
}

/* Every collective with its size: what ranks must have alike. */
static void read_collectives(fsmoe_graph_t graph, char *text)
{
	int n, tensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	const struct fsmoe_tensor_info *tensor = fsmoe_graph_tensors(graph, &tensors);

	for (int i = 0; i < n; i++)
		if (node[i].seq >= 0)
			add(text, " %s.%d.%d.%zu", node[i].op->name, (int)node[i].lane, node[i].seq,
			    count_of(tensor, &node[i]));
}

static double a_second(const struct fsmoe_node *node, void *arg)
{
	(void)arg;
	return 1e-3 * (1 + node->id % 7);
}

/* On the compute lane priorities decide, at run time: chunks are computed in their order. */
static void check_experts(fsmoe_graph_t graph)
{
	int n;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	double last[LAYERS][FSMOE_NPHASES] = {{0}};
	struct fsmoe_timeline tl;

	assert_int_equal(fsmoe_graph_simulate(graph, a_second, NULL, NULL, &tl), 0);
	for (int i = 0; i < n; i++)
		if (node[i].op->kind == FSMOE_KIND_EXPERT && node[i].chunk >= 0)
		{
			assert_true(tl.start[i] >= last[node[i].layer][node[i].phase]);
			last[node[i].layer][node[i].phase] = tl.start[i];
		}
	fsmoe_timeline_destroy(&tl);
}

static void check_plan(struct machine *m, const struct random_plan *r)
{
	static char planned[FSMOE_NLANES][TEXT], built[TEXT];
	char *const text[FSMOE_NLANES] = {planned[0], planned[1], planned[2]};
	struct fsmoe_step_graph step;

	m->opts.schedule = &r->row;
	m->opts.plan = &r->plan;
	build(m, &step);
	memset(planned, 0, sizeof(planned));
	plan_step(r, text);
	for (int lane = FSMOE_INTRA; lane < FSMOE_NLANES; lane++)
	{
		memset(built, 0, sizeof(built));
		read_lane(step.graph, (enum fsmoe_lane)lane, built);
		if (strcmp(planned[lane], built))
			fail_msg("lane %s: planned\n%s\nand built\n%s", fsmoe_lane_name(lane),
				 planned[lane], built);
	}
	check_experts(step.graph);
	fsmoe_step_destroy(&step);
}

static void plans_are_built(void **state)
{
	struct fsmoe_step_graph step;
	size_t floats[LAYERS];
	struct random_plan r;
	struct machine m;

	(void)state;
	machine_make(&m, "node:2 gpu:2", 1);
	build(&m, &step);
	gradient_floats(step.graph, LAYERS, floats);
	fsmoe_step_destroy(&step);
	for (uint64_t seed = 0; seed < PLANS; seed++)
	{
		random_plan(&r, seed, LAYERS, floats, CHUNKS);
		m.opts.micro_batches = 1; /* read_lane tells chunks out and back by counting */
		check_plan(&m, &r);
	}
	machine_free(&m);
}

/* --- on every rank, all of it, once ------------------------------------------------------- */

/* Every element of every bucket that is summed, once. */
static void check_all_is_sent(fsmoe_graph_t graph)
{
	int n, tensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	const struct fsmoe_tensor_info *tensor = fsmoe_graph_tensors(graph, &tensors);
	size_t *sent = calloc((size_t)tensors, sizeof(*sent));

	assert_non_null(sent);
	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_tensor_info *t = &tensor[node[i].access[0].tensor];

		if (node[i].op->kind != FSMOE_KIND_ALLREDUCE || t->role != FSMOE_GRAD)
			continue;
		/* Pieces of a bucket follow each other without gap or overlap. */
		assert_int_equal(t->offset, sent[t->base]);
		sent[t->base] += fsmoe_shape_count(&t->shape);
	}
	for (int i = 0; i < tensors; i++)
		if (sent[i])
			assert_int_equal(sent[i], fsmoe_shape_count(&tensor[i].shape));
	free(sent);
}

static void ranks_agree(void **state)
{
	static const char *const machines[] = {"node:2 gpu:2", "node:1 gpu:4", "node:4 gpu:1",
					       "node:2 gpu:4"};
	static char first[8 * TEXT], other[8 * TEXT];

	(void)state;
	for (size_t k = 0; k < sizeof(machines) / sizeof(machines[0]); k++)
		for (uint64_t seed = 0; seed < 20; seed++)
			for (int rank = 0; rank < (k == 3 ? 8 : 4); rank++)
			{
				struct fsmoe_step_graph step;
				size_t floats[LAYERS];
				struct random_plan r;
				struct machine m;

				machine_make(&m, machines[k], rank);
				m.opts.micro_batches = 1 + (int)seed % 2;
				build(&m, &step);
				gradient_floats(step.graph, LAYERS, floats);
				fsmoe_step_destroy(&step);
				random_plan(&r, 1000 + seed, LAYERS, floats, CHUNKS);
				m.opts.schedule = &r.row;
				/* Without a plan, too: a row's rule. */
				m.opts.plan = seed % 4 ? &r.plan : NULL;
				if (seed % 4 == 0)
					m.opts.schedule = fsmoe_schedule_at((int)(seed / 4) % 6);
				build(&m, &step);
				check_all_is_sent(step.graph);
				memset(other, 0, sizeof(other));
				read_collectives(step.graph, other);
				if (rank == 0)
					memcpy(first, other, sizeof(first));
				assert_string_equal(first, other);
				fsmoe_step_destroy(&step);
				machine_free(&m);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_are_built),
		cmocka_unit_test(ranks_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
