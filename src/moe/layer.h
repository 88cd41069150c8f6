/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_LAYER_H
#define FSMOE_MOE_LAYER_H

#include <fsmoe/module.h>
#include <fsmoe/ops.h>

/* --- routing.c: sizes --------------------------------------------------------------------- */

/* Slots per expert for a group of S tokens: k * int(f * ceil(S / E)), never more than S, which is
 * all that one expert can get. f = 0: nothing is dropped, S slots. 0: no slot at all. */
size_t fsmoe_moe_capacity(size_t tokens, size_t experts, size_t topk, double factor);

/* `degree` pieces of `slots` that differ by one at most; at most a piece per slot, at least one.
 * The points belong to the graph. n = 0 when there was no memory. */
struct fsmoe_cuts fsmoe_moe_cuts(fsmoe_graph_t graph, size_t slots, int degree);

/* The same where only some slots hold a row: pieces that have equally many when all experts get as
 * many tokens. The last one also has the slots that are then empty. */
struct fsmoe_cuts fsmoe_moe_cuts_by_rows(const struct fsmoe_moe_layer *layer, int degree);

/* Sizes of a layer from its spec, the rows of x and the graph's groups. 0 or -EINVAL. */
int fsmoe_moe_layer_init(struct fsmoe_moe_layer *layer, fsmoe_graph_t graph, fsmoe_tensor_t x,
			 const struct fsmoe_moe_spec *spec);

/* -EINVAL, with a sentence, where `opts` asks for what the gate does not read. */
int fsmoe_gate_check_options(const struct fsmoe_gate *gate, const struct fsmoe_gate_opts *opts);

#endif
