/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GATE_SCORES_H
#define FSMOE_GATE_SCORES_H

#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * What gates score tokens with.
 *
 *   gate_logits   x (T, I), w (E, I) -> (T, E): x w^T, additions in an order that depends on I
 *   alone.
 *                 Its gradients are those of `linear`.
 *   gate_noise    clean, raw (T, E) -> deviation = softplus(raw), noisy = clean + eps deviation
 *                 (arXiv 1701.06538). eps is normal, a function of (seed, stream, step, token of
 *                 the
 *                 global batch, expert); 0 in a step numbered 0.
 *   gate_cosine   u (T, d), w (E, d), theta (1) -> (T, E): cos(u_t, w_e) / max(scale theta, 0.01)
 *                 (X-MoE, arXiv 2204.09179). The cosine with a zero vector is 0, and so is its
 *                 gradient.
 */
struct fsmoe_gate_noise_args
{
	uint64_t stream;
	struct fsmoe_token_map tokens;
};

struct fsmoe_gate_noise
{
	fsmoe_tensor_t noisy, deviation;
};

struct fsmoe_gate_cosine_args
{
	double scale;
};
#define FSMOE_GATE_COSINE_LEAST 0.01 /* as Tutel: logits are at most 100 */

extern const struct fsmoe_op fsmoe_op_gate_logits;
extern const struct fsmoe_op fsmoe_op_gate_noise;
extern const struct fsmoe_op fsmoe_op_gate_noise_backward;
extern const struct fsmoe_op fsmoe_op_gate_cosine;
extern const struct fsmoe_op fsmoe_op_gate_cosine_backward;

FSMOE_KERNELS(gate_logits);
FSMOE_KERNELS(gate_noise);
FSMOE_KERNELS(gate_noise_backward);
FSMOE_KERNELS(gate_cosine);
FSMOE_KERNELS(gate_cosine_backward);

/* fsmoe_gate_logits is in fsmoe/module.h. */
struct fsmoe_gate_noise fsmoe_gate_noise(fsmoe_graph_t graph, fsmoe_tensor_t clean,
					 fsmoe_tensor_t raw,
					 const struct fsmoe_gate_noise_args *args);
fsmoe_tensor_t fsmoe_gate_cosine(fsmoe_graph_t graph, fsmoe_tensor_t u, fsmoe_tensor_t w,
				 fsmoe_tensor_t theta, double scale);

#endif
