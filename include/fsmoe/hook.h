/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_HOOK_H
#define FSMOE_HOOK_H

#include <fsmoe/layer.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What else may be done on the way of a layer, in six places. A hook is given the tensor that
 * passes by and returns what passes on: the same tensor, or another one of the same shape, made by
 * nodes that it appends. T tokens of this rank; chunks of c slots:
 *
 *   place              passes by                        called
 *   before-moe-start   x (T, M), before the gate        once a layer
 *   before-dispatch    (E, c, M), after the order       a chunk
 *   after-dispatch     (sources, local_experts, c, M)   a chunk, before any expert
 *   before-combine     the expert's output, partial     a chunk
 *                      over the shards: that shape
 *   after-combine      (E, c, M), before the inverse    a chunk
 *   before-moe-end     y (T, M)                         once a layer
 *
 * Backward. What the first and the last append is differentiated node by node, like a gate. The
 * four others lie in the part that is laid out in chunks, so a hook there brings its backward: it
 * is given the gradient of what `forward` returned, of a chunk of the backward, and returns that of
 * what it was given, in the same shape. Gradients meet the places in reverse:
 *
 *   after-combine      (E, c, M), before it is sent to the experts' ranks
 *   before-combine     (sources, local_experts, c, M), arrived
 *   after-dispatch     that shape, gradient of the expert's input, partial over the shards
 *   before-dispatch    (E, c, M), back on the rank of the tokens
 *
 * The chunks of the two passes are cut differently, so a backward can not be given what its forward
 * saw; call->lo and hi say which slots a chunk holds. With `backward` NULL where `forward` is not,
 * a layer is refused: a hook that lets gradients pass says so by returning what it is given.
 * `forward` NULL: values pass. Several hooks at one place are called in the order of the list,
 * their backwards in reverse order. A hook that is not linear must not be put where sums are still
 * partial, unless there is one shard. Everything is called while the graph is built.
 */
enum fsmoe_hook_place
{
	FSMOE_BEFORE_MOE_START,
	FSMOE_BEFORE_DISPATCH,
	FSMOE_AFTER_DISPATCH,
	FSMOE_BEFORE_COMBINE,
	FSMOE_AFTER_COMBINE,
	FSMOE_BEFORE_MOE_END,
	FSMOE_NHOOKS
};

struct fsmoe_hook_call
{
	const struct fsmoe_moe_layer *layer;
	enum fsmoe_hook_place place;
	enum fsmoe_phase phase; /* FSMOE_FORWARD or FSMOE_BACKWARD */
	size_t chunk, chunks;   /* of this pass; 0 of 1 at the first and the last place */
	size_t lo, hi;          /* the chunk's slots; 0, 0 there */
};

typedef fsmoe_tensor_t (*fsmoe_hook_fn)(const struct fsmoe_hook_call *call, fsmoe_tensor_t x,
					void *arg);

struct fsmoe_hook
{
	const char *name; /* for sentences */
	enum fsmoe_hook_place place;
	fsmoe_hook_fn forward, backward;
	void *arg; /* handed on; must live until the backward is built */
};

const char *fsmoe_hook_place_name(enum fsmoe_hook_place place); /* "before-dispatch", ... */

#ifdef __cplusplus
}
#endif
#endif
