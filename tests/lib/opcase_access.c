/* SPDX-License-Identifier: Apache-2.0 */
#include "opcase_internal.h"

#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One node's tensors, apart from the graph's memory: `base` is what they hold before a call,
 * `now` what the kernel works on, `first` what the first call made of it. */
struct bench
{
	const struct fsmoe_node *node;
	struct fsmoe_call call;
	const struct fsmoe_tensor_info *tensor[OPCASE_MAX_ACCESSES];
	size_t bytes[OPCASE_MAX_ACCESSES];
	void *base[OPCASE_MAX_ACCESSES], *now[OPCASE_MAX_ACCESSES], *first[OPCASE_MAX_ACCESSES];
	int seen[OPCASE_MAX_ACCESSES];
};

static int is_scratch(const struct bench *b, int i)
{
	return b->node->op->ports[b->node->access[i].port].flags & FSMOE_SCRATCH;
}

static void *copy(const void *from, size_t bytes)
{
	void *p = malloc(bytes + 1);

	assert_non_null(p);
	return memcpy(p, from, bytes);
}

static void setup(struct bench *b, fsmoe_graph_t graph, fsmoe_memory_t memory)
{
	int ntensors;
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	assert_true(b->node->naccess <= OPCASE_MAX_ACCESSES);
	for (int i = 0; i < b->node->naccess; i++)
	{
		fsmoe_tensor_t t = b->node->access[i].tensor;
		if (t == FSMOE_NONE)
			continue;
		b->tensor[i] = &tensors[t];
		b->bytes[i] = fsmoe_shape_count(&tensors[t].shape) *
			      (tensors[t].dtype == FSMOE_INT32 ? sizeof(int32_t) : sizeof(double));
		b->base[i] = copy(fsmoe_memory_data(memory, t), b->bytes[i]);
		b->now[i] = copy(b->base[i], b->bytes[i]);
		b->first[i] = copy(b->base[i], b->bytes[i]);
	}
}

static void teardown(struct bench *b)
{
	for (int i = 0; i < b->node->naccess; i++)
	{
		free(b->base[i]);
		free(b->now[i]);
		free(b->first[i]);
	}
}

static int run(struct bench *b)
{
	for (int i = 0; i < b->node->naccess; i++)
		if (b->now[i])
			memcpy(b->now[i], b->base[i], b->bytes[i]);
	return b->node->op->cpu[FSMOE_F64](&b->call);
}

static void see_writes(struct bench *b)
{
	for (int i = 0; i < b->node->naccess; i++)
		if (b->now[i] && memcmp(b->now[i], b->base[i], b->bytes[i]))
			b->seen[i] |= FSMOE_W;
}

/* Whether the elements that the first call wrote came out otherwise; `before` is what was there. */
static int rows_differ(const struct bench *b, int i, const double *before)
{
	const double *now = b->now[i], *first = b->first[i];

	for (size_t k = 0; k < b->bytes[i] / sizeof(*now); k++)
		if (memcmp(&first[k], &before[k], sizeof(*now)) &&
		    memcmp(&now[k], &first[k], sizeof(*now)))
			return 1;
	return 0;
}

/* Whether the last call ended otherwise than the first, apart from what tensor `but` holds if it
 * is none of the outputs. `before`: what that held. */
static int outcome_differs(const struct bench *b, int but, const void *before)
{
	if (b->node->op->ports[b->node->access[but].port].flags & FSMOE_ROWS)
	{
		if (rows_differ(b, but, before))
			return 1;
		memcpy(b->now[but], b->first[but], b->bytes[but]);
	}
	for (int i = 0; i < b->node->naccess; i++)
		if (b->now[i] && !is_scratch(b, i) && (i != but || (b->seen[i] & FSMOE_W)) &&
		    memcmp(b->now[i], b->first[i], b->bytes[i]))
			return 1;
	return 0;
}

enum change
{
	NUDGE,  /* other values of the same kind: noise on reals, integers moved by one place */
	POISON, /* values that no kernel computes with unnoticed */
	NCHANGES
};

static void change_reals(double *x, size_t n, enum change change, uint64_t stream)
{
	for (size_t i = 0; i < n; i++)
		x[i] = change == POISON ? NAN
					: x[i] * (1 + opcase_noise(1, stream, i) / 4) +
						  0.01 * opcase_noise(2, stream, i);
}

static void change_ints(int32_t *x, size_t n, enum change change)
{
	int32_t first = n ? x[0] : 0;

	for (size_t i = 0; i < n; i++)
		x[i] = change == POISON ? 0x5a5a5a5a : i + 1 < n ? x[i + 1] : first;
}

static void try_change(struct bench *b, int i, enum change change)
{
	void *kept = copy(b->base[i], b->bytes[i]);
	int err;

	if (b->tensor[i]->dtype != FSMOE_INT32)
		change_reals(b->base[i], b->bytes[i] / sizeof(double), change, (uint64_t)i);
	else
		change_ints(b->base[i], b->bytes[i] / sizeof(int32_t), change);
	err = run(b);
	if (!err)
		see_writes(b);
	if (err || outcome_differs(b, i, kept))
		b->seen[i] |= FSMOE_R;
	memcpy(b->base[i], kept, b->bytes[i]);
	free(kept);
}

static void add(struct opcase_ports *ports, const struct fsmoe_op *op, int port, int seen)
{
	for (int i = 0; i < ports->n; i++)
		if (ports->port[i].op == op && ports->port[i].port == port)
		{
			ports->port[i].seen |= seen;
			return;
		}
	assert_true(ports->n < OPCASE_MAX_PORTS);
	ports->port[ports->n++] = (struct opcase_port){.op = op, .port = port, .seen = seen};
}

