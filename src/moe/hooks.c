/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/hooks.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

static const char *const names[FSMOE_NHOOKS] = {
	[FSMOE_BEFORE_MOE_START] = "before-moe-start", [FSMOE_BEFORE_DISPATCH] = "before-dispatch",
	[FSMOE_AFTER_DISPATCH] = "after-dispatch",     [FSMOE_BEFORE_COMBINE] = "before-combine",
	[FSMOE_AFTER_COMBINE] = "after-combine",       [FSMOE_BEFORE_MOE_END] = "before-moe-end",
};

const char *fsmoe_hook_place_name(enum fsmoe_hook_place place)
{
	return (unsigned)place < FSMOE_NHOOKS ? names[place] : "?";
}

static int check(const struct fsmoe_hook *hook, const char *layer)
{
	const char *name = hook->name ? hook->name : "?", *place;
	int inner = hook->place != FSMOE_BEFORE_MOE_START && hook->place != FSMOE_BEFORE_MOE_END;

	if ((unsigned)hook->place >= FSMOE_NHOOKS)
		return fsmoe_fail(EINVAL, "'%s': hook '%s' is for place %d: there are 0 to %d",
				  layer, name, (int)hook->place, FSMOE_NHOOKS - 1);
	place = names[hook->place];
	if (inner && hook->forward && !hook->backward)
		return fsmoe_fail(EINVAL,
				  "'%s': hook '%s' at %s has no backward: give one; it may return "
				  "what it is given, where gradients pass unchanged",
				  layer, name, place);
	if (!inner && hook->backward)
		return fsmoe_fail(EINVAL,
				  "'%s': hook '%s' at %s has a backward, but what it appends is "
				  "differentiated node by node: omit it",
				  layer, name, place);
	return 0;
}

int fsmoe_hooks_init(struct fsmoe_hooks *hooks, fsmoe_graph_t graph,
		     const struct fsmoe_moe_spec *spec)
{
	int err = 0;

	*hooks = (struct fsmoe_hooks){.n = spec->nhooks};
	if (spec->nhooks <= 0)
		return 0;
	for (int i = 0; i < spec->nhooks && !err; i++)
		err = check(&spec->hooks[i], spec->name);
	if (err)
		return err;
	hooks->hook =
		fsmoe_graph_copy(graph, spec->hooks, (size_t)spec->nhooks * sizeof(*spec->hooks));
	return hooks->hook ? 0 : fsmoe_graph_status(graph);
}

/* FSMOE_NONE only after a failure. */
static fsmoe_tensor_t run(const struct fsmoe_hook *hook, const struct fsmoe_hook_call *call,
			  fsmoe_tensor_t x)
{
	fsmoe_graph_t g = call->layer->graph;
	fsmoe_hook_fn fn = call->phase == FSMOE_FORWARD ? hook->forward : hook->backward;
	char was[FSMOE_SHAPE_TEXT], is[FSMOE_SHAPE_TEXT];
	struct fsmoe_shape before, after;
	fsmoe_tensor_t y;

	if (!fn || x == FSMOE_NONE)
		return x;
	y = fn(call, x, hook->arg);
	if (g->status)
		return FSMOE_NONE;
	before = fsmoe_shape_of(g, x);
	after = y < 0 || y >= g->ntensors ? (struct fsmoe_shape){0} : fsmoe_shape_of(g, y);
	if (before.ndim == after.ndim &&
	    !memcmp(before.dim, after.dim, (size_t)before.ndim * sizeof(before.dim[0])))
		return y;
	fsmoe_graph_fail(g, fsmoe_fail(EINVAL,
				       "'%s': hook '%s' at %s was given %s and returned %s: shapes "
				       "must not change",
				       call->layer->name, hook->name ? hook->name : "?",
				       names[call->place], fsmoe_shape_text(was, &before),
				       fsmoe_shape_text(is, &after)));
	return FSMOE_NONE;
}

fsmoe_tensor_t fsmoe_hooks_run(const struct fsmoe_hooks *hooks, const struct fsmoe_moe_layer *layer,
			       enum fsmoe_hook_place place, enum fsmoe_phase phase,
			       const struct fsmoe_cuts *cuts, size_t i, fsmoe_tensor_t x)
{
	const struct fsmoe_hook_call call = {.layer = layer,
					     .place = place,
					     .phase = phase,
					     .chunk = i,
					     .chunks = cuts ? cuts->n : 1,
					     .lo = cuts ? cuts->at[i] : 0,
					     .hi = cuts ? cuts->at[i + 1] : 0};

	for (int k = 0; k < hooks->n; k++)
	{
		const struct fsmoe_hook *hook =
			&hooks->hook[phase == FSMOE_FORWARD ? k : hooks->n - 1 - k];

		if (hook->place == place)
			x = run(hook, &call, x);
	}
	return x;
}
