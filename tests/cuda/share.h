/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_CUDA_SHARE_H
#define FSMOE_TESTS_CUDA_SHARE_H

/*
 * A process' part of a table of cases, from the environment:
 *
 *	FSMOE_CHECK_SIZES=N    for slow tools: of every case N sizes, spread out, once each, and not
 *	                       under StarPU
 *	FSMOE_CHECK_PART=I/N   of the sizes of all cases every N-th from the I-th (0 .. N - 1) on:
 *	                       N processes share the table
 *	FSMOE_CHECK_SECONDS=S  no size is begun later than that after the start
 *	FSMOE_CHECK_WITHOUT=A:B  not the cases of these names
 */
struct share
{
	int sizes, part, parts; /* sizes 0: all */
	double until;
	const char *without;
	int at, done, late; /* sizes seen so far of all cases; run; left out for lack of time */
};

int share_read(struct share *share);
/* Whether the next size is this process' to run. */
int share_takes(struct share *share);
/* Whether no size of this case is. */
int share_leaves(const struct share *share, const char *name);

#endif
