/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step runs as it was planned: it is planned from a profile, built by the plan, and its graph
 * simulated node by node with the same profile. Layer for layer the simulated time is the planned
 * one.
 *
 * The mixture of every layer and pass, with the gradients beside it, of every row: what the planner
 * counts into the dense part takes no time here. Equal but for rounding where chunks are equal; by
 * 1.3 % at most where the degree does not divide the slots, since a chunk is a whole number of them
 * and the planner's (the paper's) is not.
 */
#include "tests/base/unit.h"

#include "base/rng.h"
#include "plan/gradient_list.h"
#include "plan/layer_walk.h"
#include "step/step.h"

#include <fsmoe/model.h>
#include <fsmoe/train.h>
#include <math.h>

enum
{
	LAYERS = 3,
	PROFILES = 40
};

struct machine
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
};

static void machine_make(struct machine *m)
{
	const struct fsmoe_layout layout = {0};

	assert_int_equal(fsmoe_topo_create(&m->topo, "node:2 gpu:2", 0), 0);
	assert_int_equal(fsmoe_groups_create(&m->groups, m->topo, &layout), 0);
	assert_int_equal(fsmoe_model_spec_init(&m->spec, "tiny"), 0);
	m->spec.layers = LAYERS;
	fsmoe_train_opts_init(&m->opts);
	m->opts.seq_length = m->spec.seq_length;
}

static void machine_free(struct machine *m)
{
	fsmoe_groups_destroy(m->groups);
	fsmoe_topo_destroy(m->topo);
}

/* Tasks of some ten microseconds each, communication as long as computation. */
static fsmoe_profile_t random_profile(uint64_t seed)
{
	const uint64_t key = fsmoe_rng_key(seed, "profile");
	uint64_t next = 0;
	fsmoe_profile_t p;

	assert_int_equal(fsmoe_profile_create(&p), 0);
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			const double unit = FSMOE_KIND_IS_COMM(kind)    ? 1e-9
					    : kind == FSMOE_KIND_EXPERT ? 2e-10
									: 1e-10;
			const struct fsmoe_fit fit = {
				.alpha = 5e-6 * fsmoe_rng_uniform(key, next++),
				.beta = unit * exp(3 * fsmoe_rng_uniform(key, next++))};

			if (FSMOE_KIND_IS_COMM(kind) != (lane == FSMOE_COMPUTE))
				assert_int_equal(fsmoe_profile_set(p, (enum fsmoe_kind)kind,
								   (enum fsmoe_lane)lane, &fit),
						 0);
		}
	return p;
}

/* --- simulated ---------------------------------------------------------------------------- */

/* Returns the time of the mixture in a layer's pass: from its first dispatch to its last combine,
 * or to the end of its experts' weight gradients. */
static double moe_seconds(fsmoe_graph_t graph, const struct fsmoe_timeline *tl, int layer,
			  enum fsmoe_phase phase)
{
	double first = INFINITY, last = 0;
	int n;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);

	for (int i = 0; i < n; i++)
		if (node[i].layer == layer && node[i].phase == phase &&
		    (node[i].op->kind == FSMOE_KIND_ALLTOALL ||
		     node[i].op->kind == FSMOE_KIND_EXPERT))
		{
			first = fmin(first, tl->start[i]);
			last = fmax(last, tl->end[i]);
		}
	return last - first;
}

/* Costs as the planner has them: what it counts into the dense part takes no time inside of the
 * mixture. */
struct costs
{
	fsmoe_profile_t profile;
	const struct fsmoe_tensor_info *tensors;
};

static double stage_seconds(const struct fsmoe_node *node, void *arg)
{
	const struct costs *c = arg;
	const double work = fsmoe_node_work(node, c->tensors);
	double seconds = 0;

	if (work > 0 && (FSMOE_KIND_IS_COMM(node->op->kind) || node->op->kind == FSMOE_KIND_EXPERT))
		assert_int_equal(fsmoe_profile_predict(c->profile, fsmoe_node_cost_kind(node),
						       node->span, work, &seconds),
				 0);
	return seconds;
}

