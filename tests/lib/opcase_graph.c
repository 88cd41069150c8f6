/* SPDX-License-Identifier: Apache-2.0 */
#include "opcase_internal.h"

#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

const struct fsmoe_step opcase_step = {.step = 3, .seed = 7, .lr = 0.05};

double opcase_noise(uint64_t seed, uint64_t stream, uint64_t index)
{
	uint64_t z = (seed * 0x9e3779b97f4a7c15u) ^ (stream * 0xd1b54a32d192ed03u);

	z += (index + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return (double)(z >> 40) / (double)(1 << 24);
}

const struct fsmoe_tensor_info *opcase_info(const struct opcase_graph *og, fsmoe_tensor_t tensor)
{
	int n;

	return &fsmoe_graph_tensors(og->graph, &n)[tensor];
}

/* --- for build functions ------------------------------------------------------------------ */

fsmoe_graph_t opcase_graph(struct opcase_graph *og)
{
	return og->graph;
}

static void add_leaf(struct opcase_graph *og, enum opcase_leaf_kind kind, fsmoe_tensor_t tensor,
		     double lo, double hi)
{
	assert_true(og->nleaves < OPCASE_MAX_LEAVES);
	og->leaf[og->nleaves++] =
		(struct opcase_leaf){.kind = kind, .tensor = tensor, .lo = lo, .hi = hi};
}

fsmoe_tensor_t opcase_param(struct opcase_graph *og, struct fsmoe_shape shape, double lo, double hi)
{
	char name[32];
	fsmoe_tensor_t t;

	snprintf(name, sizeof(name), "opcase.%d", og->nleaves);
	t = fsmoe_graph_param(og->graph, &(struct fsmoe_param_spec){
						 .name = name,
						 .global = shape,
						 .reduce = FSMOE_GROUP_WORLD,
					 });
	add_leaf(og, OPCASE_LEAF_PARAM, t, lo, hi);
	return t;
}

fsmoe_tensor_t opcase_activation(struct opcase_graph *og, struct fsmoe_shape shape, double lo,
				 double hi)
{
	return opcase_copy(og->graph, opcase_param(og, shape, lo, hi));
}

void opcase_adopt(struct opcase_graph *og, const char *param, double lo, double hi)
{
	fsmoe_tensor_t t = fsmoe_graph_find(og->graph, param);

	if (t == FSMOE_NONE && !fsmoe_graph_status(og->graph))
		fail_msg("%s: the builder made no parameter '%s'", og->c->name, param);
	add_leaf(og, OPCASE_LEAF_PARAM, t, lo, hi);
}

fsmoe_tensor_t opcase_state(struct opcase_graph *og, struct fsmoe_shape shape, double lo, double hi)
{
	fsmoe_tensor_t t = fsmoe_graph_state(og->graph, shape, "opcase.%d", og->nleaves);

	add_leaf(og, OPCASE_LEAF_STATE, t, lo, hi);
	return t;
}

fsmoe_tensor_t opcase_ints(struct opcase_graph *og, struct fsmoe_shape shape, int lo, int hi)
{
	fsmoe_tensor_t t =
		fsmoe_graph_input(og->graph, FSMOE_INT32, shape, "opcase.%d", og->nleaves);

	add_leaf(og, OPCASE_LEAF_INTS, t, lo, hi);
	return t;
}

void opcase_also(struct opcase_graph *og, fsmoe_tensor_t tensor)
{
	assert_true(og->nouts < OPCASE_MAX_OUTS);
	og->out[og->nouts++] = tensor;
}

/* --- building, filling, running ----------------------------------------------------------- */

static void store(void *data, enum fsmoe_real real, size_t i, double value)
{
	if (real == FSMOE_F64)
		((double *)data)[i] = value;
	else
		((float *)data)[i] = (float)value;
}

static void fill_leaf(struct opcase_graph *og, int l)
{
	const struct opcase_leaf *leaf = &og->leaf[l];
	const struct fsmoe_tensor_info *info = opcase_info(og, leaf->tensor);
	enum fsmoe_real real = fsmoe_memory_real(og->memory);
	void *data = fsmoe_memory_data(og->memory, leaf->tensor);

	for (size_t i = 0; i < fsmoe_shape_count(&info->shape); i++)
	{
		double u = opcase_noise(og->c->seed, (uint64_t)l, i);
		double value = leaf->lo + (leaf->hi - leaf->lo) * u;
		if (leaf->kind == OPCASE_LEAF_INTS)
			((int32_t *)data)[i] =
				(int32_t)(leaf->lo + (int)((leaf->hi - leaf->lo) * u));
		else
			store(data, real, i, (double)(float)value);
		/* Contents of the gradient, to which the backward must add. */
		if (leaf->kind == OPCASE_LEAF_PARAM)
			store(fsmoe_memory_data(og->memory, info->grad), real, i,
			      opcase_noise(og->c->seed, 50 + (uint64_t)l, i));
	}
}

void opcase_graph_setup(struct opcase_graph *og, const struct opcase *c, const size_t *size,
			int backward, enum fsmoe_real real)
{
	*og = (struct opcase_graph){.c = c, .size = size, .nouts = 1, .loss = FSMOE_NONE};
	assert_int_equal(fsmoe_graph_create(&og->graph, NULL), 0);
	og->out[0] = c->build(og, size);
	if (!(c->flags & OPCASE_NO_GRADIENT))
	{
		og->loss = opcase_probe(og->graph, og->out[0], c->seed);
		if (backward)
			fsmoe_graph_backward(og->graph, og->loss);
	}
	if (fsmoe_graph_status(og->graph) ||
	    fsmoe_memory_create(&og->memory, og->graph, real, NULL))
		fail_msg("%s: %s", c->name, fsmoe_last_error());
	for (int l = 0; l < og->nleaves; l++)
		fill_leaf(og, l);
}

void opcase_graph_teardown(struct opcase_graph *og)
{
	fsmoe_memory_destroy(og->memory);
	fsmoe_graph_destroy(og->graph);
}

void opcase_graph_execute(struct opcase_graph *og)
{
	if (fsmoe_graph_execute(og->graph, og->memory, NULL, &opcase_step))
		fail_msg("%s: %s", og->c->name, fsmoe_last_error());
}

double *opcase_graph_read(const struct opcase_graph *og, fsmoe_tensor_t tensor, size_t *count)
{
	const struct fsmoe_tensor_info *info = opcase_info(og, tensor);
	const void *data = fsmoe_memory_data(og->memory, tensor);
	double *x;

	*count = fsmoe_shape_count(&info->shape);
	x = malloc((*count + 1) * sizeof(*x));
	assert_non_null(x);
	for (size_t i = 0; i < *count; i++)
		x[i] = info->dtype == FSMOE_INT32 ? ((const int32_t *)data)[i]
		       : fsmoe_memory_real(og->memory) == FSMOE_F64
			       ? ((const double *)data)[i]
			       : (double)((const float *)data)[i];
	return x;
}

size_t opcase_graph_length(const struct opcase_graph *og)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(og->graph, &n);
	size_t length = 0;

	for (int i = 0; i < n; i++)
	{
		size_t longest = 1;
		for (int k = 0; k < nodes[i].naccess; k++)
		{
			if (nodes[i].access[k].tensor == FSMOE_NONE)
				continue;
			const struct fsmoe_shape *s =
				&opcase_info(og, nodes[i].access[k].tensor)->shape;
			for (int d = 0; d < s->ndim; d++)
				longest = s->dim[d] > longest ? s->dim[d] : longest;
		}
		length += longest;
	}
	return length;
}
