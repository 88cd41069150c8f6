/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/layer_walk.h"
#include "plan/placement.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum
{
	MOST_DEGREE = 4096
};

/* --- the problem -------------------------------------------------------------------------- */

static int is_cost(double x)
{
	return x >= 0 && isfinite(x);
}

/* Buckets are whole floats and add up to the layer's gradients. */
static int are_buckets(const struct fsmoe_layer_cost *c)
{
	double sum = 0;

	if (c->buckets < 0 || c->buckets > FSMOE_LAYER_BUCKETS)
		return 0;
	for (int k = 0; k < c->buckets; k++)
	{
		if (!is_cost(c->bucket_bytes[k]) || fmod(c->bucket_bytes[k], 4) != 0)
			return 0;
		sum += c->bucket_bytes[k];
	}
	return c->buckets == 0 || sum == c->gradient_bytes;
}

static int check_layer(const struct fsmoe_layer_cost *c, int i)
{
	const struct fsmoe_stage *const stages[] = {&c->alltoall,       &c->allgather,
						    &c->reduce_scatter, &c->expert,
						    &c->expert_input,   &c->expert_weights};
	int good = is_cost(c->dense_forward) && is_cost(c->dense_backward) &&
		   is_cost(c->dense_gather) && is_cost(c->dense_scatter) &&
		   is_cost(c->gradient_bytes) && c->gradient_bytes < 0x1p60 && c->slots >= 0;

	for (size_t k = 0; k < sizeof(stages) / sizeof(stages[0]); k++)
		good = good && is_cost(stages[k]->alpha) && is_cost(stages[k]->beta) &&
		       is_cost(stages[k]->work);
	if (good && !are_buckets(c))
		return fsmoe_fail(
			EINVAL,
			"layer %d: the buckets of its gradients do not add up to %.17g bytes", i,
			c->gradient_bytes);
	return good ? 0
		    : fsmoe_fail(
			      EINVAL,
			      "layer %d has a cost that is negative or no number: nothing can be "
			      "planned with it",
			      i);
}

static int check_problem(const struct fsmoe_plan_problem *p, const struct fsmoe_schedule *row)
{
	int err = fsmoe_schedule_check(row);

	if (err)
		return err;
	if (p->layers < 1 || !p->layer)
		return fsmoe_fail(EINVAL, "a plan needs at least one layer");
	if (p->max_degree < 1 || p->max_degree > MOST_DEGREE)
		return fsmoe_fail(EINVAL, "the greatest degree is %d: it must be 1 to %d",
				  p->max_degree, MOST_DEGREE);
	if (!is_cost(p->allreduce_alpha) || !is_cost(p->allreduce_beta))
		return fsmoe_fail(EINVAL, "the AllReduce's alpha = %g or beta = %g is no cost",
				  p->allreduce_alpha, p->allreduce_beta);
	for (int i = 0; i < p->layers && !err; i++)
		err = check_layer(&p->layer[i], i);
	return err;
}

/* --- degrees ------------------------------------------------------------------------------ */

static int equal_costs(const struct fsmoe_layer_cost *a, const struct fsmoe_layer_cost *b)
{
	return !memcmp(a, b, offsetof(struct fsmoe_layer_cost, slots)) && a->slots == b->slots &&
	       a->buckets == b->buckets &&
	       !memcmp(a->bucket_bytes, b->bucket_bytes,
		       (size_t)a->buckets * sizeof(*a->bucket_bytes));
}

static void free_layers(struct fsmoe_placement *s)
{
	for (int i = 0; i < s->problem->layers && s->layer; i++)
		if (s->layer[i].own)
		{
			free(s->layer[i].forward);
			free(s->layer[i].backward);
		}
	free(s->layer);
}