/* --- planned ------------------------------------------------------------------------------ */

/* Seconds of the gradients beside the layers' mixtures, by layer. */
static void gradient_seconds(const struct fsmoe_layer_cost *cost, const struct fsmoe_plan *plan,
			     fsmoe_profile_t profile, double *seconds)
{
	double all[2 * LAYERS + 1];
	struct fsmoe_gradient_list flat;
	struct fsmoe_fit fit;

	assert_int_equal(fsmoe_profile_get(profile, FSMOE_KIND_ALLREDUCE, FSMOE_INTER, &fit), 0);
	const struct fsmoe_plan_problem problem = {.layers = LAYERS,
						   .layer = cost,
						   .allreduce_alpha = fit.alpha,
						   .allreduce_beta = fit.beta,
						   .max_degree = 64};

	assert_int_equal(fsmoe_gradient_list_create(&flat, &problem), 0);
	fsmoe_gradient_plan_seconds(&flat, plan, all);
	for (int i = 0; i < LAYERS; i++)
		seconds[i] = all[2 * (LAYERS - 1 - i)];
	fsmoe_gradient_list_destroy(&flat);
}

/* --- together ----------------------------------------------------------------------------- */

struct deviation
{
	double least, most; /* simulated over planned */
	int beside;         /* mixtures with gradients beside them */
};

static int equal_chunks(int degree)
{
	int power = 1; /* of 32 slots */

	while (2 * power <= degree)
		power *= 2;
	return power;
}

static void compare(struct machine *m, const struct fsmoe_schedule *row, uint64_t seed, int equal,
		    struct deviation *d)
{
	fsmoe_profile_t profile = random_profile(seed);
	struct fsmoe_layer_cost cost[LAYERS];
	double gradient[LAYERS];
	struct costs costs = {.profile = profile};
	struct fsmoe_step_graph step;
	struct fsmoe_timeline tl;
	struct fsmoe_schedule probe = *row;
	struct fsmoe_plan plan;
	int n;

	/* Costs are read off one chunk with weight gradients by themselves. */
	probe.forward_degree = probe.backward_degree = FSMOE_DEGREE_ONE;
	probe.weight_gradients = FSMOE_WEIGHT_GRADIENTS_DEFERRED;
	m->opts.schedule = &probe;
	m->opts.plan = NULL;
	assert_int_equal(
		fsmoe_step_create(&step, m->groups, fsmoe_model_as_forward(&m->spec), &m->opts), 0);
	if (fsmoe_layer_cost_read(cost, LAYERS, step.graph, profile))
		fail_msg("%s", fsmoe_last_error());
	fsmoe_step_destroy(&step);

	if (fsmoe_train_plan(&plan, m->groups, fsmoe_model_as_forward(&m->spec), &m->opts, row,
			     profile, 6))
		fail_msg("%s", fsmoe_last_error());
	for (int i = 0; i < LAYERS; i++)
	{
		struct fsmoe_plan_layer *l = &plan.layer[i];

		assert_int_equal(cost[i].slots, 32);
		d->beside += l->moe.bytes > 0;
		l->forward_degree = equal ? equal_chunks(l->forward_degree) : l->forward_degree;
		l->backward_degree = equal ? equal_chunks(l->backward_degree) : l->backward_degree;
	}
	gradient_seconds(cost, &plan, profile, gradient);
	m->opts.schedule = row;
	m->opts.plan = &plan;
	assert_int_equal(
		fsmoe_step_create(&step, m->groups, fsmoe_model_as_forward(&m->spec), &m->opts), 0);
	costs.tensors = fsmoe_graph_tensors(step.graph, &n);
	assert_int_equal(fsmoe_graph_simulate(step.graph, stage_seconds, &costs, NULL, &tl), 0);
	for (int i = 0; i < LAYERS; i++)
		for (int phase = FSMOE_FORWARD; phase <= FSMOE_BACKWARD; phase++)
		{
			const int degree = phase == FSMOE_FORWARD ? plan.layer[i].forward_degree
								  : plan.layer[i].backward_degree;
			const double ratio =
				moe_seconds(step.graph, &tl, i, phase) /
				fsmoe_moe_seconds(row, &cost[i], phase, degree,
						  phase == FSMOE_BACKWARD ? gradient[i] : 0);

			d->least = fmin(d->least, ratio);
			d->most = fmax(d->most, ratio);
		}
	fsmoe_timeline_destroy(&tl);
	fsmoe_step_destroy(&step);
	fsmoe_plan_destroy(&plan);
	fsmoe_profile_destroy(profile);
}

