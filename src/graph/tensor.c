/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdarg.h>
#include <string.h>

fsmoe_tensor_t fsmoe_graph_add_tensor(fsmoe_graph_t g, const struct fsmoe_tensor_info *info)
{
	fsmoe_tensor_t t = g->ntensors;

	if (g->status || fsmoe_graph_grow(g, (void **)&g->tensors, g->ntensors, &g->tensors_room,
					  sizeof(*g->tensors)))
		return FSMOE_NONE;
	g->tensors[t] = *info;
	g->tensors[t].name = fsmoe_graph_copy(g, info->name, strlen(info->name) + 1);
	if (!g->tensors[t].name)
		return FSMOE_NONE;
	if (g->tensors[t].base == FSMOE_NONE)
		g->tensors[t].base = t;
	g->ntensors++;
	return t;
}

static fsmoe_tensor_t named(fsmoe_graph_t g, enum fsmoe_role role, enum fsmoe_dtype dtype,
			    struct fsmoe_shape shape, const char *format, va_list args)
{
	char name[256];

	vsnprintf(name, sizeof(name), format, args);
	return fsmoe_graph_add_tensor(g, &(struct fsmoe_tensor_info){.name = name,
								     .role = role,
								     .dtype = dtype,
								     .shape = shape,
								     .base = FSMOE_NONE,
								     .grad = FSMOE_NONE,
								     .param = -1,
								     .layer = g->labels.layer});
}

#define NAMED(g, role, dtype, shape, format)                                                       \
	({                                                                                         \
		va_list args_;                                                                     \
		va_start(args_, format);                                                           \
		fsmoe_tensor_t t_ = named(g, role, dtype, shape, format, args_);                   \
		va_end(args_);                                                                     \
		t_;                                                                                \
	})

fsmoe_tensor_t fsmoe_graph_activation(fsmoe_graph_t g, enum fsmoe_dtype dtype,
				      struct fsmoe_shape shape, const char *name, ...)
{
	return NAMED(g, FSMOE_ACTIVATION, dtype, shape, name);
}

fsmoe_tensor_t fsmoe_graph_input(fsmoe_graph_t g, enum fsmoe_dtype dtype, struct fsmoe_shape shape,
				 const char *name, ...)
{
	return NAMED(g, FSMOE_INPUT, dtype, shape, name);
}

fsmoe_tensor_t fsmoe_graph_state(fsmoe_graph_t g, struct fsmoe_shape shape, const char *name, ...)
{
	return NAMED(g, FSMOE_STATE, FSMOE_REAL, shape, name);
}

fsmoe_tensor_t fsmoe_graph_like(fsmoe_graph_t g, fsmoe_tensor_t tensor, const char *prefix)
{
	if (g->status)
		return FSMOE_NONE;
	return fsmoe_graph_activation(g, g->tensors[tensor].dtype, g->tensors[tensor].shape, "%s%s",
				      prefix, g->tensors[tensor].name);
}

fsmoe_tensor_t fsmoe_graph_view(fsmoe_graph_t g, fsmoe_tensor_t tensor, size_t offset,
				struct fsmoe_shape shape)
{
	if (g->status)
		return FSMOE_NONE;

	struct fsmoe_tensor_info info = g->tensors[tensor];
	size_t room = fsmoe_shape_count(&info.shape), n = fsmoe_shape_count(&shape);
	if (offset > room || n > room - offset)
	{
		fsmoe_graph_fail(g, fsmoe_fail(EINVAL,
					       "a view of %zu elements from %zu on does not fit "
					       "'%s' of %zu elements",
					       n, offset, info.name, room));
		return FSMOE_NONE;
	}
	info.offset += offset;
	info.shape = shape;
	info.param = -1;
	info.grad = FSMOE_NONE;
	return fsmoe_graph_add_tensor(g, &info);
}

fsmoe_tensor_t fsmoe_graph_find(fsmoe_graph_t g, const char *name)
{
	for (fsmoe_tensor_t t = 0; t < g->ntensors; t++)
		if (g->tensors[t].role != FSMOE_ACTIVATION && !strcmp(g->tensors[t].name, name))
			return t;
	return FSMOE_NONE;
}
