/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKPOINT_MODEL_H
#define TESTS_CHECKPOINT_MODEL_H

/* A model in plain memory, without StarPU, whose values tell which step they are of. */
#include "tests/base/unit.h"

#include "base/rng.h"
#include "checkpoint/checkpoint.h"
#include "step/step.h"

#include <dirent.h>
#include <fsmoe/ops.h>

struct model
{
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	struct fsmoe_checkpoint_info info;
};

/* The smallest that trains: 8 rows of 2, and the two of a norm. */
static inline fsmoe_tensor_t small_forward(fsmoe_graph_t g, const struct fsmoe_batch_spec *b,
					   void *arg)
{
	fsmoe_tensor_t table, x;
	struct fsmoe_param_spec spec = {
		.name = "table", .global = FSMOE_SHAPE2(8, 2), .reduce = FSMOE_GROUP_WORLD};
	struct fsmoe_param_spec scale = {
		.name = "scale", .global = FSMOE_SHAPE1(2), .reduce = FSMOE_GROUP_WORLD};
	struct fsmoe_param_spec shift = scale;

	(void)arg;
	shift.name = "shift";
	table = fsmoe_graph_param(g, &spec);
	x = fsmoe_embedding(g, b->tokens, table, FSMOE_NONE, 0, 1);
	x = fsmoe_layer_norm(g, x, fsmoe_graph_param(g, &scale), fsmoe_graph_param(g, &shift));
	return fsmoe_cross_entropy(g, fsmoe_linear(g, x, table, FSMOE_NONE), b->targets, b->scale);
}

static inline void make(struct model *m, const char *preset, const char *optimizer)
{
	struct fsmoe_train_opts *opts = &m->info.train;

	fsmoe_checkpoint_info_init(&m->info);
	opts->optimizer = optimizer;
	m->info.has_model = preset != NULL;
	if (preset)
	{
		assert_int_equal(fsmoe_model_spec_init(&m->info.model, preset), 0);
		opts->seq_length = m->info.model.seq_length;
	}
	assert_int_equal(fsmoe_step_create(&m->step, NULL,
					   (struct fsmoe_forward){preset ? fsmoe_model_forward
									 : small_forward,
								  &m->info.model},
					   opts),
			 0);
	assert_int_equal(fsmoe_memory_create(&m->memory, m->step.graph, FSMOE_F32, NULL), 0);
}

static inline void drop(struct model *m)
{
	fsmoe_checkpoint_info_free(&m->info);
	fsmoe_memory_destroy(m->memory);
	fsmoe_step_destroy(&m->step);
}

/* Calls with every parameter and its moments: `kind` is 0, 1, 2. */
static inline void each(struct model *m,
			void (*fn)(float *data, size_t n, int kind, int p, void *arg), void *arg)
{
	static const char *const suffix[] = {"", ".exp_avg", ".exp_avg_sq"};
	int nparams, n;
	const struct fsmoe_param *params = fsmoe_graph_params(m->step.graph, &nparams);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(m->step.graph, &n);

	for (int p = 0; p < nparams; p++)
		for (int kind = 0; kind < 3; kind++)
		{
			char name[256];
			fsmoe_tensor_t base = params[p].bucket;

			snprintf(name, sizeof(name), "%s%s", t[base].name, suffix[kind]);
			if (kind)
				base = fsmoe_graph_find(m->step.graph, name);
			if (base != FSMOE_NONE)
				fn((float *)fsmoe_memory_data(m->memory, base) +
					   t[params[p].tensor].offset,
				   fsmoe_shape_count(&t[params[p].tensor].shape), kind, p, arg);
		}
}

static inline float value(uint64_t salt, size_t i, int kind, int p)
{
	return (float)fsmoe_rng_uniform(fsmoe_rng_subkey(salt, (uint64_t)(3 * p + kind)), i);
}

static inline void put(float *data, size_t n, int kind, int p, void *arg)
{
	for (size_t i = 0; i < n; i++)
		data[i] = value(*(const uint64_t *)arg, i, kind, p);
}

static inline void count_others(float *data, size_t n, int kind, int p, void *arg)
{
	uint64_t *salt_and_count = arg;

	for (size_t i = 0; i < n; i++)
		salt_and_count[1] += data[i] != value(salt_and_count[0], i, kind, p);
}

static inline void fill(struct model *m, uint64_t salt)
{
	each(m, put, &salt);
}

static inline void assert_holds(struct model *m, uint64_t salt)
{
	uint64_t salt_and_count[2] = {salt, 0};

	each(m, count_others, salt_and_count);
	assert_int_equal(salt_and_count[1], 0);
}

static inline int save(struct model *m, const char *dir, uint64_t step, int keep)
{
	const struct fsmoe_checkpoint_target target = {m->step.graph, m->memory, NULL, NULL};

	m->info.step = step;
	m->info.samples = step * 8;
	fill(m, step);
	return fsmoe_checkpoint_write(dir, &target, &m->info, keep);
}

static inline int load(struct model *m, const char *path, struct fsmoe_checkpoint_info *info)
{
	const struct fsmoe_checkpoint_target target = {m->step.graph, m->memory, NULL, NULL};

	return fsmoe_checkpoint_read(path, &target, FSMOE_CHECKPOINT_KINDS,
				     m->info.has_model ? &m->info.model : NULL, info);
}

/* Folders and files of a directory, those that begin with a dot too. */
static inline int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = -2;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline void remove_tree(const char *path)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	assert_int_equal(system(command), 0);
}

/* A path in a folder; static, overwritten after 8 calls. */
static inline const char *in(const char *dir, const char *name)
{
	static char path[8][1024];
	static int turn;
	char *here = path[turn++ % 8];

	snprintf(here, sizeof(path[0]), "%s/%s", dir, name);
	return here;
}

#endif
