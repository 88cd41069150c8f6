/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_DISPATCH_PARTS_H
#define FSMOE_MOE_DISPATCH_PARTS_H

#include <fsmoe/module.h>

/*
 * What the dispatches have in common: they differ in how an AlltoAll over the EP group is made.
 * `exchange` takes blocks (EP, n) by target rank and returns (EP, n) by source rank. It is its own
 * transpose, so one function serves the way out and, with `back`, the way back.
 */
typedef fsmoe_tensor_t (*fsmoe_exchange_fn)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
					    size_t n, int back);

/* The three functions of a struct fsmoe_dispatch, by an exchange. */
fsmoe_tensor_t fsmoe_dispatch_send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk,
				   fsmoe_exchange_fn exchange);
fsmoe_tensor_t fsmoe_dispatch_reduce(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t partial);
fsmoe_tensor_t fsmoe_dispatch_combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced,
				      fsmoe_exchange_fn exchange);

/* One AlltoAll; also what the others do where EP is not several ranks on each of several nodes. */
fsmoe_tensor_t fsmoe_exchange_flat(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n,
				   int back);
/* Ranks of the EP group on this node, and its nodes; both 1 where it is not both. */
size_t fsmoe_exchange_places(const struct fsmoe_moe_layer *layer);
size_t fsmoe_exchange_nodes(const struct fsmoe_moe_layer *layer);

/* --- by rows: exchanges of what layer->taken has -------------------------------------------- */

/* counts (groups, E) of the rows that one AlltoAll brings where `counts` are sent. */
fsmoe_tensor_t fsmoe_count_flat(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t counts);
/* From what reaches this rank through the EP group, (groups, E), to what taken.arrived has. */
fsmoe_tensor_t fsmoe_count_arrived(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t counts);
/* The part of taken.arrived that came through this rank. */
fsmoe_tensor_t fsmoe_count_own(const struct fsmoe_moe_layer *layer);

#endif
