/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COMM_PATTERN_H
#define FSMOE_COMM_PATTERN_H

#include <stddef.h>

/*
 * Who sends which bytes to whom, as arithmetic: for machines that nobody owns as well. A buffer is
 * seen as (outer, P, bytes), P being the ranks of the group, and peer p's part of it is (outer,
 * bytes), a piece every P bytes. Exchanges along a middle dimension leave the blocks where the next
 * stage wants them, so no stage needs a permutation of its own:
 *
 *   alltoall  x (outer, P, bytes) -> y (outer, P, bytes): part p goes to rank p, as its part of me
 *   gather    x (outer, bytes) of everybody -> y (outer, P, bytes) on rank 0
 *   scatter   x (outer, P, bytes) on rank 0 -> y (outer, bytes) of everybody
 */

#ifdef __cplusplus
extern "C" {
#endif

enum fsmoe_pattern_kind
{
	FSMOE_PATTERN_ALLTOALL,
	FSMOE_PATTERN_GATHER,
	FSMOE_PATTERN_SCATTER,
};

struct fsmoe_pattern
{
	enum fsmoe_pattern_kind kind;
	int size, rank; /* of the group, in it */
	size_t outer, bytes;
};

/* What goes to, or comes from, one peer: n pieces of `bytes` bytes each, `stride` bytes apart, the
 * first at byte `at`. n = 0: nothing. Both ends of a message have the same n and bytes. */
struct fsmoe_pieces
{
	size_t at, n, bytes, stride;
};

struct fsmoe_pieces fsmoe_pattern_send(const struct fsmoe_pattern *pattern, int peer);
struct fsmoe_pieces fsmoe_pattern_recv(const struct fsmoe_pattern *pattern, int peer);
const char *fsmoe_pattern_name(enum fsmoe_pattern_kind kind);

/* A message of rows: runs of neighbours, each `n` rows from row `at` on. The two ends have as many
 * rows, in the same order, but may lay them out otherwise. */
struct fsmoe_span
{
	size_t at, n;
};

struct fsmoe_runs
{
	size_t n; /* runs */
	const struct fsmoe_span *run;
};

size_t fsmoe_runs_rows(struct fsmoe_runs runs);
/* Moves such a message within one memory, rows of `bytes` each. */
void fsmoe_runs_copy(void *to, struct fsmoe_runs in, const void *from, struct fsmoe_runs out,
		     size_t bytes);

/* Moves a message within one memory; the buffers do not overlap. */
void fsmoe_pieces_copy(void *to, struct fsmoe_pieces recv, const void *from,
		       struct fsmoe_pieces send);

#ifdef __cplusplus
}
#endif
#endif
