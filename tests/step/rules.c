/* SPDX-License-Identifier: Apache-2.0 */
/* A step without a plan: where its schedule's rules put gradients. Plans that no step can have. */
#include "machine.h"
#include "random_plan.h"

/* Elements exchanged during the backward, and in how many AllReduces. */
static size_t sent_early(struct machine *m, const char *name, int *pieces)
{
	struct fsmoe_schedule row = *fsmoe_schedule_find(name);
	struct fsmoe_step_graph step;
	size_t count = 0;
	int n, tensors;

	if (row.gradient_bytes > 0)
		row.gradient_bytes = 1000;
	m->opts.schedule = &row;
	m->opts.plan = NULL;
	build(m, &step);
	*pieces = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(step.graph, &n);
	const struct fsmoe_tensor_info *tensor = fsmoe_graph_tensors(step.graph, &tensors);
	for (int i = 0; i < n; i++)
		if (node[i].op->kind == FSMOE_KIND_ALLREDUCE && node[i].phase == FSMOE_BACKWARD)
		{
			count += count_of(tensor, &node[i]);
			*pieces += 1;
			assert_true(row.gradient_bytes == 0 || count_of(tensor, &node[i]) <= 250);
			assert_int_equal(node[i].micro_batch, 1); /* the last */
		}
	fsmoe_step_destroy(&step);
	return count;
}

/* Everything but the first layer's gradients, which are ready when the backward is over. */
static void rules_without_a_plan(void **state)
{
	static const char *const early[] = {"tutel-improved", "pipemoe-lina", "fsmoe-no-iio",
					    "fsmoe"};
	struct fsmoe_step_graph step;
	size_t floats[LAYERS];
	struct machine m;
	int pieces;

	(void)state;
	machine_make(&m, "node:2 gpu:2", 0);
	m.opts.micro_batches = 2;
	build(&m, &step);
	gradient_floats(step.graph, LAYERS, floats);
	fsmoe_step_destroy(&step);
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
		assert_int_equal(sent_early(&m, early[i], &pieces), floats[1] + floats[2]);
	sent_early(&m, "pipemoe-lina", &pieces);
	assert_true((size_t)pieces >= 4 * (floats[1] + floats[2]) / 1000);
	assert_int_equal(sent_early(&m, "tutel", &pieces), 0);
	assert_int_equal(sent_early(&m, "ds-moe", &pieces), 0);
	machine_free(&m);
}

static void impossible_plans_are_refused(void **state)
{
	struct fsmoe_step_graph step;
	size_t floats[LAYERS];
	struct random_plan r;
	struct machine m;
	fsmoe_graph_t g;

	(void)state;
	machine_make(&m, "node:2 gpu:2", 0);
	build(&m, &step);
	gradient_floats(step.graph, LAYERS, floats);
	fsmoe_step_destroy(&step);
	random_plan(&r, 1, LAYERS, floats, 6);
	m.opts.schedule = &r.row;
	m.opts.plan = &r.plan;
	r.plan.layers = LAYERS - 1;
	assert_fails(fsmoe_step_create(&step, m.groups, fsmoe_model_as_forward(&m.spec), &m.opts),
		     EINVAL, "the plan is of 2 layers, the model has 3");
	r.plan.layers = LAYERS;
	r.layer[LAYERS - 1].dense = (struct fsmoe_share){4, 1};
	assert_fails(fsmoe_step_create(&step, m.groups, fsmoe_model_as_forward(&m.spec), &m.opts),
		     EINVAL, "4 bytes of gradients beside the dense part of layer 2, but 0");
	/* A plan by itself brings the row of its name, which must be one. */
	m.opts.schedule = NULL;
	assert_fails(fsmoe_step_create(&step, m.groups, fsmoe_model_as_forward(&m.spec), &m.opts),
		     ENOENT, "there is no schedule 'random'");
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_zero(g, fsmoe_graph_activation(g, FSMOE_REAL, FSMOE_SHAPE1(1), "x"));
	assert_fails(fsmoe_graph_set_schedule(g, fsmoe_schedule_find("tutel")), EINVAL,
		     "before the first");
	assert_string_equal(fsmoe_graph_schedule(g)->name, "default");
	fsmoe_graph_destroy(g);
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	assert_fails(fsmoe_graph_set_degrees(g, 0, -1, 1), EINVAL, "-1 and 1 chunks");
	fsmoe_graph_destroy(g);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_without_a_plan),
		cmocka_unit_test(impossible_plans_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