/* Finds the options of every layer; equal neighbours share them. */
static int make_layers(struct fsmoe_placement *s)
{
	const struct fsmoe_plan_problem *p = s->problem;

	s->layer = calloc((size_t)p->layers, sizeof(*s->layer));
	if (!s->layer)
		return fsmoe_fail(ENOMEM, "no memory to plan %d layers", p->layers);
	for (int i = 0; i < p->layers; i++)
	{
		struct fsmoe_placement_layer *l = &s->layer[i];

		if (i > 0 && equal_costs(&p->layer[i], &p->layer[i - 1]))
		{
			*l = s->layer[i - 1];
			l->own = 0;
			continue;
		}
		l->own = 1;
		l->nforward = fsmoe_layer_options(p, s->row, &p->layer[i], FSMOE_FORWARD,
						  s->row->forward_degree, &l->forward);
		if (l->nforward < 0)
			return l->nforward;
		l->nbackward = fsmoe_layer_options(p, s->row, &p->layer[i], FSMOE_BACKWARD,
						   s->row->backward_degree, &l->backward);
		if (l->nbackward < 0)
			return l->nbackward;
	}
	return 0;
}

static void choose_degrees(struct fsmoe_placement *s)
{
	for (int i = 0; i < s->problem->layers; i++)
	{
		struct fsmoe_placement_layer *l = &s->layer[i];

		l->best = fsmoe_best_option(l->backward, l->nbackward, 0);
		s->plan->layer[i].forward_degree =
			l->forward[fsmoe_best_option(l->forward, l->nforward, 0)].degree;
	}
}

/* Beside its gradients another number of chunks may be best (equation 6.6). `seconds` has room for
 * fsmoe_gradient_plan_seconds. */
static void settle_degrees(struct fsmoe_placement *s, double *seconds)
{
	const int last = s->problem->layers - 1;

	fsmoe_gradient_plan_seconds(&s->list, s->plan, seconds);
	for (int i = 0; i <= last; i++)
	{
		const struct fsmoe_placement_layer *l = &s->layer[i];
		struct fsmoe_plan_layer *pl = &s->plan->layer[i];
		int k = l->best;

		if (s->row->gradients == FSMOE_GRADIENTS_ADAPTIVE)
			k = fsmoe_best_option(l->backward, l->nbackward, seconds[2 * (last - i)]);
		pl->backward_degree = l->backward[k].degree;
	}
}

void fsmoe_plan_destroy(struct fsmoe_plan *plan)
{
	free(plan->layer);
	*plan = (struct fsmoe_plan){0};
}

/* --- prediction -------------------------------------------------------------------------- */

static int check_share(const struct fsmoe_share *s)
{
	return s->bytes ? s->pieces >= 1 : s->pieces == 0;
}

/* Checks that degrees fit, and that all gradients are sent, none before it exists. */
static int check_plan(const struct fsmoe_plan *plan, const struct fsmoe_plan_problem *p)
{
	uint64_t there = p->steady ? fsmoe_gradient_bytes(&p->layer[0]) : 0;

	if (plan->layers != p->layers)
		return fsmoe_fail(EINVAL, "the plan is of %d layers, the model has %d",
				  plan->layers, p->layers);
	for (int i = p->layers - 1; i >= 0; i--)
	{
		const struct fsmoe_plan_layer *l = &plan->layer[i];
		const int slots = p->layer[i].slots > 0 ? p->layer[i].slots : MOST_DEGREE;

		if (l->forward_degree < 1 || l->forward_degree > slots || l->backward_degree < 1 ||
		    l->backward_degree > slots)
			return fsmoe_fail(EINVAL,
					  "layer %d cannot be cut into %d and %d chunks: 1 to %d "
					  "are possible",
					  i, l->forward_degree, l->backward_degree, slots);
		if (!check_share(&l->moe) || !check_share(&l->dense))
			return fsmoe_fail(EINVAL,
					  "layer %d: gradients travel in at least one piece, none "
					  "in no piece",
					  i);
		if (l->moe.bytes > there || l->dense.bytes > there - l->moe.bytes)
			return fsmoe_fail(EINVAL,
					  "layer %d exchanges %" PRIu64 " and %" PRIu64
					  " bytes of gradients, but %" PRIu64 " are ready by then",
					  i, l->moe.bytes, l->dense.bytes, there);
		there -= l->moe.bytes + l->dense.bytes;
		there += !p->steady || i > 0 ? fsmoe_gradient_bytes(&p->layer[i]) : 0;
	}
	if (plan->tail.bytes != there || !check_share(&plan->tail))
		return fsmoe_fail(EINVAL,
				  "%" PRIu64
				  " bytes of gradients are exchanged at the end, but %" PRIu64
				  " are left",
				  plan->tail.bytes, there);
	return 0;
}

