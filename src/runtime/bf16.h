/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_BF16_H
#define FSMOE_RUNTIME_BF16_H

#include <fsmoe/op.h>

/* 0, or -EINVAL: a node's CUDA kernel would find float where it expects bf16, or the other way
 * round; the sentence names node and tensor. */
int fsmoe_bf16_check(fsmoe_graph_t graph);

/* Runs a host's kernel: in a bf16 run on float copies of those tensors that are bf16. Views of one
 * tensor that the node both reads and writes would not see each other there. What the kernel
 * returns, or -ENOMEM. */
int fsmoe_bf16_on_host(fsmoe_kernel_fn kernel, const struct fsmoe_call *call);

/* Host memory; to even on a tie. What is not a number stays that. */
void fsmoe_bf16_round(const float *from, uint16_t *to, size_t n);
void fsmoe_bf16_widen(const uint16_t *from, float *to, size_t n);

#endif
