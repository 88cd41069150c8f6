/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile measured on four ranks as 2x2: every kind of task that the model has got a line, on the
 * lanes its groups span, from sizes on both sides of the model's; all ranks have the same lines,
 * bit for bit; a step can be simulated and planned with them. What was measured enters the watch on
 * the profile, and all ranks find the same.
 */
#include "comm/comm.h"
#include "cost/profile.h"
#include "runtime/introspect.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/op.h>
#include <string.h>

static int bad;

#define EXPECT(condition, ...)                                                                     \
	do                                                                                         \
		if (!(condition))                                                                  \
		{                                                                                  \
			printf(__VA_ARGS__);                                                       \
			bad++;                                                                     \
		}                                                                                  \
	while (0)

struct setup
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_comm *world;
};

/* Every node of the model's step lies within what its line was measured on. */
static void check_lines(const struct setup *s, fsmoe_profile_t profile, fsmoe_graph_t graph)
{
	int n, count;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &count);

	for (int i = 0; i < n; i++)
	{
		const double work = fsmoe_node_work(&node[i], tensors);
		struct fsmoe_fit fit;

		if (work <= 0)
			continue;
		TRY(fsmoe_profile_get(profile, fsmoe_node_cost_kind(&node[i]), node[i].span, &fit));
		EXPECT(fit.samples >= 10 && fit.dropped < fit.samples / 2,
		       "%s: %d samples, %d dropped\n", node[i].op->name, fit.samples, fit.dropped);
		EXPECT(fit.beta > 0 || fit.alpha > 0, "%s costs nothing\n", node[i].op->name);
		/* A loss is one number: smaller than any message worth measuring. */
		EXPECT(work <= fit.high && (work >= fit.low ||
					    (FSMOE_KIND_IS_COMM(node[i].op->kind) && work < 1024)),
		       "%s: size %g is not between %g and %g\n", node[i].op->name, work, fit.low,
		       fit.high);
	}
	(void)s;
}

static void check_equal(const struct setup *s, const void *mine, size_t size, const char *what)
{
	char *all = malloc((size_t)s->world->size * size);

	TRY(fsmoe_comm_allgather(s->world, mine, all, size));
	for (int r = 1; r < s->world->size; r++)
		EXPECT(!memcmp(all, all + (size_t)r * size, size), "rank %d has another %s\n", r,
		       what);
	free(all);
}

static void check_drift(const struct setup *s, fsmoe_profile_t profile,
			struct fsmoe_step_graph *step)
{
	struct fsmoe_drift_result result;
	struct fsmoe_fit slow;
	fsmoe_profile_t wrong, fresh = NULL;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	fsmoe_drift_t drift;

	/* Experts a thousand times as slow as they are: nothing else can be said. */
	TRY(fsmoe_profile_create(&wrong));
	TRY(fsmoe_profile_get(profile, FSMOE_KIND_EXPERT, FSMOE_COMPUTE, &slow));
	slow.alpha *= 1e3;
	slow.beta *= 1e3;
	TRY(fsmoe_profile_set(wrong, FSMOE_KIND_EXPERT, FSMOE_COMPUTE, &slow));
	TRY(fsmoe_drift_create(&drift, wrong, 0.25));
	TRY(fsmoe_memory_create(&memory, step->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 1));
	TRY(fsmoe_program_create(&program, s->rt, step->graph, memory));
	for (uint64_t i = 1; i <= FSMOE_DRIFT_LEAST; i++)
	{
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i}));
		TRY(fsmoe_program_wait(program));
		TRY(fsmoe_drift_observe(drift, program, step->graph));
	}
	TRY(fsmoe_drift_meet(drift, s->rt, &result, &fresh));
	EXPECT(result.drifted == 1 && result.kind == FSMOE_KIND_EXPERT && result.ratio < 0.5,
	       "%d lines drifted: %s\n", result.drifted, result.sentence);
	check_equal(s, &result, sizeof(result), "result");
	if (fresh)
		check_equal(s, fresh, sizeof(*fresh), "fresh profile");
	fsmoe_profile_destroy(fresh);
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_drift_destroy(drift);
	fsmoe_profile_destroy(wrong);
}

int main(void)
{
	struct setup s;
	struct fsmoe_measure_opts measure;
	struct fsmoe_step_graph step;
	struct fsmoe_timeline tl;
	struct fsmoe_plan plan;
	fsmoe_profile_t profile;
	uint64_t hash;

	TRY(fsmoe_model_spec_init(&s.spec, "tiny"));
	fsmoe_train_opts_init(&s.opts);
	fsmoe_measure_opts_init(&measure);
	measure.seconds = 1;
	TRY(fsmoe_topo_create(&s.topo, NULL, 2));
	TRY(fsmoe_groups_create(&s.groups, s.topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&s.rt, s.groups, NULL));
	s.world = fsmoe_comms_get(fsmoe_runtime_comms(s.rt), FSMOE_GROUP_WORLD);
	TRY(fsmoe_profile_measure(&profile, s.rt, &s.spec, &s.opts, &measure));
	EXPECT(!strcmp(fsmoe_profile_machine(profile), "node:2 cpu:2"), "the machine is '%s'\n",
	       fsmoe_profile_machine(profile));
	EXPECT(!fsmoe_runtime_set_recording(s.rt, 0), "measuring left recording on\n");
	check_equal(&s, profile, sizeof(*profile), "profile");
	TRY(fsmoe_step_create(&step, s.groups, fsmoe_model_as_forward(&s.spec), &s.opts));
	check_lines(&s, profile, step.graph);
	TRY(fsmoe_profile_simulate(profile, step.graph, &tl));
	EXPECT(tl.makespan > 0, "a step takes %g s\n", tl.makespan);
	fsmoe_timeline_destroy(&tl);
	TRY(fsmoe_train_plan(&plan, s.groups, fsmoe_model_as_forward(&s.spec), &s.opts,
			     fsmoe_schedule_find("fsmoe"), profile, 4));
	TRY(fsmoe_plan_hash(&plan, &hash));
	check_equal(&s, &hash, sizeof(hash), "plan");
	EXPECT(plan.layers == s.spec.layers && plan.forward > 0, "the plan is of %d layers\n",
	       plan.layers);
	fsmoe_plan_destroy(&plan);
	check_drift(&s, profile, &step);
	if (fsmoe_topo_rank(s.topo) == 0)
		printf("%d wrong\n", bad);
	fsmoe_step_destroy(&step);
	fsmoe_profile_destroy(profile);
	fsmoe_runtime_stop(s.rt);
	fsmoe_groups_destroy(s.groups);
	fsmoe_topo_destroy(s.topo);
	return bad ? 1 : 0;
}
