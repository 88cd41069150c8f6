/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SYMMETRIC_H
#define FSMOE_SYMMETRIC_H

#include <fsmoe/graph.h>
#include <stdint.h>

/*
 * Under the CTA policy "zero" the buffers of AlltoAlls and AllGathers lie in a window
 * (comm/nccl.h), each at the same place on every rank. Where a tensor lies in it follows from the
 * collectives, which are the same on every rank, in their order.
 */

#define FSMOE_ELSEWHERE SIZE_MAX

struct fsmoe_symmetric
{
	size_t bytes, *at; /* of the window; in it by tensor: bases only, FSMOE_ELSEWHERE */
	unsigned groups;   /* bits 1 << kind: whose collectives go by it */
	unsigned refused;  /* bits: whose could, but may not */
	uint64_t hash;     /* of what must be the same on every rank */
};

/* Bytes and places. Activations alone, in collectives of parts that lie one after the other, of the
 * groups `may`; none that a collective sums, whose order of summing would be another, and none with
 * elsewhere[tensor] (NULL: no such). Pure. */
int fsmoe_symmetric_lay_out(struct fsmoe_symmetric *s, fsmoe_graph_t graph, enum fsmoe_real real,
			    unsigned may, const char *elsewhere);
void fsmoe_symmetric_free(struct fsmoe_symmetric *s);

#endif
