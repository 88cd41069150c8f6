/* SPDX-License-Identifier: Apache-2.0 */
#include "random_plan.h"

#include "base/rng.h"
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

void gradient_floats(fsmoe_graph_t g, int layers, size_t *floats)
{
	memset(floats, 0, (size_t)layers * sizeof(*floats));
	for (int i = 0; i < g->nbuckets; i++)
		if (g->buckets[i].layer >= 0 && g->buckets[i].layer < layers &&
		    fsmoe_group_size(g->groups, g->buckets[i].reduce) > 1)
			floats[g->buckets[i].layer] +=
				fsmoe_shape_count(&g->tensors[g->buckets[i].grad].shape);
}

struct draw
{
	uint64_t key, next;
};

static size_t below(struct draw *d, size_t n)
{
	return (size_t)(fsmoe_rng_bits(d->key, d->next++) % n);
}

/* None, all, or some of what is there, in some pieces. */
static struct fsmoe_share draw_share(struct draw *d, size_t *there)
{
	const size_t kind = below(d, 4), n = kind == 0   ? 0
					     : kind == 1 ? *there
							 : below(d, *there + 1);
	struct fsmoe_share share = {4 * n, n ? 1 + (int)below(d, 4) : 0};

	if (n && (size_t)share.pieces > n)
		share.pieces = 1;
	*there -= n;
	return share;
}

void random_plan(struct random_plan *r, uint64_t seed, int layers, const size_t *floats,
		 int most_chunks)
{
	static const enum fsmoe_lane lanes[][2] = {{FSMOE_INTER, FSMOE_INTRA},
						   {FSMOE_INTER, FSMOE_INTER},
						   {FSMOE_INTRA, FSMOE_INTRA},
						   {FSMOE_INTRA, FSMOE_INTER}};
	struct draw d = {fsmoe_rng_key(seed, "plan"), 0};
	const enum fsmoe_lane *lane = lanes[below(&d, 8) % 6 % 4];
	size_t there = 0;

	memset(r, 0, sizeof(*r));
	r->row = (struct fsmoe_schedule){
		.name = "random",
		.doc = "random columns",
		.forward_degree = FSMOE_DEGREE_BEST,
		.backward_degree = FSMOE_DEGREE_BEST,
		.alltoall_lane = lane[0],
		.gather_lane = lane[1],
		.weight_gradients = (enum fsmoe_weight_rule)below(&d, FSMOE_NWEIGHT_RULES),
		.gradients = FSMOE_GRADIENTS_ADAPTIVE,
	};
	snprintf(r->plan.schedule, sizeof(r->plan.schedule), "%s", r->row.name);
	r->plan.layers = layers;
	r->plan.layer = r->layer;
	for (int i = layers - 1; i >= 0; i--)
	{
		struct fsmoe_plan_layer *l = &r->layer[i];

		l->forward_degree = 1 + (int)below(&d, (size_t)most_chunks);
		l->backward_degree = 1 + (int)below(&d, (size_t)most_chunks);
		l->moe = draw_share(&d, &there);
		l->dense = draw_share(&d, &there);
		there += floats[i];
	}
	r->plan.tail = (struct fsmoe_share){4 * there, there ? 1 + (int)below(&d, 3) : 0};
}
