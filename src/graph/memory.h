/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEMORY_H
#define FSMOE_MEMORY_H

#include <fsmoe/graph.h>

struct fsmoe_memory
{
	fsmoe_graph_t graph;
	enum fsmoe_real real;
	void **data; /* by tensor; bases only */
	char *owned; /* by tensor: freed here, not another memory's */
	size_t bytes;
};

static inline size_t fsmoe_element_bytes(enum fsmoe_real real, enum fsmoe_dtype dtype)
{
	return dtype == FSMOE_INT32 ? sizeof(int32_t)
	       : real == FSMOE_F64  ? sizeof(double)
				    : sizeof(float);
}

/* Where an element of this rank's part lies in the parameter's global array. */
size_t fsmoe_param_global_index(const struct fsmoe_param_spec *spec, size_t local);

#endif
