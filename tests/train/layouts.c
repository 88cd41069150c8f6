/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trains one model on different layouts.
 *
 *   layouts run DIR NODES        trains 20 steps on this job cut into NODES nodes and leaves in
 *                                DIR the losses and every rank's gradients of step 1
 *   layouts compare REF DIR...   compares: losses to 1e-4, the gradient of every parameter to
 *                                1e-5 of max(its norm, 1e-3 of the global norm); a table
 *
 * No token is dropped (f = E / k): where capacity binds, groups of other sizes drop others.
 */
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/memory.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	STEPS = 20,
	BATCH = 8,
	MOST_PARAMS = 256
};

/* --- run ---------------------------------------------------------------------------------- */

/* The smallest distance between the last chosen and the first not chosen expert, over the gate
 * probabilities of all tokens of this rank: how near the routing came to a tie. */
static double smallest_margin(fsmoe_trainer_t trainer, int experts, int topk)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(fsmoe_trainer_graph(trainer), &n);
	double margin = INFINITY;

	for (int i = 0; i < n; i++)
	{
		const float *p;
		if (t[i].role != FSMOE_ACTIVATION || t[i].dtype == FSMOE_INT32 ||
		    !strstr(t[i].name, "probs") || t[i].shape.ndim != 2 ||
		    t[i].shape.dim[1] != (size_t)experts)
			continue;
		p = fsmoe_memory_data(fsmoe_trainer_memory(trainer), i);
		for (size_t row = 0; row < t[i].shape.dim[0]; row++, p += experts)
			for (int a = 0; a < experts; a++)
			{
				/* a is chosen when fewer than topk are above it */
				int above = 0;
				double next = 0;
				for (int b = 0; b < experts; b++)
				{
					above += p[b] > p[a];
					if (p[b] < p[a])
						next = fmax(next, p[b]);
				}
				if (above == topk - 1)
					margin = fmin(margin, p[a] - next);
			}
	}
	return margin;
}

static void write_gradients(fsmoe_trainer_t trainer, FILE *f)
{
	fsmoe_graph_t g = fsmoe_trainer_graph(trainer);
	int n, nt;
	const struct fsmoe_param *params = fsmoe_graph_params(g, &n);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(g, &nt);

	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_tensor_info *grad = &t[t[params[i].tensor].grad];
		size_t count = fsmoe_shape_count(&grad->shape);
		char name[128] = "";

		snprintf(name, sizeof(name), "%s", params[i].spec.name);
		fwrite(name, sizeof(name), 1, f);
		fwrite(&params[i].spec.global, sizeof(struct fsmoe_shape), 1, f);
		fwrite(params[i].spec.parts, sizeof(params[i].spec.parts), 1, f);
		fwrite(params[i].spec.index, sizeof(params[i].spec.index), 1, f);
		float *value = malloc(count * sizeof(*value));
		TRY(fsmoe_program_read(fsmoe_trainer_program(trainer), t[params[i].tensor].grad,
				       value, count * sizeof(*value)));
		fwrite(value, sizeof(*value), count, f);
		free(value);
	}
}

static int run(const char *dir, int nodes)
{
	int32_t tokens[BATCH * 16], targets[BATCH * 16];
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;
	double margin = INFINITY;
	char path[512];
	FILE *f;

	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.forward_degree = 2;
	spec.backward_degree = 3;
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = spec.seq_length;
	opts.micro_batches = 2;
	TRY(fsmoe_topo_create(&topo, NULL, nodes));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_model_spec_check(&spec, groups));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_as_forward(&spec), &opts));
	snprintf(path, sizeof(path), "%s/rank.%d", dir, fsmoe_topo_rank(topo));
	f = fopen(path, "wb");
	if (!f)
	{
		perror(path);
		return 1;
	}
	for (int step = 0; step < STEPS; step++)
	{
		struct fsmoe_train_result result;
		uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(5, "layouts"), (uint64_t)step);

		for (int i = 0; i < BATCH * spec.seq_length; i++)
		{
			tokens[i] = (int32_t)(fsmoe_rng_bits(key, (uint64_t)i) %
					      (uint64_t)spec.vocab_size);
			targets[i] = (tokens[i] * 7 + 3) % spec.vocab_size;
		}
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 3e-3, &result));
		fwrite(&result.loss, sizeof(result.loss), 1, f);
		margin = fmin(margin, smallest_margin(trainer, spec.experts, spec.top_k));
		if (step == 0)
			write_gradients(trainer, f);
	}
	fwrite(&margin, sizeof(margin), 1, f);
	fclose(f);
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}

/* --- compare ------------------------------------------------------------------------------ */

struct gradient
{
	char name[128];
	size_t count, seen; /* elements in all, filled in so far (replicas count again) */
	double *value;
	char *filled;
};

struct record
{
	struct gradient gradient[MOST_PARAMS];
	int n, ranks;
	double loss[STEPS], margin;
};

static struct gradient *gradient_of(struct record *r, const char *name, size_t count)
{
	for (int i = 0; i < r->n; i++)
		if (!strcmp(r->gradient[i].name, name))
			return &r->gradient[i];
	struct gradient *g = &r->gradient[r->n++];
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->count = count;
	g->value = calloc(count, sizeof(double));
	g->filled = calloc(count, 1);
	return g;
}