static void check_row(struct machine *m, const struct fsmoe_schedule *row, int equal)
{
	const int deferred = row->weight_gradients == FSMOE_WEIGHT_GRADIENTS_DEFERRED;
	const double bound = equal ? 1e-9 : 0.013;
	struct deviation d = {INFINITY, 0, 0};

	for (uint64_t seed = 0; seed < PROFILES; seed++)
		compare(m, row, seed, equal, &d);
	printf("%-15s %-9s %s chunks: simulated / planned %.4f to %.4f (%.0e, %.0e), %d beside "
	       "gradients\n",
	       row->name, deferred ? "deferred" : "per chunk", equal ? "equal" : "any  ", d.least,
	       d.most, d.least - 1, d.most - 1, d.beside);
	assert_true(d.most <= 1 + bound);
	assert_true(d.least >= 1 - bound);
	assert_true((d.beside > 0) == (row->gradients == FSMOE_GRADIENTS_FIXED ||
				       row->gradients == FSMOE_GRADIENTS_ADAPTIVE));
}

static void plans_come_true(void **state)
{
	const struct fsmoe_schedule *row;
	struct machine m;

	(void)state;
	machine_make(&m);
	for (int i = 0; (row = fsmoe_schedule_at(i)); i++)
		for (int k = 0; k < 2 * FSMOE_NWEIGHT_RULES; k++)
		{
			struct fsmoe_schedule r = *row;

			/* 30 MB would be one piece of this model's gradients. */
			if (r.gradient_bytes > 0)
				r.gradient_bytes = 3000;
			r.weight_gradients = (enum fsmoe_weight_rule)(k / 2);
			if (!fsmoe_schedule_check(&r)) /* ds-moe has no deferred ones */
				check_row(&m, &r, k % 2);
		}
	machine_free(&m);
}

/* With 1dh the leaders of nodes do more than others; planned is what the first rank does. */
static void every_rank_has_the_same_plan(void **state)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	fsmoe_profile_t profile = random_profile(1);
	fsmoe_topo_t topo;
	uint64_t hash[4];

	(void)state;
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.dispatch = "1dh";
	fsmoe_train_opts_init(&opts);
	opts.global_batch = 8;
	assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:2", 0), 0);
	for (int r = 0; r < 4; r++)
	{
		const struct fsmoe_layout layout = {.tp = 1, .ep = 4, .esp = 1, .rank = r};
		fsmoe_groups_t groups;
		struct fsmoe_plan plan;

		assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
		if (fsmoe_train_plan(&plan, groups, fsmoe_model_as_forward(&spec), &opts,
				     fsmoe_schedule_find("fsmoe"), profile, 6))
			fail_msg("%s", fsmoe_last_error());
		assert_int_equal(fsmoe_plan_hash(&plan, &hash[r]), 0);
		assert_true(hash[r] == hash[0]);
		fsmoe_plan_destroy(&plan);
		fsmoe_groups_destroy(groups);
	}
	fsmoe_topo_destroy(topo);
	fsmoe_profile_destroy(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_come_true),
		cmocka_unit_test(every_rank_has_the_same_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
