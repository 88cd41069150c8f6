/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints on several ranks, as layouts.sh, killed.sh and python.sh use them.
 *
 *   ranks train NODES FROM TO STEPS   on this job cut into NODES nodes: loads FROM (- : nothing),
 *                                     saves into TO (- : nothing), then trains STEPS steps and
 *                                     prints their losses; saves once more when it trained
 *   ranks loop NODES TO               saves again and again, a step between, until it is killed
 *   ranks dump FILE FROM              what is in memory after loading on one rank: for each
 *                                     parameter a line "name dims" and its floats
 *   ranks list FILE                   the tensors of a safetensors file: name, shape, begin, end
 */
#include "base/rng.h"
#include "checkpoint/safetensors.h"
#include "codelets/shape.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	BATCH = 8,
	KEEP = 2
};

struct job
{
	struct fsmoe_model_spec spec;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;
	struct fsmoe_checkpoint_info info;
};

static void start(struct job *j, int nodes)
{
	struct fsmoe_train_opts opts;

	fsmoe_checkpoint_info_init(&j->info);
	TRY(fsmoe_model_spec_init(&j->spec, "tiny"));
	j->spec.forward_degree = 2;
	j->spec.backward_degree = 3;
	j->info.has_model = 1;
	j->info.model = j->spec;
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = j->spec.seq_length;
	opts.micro_batches = 2;
	TRY(fsmoe_topo_create(&j->topo, NULL, nodes));
	TRY(fsmoe_groups_create(&j->groups, j->topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&j->rt, j->groups, NULL));
	TRY(fsmoe_trainer_create(&j->trainer, j->rt, fsmoe_model_as_forward(&j->spec), &opts));
}

static void stop(struct job *j)
{
	fsmoe_trainer_destroy(j->trainer);
	fsmoe_runtime_stop(j->rt);
	fsmoe_groups_destroy(j->groups);
	fsmoe_topo_destroy(j->topo);
}

/* Everything a step needs follows from its number. */
static double train_step(struct job *j)
{
	int32_t tokens[BATCH * 16], targets[BATCH * 16];
	const uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(5, "ranks"), j->info.step++);
	struct fsmoe_train_result result;

	for (int i = 0; i < BATCH * j->spec.seq_length; i++)
	{
		tokens[i] =
			(int32_t)(fsmoe_rng_bits(key, (uint64_t)i) % (uint64_t)j->spec.vocab_size);
		targets[i] = (tokens[i] * 7 + 3) % j->spec.vocab_size;
	}
	TRY(fsmoe_trainer_step(j->trainer, tokens, targets, 3e-3, &result));
	j->info.samples += BATCH;
	return result.loss;
}

static int train(int nodes, const char *from, const char *to, int steps)
{
	struct job j;

	start(&j, nodes);
	if (strcmp(from, "-"))
		TRY(fsmoe_checkpoint_load(from, j.trainer, &j.spec, &j.info));
	if (strcmp(to, "-"))
		TRY(fsmoe_checkpoint_save(to, j.trainer, &j.info, 0));
	for (int i = 0; i < steps; i++)
	{
		const double loss = train_step(&j);

		if (fsmoe_topo_rank(j.topo) == 0)
			printf("%d %a %.9g\n", (int)j.info.step, loss, loss);
	}
	if (strcmp(to, "-") && steps)
		TRY(fsmoe_checkpoint_save(to, j.trainer, &j.info, 0));
	stop(&j);
	return 0;
}

static int loop(int nodes, const char *to)
{
	struct job j;

	start(&j, nodes);
	if (fsmoe_checkpoint_load(to, j.trainer, &j.spec, &j.info) == 0 &&
	    fsmoe_topo_rank(j.topo) == 0)
		printf("goes on after step %d\n", (int)j.info.step);
	for (;;)
	{
		train_step(&j);
		TRY(fsmoe_checkpoint_save(to, j.trainer, &j.info, KEEP));
		if (fsmoe_topo_rank(j.topo) == 0)
			printf("saved %d\n", (int)j.info.step);
		fflush(stdout);
	}
}

static int dump(const char *path, const char *from)
{
	struct job j;
	FILE *f = fopen(path, "wb");
	const struct fsmoe_param *params;
	int n;

	if (!f)
		return 1;
	start(&j, 0);
	TRY(fsmoe_checkpoint_load(from, j.trainer, NULL, NULL));
	params = fsmoe_graph_params(fsmoe_trainer_graph(j.trainer), &n);
	for (int p = 0; p < n; p++)
	{
		const struct fsmoe_shape *shape = &params[p].spec.global;

		fprintf(f, "%s", params[p].spec.name);
		for (int d = 0; d < shape->ndim; d++)
			fprintf(f, " %zu", shape->dim[d]);
		fputc('\n', f);
		fwrite(fsmoe_memory_data(fsmoe_trainer_memory(j.trainer), params[p].tensor),
		       sizeof(float), fsmoe_shape_count(shape), f);
	}
	fclose(f);
	stop(&j);
	return 0;
}

static int list(const char *path)
{
	struct fsmoe_safetensors f;
	char shape[FSMOE_SHAPE_TEXT];

	TRY(fsmoe_safetensors_open(&f, path));
	for (size_t i = 0; i < f.n; i++)
		printf("%s %s %llu %llu\n", f.tensor[i].name,
		       fsmoe_shape_text(shape, &f.tensor[i].shape),
		       (unsigned long long)f.tensor[i].begin, (unsigned long long)f.tensor[i].end);
	fsmoe_safetensors_free(&f);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "train"))
		return train(atoi(argv[2]), argv[3], argv[4], atoi(argv[5]));
	if (argc == 4 && !strcmp(argv[1], "loop"))
		return loop(atoi(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "dump"))
		return dump(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "list"))
		return list(argv[2]);
	fprintf(stderr, "usage: ranks train NODES FROM TO STEPS | loop NODES TO | dump FILE FROM | "
			"list FILE\n");
	return 2;
}
