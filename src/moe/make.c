/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer is made of, before anything is appended. */
#include "codelets/filled.h"
#include "graph/graph.h"
#include "moe/layer.h"
#include "moe/moe.h"
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>

static int check_module(const struct fsmoe_moe_build *moe, const struct fsmoe_module *module)
{
	return module->check ? module->check(&moe->layer) : 0;
}

static int find_modules(struct fsmoe_moe_build *moe, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_order *fits;

	if (!(moe->gate = fsmoe_gate_find(spec->gate)) ||
	    !(fits = fsmoe_order_for(moe->gate->routing)) ||
	    !(moe->order = spec->order ? fsmoe_order_find(spec->order) : fits) ||
	    !(moe->dispatch = fsmoe_dispatch_find(spec->dispatch)) ||
	    !(moe->expert = fsmoe_expert_find(spec->expert)))
		return -ENOENT;
	if (!(moe->order->routings & 1u << moe->gate->routing))
		return fsmoe_fail(EINVAL,
				  "'%s': order '%s' cannot read what gate '%s' decides: take order "
				  "'%s'",
				  spec->name, moe->order->module.name, moe->gate->module.name,
				  fits->module.name);
	return check_module(moe, &moe->gate->module) || check_module(moe, &moe->order->module) ||
			       check_module(moe, &moe->dispatch->module) ||
			       check_module(moe, &moe->expert->module)
		       ? -EINVAL
		       : 0;
}

/* What a gate says of itself against what is asked of it. */
static int check_gate(const struct fsmoe_moe_build *moe, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_gate_opts *o = &spec->gate_opts;
	const char *gate = moe->gate->module.name;
	unsigned asked = (o->balance_loss != 0 ? FSMOE_LOSS_BALANCE : 0u) |
			 (o->importance_loss != 0 ? FSMOE_LOSS_IMPORTANCE : 0u) |
			 (o->z_loss != 0 ? FSMOE_LOSS_Z : 0u);

	if (asked & ~moe->gate->losses)
		return fsmoe_fail(EINVAL,
				  "'%s': gate '%s' has no %s loss: omit it, or take another "
				  "gate",
				  spec->name, gate,
				  asked & ~moe->gate->losses & FSMOE_LOSS_BALANCE ? "balance"
				  : asked & ~moe->gate->losses & FSMOE_LOSS_IMPORTANCE
					  ? "importance"
					  : "z");
	if (spec->causal && !spec->allow_leak && moe->gate->causal == FSMOE_NOT_CAUSAL)
		return fsmoe_fail(EINVAL,
				  "'%s': gate '%s' looks at later tokens, which a causal model "
				  "must not know: take another gate, or allow the leak",
				  spec->name, gate);
	return 0;
}

static void clear(fsmoe_tensor_t *tensor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tensor[i] = FSMOE_NONE;
}

/* Room for what the chunks of a pass keep. */
static int make_pass(struct fsmoe_moe_build *moe, int degree, struct fsmoe_expert_pass *pass,
		     fsmoe_tensor_t **returned)
{
	fsmoe_graph_t graph = moe->layer.graph;

	pass->cuts = moe->by_rows ? fsmoe_moe_cuts_by_rows(&moe->layer, degree)
				  : fsmoe_moe_cuts(graph, moe->layer.slots, degree);
	pass->chunk = fsmoe_graph_alloc(graph, pass->cuts.n * sizeof(*pass->chunk));
	*returned = fsmoe_graph_alloc(graph, pass->cuts.n * sizeof(**returned));
	if (pass->cuts.n == 0 || !pass->chunk || !*returned)
		return fsmoe_graph_status(graph);
	for (size_t i = 0; i < pass->cuts.n; i++)
	{
		pass->chunk[i].in = FSMOE_NONE;
		clear(pass->chunk[i].saved, FSMOE_EXPERT_SAVED);
	}
	return 0;
}

/* Chunks of a pass: as the graph was told for this label of layer; one where the schedule has just
 * one; else as the layer asks. */
static int degree_of(int told, enum fsmoe_degree_rule rule, int asked)
{
	return told ? told : rule == FSMOE_DEGREE_ONE ? 1 : asked;
}

static int make_passes(struct fsmoe_moe_build *moe, fsmoe_graph_t graph,
		       const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_schedule *row = fsmoe_graph_schedule(graph);
	const size_t slots = moe->by_rows ? moe->layer.groups * fsmoe_filled_even(&moe->layer)
					  : moe->layer.slots;
	struct fsmoe_layer_cuts none = {0}, *cuts = fsmoe_graph_cuts(graph, graph->labels.layer);
	int err;

	cuts = cuts ? cuts : &none;
	if (!cuts->slots || slots < (size_t)cuts->slots)
		cuts->slots = slots < INT_MAX ? (int)slots : INT_MAX;
	err = make_pass(moe, degree_of(cuts->forward, row->forward_degree, spec->forward_degree),
			&moe->forward, &moe->returned);
	return err ? err
		   : make_pass(
			     moe,
			     degree_of(cuts->backward, row->backward_degree, spec->backward_degree),
			     &moe->backward, &moe->dreturned);
}

/* Where nothing is dropped, most slots hold nobody; chunks are what counts say, if all who handle
 * them go by counts. A hook may read all that passes by. */
static int goes_by_rows(const struct fsmoe_moe_build *moe, const struct fsmoe_moe_spec *spec)
{
	for (int i = 0; i < moe->hooks.n; i++)
		if (moe->hooks.hook[i].place != FSMOE_BEFORE_MOE_START &&
		    moe->hooks.hook[i].place != FSMOE_BEFORE_MOE_END)
			return 0;
	return spec->capacity_factor == 0 && moe->gate->routing == FSMOE_ROUTING_LISTS &&
	       moe->order->by_rows && moe->dispatch->count && moe->expert->by_rows;
}

int fsmoe_moe_make(struct fsmoe_moe_build *moe, fsmoe_graph_t graph,
		   const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_schedule *schedule = fsmoe_graph_schedule(graph);
	int err;

	if ((err = find_modules(moe, spec)) || (err = check_gate(moe, spec)) ||
	    (err = fsmoe_hooks_init(&moe->hooks, graph, spec)))
		return err;
	moe->by_rows = goes_by_rows(moe, spec);
	if ((err = make_passes(moe, graph, spec)))
		return err;
	moe->one_stream = schedule->gather_lane == schedule->alltoall_lane;
	moe->weights_per_chunk = schedule->weight_gradients == FSMOE_WEIGHT_GRADIENTS_PER_CHUNK;
	moe->routing = (struct fsmoe_routing){
		moe->gate->routing, 0,          FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE,
		FSMOE_NONE,         FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE};
	clear(moe->weight, FSMOE_EXPERT_WEIGHTS);
	return 0;
}
