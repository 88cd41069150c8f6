/* SPDX-License-Identifier: Apache-2.0 */
#include "step/optimizer.h"

#include "graph/basic.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>
#include <stdlib.h>
#include <string.h>

/* The arguments of an optimizer's node for one bucket. */
struct update
{
	fsmoe_graph_t graph;
	const struct fsmoe_train_opts *opts;
	const struct fsmoe_bucket *bucket;
	fsmoe_tensor_t norm2;
	const struct fsmoe_segment *segments;
	size_t nsegments;
};

static fsmoe_tensor_t moment(const struct update *u, const char *suffix)
{
	const struct fsmoe_tensor_info *t = &u->graph->tensors[u->bucket->tensor];

	return fsmoe_graph_state(u->graph, t->shape, "%s.%s", t->name, suffix);
}

static void append_adamw(const struct update *u)
{
	const struct fsmoe_train_opts *o = u->opts;
	fsmoe_tensor_t m = moment(u, "exp_avg"), v = moment(u, "exp_avg_sq");

	fsmoe_adamw(u->graph, u->bucket->tensor, u->bucket->grad, m, v, u->norm2,
		    &(struct fsmoe_adamw_args){.beta1 = o->beta1,
					       .beta2 = o->beta2,
					       .eps = o->eps,
					       .clip = o->clip_grad_norm,
					       .nsegments = u->nsegments},
		    u->segments);
}

static void append_sgd(const struct update *u)
{
	fsmoe_sgd(u->graph, u->bucket->tensor, u->bucket->grad, u->norm2,
		  &(struct fsmoe_sgd_args){.clip = u->opts->clip_grad_norm,
					   .nsegments = u->nsegments},
		  u->segments);
}

static const struct optimizer
{
	const char *name;
	void (*append)(const struct update *update);
} optimizers[] = {{"adamw", append_adamw}, {"sgd", append_sgd}};

static const struct optimizer *find(const char *name)
{
	for (size_t i = 0; i < sizeof(optimizers) / sizeof(optimizers[0]); i++)
		if (!strcmp(optimizers[i].name, name))
			return &optimizers[i];
	return NULL;
}

/* The parameters of a bucket as runs with their weight decay. */
static size_t bucket_segments(const struct fsmoe_graph *g, const struct fsmoe_bucket *b,
			      double decay, struct fsmoe_segment *out)
{
	size_t n = 0;

	for (int i = 0; i < g->nparams; i++)
	{
		const struct fsmoe_tensor_info *t = &g->tensors[g->params[i].tensor];
		if (g->params[i].bucket == b->tensor)
			out[n++] = (struct fsmoe_segment){.offset = t->offset,
							  .count = fsmoe_shape_count(&t->shape),
							  .decay = g->params[i].spec.decay ? decay
											   : 0.0};
	}
	return n;
}

int fsmoe_step_append_update(fsmoe_graph_t g, const struct fsmoe_train_opts *o, fsmoe_tensor_t loss,
			     fsmoe_tensor_t *norm2)
{
	const struct optimizer *optimizer = find(o->optimizer);
	struct fsmoe_segment *segments;
	fsmoe_tensor_t own[2]; /* a sum takes two */

	if (!optimizer)
		return fsmoe_fail(EINVAL, "no optimizer '%s': there are adamw and sgd",
				  o->optimizer);
	segments = calloc((size_t)g->nparams + 1, sizeof(*segments));
	if (!segments)
		return fsmoe_fail(ENOMEM, "no memory for the optimizer's segments");

	for (int i = 0; i < 2; i++)
	{
		own[i] = fsmoe_graph_activation(g, FSMOE_WIDE, FSMOE_SHAPE1(1), "norm2.own");
		fsmoe_zero(g, own[i]);
	}
	/* In the order in which the backward ends them: the last layer's first. */
	for (int i = g->nbuckets - 1; i >= 0; i--)
	{
		fsmoe_graph_set_layer(g, g->buckets[i].layer);
		/* Each part once, however many ranks hold it. */
		fsmoe_sum_squares(g, g->buckets[i].grad, own[0], 1.0 / g->buckets[i].replicas);
	}
	fsmoe_graph_set_layer(g, -1);
	/* Nothing times the loss: nothing, unless the loss is no number. Then no parameter is
	 * changed, as when the gradient is none. */
	fsmoe_sum_squares(g, loss, own[0], 0.0);
	/* A copy, made only when all this went well on this rank: see struct fsmoe_step_graph. */
	*norm2 = fsmoe_sum(g, own, 2);
	if (*norm2 != FSMOE_NONE)
		fsmoe_allreduce(g, *norm2, FSMOE_GROUP_WORLD);
	for (int i = g->nbuckets - 1; i >= 0 && !g->status; i--)
	{
		struct update u = {.graph = g,
				   .opts = o,
				   .bucket = &g->buckets[i],
				   .norm2 = *norm2,
				   .segments = segments};
		fsmoe_graph_set_layer(g, g->buckets[i].layer);
		u.nsegments = bucket_segments(g, u.bucket, o->weight_decay, segments);
		optimizer->append(&u);
	}
	free(segments);
	return fsmoe_graph_status(g);
}
