/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

static int local_shape(const struct fsmoe_param_spec *spec, struct fsmoe_shape *local, int *pieces)
{
	*local = spec->global;
	*pieces = 1;
	for (int d = 0; d < spec->global.ndim; d++)
	{
		int parts = spec->parts[d] > 1 ? spec->parts[d] : 1;
		if (spec->global.dim[d] % (size_t)parts)
			return fsmoe_fail(
				EINVAL,
				"parameter '%s': %d ranks do not divide its dimension %d of %zu",
				spec->name, parts, d, spec->global.dim[d]);
		if (spec->index[d] < 0 || spec->index[d] >= parts)
			return fsmoe_fail(EINVAL, "parameter '%s': part %d of %d does not exist",
					  spec->name, spec->index[d], parts);
		local->dim[d] /= (size_t)parts;
		*pieces *= parts;
	}
	return 0;
}

static int same_spec(const struct fsmoe_param_spec *a, const struct fsmoe_param_spec *b)
{
	if (a->global.ndim != b->global.ndim || a->reduce != b->reduce)
		return 0;
	for (int d = 0; d < a->global.ndim; d++)
		if (a->global.dim[d] != b->global.dim[d] || a->parts[d] != b->parts[d] ||
		    a->index[d] != b->index[d])
			return 0;
	return 1;
}

static fsmoe_tensor_t bucket_tensor(fsmoe_graph_t g, enum fsmoe_role role, const char *name)
{
	return fsmoe_graph_add_tensor(g, &(struct fsmoe_tensor_info){.name = (char *)name,
								     .role = role,
								     .dtype = FSMOE_REAL,
								     .shape = FSMOE_SHAPE1(0),
								     .base = FSMOE_NONE,
								     .grad = FSMOE_NONE,
								     .param = -1,
								     .layer = g->labels.layer});
}

static struct fsmoe_bucket *find_bucket(fsmoe_graph_t g, enum fsmoe_group reduce, int replicas)
{
	char name[64];
	struct fsmoe_bucket *b;

	for (int i = 0; i < g->nbuckets; i++)
	{
		b = &g->buckets[i];
		if (b->layer == g->labels.layer && b->reduce == reduce && b->replicas == replicas)
			return b;
	}
	if (fsmoe_graph_grow(g, (void **)&g->buckets, g->nbuckets, &g->buckets_room,
			     sizeof(*g->buckets)))
		return NULL;
	b = &g->buckets[g->nbuckets];
	b->layer = g->labels.layer;
	b->reduce = reduce;
	b->replicas = replicas;
	snprintf(name, sizeof(name), "bucket.%d.%s.x%d", b->layer, fsmoe_group_name(reduce),
		 replicas);
	b->tensor = bucket_tensor(g, FSMOE_PARAM, name);
	snprintf(name, sizeof(name), "bucket.%d.%s.x%d.grad", b->layer, fsmoe_group_name(reduce),
		 replicas);
	b->grad = bucket_tensor(g, FSMOE_GRAD, name);
	if (g->status)
		return NULL;
	g->tensors[b->tensor].grad = b->grad;
	g->nbuckets++;
	return b;
}

/* A view at the bucket's end, which grows by it. */
static fsmoe_tensor_t extend(fsmoe_graph_t g, fsmoe_tensor_t bucket,
			     const struct fsmoe_shape *shape, const char *name, const char *suffix)
{
	char full[256];
	size_t at = g->tensors[bucket].shape.dim[0];
	size_t n = (fsmoe_shape_count(shape) + FSMOE_BUCKET_ALIGN - 1) / FSMOE_BUCKET_ALIGN *
		   FSMOE_BUCKET_ALIGN;

	snprintf(full, sizeof(full), "%s%s", name, suffix);
	g->tensors[bucket].shape.dim[0] += n;
	return fsmoe_graph_add_tensor(g,
				      &(struct fsmoe_tensor_info){.name = full,
								  .role = g->tensors[bucket].role,
								  .dtype = FSMOE_REAL,
								  .shape = *shape,
								  .base = bucket,
								  .offset = at,
								  .grad = FSMOE_NONE,
								  .param = -1,
								  .layer = g->labels.layer});
}

static fsmoe_tensor_t add_param(fsmoe_graph_t g, const struct fsmoe_param_spec *spec)
{
	struct fsmoe_shape local;
	struct fsmoe_bucket *b;
	struct fsmoe_param p = {.spec = *spec};
	int pieces, world = fsmoe_group_size(g->groups, FSMOE_GROUP_WORLD);

	if (local_shape(spec, &local, &pieces))
		return FSMOE_NONE;
	if (world % pieces)
	{
		fsmoe_fail(EINVAL,
			   "parameter '%s' is cut into %d parts, which do not divide %d ranks",
			   spec->name, pieces, world);
		return FSMOE_NONE;
	}
	p.replicas = world / pieces;
	b = find_bucket(g, spec->reduce, p.replicas);
	if (!b || fsmoe_graph_grow(g, (void **)&g->params, g->nparams, &g->params_room,
				   sizeof(*g->params)))
		return FSMOE_NONE;
	p.bucket = b->tensor;
	p.tensor = extend(g, b->tensor, &local, spec->name, "");
	fsmoe_tensor_t grad = extend(g, b->grad, &local, spec->name, ".grad");
	if (g->status)
		return FSMOE_NONE;
	p.spec.name = g->tensors[p.tensor].name;
	g->tensors[p.tensor].grad = grad;
	g->tensors[p.tensor].param = g->nparams;
	g->params[g->nparams++] = p;
	return p.tensor;
}

fsmoe_tensor_t fsmoe_graph_param(fsmoe_graph_t g, const struct fsmoe_param_spec *spec)
{
	fsmoe_tensor_t t;

	if (g->status)
		return FSMOE_NONE;
	for (int i = 0; i < g->nparams; i++)
	{
		if (strcmp(g->params[i].spec.name, spec->name))
			continue;
		if (same_spec(&g->params[i].spec, spec))
			return g->params[i].tensor;
		fsmoe_graph_fail(
			g, fsmoe_fail(EINVAL,
				      "parameter '%s' was made before with another shape or cut",
				      spec->name));
		return FSMOE_NONE;
	}
	t = add_param(g, spec);
	if (t == FSMOE_NONE && !g->status)
		fsmoe_graph_fail(g, -EINVAL);
	return t;
}