/* Reads one parameter's part, as write_gradients wrote it. */
static void read_gradient(struct record *r, FILE *f)
{
	char name[128];
	struct fsmoe_param_spec spec = {.name = name};
	size_t local = 1;

	if (fread(name, sizeof(name), 1, f) != 1 ||
	    fread(&spec.global, sizeof(spec.global), 1, f) != 1 ||
	    fread(spec.parts, sizeof(spec.parts), 1, f) != 1 ||
	    fread(spec.index, sizeof(spec.index), 1, f) != 1)
		exit(1);
	struct gradient *g = gradient_of(r, name, fsmoe_shape_count(&spec.global));
	for (int d = 0; d < spec.global.ndim; d++)
		local *= spec.global.dim[d] / (size_t)(spec.parts[d] > 1 ? spec.parts[d] : 1);
	for (size_t i = 0; i < local; i++)
	{
		float value;
		size_t at = fsmoe_param_global_index(&spec, i);
		if (fread(&value, sizeof(value), 1, f) != 1)
			exit(1);
		g->value[at] = value;
		g->seen += !g->filled[at];
		g->filled[at] = 1;
	}
}

static int load(struct record *r, const char *dir, int nparams)
{
	r->margin = INFINITY;
	for (r->ranks = 0;; r->ranks++)
	{
		char path[512];
		double margin;
		snprintf(path, sizeof(path), "%s/rank.%d", dir, r->ranks);
		FILE *f = fopen(path, "rb");
		if (!f)
			return r->ranks ? 0 : 1;
		if (fread(&r->loss[0], sizeof(double), 1, f) != 1)
			exit(1);
		for (int i = 0; i < nparams; i++)
			read_gradient(r, f);
		if (fread(&r->loss[1], sizeof(double), STEPS - 1, f) != STEPS - 1 ||
		    fread(&margin, sizeof(margin), 1, f) != 1 || fgetc(f) != EOF)
			exit(1);
		r->margin = fmin(r->margin, margin);
		fclose(f);
	}
}

static void clear(struct record *r)
{
	for (int i = 0; i < r->n; i++)
	{
		free(r->gradient[i].value);
		free(r->gradient[i].filled);
	}
	memset(r, 0, sizeof(*r));
}

static double norm(const struct gradient *g)
{
	double sum = 0;
	for (size_t i = 0; i < g->count; i++)
		sum += g->value[i] * g->value[i];
	return sqrt(sum);
}

static int compare_one(struct record *ref, struct record *r, const char *dir)
{
	double global = 0, worst = 0, loss = 0;
	const char *which = "none";

	for (int i = 0; i < ref->n; i++)
		global += norm(&ref->gradient[i]) * norm(&ref->gradient[i]);
	global = sqrt(global);
	for (int i = 0; i < ref->n; i++)
	{
		struct gradient *a = &ref->gradient[i], *b = gradient_of(r, a->name, a->count);
		double difference = 0, bound = fmax(norm(a), 1e-3 * global);
		if (b->seen != b->count)
		{
			printf("%s: '%s' is held by no rank in part\n", dir, a->name);
			return 1;
		}
		for (size_t k = 0; k < a->count; k++)
			difference += (a->value[k] - b->value[k]) * (a->value[k] - b->value[k]);
		if (sqrt(difference) / bound >= worst)
		{
			worst = sqrt(difference) / bound;
			which = a->name;
		}
	}
	for (int i = 0; i < STEPS; i++)
		loss = fmax(loss, fabs(r->loss[i] - ref->loss[i]) / fabs(ref->loss[i]));
	printf("| %-12s | %d | %.2e | %.2e (%s) | %.2e | %.4f -> %.4f |\n",
	       strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir, r->ranks, loss, worst, which,
	       r->margin, r->loss[0], r->loss[STEPS - 1]);
	return !(loss <= 1e-4 && worst <= 1e-5) || !(r->loss[STEPS - 1] < r->loss[0]);
}

static int count_params(void)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_batch_spec batch = {.sequences = 1, .seq_length = 16, .scale = 1};
	fsmoe_graph_t g;
	int n;

	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	TRY(fsmoe_graph_create(&g, NULL));
	batch.tokens = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(16), "tokens");
	batch.targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(16), "targets");
	fsmoe_model_forward(g, &batch, &spec);
	fsmoe_graph_params(g, &n);
	fsmoe_graph_destroy(g);
	return n;
}

static int compare(int n, char **dirs)
{
	static struct record ref, other;
	int bad = 0, nparams = count_params();

	if (load(&ref, dirs[0], nparams))
		return 1;
	printf("| layout | ranks | largest relative difference of 20 losses | of a gradient of "
	       "step 1 | smallest top-k "
	       "margin | loss |\n|---|---|---|---|---|---|\n");
	for (int i = 0; i < n; i++)
	{
		clear(&other);
		bad |= load(&other, dirs[i], nparams) || compare_one(&ref, &other, dirs[i]);
	}
	clear(&other);
	clear(&ref);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "run"))
		return run(argv[2], atoi(argv[3]));
	if (argc > 3 && !strcmp(argv[1], "compare"))
		return compare(argc - 2, argv + 2);
	fprintf(stderr, "usage: layouts run DIR NODES | layouts compare REF DIR...\n");
	return 2;
}