int opcase_observe(struct opcase_ports *ports, fsmoe_graph_t graph, const struct fsmoe_node *node,
		   fsmoe_memory_t memory, struct fsmoe_comm *comm, const struct fsmoe_step *step)
{
	struct bench b = {.node = node};
	int err;

	b.call = (struct fsmoe_call){.node = node,
				     .args = node->args,
				     .data = b.now,
				     .tensor = b.tensor,
				     .n = node->naccess,
				     .comm = comm,
				     .step = step};
	setup(&b, graph, memory);
	err = run(&b);
	if (!err)
	{
		see_writes(&b);
		for (int i = 0; i < node->naccess; i++)
			if (b.first[i])
				memcpy(b.first[i], b.now[i], b.bytes[i]);
		/* A kernel may trust what it declares to read (numbers of rows, say): no poison
		 * there. Writes are all seen before reads are judged. */
		for (int i = 0; i < node->naccess; i++)
			for (int c = 0; c < NCHANGES && b.now[i]; c++)
				if (c == NUDGE || !(node->access[i].mode & FSMOE_R))
					try_change(&b, i, (enum change)c);
		for (int i = 0; i < node->naccess; i++)
			if (b.now[i])
				add(ports, node->op, node->access[i].port, b.seen[i]);
	}
	teardown(&b);
	return err;
}

static const char *mode_name(int mode)
{
	static const char *const names[] = {"nothing", "R", "W", "RW"};

	return names[mode & FSMOE_RW];
}

int opcase_violations(const struct opcase_ports *ports, const struct fsmoe_op *op,
		      const struct fsmoe_op *row, char *sentence, size_t size)
{
	int violations = 0;

	for (int p = 0; p < row->nports; p++)
	{
		int seen = -1;
		for (int i = 0; i < ports->n; i++)
			if (ports->port[i].op == op && ports->port[i].port == p)
				seen = ports->port[i].seen;
		if (seen == (int)row->ports[p].mode)
			continue;
		if (!violations++)
			snprintf(sentence, size, "operation '%s': port '%s' declares %s, %s",
				 row->name, row->ports[p].name, mode_name((int)row->ports[p].mode),
				 seen < 0 ? "no case has it" : "but was seen to do");
		if (violations == 1 && seen >= 0)
			snprintf(sentence + strlen(sentence), size - strlen(sentence), " %s",
				 mode_name(seen));
	}
	return violations;
}

/* Every row with the mode of one port flipped must be a violation. Returns how many were. */
static int kill_mutants(const struct opcase_ports *ports, const struct fsmoe_op *op)
{
	struct fsmoe_port mutated[op->nports];
	struct fsmoe_op mutant = *op;
	char sentence[256];
	int n = 0;

	mutant.ports = mutated;
	for (int p = 0; p < op->nports; p++)
		for (int mode = FSMOE_UNUSED; mode <= FSMOE_RW; mode++)
		{
			if (mode == (int)op->ports[p].mode)
				continue;
			memcpy(mutated, op->ports, sizeof(mutated));
			mutated[p].mode = (enum fsmoe_mode)mode;
			if (!opcase_violations(ports, op, &mutant, sentence, sizeof(sentence)))
				fail_msg("operation '%s' with port '%s' declared %s was not caught",
					 op->name, op->ports[p].name, mode_name(mode));
			n++;
		}
	return n;
}

void opcase_judge(const struct opcase_ports *ports)
{
	int rows = 0, mutants = 0;
	char sentence[256];

	for (int i = 0; i < ports->n; i++)
	{
		const struct fsmoe_op *op = ports->port[i].op;
		int k = 0;
		while (ports->port[k].op != op)
			k++;
		if (k < i) /* judged at its first port */
			continue;
		if (opcase_violations(ports, op, op, sentence, sizeof(sentence)))
			fail_msg("%s", sentence);
		mutants += kill_mutants(ports, op);
		rows++;
	}
	assert_true(rows > 0);
	print_message("%d rows declare what they do; all of %d mutants were caught\n", rows,
		      mutants);
}

void opcase_observe_graph(struct opcase_ports *ports, fsmoe_graph_t graph, fsmoe_memory_t memory,
			  struct fsmoe_comm *comm, int (*covers)(const struct fsmoe_op *op))
{
	int nnodes, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
	{
		const struct fsmoe_node *node = &nodes[i];
		void *data[OPCASE_MAX_ACCESSES];
		const struct fsmoe_tensor_info *tensor[OPCASE_MAX_ACCESSES];
		struct fsmoe_call call = {.node = node,
					  .args = node->args,
					  .data = data,
					  .tensor = tensor,
					  .n = node->naccess,
					  .comm = comm,
					  .step = &opcase_step};

		if ((!covers || covers(node->op)) &&
		    opcase_observe(ports, graph, node, memory, comm, &opcase_step))
			fail_msg("%s: %s", node->op->name, fsmoe_last_error());
		for (int k = 0; k < node->naccess; k++)
		{
			fsmoe_tensor_t t = node->access[k].tensor;
			data[k] = fsmoe_memory_data(memory, t);
			tensor[k] = t == FSMOE_NONE ? NULL : &tensors[t];
		}
		if (node->op->cpu[FSMOE_F64](&call))
			fail_msg("%s: %s", node->op->name, fsmoe_last_error());
	}
}
