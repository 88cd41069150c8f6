/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "base/rng.h"
#include "tests/lib/try.h"

#include <errno.h>
#include <fsmoe/ops.h>
#include <fsmoe/schedule.h>
#include <stdlib.h>
#include <string.h>

static void fill_tokens(fsmoe_memory_t memory, fsmoe_tensor_t tensor, size_t n, int vocab)
{
	int32_t *x = fsmoe_memory_data(memory, tensor);

	for (size_t i = 0; i < n; i++)
		x[i] = (int32_t)((i * 2654435761u >> 7) % (unsigned)vocab);
}

/* What follows "NAME=" among the arguments after the sixth, or the word itself; NULL: it is not
 * there. */
static const char *option(int argc, char **argv, const char *name)
{
	const size_t n = strlen(name);

	for (int i = 6; i < argc; i++)
		if (!strncmp(argv[i], name, n))
			return argv[i] + (name[n - 1] == '=' ? n : 0);
	return NULL;
}

static const struct fsmoe_schedule *found(const struct fsmoe_schedule *schedule)
{
	TRY(schedule ? 0 : -ENOENT);
	return schedule;
}

/* Normal deviates drawn once and laid out again and again: to draw a large layer's takes longer than
 * to measure it. */
static void fill_params(const struct work *w)
{
	const size_t period = (1 << 20) - 3; /* no multiple of a row */
	float *normal = malloc(period * sizeof(*normal));
	int nparams, n;
	const struct fsmoe_param *param = fsmoe_graph_params(w->step.graph, &nparams);
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(w->step.graph, &n);

	TRY(normal ? 0 : -ENOMEM);
	for (size_t i = 0; i < period; i++)
		normal[i] = (float)fsmoe_rng_normal(1, i);
	for (int k = 0; k < nparams; k++)
	{
		const float scale = (float)param[k].spec.scale;
		const size_t count = fsmoe_shape_count(&info[param[k].tensor].shape);
		float *x = fsmoe_memory_data(w->memory, param[k].tensor);

		if (param[k].spec.init != FSMOE_INIT_NORMAL)
			continue;
		for (size_t i = 0, at = (size_t)k * 1000; i < count; i++)
		{
			x[i] = scale * normal[at];
			at = at + 1 < period ? at + 1 : 0;
		}
	}
	free(normal);
}

static void create_layer(struct work *w, fsmoe_groups_t groups, int argc, char **argv)
{
	size_t M = strtoul(argv[0], NULL, 10), H = strtoul(argv[1], NULL, 10);
	size_t T = strtoul(argv[5], NULL, 10), V = 256;
	struct fsmoe_moe_spec spec = {.name = "moe",
				      .experts = atoi(argv[2]),
				      .top_k = atoi(argv[3]),
				      .hidden_size = M,
				      .ffn_size = H,
				      .capacity_factor = atof(argv[4]),
				      .init_scale = 0.02,
				      .output_scale = 0.02,
				      .expert = option(argc, argv, "mixtral")};
	const struct fsmoe_param_spec table = {.name = "table",
					       .global = FSMOE_SHAPE2(V, M),
					       .init = FSMOE_INIT_NORMAL,
					       .scale = 1};
	fsmoe_graph_t graph;

	if (option(argc, argv, "cuts="))
		sscanf(option(argc, argv, "cuts="), "%d/%d", &spec.forward_degree,
		       &spec.backward_degree);
	TRY(fsmoe_graph_create(&graph, groups));
	if (option(argc, argv, "schedule="))
		TRY(fsmoe_graph_set_schedule(
			graph, found(fsmoe_schedule_find(option(argc, argv, "schedule=")))));
	fsmoe_tensor_t tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "tokens");
	fsmoe_tensor_t targets = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "targets");
	fsmoe_tensor_t x =
		fsmoe_embedding(graph, tokens, fsmoe_graph_param(graph, &table), FSMOE_NONE, 0, 0);
	fsmoe_tensor_t y = fsmoe_moe(graph, x, &spec);
	w->step.loss = fsmoe_cross_entropy(graph, y, targets, 1.0 / (double)T);
	fsmoe_graph_backward(graph, w->step.loss);
	w->step.graph = graph;
	TRY(fsmoe_memory_create(&w->memory, graph, FSMOE_F32, NULL));
	fill_tokens(w->memory, tokens, T, (int)V);
	fill_tokens(w->memory, targets, T, (int)(V < M ? V : M)); /* y is taken for logits */
	snprintf(w->name, sizeof(w->name),
		 "%s layer M %zu H %zu E %d k %d f %g, %zu tokens, cuts %d/%d, schedule %s",
		 spec.expert ? spec.expert : "gpt", M, H, spec.experts, spec.top_k,
		 spec.capacity_factor, T, spec.forward_degree, spec.backward_degree,
		 fsmoe_graph_schedule(graph)->name);
	fill_params(w);
}

static void create_step(struct work *w, fsmoe_groups_t groups, char **argv)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;

	TRY(fsmoe_model_spec_init(&spec, argv[0]));
	fsmoe_train_opts_init(&opts);
	opts.global_batch = atoi(argv[1]);
	opts.seq_length = spec.seq_length;
	TRY(fsmoe_step_create(&w->step, groups, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&w->memory, w->step.graph, FSMOE_F32, NULL));
	for (int i = 0; i < w->step.micro_batches; i++)
	{
		int n;
		const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(w->step.graph, &n);
		size_t rows = fsmoe_shape_count(&info[w->step.batch[i].tokens].shape);
		fill_tokens(w->memory, w->step.batch[i].tokens, rows, spec.vocab_size);
		fill_tokens(w->memory, w->step.batch[i].targets, rows, spec.vocab_size);
	}
	snprintf(w->name, sizeof(w->name), "training step of preset %s, %d sequences of %d tokens",
		 argv[0], opts.global_batch, opts.seq_length);
	TRY(fsmoe_memory_init_params(w->memory, 1));
}

int work_arguments(int argc, char **argv)
{
	int n = 6;

	if (argc < n || strspn(argv[0], "0123456789") != strlen(argv[0]))
		return argc >= 2 ? 2 : 0;
	while (n < argc && (!strcmp(argv[n], "mixtral") || !strncmp(argv[n], "cuts=", 5) ||
			    !strncmp(argv[n], "schedule=", 9)))
		n++;
	return n;
}

void work_create(struct work *w, fsmoe_groups_t groups, int argc, char **argv)
{
	*w = (struct work){0};
	if (work_arguments(argc, argv) >= 6)
		create_layer(w, groups, work_arguments(argc, argv), argv);
	else
		create_step(w, groups, argv);
}

void work_destroy(struct work *w)
{
	fsmoe_memory_destroy(w->memory);
	fsmoe_step_destroy(&w->step);
}