/* `seconds` has room for fsmoe_gradient_plan_seconds. */
static void predict_plan(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *p,
			 const struct fsmoe_schedule *row, const struct fsmoe_gradient_list *list,
			 double *seconds)
{
	double forward = 0, backward = 0;

	fsmoe_gradient_plan_seconds(list, plan, seconds);
	plan->tail_seconds = seconds[2 * p->layers];
	for (int i = 0; i < p->layers; i++)
	{
		const struct fsmoe_layer_cost *c = &p->layer[i];
		const struct fsmoe_plan_layer *l = &plan->layer[i];
		const double *gradient = seconds + 2 * (p->layers - 1 - i);

		forward += fsmoe_dense_seconds(row, c, FSMOE_FORWARD, 0) +
			   fsmoe_moe_seconds(row, c, FSMOE_FORWARD, l->forward_degree, 0);
		backward +=
			fsmoe_moe_seconds(row, c, FSMOE_BACKWARD, l->backward_degree, gradient[0]) +
			fsmoe_dense_seconds(row, c, FSMOE_BACKWARD, gradient[1]);
	}
	plan->forward = forward;
	plan->backward = backward;
}

int fsmoe_plan_predict(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *p,
		       const struct fsmoe_schedule *row)
{
	struct fsmoe_gradient_list list;
	double *seconds;
	int err = check_problem(p, row);

	if (!err)
		err = check_plan(plan, p);
	if (!err)
		err = fsmoe_gradient_list_create(&list, p);
	if (err)
		return err;
	seconds = malloc((2 * (size_t)p->layers + 1) * sizeof(*seconds));
	if (seconds)
		predict_plan(plan, p, row, &list, seconds);
	else
		err = fsmoe_fail(ENOMEM, "no memory to predict %d layers", p->layers);
	free(seconds);
	fsmoe_gradient_list_destroy(&list);
	return err;
}

/* --- the plan ------------------------------------------------------------------------------- */

int fsmoe_plan_create(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *problem,
		      const struct fsmoe_schedule *row)
{
	struct fsmoe_plan fresh = {.layers = problem->layers};
	struct fsmoe_placement s = {.problem = problem, .row = row, .plan = &fresh};
	double *seconds;
	int err = check_problem(problem, row);

	if (err)
		return err;
	memcpy(fresh.schedule, row->name, sizeof(fresh.schedule));
	fresh.layer = calloc((size_t)problem->layers, sizeof(*fresh.layer));
	seconds = malloc((2 * (size_t)problem->layers + 1) * sizeof(*seconds));
	err = fresh.layer && seconds
		      ? fsmoe_gradient_list_create(&s.list, problem)
		      : fsmoe_fail(ENOMEM, "no memory to plan %d layers", problem->layers);
	if (!err)
		err = make_layers(&s);
	if (!err)
	{
		choose_degrees(&s);
		err = fsmoe_place_gradients(&s);
	}
	if (!err)
	{
		settle_degrees(&s, seconds);
		predict_plan(&fresh, problem, row, &s.list, seconds);
		err = check_plan(&fresh, problem);
	}
	free_layers(&s);
	fsmoe_gradient_list_destroy(&s.list);
	free(seconds);
	if (err)
		fsmoe_plan_destroy(&fresh);
	else
		*plan = fresh;
	return err;
}
