/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 01: a graph. A forward written as operations on tensors, its backward derived, and the four
 * walkers over the same graph: execute, submit, simulate, export. No MPI, one process.
 *
 * New here: fsmoe_graph_*, fsmoe_memory_*, fsmoe_runtime_start, fsmoe_program_*.
 */
#include <fsmoe.h>
#include <stdio.h>

#define TRY(call)                                                                                  \
	do                                                                                         \
	{                                                                                          \
		if ((call) < 0)                                                                    \
		{                                                                                  \
			fprintf(stderr, "%s\n", fsmoe_last_error());                               \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static fsmoe_tensor_t matrix(fsmoe_graph_t g, const char *name, size_t rows, size_t columns)
{
	return fsmoe_graph_param(g,
				 &(struct fsmoe_param_spec){.name = name,
							    .global = FSMOE_SHAPE2(rows, columns),
							    .init = FSMOE_INIT_NORMAL,
							    .scale = 0.3});
}

/* loss = cross entropy of w2 gelu(w1 x) */
static fsmoe_tensor_t forward(fsmoe_graph_t g, fsmoe_tensor_t targets)
{
	fsmoe_tensor_t x = matrix(g, "x", 5, 8), h;

	h = fsmoe_linear(g, x, matrix(g, "w1", 16, 8), FSMOE_NONE);
	h = fsmoe_gelu(g, h);
	h = fsmoe_linear(g, h, matrix(g, "w2", 4, 16), FSMOE_NONE);
	return fsmoe_cross_entropy(g, h, targets, 1.0 / 5);
}

static double one_second(const struct fsmoe_node *node, void *arg)
{
	(void)node;
	(void)arg;
	return 1.0;
}

int main(void)
{
	static const int32_t labels[5] = {0, 1, 2, 3, 0};
	static const struct fsmoe_step step = {.step = 1};
	fsmoe_graph_t g;
	fsmoe_memory_t memory;
	fsmoe_runtime_t rt;
	fsmoe_program_t program;
	struct fsmoe_timeline predicted, measured;
	fsmoe_tensor_t targets, loss;
	float executed, submitted;

	TRY(fsmoe_graph_create(&g, NULL));
	targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(5), "targets");
	loss = forward(g, targets);
	TRY(fsmoe_graph_backward(g, loss));
	TRY(fsmoe_graph_export(g, stdout, "text"));

	TRY(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 1));
	for (int i = 0; i < 5; i++)
		((int32_t *)fsmoe_memory_data(memory, targets))[i] = labels[i];
	TRY(fsmoe_graph_execute(g, memory, NULL, &step));
	executed = *(float *)fsmoe_memory_data(memory, loss);

	TRY(fsmoe_runtime_start(&rt, NULL, NULL));
	TRY(fsmoe_program_create(&program, rt, g, memory));
	TRY(fsmoe_program_write(program, targets, labels, sizeof(labels)));
	TRY(fsmoe_program_submit(program, &step));
	TRY(fsmoe_program_wait(program));
	TRY(fsmoe_program_read(program, loss, &submitted, sizeof(submitted)));
	TRY(fsmoe_program_observe(program, &measured));
	TRY(fsmoe_graph_simulate(g, one_second, NULL, NULL, &predicted));
	printf("loss: executed %.6f, submitted %.6f\n", executed, submitted);
	printf("%d nodes: %.0f s if each took a second, %.0f us measured\n", predicted.n,
	       predicted.makespan, measured.makespan * 1e6);

	fsmoe_timeline_destroy(&predicted);
	fsmoe_timeline_destroy(&measured);
	fsmoe_program_destroy(program);
	fsmoe_runtime_stop(rt);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
	return executed == submitted ? 0 : 1;
}
