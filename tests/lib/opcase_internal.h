/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_OPCASE_INTERNAL_H
#define FSMOE_TESTS_OPCASE_INTERNAL_H

#include "opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define OPCASE_MAX_ACCESSES 64

/* The step that every case runs as: bias corrections of an optimizer are neither 0 nor 1. */
extern const struct fsmoe_step opcase_step;

enum opcase_leaf_kind
{
	OPCASE_LEAF_PARAM, /* and the parameter behind an activation leaf */
	OPCASE_LEAF_STATE,
	OPCASE_LEAF_INTS,
};

struct opcase_leaf
{
	enum opcase_leaf_kind kind;
	fsmoe_tensor_t tensor;
	double lo, hi;
};

struct opcase_graph
{
	const struct opcase *c;
	const size_t *size;
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	struct opcase_leaf leaf[OPCASE_MAX_LEAVES];
	int nleaves;
	fsmoe_tensor_t out[OPCASE_MAX_OUTS];
	int nouts;
	fsmoe_tensor_t loss; /* FSMOE_NONE: the case has no gradient */
};

/* y = x, and dx += dy where x is a parameter: makes an activation of a leaf. */
fsmoe_tensor_t opcase_copy(fsmoe_graph_t graph, fsmoe_tensor_t x);
/* loss (1) = sum of w_i y_i with weights drawn from `seed`; dy_i = dloss w_i. */
fsmoe_tensor_t opcase_probe(fsmoe_graph_t graph, fsmoe_tensor_t y, uint64_t seed);

/* Builds a case at a size, with memory, leaves filled; gradients too when backward is 1. */
void opcase_graph_setup(struct opcase_graph *og, const struct opcase *c, const size_t *size,
			int backward, enum fsmoe_real real);
void opcase_graph_teardown(struct opcase_graph *og);
/* Executes; fails the test with the sentence. */
void opcase_graph_execute(struct opcase_graph *og);
/* A tensor's elements as new doubles; the caller frees. */
double *opcase_graph_read(const struct opcase_graph *og, fsmoe_tensor_t tensor, size_t *count);
const struct fsmoe_tensor_info *opcase_info(const struct opcase_graph *og, fsmoe_tensor_t tensor);
/* The longest chain of rounded terms behind any result: every node may sum over the largest
 * dimension among its tensors. */
size_t opcase_graph_length(const struct opcase_graph *og);

/* The tolerance of a run in `real` against one in double. */
double opcase_graph_tolerance(const struct opcase_graph *f64, enum fsmoe_real real,
			      double magnitude);

/* The tests of one case over all its sizes. */
void opcase_test_forward(const struct opcase *c);
void opcase_test_gradient(const struct opcase *c);
void opcase_test_float(const struct opcase *c);
void opcase_test_access(const struct opcase *c, struct opcase_ports *ports);

#endif
