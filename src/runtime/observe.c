/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/clock_sync.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The measured times of a program's last step: of this rank, and of all on one clock. */

static int timeline_create(struct fsmoe_timeline *tl, int n)
{
	const size_t room = (size_t)n + 1;

	*tl = (struct fsmoe_timeline){.n = n,
				      .ready = calloc(room, sizeof(double)),
				      .start = calloc(room, sizeof(double)),
				      .end = calloc(room, sizeof(double)),
				      .submitted = calloc(room, sizeof(double))};
	if (tl->ready && tl->start && tl->end && tl->submitted)
		return 0;
	fsmoe_timeline_destroy(tl);
	return fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", n);
}

/* The times noted for every node of a step, in the order of the arrays that are gathered. */
enum
{
	SUBMITTED,
	READY,
	START,
	END,
	NTIMES
};

/* Times as the clock had them, minus `zero`. Whose readiness nobody noted was ready at its start:
 * the policy is another, or recording was off. */
static void fill(struct fsmoe_timeline *tl, const struct fsmoe_program *p,
		 const double *const time[NTIMES], double zero)
{
	for (int i = 0; i < tl->n; i++)
	{
		tl->start[i] = time[START][i] - zero;
		tl->end[i] = time[END][i] - zero;
		tl->ready[i] = time[READY][i] > 0 ? time[READY][i] - zero : tl->start[i];
		tl->submitted[i] = time[SUBMITTED][i] > 0 ? time[SUBMITTED][i] - zero : NAN;
		tl->busy[p->nodes[i].lane] += tl->end[i] - tl->start[i];
		tl->makespan = tl->end[i] > tl->makespan ? tl->end[i] : tl->makespan;
	}
}

static double earliest(const double *start, int n)
{
	double zero = n ? start[0] : 0;

	for (int i = 0; i < n; i++)
		zero = start[i] < zero ? start[i] : zero;
	return zero;
}

int fsmoe_program_observe(fsmoe_program_t p, struct fsmoe_timeline *timeline)
{
	int err = p->runtime->executor->observe(p);

	if (!err)
		err = timeline_create(timeline, p->nnodes);
	if (!err)
		fill(timeline, p,
		     (const double *[NTIMES]){p->times.submitted, p->times.ready, p->times.start,
					      p->times.end},
		     earliest(p->times.start, p->nnodes));
	return err;
}

/* Every rank's NTIMES arrays, n numbers each, in `all`; on rank 0's clock. */
static int gather(fsmoe_program_t p, struct fsmoe_comm *world, double *all)
{
	const size_t n = (size_t)p->nnodes;
	const double *const time[NTIMES] = {p->times.submitted, p->times.ready, p->times.start,
					    p->times.end};
	double *mine = malloc((NTIMES * n + 1) * sizeof(*mine)), offset = 0;
	int err = mine ? p->runtime->executor->observe(p)
		       : fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", p->nnodes);

	if (!err)
		err = fsmoe_runtime_clock(p->runtime, &offset, NULL);
	for (size_t k = 0; k < NTIMES && !err; k++)
		for (size_t i = 0; i < n; i++)
			mine[k * n + i] = k >= START || time[k][i] > 0 ? time[k][i] - offset : 0;
	if (!err)
		err = fsmoe_comm_allgather(world, mine, all, NTIMES * n * sizeof(*mine));
	free(mine);
	return err;
}

int fsmoe_program_observe_all(fsmoe_program_t p, struct fsmoe_timeline **timelines, int *ranks)
{
	struct fsmoe_comm *world = fsmoe_comms_get(p->runtime->comms, FSMOE_GROUP_WORLD);
	const size_t n = (size_t)p->nnodes;
	struct fsmoe_timeline *tl = calloc((size_t)world->size, sizeof(*tl));
	double *all = malloc((NTIMES * n * (size_t)world->size + 1) * sizeof(*all)), zero = 0;
	int err = tl && all ? gather(p, world, all)
			    : fsmoe_fail(ENOMEM, "no memory for the timelines of %d ranks",
					 world->size);

	for (int r = 0; r < world->size && !err; r++)
	{
		const double first = earliest(all + (NTIMES * (size_t)r + START) * n, p->nnodes);

		zero = r == 0 || first < zero ? first : zero;
	}
	for (int r = 0; r < world->size && !err; r++)
	{
		const double *of_rank = all + NTIMES * n * (size_t)r;
		const double *const time[NTIMES] = {of_rank, of_rank + n, of_rank + 2 * n,
						    of_rank + 3 * n};

		err = timeline_create(&tl[r], p->nnodes);
		if (!err)
			fill(&tl[r], p, time, zero);
	}
	free(all);
	if (err)
	{
		for (int r = 0; tl && r < world->size; r++)
			fsmoe_timeline_destroy(&tl[r]);
		free(tl);
		return err;
	}
	*timelines = tl;
	*ranks = world->size;
	return 0;
}

int fsmoe_runtime_clock(fsmoe_runtime_t rt, double *offset, double *error)
{
	int err = 0;

	if (!rt->clock.known)
		err = fsmoe_comm_sync_clock(fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD),
					    &rt->clock.offset, &rt->clock.error);
	if (err)
		return err;
	rt->clock.known = 1;
	*offset = rt->clock.offset;
	if (error)
		*error = rt->clock.error;
	return 0;
}
