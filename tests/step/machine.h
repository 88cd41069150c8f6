/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STEP_MACHINE_H
#define TESTS_STEP_MACHINE_H

/* A small model's step on a machine nobody owns. */
#include "tests/base/unit.h"

#include "step/step.h"

#include <fsmoe/model.h>

enum
{
	LAYERS = 3
};

struct machine
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
};

static inline void machine_make(struct machine *m, const char *text, int rank)
{
	const struct fsmoe_layout layout = {.rank = rank};

	assert_int_equal(fsmoe_topo_create(&m->topo, text, 0), 0);
	assert_int_equal(fsmoe_groups_create(&m->groups, m->topo, &layout), 0);
	assert_int_equal(fsmoe_model_spec_init(&m->spec, "tiny"), 0);
	m->spec.layers = LAYERS;
	fsmoe_train_opts_init(&m->opts);
	m->opts.seq_length = m->spec.seq_length;
}

static inline void machine_free(struct machine *m)
{
	fsmoe_groups_destroy(m->groups);
	fsmoe_topo_destroy(m->topo);
}

static inline void build(struct machine *m, struct fsmoe_step_graph *step)
{
	if (fsmoe_step_create(step, m->groups, fsmoe_model_as_forward(&m->spec), &m->opts))
		fail_msg("%s", fsmoe_last_error());
}

/* Elements of what a node sums, sends or computes first. */
static inline size_t count_of(const struct fsmoe_tensor_info *tensor, const struct fsmoe_node *node)
{
	return fsmoe_shape_count(&tensor[node->access[0].tensor].shape);
}

#endif
