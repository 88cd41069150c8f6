/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COLLECTIVE_H
#define FSMOE_COLLECTIVE_H

#include "codelets/kernels.h"

/*
 * Collectives over a process group of P ranks. A node's lane is the span of its group, its
 * order the program's; sums are taken in group order. alltoall and allgather move int32 too.
 *   alltoall        x (P, ...) -> y (P, ...): block p goes to rank p
 *   allgather       x (n, ...) -> y (P n, ...)
 *   reduce_scatter  x (P n, ...) -> y (n, ...): rank p gets the sum of the p-th blocks
 *   allreduce       x = sum of x, in place; not differentiated
 */
struct fsmoe_collective_args
{
	enum fsmoe_group group;
};

extern const struct fsmoe_op fsmoe_op_alltoall;
extern const struct fsmoe_op fsmoe_op_allgather;
extern const struct fsmoe_op fsmoe_op_reduce_scatter;
extern const struct fsmoe_op fsmoe_op_allreduce;

FSMOE_KERNELS(alltoall);
FSMOE_KERNELS(allgather);
FSMOE_KERNELS(reduce_scatter);
FSMOE_KERNELS(allreduce);

#endif
