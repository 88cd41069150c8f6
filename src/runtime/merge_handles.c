/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime_internal.h"

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
	int template, mode;
};

struct history
{
	struct use *use;
	int n, merged;
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

/* Uses by tensor, in the order of the templates; `use` has room for all. */
static void record(const struct fsmoe_program *p, struct history *history, struct use *use)
{
	for (int s = 0; s < p->ntemplates; s++)
		for (int b = 0; b < p->templates[s].nbuffers; b++)
			history[p->templates[s].tensor[b]].n++;
	for (int t = 0; t < p->ntensors; t++)
	{
		history[t].tensor = t;
		history[t].use = use;
		history[t].merged = p->tensors[t].base == t && history[t].n > 0 &&
				    p->tensors[t].role == FSMOE_ACTIVATION;
		use += history[t].n;
		history[t].n = 0;
	}
	for (int s = 0; s < p->ntemplates; s++)
		for (int b = 0; b < p->templates[s].nbuffers; b++)
		{
			const struct fsmoe_task_template *template = &p->templates[s];
			struct history *h = &history[template->tensor[b]];

			h->use[h->n++] = (struct use){s, (int)template->modes[b]};
			if (template->codelet->where !=
			    (p->runtime->gpu ? STARPU_CUDA : STARPU_CPU))
				h->merged = 0;
		}
}

static void take_out(struct fsmoe_program *p, struct fsmoe_task_template *template)
{
	short at[template->nbuffers + 1];
	int n = 0, accesses = 0;

	for (int b = 0; b < template->nbuffers; b++)
	{
		at[b] = FSMOE_MERGED;
		if (p->merged[template->tensor[b]])
			continue;
		template->tensor[n] = template->tensor[b];
		template->handles[n] = template->handles[b];
		template->modes[n] = template->modes[b];
		at[b] = (short)n++;
	}
	template->nbuffers = n;
	for (int k = 0; k < template->nnodes; k++)
		accesses += p->nodes[template->node[k]].naccess;
	for (int i = 0; i < accesses; i++)
		if (template->buffer[i] >= 0)
			template->buffer[i] = at[template->buffer[i]];
}

int fsmoe_merge_handles(struct fsmoe_program *p)
{
	struct history *history = calloc((size_t)p->ntensors + 1, sizeof(*history));
	struct use *use;
	size_t uses = 1;
	int n = 0;

	for (int s = 0; s < p->ntemplates; s++)
		uses += (size_t)p->templates[s].nbuffers;
	use = calloc(uses, sizeof(*use));
	p->merged = calloc((size_t)p->ntensors + 1, sizeof(*p->merged));
	if (!history || !use || !p->merged)
	{
		free(history);
		free(use);
		return fsmoe_fail(ENOMEM, "no memory for the buffers of a program's tasks");
	}
	record(p, history, use);
	for (int t = 0; t < p->ntensors; t++)
		if (history[t].merged)
			history[n++] = history[t];
	qsort(history, (size_t)n, sizeof(*history), by_uses);
	for (int i = 1; i < n; i++)
		if (same_uses(&history[i], &history[i - 1]))
			p->merged[history[i].tensor] = p->handles[history[i].tensor]->fixed;
	for (int s = 0; s < p->ntemplates; s++)
		take_out(p, &p->templates[s]);
	free(history);
	free(use);
	return 0;
}
