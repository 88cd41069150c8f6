/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_REAL_H
#define FSMOE_REAL_H

/* The element type of a run's real tensors. A graph does not name it; whoever runs the graph
 * does. */
enum fsmoe_real
{
	FSMOE_F32,
	FSMOE_F64,
	FSMOE_NREALS,             /* the types that hosts compute in */
	FSMOE_BF16 = FSMOE_NREALS /* on GPUs; the arithmetic is float */
};

#endif
