/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/rows.h"
#include "codelets/cpu/real.h"
#include "codelets/shape.h"
#include "comm/comm.h"

#include <errno.h>
#include <stdlib.h>

enum
{
	X,
	FROM,
	TO,
	Y
};

/* The messages of one call: of every peer what it gets and what it gives, as runs of rows. */
struct messages
{
	struct fsmoe_runs *out, *in; /* by rank of the group */
	struct fsmoe_span *run;      /* all of them, one after another */
	size_t used;
};

/* The rows of part `part` of a tensor (outer, parts, blocks, c, M). */
static struct fsmoe_runs runs_of(struct messages *m, const struct fsmoe_rows_args *a,
				 const int32_t *counts, size_t parts, size_t part)
{
	const struct fsmoe_filled *f = &a->filled;
	struct fsmoe_runs runs = {0, m->run + m->used};

	for (size_t i = 0; i < a->outer * a->blocks; i++)
	{
		size_t block = (i / a->blocks * parts + part) * a->blocks + i % a->blocks, n;
		for (size_t s = f->lo; s < f->hi; s += n)
			if (fsmoe_filled_here(f, counts, block, s, &n))
				m->run[m->used + runs.n++] =
					(struct fsmoe_span){block * (f->hi - f->lo) + s - f->lo, n};
	}
	m->used += runs.n;
	return runs;
}

static int make(const struct fsmoe_call *call, struct messages *m)
{
	const struct fsmoe_rows_args *a = call->args;
	const struct fsmoe_filled *f = &a->filled;
	size_t P = (size_t)call->comm->size;
	size_t groups = (f->hi - 1) / f->capacity - f->lo / f->capacity + 1;
	size_t most = 2 * P * a->outer * a->blocks * groups;

	*m = (struct messages){calloc(P, sizeof(*m->out)), calloc(P, sizeof(*m->in)),
			       calloc(most, sizeof(*m->run)), 0};
	if (m->out && m->in && m->run)
		return 0;
	return fsmoe_fail(ENOMEM, "%s: no memory for %zu runs of rows", call->node->op->name, most);
}

static void release(struct messages *m)
{
	free(m->out);
	free(m->in);
	free(m->run);
}

/* x and y have `x_parts` and `y_parts`: one for every rank, or one in all. */
static int exchange(const struct fsmoe_call *call, int x_parts, int y_parts,
		    int (*go)(const struct fsmoe_call *call, const struct messages *m))
{
	const struct fsmoe_rows_args *a = call->args;
	struct messages m;
	int err = make(call, &m);

	for (size_t p = 0; p < (size_t)call->comm->size && !err; p++)
	{
		m.out[p] = runs_of(&m, a, call->data[FROM], (size_t)x_parts, x_parts > 1 ? p : 0);
		m.in[p] = runs_of(&m, a, call->data[TO], (size_t)y_parts, y_parts > 1 ? p : 0);
	}
	if (!err)
		err = go(call, &m);
	release(&m);
	return err;
}

static int move(const struct fsmoe_call *call, const struct messages *m)
{
	return fsmoe_comm_exchange_rows(call->comm, m->out, call->data[X], m->in, call->data[Y],
					fsmoe_columns(call->tensor[Y]) * sizeof(real));
}

static int sum(const struct fsmoe_call *call, const struct messages *m)
{
	return fsmoe_comm_reduce_scatter_rows(call->comm, KERNEL_REAL, m->out, call->data[X],
					      m->in[0], call->data[Y],
					      fsmoe_columns(call->tensor[Y]));
}

int KERNEL(alltoall_rows)(const struct fsmoe_call *call)
{
	return exchange(call, call->comm->size, call->comm->size, move);
}

int KERNEL(allgather_rows)(const struct fsmoe_call *call)
{
	return exchange(call, 1, call->comm->size, move);
}

int KERNEL(reduce_scatter_rows)(const struct fsmoe_call *call)
{
	return exchange(call, call->comm->size, 1, sum);
}
