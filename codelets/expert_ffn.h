/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXPERT_FFN_H
#define FSMOE_EXPERT_FFN_H

#include "codelets/filled.h"
#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * What the networks of experts have in common: matrices in, an activation, a matrix out, of every
 * local expert on one chunk of slots as it arrives.
 *
 *   z = x in^T + b1 for each matrix in, side by side;  h = act(z);  y = h out^T + b2
 *
 * x, y (P, E, c, M) and z (E, P, c, Z): P sources, E local experts, c slots, Z = H times the number
 * of matrices in. What travels lies by source; what stays, z and dz, by expert, so that all rows of
 * an expert are one factor of its weights' gradients. in (E, H, M), b1 (E, H), out (E, M, H),
 * b2 (E, M). H is this rank's part of the hidden size; y is then a partial sum, and only one rank
 * of a shard group gives b2.
 *
 * Backward is two operations because they have different readers. backward_input gives dx, which
 * travels on, and dz, which stays: dz = act'(z) of dy out, dx = the sum of dz in. backward_weight
 * can wait: din += dz^T x, db1 += sum dz, dout += dy^T act(z), db2 += sum dy.
 *
 * Backward chunks need not be the forward ones: x and z are found by (source, expert, slot)
 * through the forward cuts. backward_weight adds rows up in blocks of (source, slot) order, copied
 * together from wherever they lie, so that its result depends on which slots a node covers and not
 * on how they were cut, forward or backward.
 *
 * With counts only the rows that hold a token are read, computed and written (codelets/filled.h).
 * Blocks of backward_weight still end where they would without, and the rows left out are zeros, so
 * that sums are the same.
 */

enum fsmoe_ffn_activation
{
	FSMOE_FFN_GELU, /* tanh GELU; of one matrix in, as is ReLU */
	FSMOE_FFN_RELU,
	FSMOE_FFN_SWIGLU, /* of two: silu(first) * second */
};

/* What a weight of a network is. */
enum fsmoe_ffn_part
{
	FSMOE_FFN_IN,       /* (E, H, M) */
	FSMOE_FFN_IN_BIAS,  /* (E, H) */
	FSMOE_FFN_OUT,      /* (E, M, H) */
	FSMOE_FFN_OUT_BIAS, /* (E, M) */
};

/*
 * A network: its weights, in the order of its rows' ports, and its rows. Their ports are
 *   forward          x, weights, y, z, act (scratch), then rows (scratch) and counts
 *   backward_input   dy, matrices, dx, dz, z of several chunks, then rows and counts
 *   backward_weight  gradients of the weights, rows (scratch), x, z, dy, dz of several chunks, then
 *                    counts
 */
struct fsmoe_ffn
{
	int nweights;
	enum fsmoe_ffn_part part[FSMOE_EXPERT_WEIGHTS];
	const struct fsmoe_op *forward, *backward_input, *backward_weight;
};

/* What is computed; every row's arguments begin with it. */
struct fsmoe_expert_args
{
	const struct fsmoe_ffn *ffn;
	enum fsmoe_ffn_activation activation;
	struct fsmoe_filled filled; /* of the slots that a node covers */
};

/* Forward pieces of [lo, hi) that z is read from: the first may begin before lo. */
struct fsmoe_expert_input_args
{
	struct fsmoe_expert_args net;
	size_t lo, hi, n;
	size_t at[]; /* n + 1 */
};

/* The slots that a node of backward_weight covers are those of its backward pieces. */
struct fsmoe_expert_weight_args
{
	struct fsmoe_expert_args net;
	size_t forward, backward; /* numbers of pieces */
	size_t at[];              /* forward + 1 cut points, then backward + 1 */
};

/* Rows that a CPU's kernel works on at a time, and its scratch holds: enough for a product to run
 * at full speed, few enough to stay in a cache. */
#define FSMOE_FFN_BLOCK 256

/* The arguments of a layer's nodes. */
static inline struct fsmoe_expert_args fsmoe_ffn_args(const struct fsmoe_moe_layer *layer,
						      const struct fsmoe_ffn *ffn,
						      enum fsmoe_ffn_activation activation)
{
	return (struct fsmoe_expert_args){ffn, activation, fsmoe_filled_of(layer)};
}

