/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/*
 * Every buffer that a task names costs StarPU about a microsecond, on the way from one task to the
 * next, and chains name many. Activations that the same tasks access in the same way are ordered
 * by any one of them: one speaks for all, the others ride along at their fixed place. Only where
 * all of those tasks run on one kind of worker, so that nothing ever has to move, and only
 * activations: other tensors are shared with other programs.
 */
struct use
{
	int slot, mode;
};

struct history
{
	struct use *use;
	int n, rides;
	fsmoe_tensor_t tensor;
};

static int by_uses(const void *a, const void *b)
{
	const struct history *x = a, *y = b;
	int order = (x->n > y->n) - (x->n < y->n);

	if (!order)
		order = memcmp(x->use, y->use, (size_t)x->n * sizeof(*x->use));
	return order ? order : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

static int same_uses(const struct history *a, const struct history *b)
{
	return a->n == b->n && !memcmp(a->use, b->use, (size_t)a->n * sizeof(*a->use));
}

/* Uses by tensor, in the order of the slots; `use` has room for all. */
static void record(const struct fsmoe_program *p, struct history *history, struct use *use)
{
	for (int s = 0; s < p->nslots; s++)
		for (int b = 0; b < p->slots[s].nbuffers; b++)
			history[p->slots[s].tensor[b]].n++;
	for (int t = 0; t < p->ntensors; t++)
	{
		history[t].tensor = t;
		history[t].use = use;
		history[t].rides = p->tensors[t].base == t && history[t].n > 0 &&
				   p->tensors[t].role == FSMOE_ACTIVATION;
		use += history[t].n;
		history[t].n = 0;
	}
	for (int s = 0; s < p->nslots; s++)
		for (int b = 0; b < p->slots[s].nbuffers; b++)
		{
			const struct fsmoe_slot *slot = &p->slots[s];
			struct history *h = &history[slot->tensor[b]];

			h->use[h->n++] = (struct use){s, (int)slot->modes[b]};
			if (slot->codelet->where != (p->runtime->gpu ? STARPU_CUDA : STARPU_CPU))
				h->rides = 0;
		}
}

static void take_out(struct fsmoe_program *p, struct fsmoe_slot *slot)
{
	short at[slot->nbuffers + 1];
	int n = 0, accesses = 0;

	for (int b = 0; b < slot->nbuffers; b++)
	{
		at[b] = FSMOE_RIDES;
		if (p->rides[slot->tensor[b]])
			continue;
		slot->tensor[n] = slot->tensor[b];
		slot->handles[n] = slot->handles[b];
		slot->modes[n] = slot->modes[b];
		at[b] = (short)n++;
	}
	slot->nbuffers = n;
	for (int k = 0; k < slot->nnodes; k++)
		accesses += p->nodes[slot->node[k]].naccess;
	for (int i = 0; i < accesses; i++)
		if (slot->buffer[i] >= 0)
			slot->buffer[i] = at[slot->buffer[i]];
}

int fsmoe_alike_ride(struct fsmoe_program *p)
{
	struct history *history = calloc((size_t)p->ntensors + 1, sizeof(*history));
	struct use *use;
	size_t uses = 1;
	int n = 0;

	for (int s = 0; s < p->nslots; s++)
		uses += (size_t)p->slots[s].nbuffers;
	use = calloc(uses, sizeof(*use));
	p->rides = calloc((size_t)p->ntensors + 1, sizeof(*p->rides));
	if (!history || !use || !p->rides)
	{
		free(history);
		free(use);
		return fsmoe_fail(ENOMEM, "no memory for the buffers of a program's tasks");
	}
	record(p, history, use);
	for (int t = 0; t < p->ntensors; t++)
		if (history[t].rides)
			history[n++] = history[t];
	qsort(history, (size_t)n, sizeof(*history), by_uses);
	for (int i = 1; i < n; i++)
		if (same_uses(&history[i], &history[i - 1]))
			p->rides[history[i].tensor] = p->handles[history[i].tensor]->fixed;
	for (int s = 0; s < p->nslots; s++)
		take_out(p, &p->slots[s]);
	free(history);
	free(use);
	return 0;
}
