/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEMORY_H
#define FSMOE_MEMORY_H

#include <fsmoe/graph.h>

/* Bytes; enough for any vector load and for device copies. A buffer's room is a multiple of it too,
 * so that what copies it may fill up the last piece. */
enum
{
	FSMOE_ALIGNMENT = 256
};

struct fsmoe_memory
{
	fsmoe_graph_t graph;
	enum fsmoe_real real;
	void **data;  /* by tensor; bases only */
	void **owned; /* by tensor: what is freed here; NULL: it is another memory's */
	size_t bytes;
};

static inline size_t fsmoe_element_bytes(enum fsmoe_real real, enum fsmoe_dtype dtype)
{
	return dtype == FSMOE_INT32 ? sizeof(int32_t)
	       : real == FSMOE_F64  ? sizeof(double)
	       : real == FSMOE_F32  ? sizeof(float)
				    : sizeof(uint16_t);
}

/* What a tensor of reals holds in a run of `real`. */
static inline enum fsmoe_real fsmoe_tensor_real(enum fsmoe_real real,
						const struct fsmoe_tensor_info *t)
{
	int narrow =
		t->dtype == FSMOE_REAL && (t->role == FSMOE_ACTIVATION || t->role == FSMOE_INPUT);

	return real == FSMOE_BF16 && !narrow ? FSMOE_F32 : real;
}

static inline size_t fsmoe_tensor_element(enum fsmoe_real real, const struct fsmoe_tensor_info *t)
{
	return fsmoe_element_bytes(fsmoe_tensor_real(real, t), t->dtype);
}

static inline size_t fsmoe_tensor_bytes(enum fsmoe_real real, const struct fsmoe_tensor_info *t)
{
	return fsmoe_shape_count(&t->shape) * fsmoe_tensor_element(real, t);
}

/* Whether a tensor has a copy in bf16 beside it. */
static inline int fsmoe_has_copy(enum fsmoe_real real, const struct fsmoe_tensor_info *t)
{
	return real == FSMOE_BF16 && t->role == FSMOE_PARAM;
}

/* The rule by which memory is estimated before it is allocated: adds up bytes(tensor, arg) over the
 * tensors that a program allocates. shared: 1 if another program's memory already holds
 * parameters, gradients and state. */
size_t fsmoe_graph_bytes(fsmoe_graph_t graph, int shared,
			 size_t (*bytes)(const struct fsmoe_tensor_info *tensor, void *arg),
			 void *arg);

/* A graph's memory in place of another's, which is destroyed, also where this fails: persistent
 * tensors of the same name, role and size stay where they are, so whoever shares them need not
 * know. Never more is allocated than either graph needs. Both graphs must be there. */
int fsmoe_memory_replace(fsmoe_memory_t *memory, fsmoe_graph_t graph, fsmoe_memory_t old);

/* What fsmoe_memory_init_params does of one parameter of the memory's graph. */
void fsmoe_memory_init_param(fsmoe_memory_t memory, const struct fsmoe_param *param, uint64_t seed);

/* Where an element of this rank's part lies in the parameter's global array. */
size_t fsmoe_param_global_index(const struct fsmoe_param_spec *spec, size_t local);
/* Elements that are neighbours there as well: from each multiple of this on, this many. */
size_t fsmoe_param_run(const struct fsmoe_param_spec *spec);

#endif
