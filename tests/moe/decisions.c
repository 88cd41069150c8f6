/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decisions DIR NODES FORWARD BACKWARD: trains two steps with every gate that makes lists, on this
 * job cut into NODES nodes and with layers cut into FORWARD and BACKWARD chunks, and leaves in DIR
 * what was decided, a line a choice: gate, step, layer, sequence, token, choice, expert, slot.
 * Other layouts of the same batch must leave the same lines in some order. Experts are full, so the
 * lines tell who was dropped too; the learning rate is 0, so that step 2 starts from the same
 * weights.
 */
#include "base/rng.h"
#include "moe/layer.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/module.h>
#include <stdlib.h>
#include <string.h>

enum
{
	STEPS = 2,
	BATCH = 8,
	GROUP = 4,
	MICROBATCHES = 2
};

struct run
{
	struct fsmoe_model_spec spec;
	fsmoe_groups_t groups;
	fsmoe_trainer_t trainer;
	FILE *file;
};

static fsmoe_tensor_t output(const struct fsmoe_node *node, const char *port)
{
	for (int i = 0; i < node->naccess; i++)
		if (!strcmp(node->op->ports[node->access[i].port].name, port) &&
		    node->access[i].mode == FSMOE_W)
			return node->access[i].tensor;
	return FSMOE_NONE;
}

static int32_t *read_ints(const struct run *r, fsmoe_tensor_t tensor, size_t *width)
{
	int n;
	const struct fsmoe_shape *shape =
		&fsmoe_graph_tensors(fsmoe_trainer_graph(r->trainer), &n)[tensor].shape;
	size_t bytes = fsmoe_shape_count(shape) * sizeof(int32_t);
	int32_t *data = malloc(bytes);

	*width = shape->dim[1];
	TRY(fsmoe_program_read(fsmoe_trainer_program(r->trainer), tensor, data, bytes));
	return data;
}

/* One gate of one micro-batch; a rank's rows are (sequences, seq / TP). */
static void write_node(const struct run *r, const struct fsmoe_node *node, int step)
{
	const struct fsmoe_model_spec *s = &r->spec;
	const int mp = fsmoe_group_size(r->groups, FSMOE_GROUP_TP),
		  dp = fsmoe_group_size(r->groups, FSMOE_GROUP_DP), span = s->seq_length / mp,
		  sequences = BATCH / MICROBATCHES / dp,
		  first = (fsmoe_group_rank(r->groups, FSMOE_GROUP_DP) * MICROBATCHES +
			   node->micro_batch) *
			  sequences;
	const size_t capacity =
		fsmoe_moe_capacity(GROUP, (size_t)s->experts, (size_t)s->top_k, s->capacity_factor);
	size_t width;
	int32_t *expert = read_ints(r, output(node, "expert"), &width);
	int32_t *slot = read_ints(r, output(node, "slot"), &width);

	for (int i = 0; i < sequences * span * (int)width; i++)
	{
		int row = i / (int)width, position = slot[i];
		if (position >= 0) /* in its group */
			position -= row / GROUP * (int)capacity;
		fprintf(r->file, "%s %d %d %d %d %d %d %d\n", s->gate, step, node->layer,
			first + row / span,
			fsmoe_group_rank(r->groups, FSMOE_GROUP_TP) * span + row % span,
			i % (int)width, expert[i], position);
	}
	free(expert);
	free(slot);
}

static void take_step(const struct run *r, int step)
{
	int32_t tokens[BATCH * 16], targets[BATCH * 16];
	struct fsmoe_train_result result;
	uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(5, "decisions"), (uint64_t)step);
	int n;

	for (int i = 0; i < BATCH * r->spec.seq_length; i++)
	{
		tokens[i] =
			(int32_t)(fsmoe_rng_bits(key, (uint64_t)i) % (uint64_t)r->spec.vocab_size);
		targets[i] = (tokens[i] * 7 + 3) % r->spec.vocab_size;
	}
	TRY(fsmoe_trainer_step(r->trainer, tokens, targets, 0, &result));
	const struct fsmoe_node *node = fsmoe_graph_nodes(fsmoe_trainer_graph(r->trainer), &n);
	for (int i = 0; i < n; i++)
		if (output(&node[i], "slot") != FSMOE_NONE)
			write_node(r, &node[i], step);
}

static void train(struct run *r, fsmoe_runtime_t rt, const char *gate, char **degrees)
{
	struct fsmoe_train_opts opts;

	TRY(fsmoe_model_spec_init(&r->spec, "tiny"));
	r->spec.gate = gate;
	r->spec.allow_leak = 1;
	r->spec.routing_group = GROUP;
	r->spec.capacity_factor = 1;
	r->spec.forward_degree = atoi(degrees[0]);
	r->spec.backward_degree = atoi(degrees[1]);
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = r->spec.seq_length;
	opts.micro_batches = MICROBATCHES;
	TRY(fsmoe_trainer_create(&r->trainer, rt, fsmoe_model_as_forward(&r->spec), &opts));
	for (int step = 0; step < STEPS; step++)
		take_step(r, step);
	fsmoe_trainer_destroy(r->trainer);
}

int main(int argc, char **argv)
{
	struct fsmoe_module_info info[32];
	struct run r;
	fsmoe_topo_t topo;
	fsmoe_runtime_t rt;
	char path[512];
	int n = 32;

	if (argc != 5)
	{
		fprintf(stderr, "usage: decisions DIR NODES FORWARD BACKWARD\n");
		return 2;
	}
	TRY(fsmoe_topo_create(&topo, NULL, atoi(argv[2])));
	TRY(fsmoe_groups_create(&r.groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, r.groups, NULL));
	snprintf(path, sizeof(path), "%s/rank.%d", argv[1], fsmoe_topo_rank(topo));
	r.file = fopen(path, "w");
	if (!r.file)
	{
		perror(path);
		return 1;
	}
	TRY(fsmoe_module_list(FSMOE_MODULE_GATE, info, &n));
	for (int i = 0; i < n; i++)
		if (fsmoe_gate_find(info[i].name)->routing == FSMOE_ROUTING_LISTS)
			train(&r, rt, info[i].name, argv + 3);
	fclose(r.file);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(r.groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
