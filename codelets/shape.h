/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SHAPE_H
#define FSMOE_SHAPE_H

#include "graph/shapes.h"

/*
 * What the rows of operations have in common: shapes, checks, access lists, gradients of
 * parameters. A tensor is seen as a matrix: the last dimension is its columns, all others
 * together its rows. The checks are for shapes that letters (fsmoe/op.h) cannot express; they take
 * the number of an access, skip an absent one, and fail with a sentence that names operation, port
 * and shapes.
 */

static inline size_t fsmoe_columns(const struct fsmoe_tensor_info *t)
{
	return t->shape.ndim > 0 ? t->shape.dim[t->shape.ndim - 1] : 1;
}

static inline size_t fsmoe_rows(const struct fsmoe_tensor_info *t)
{
	size_t n = 1;
	for (int i = 0; i + 1 < t->shape.ndim; i++)
		n *= t->shape.dim[i];
	return n;
}

static inline size_t fsmoe_count(const struct fsmoe_tensor_info *t)
{
	return fsmoe_shape_count(&t->shape);
}

/* The shape of a tensor of a graph; no dimensions when there is no such tensor (a builder goes
 * on, and appending the node records the failure). */
struct fsmoe_shape fsmoe_shape_of(fsmoe_graph_t graph, fsmoe_tensor_t tensor);

/* Access i has exactly these rows and columns, whatever dimensions make up the rows. */
int fsmoe_check_matrix(const struct fsmoe_check *check, int i, size_t rows, size_t columns);
int fsmoe_check_count(const struct fsmoe_check *check, int i, size_t count);

/* Bytes that a node touches, all its tensors once, with elements of 4 bytes: the work of
 * operations that are bound by memory. */
double fsmoe_work_bytes(const void *args, const struct fsmoe_tensor_info *const *tensor, int n);

/* Accesses of a node with one tensor a port, in order: FSMOE_ACCESSES(x, w, b). */
#define FSMOE_ACCESSES(...)                                                                        \
	fsmoe_accesses((struct fsmoe_access[8]){0}, (const fsmoe_tensor_t[]){__VA_ARGS__},         \
		       (int)(sizeof((fsmoe_tensor_t[]){__VA_ARGS__}) / sizeof(fsmoe_tensor_t))),   \
		(int)(sizeof((fsmoe_tensor_t[]){__VA_ARGS__}) / sizeof(fsmoe_tensor_t))
const struct fsmoe_access *fsmoe_accesses(struct fsmoe_access access[8],
					  const fsmoe_tensor_t *tensor, int n);

/* For grad functions: where to accumulate the gradient of access i, a parameter; FSMOE_NONE when
 * nobody wants it. Fails when it is wanted but is no parameter (nor one as a whole), rather than
 * lose it. */
int fsmoe_param_gradient(struct fsmoe_backward *backward, const struct fsmoe_node *node, int i,
			 fsmoe_tensor_t *gradient);

#endif