/* Builders. `counts` as struct fsmoe_taken has those that arrived, or FSMOE_NONE. Biases may be
 * FSMOE_NONE. saved[0] of a forward chunk is z, of a backward chunk dz. */
fsmoe_tensor_t fsmoe_ffn_forward(fsmoe_graph_t graph, struct fsmoe_expert_args net,
				 fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
				 struct fsmoe_expert_chunk *chunk);
fsmoe_tensor_t fsmoe_ffn_backward_input(fsmoe_graph_t graph, struct fsmoe_expert_args net,
					fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
					const struct fsmoe_expert_pass *forward,
					struct fsmoe_expert_pass *backward, size_t i);
/* Of the backward chunks [first, last). */
void fsmoe_ffn_backward_weight(fsmoe_graph_t graph, struct fsmoe_expert_args net,
			       fsmoe_tensor_t counts, const fsmoe_tensor_t *gradient,
			       const struct fsmoe_expert_pass *forward,
			       const struct fsmoe_expert_pass *backward, size_t first, size_t last);

/* What the rows of all networks have in common: checks, work in flops, differentiation of a single
 * node, kernels. */
int fsmoe_ffn_check(const struct fsmoe_check *check);
int fsmoe_ffn_check_backward_input(const struct fsmoe_check *check);
int fsmoe_ffn_check_backward_weight(const struct fsmoe_check *check);
double fsmoe_ffn_work(const void *args, const struct fsmoe_tensor_info *const *tensor, int n);
double fsmoe_ffn_work_backward_input(const void *args,
				     const struct fsmoe_tensor_info *const *tensor, int n);
double fsmoe_ffn_work_backward_weight(const void *args,
				      const struct fsmoe_tensor_info *const *tensor, int n);
int fsmoe_ffn_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node);
FSMOE_KERNELS(ffn);
FSMOE_KERNELS(ffn_backward_input);
FSMOE_KERNELS(ffn_backward_weight);

#define FSMOE_FFN_FORWARD(array)                                                                   \
	.kind = FSMOE_KIND_EXPERT, FSMOE_PORTS(array), .check = fsmoe_ffn_check,                   \
	.work = fsmoe_ffn_work, .grad = fsmoe_ffn_grad, FSMOE_CPU(ffn), FSMOE_CUDA(ffn),           \
	FSMOE_CUDA_SCRATCH(ffn)
#define FSMOE_FFN_BACKWARD_INPUT(array)                                                            \
	.kind = FSMOE_KIND_EXPERT, FSMOE_PORTS(array), .check = fsmoe_ffn_check_backward_input,    \
	.work = fsmoe_ffn_work_backward_input, FSMOE_CPU(ffn_backward_input),                      \
	FSMOE_CUDA(ffn_backward_input)
#define FSMOE_FFN_BACKWARD_WEIGHT(array)                                                           \
	.kind = FSMOE_KIND_EXPERT, FSMOE_PORTS(array), .check = fsmoe_ffn_check_backward_weight,   \
	.work = fsmoe_ffn_work_backward_weight, FSMOE_CPU(ffn_backward_weight),                    \
	FSMOE_CUDA(ffn_backward_weight), FSMOE_CUDA_SCRATCH(ffn_backward_weight)

/* Rows that a forward node computes when all experts have as many. */
double fsmoe_ffn_rows(const void *args, const struct fsmoe_tensor_info *x);

static inline int fsmoe_ffn_is_matrix(enum fsmoe_ffn_part part)
{
	return part == FSMOE_FFN_IN || part == FSMOE_FFN_OUT;
}

/* How many of its weights are matrices, or matrices in. */
static inline int fsmoe_ffn_matrices(const struct fsmoe_ffn *ffn)
{
	int n = 0;

	for (int w = 0; w < ffn->nweights; w++)
		n += fsmoe_ffn_is_matrix(ffn->part[w]);
	return n;
}

static inline int fsmoe_ffn_inputs(const struct fsmoe_ffn *ffn)
{
	int n = 0;

	for (int w = 0; w < ffn->nweights; w++)
		n += ffn->part[w] == FSMOE_FFN_IN;
	return n;
}

#endif
