/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_MOE_PAIRS_H
#define FSMOE_TESTS_MOE_PAIRS_H

#include "gates.h"
#include "moe/layer.h"
#include "moe/modules.h"

/* Every gate there is with every order that reads it and every expert, at awkward sizes and with
 * every option. */

struct pair_shape
{
	size_t T, M, H, E, k, group;
	double factor;
	int forward_degree, backward_degree;
};

struct pair_option
{
	const char *drop, *weights;
	int normalize;
};

enum
{
	PAIR_GATE, /* numbers in the lists of modules */
	PAIR_ORDER,
	PAIR_SHAPE,
	PAIR_OPTION,
	PAIR_EXPERT,
	PAIR_NSIZES
};

extern const struct pair_shape pair_shapes[];
extern const struct pair_option pair_options[];
extern const size_t pair_nshapes, pair_noptions;

const struct fsmoe_gate *pair_gate(size_t i);   /* NULL after the last */
const struct fsmoe_order *pair_order(size_t i); /* the same */
const struct fsmoe_expert *pair_expert(size_t i);

/* Whether they go together: the order reads the gate, which takes the option. */
int pair_fits(size_t gate, size_t order, size_t shape, size_t option);
struct fsmoe_moe_spec pair_spec(const size_t *pair);
/* Without any pointer to numbers. */
struct reference_gate pair_reference(const size_t *pair);
/* Where a reference keeps the parameter of that name; NULL: nowhere. */
const double **pair_parameter(struct reference_gate *reference, const char *name);

#endif
