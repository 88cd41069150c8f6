/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_MODULES_H
#define FSMOE_MOE_MODULES_H

#include <fsmoe/module.h>

/*
 * Every built-in variant, each in a file of its own, the default of its kind first: the only list.
 * X(name) stands for the struct fsmoe_<kind>_module_<name>.
 */
#define FSMOE_GATE_MODULES(X)                                                                      \
	X(topk)                                                                                    \
	X(gshard)                                                                                  \
	X(sigmoid)                                                                                 \
	X(xmoe)                                                                                    \
	X(expert_choice)                                                                           \
	X(softmoe)                                                                                 \
	X(cosine)
#define FSMOE_ORDER_MODULES(X)                                                                     \
	X(sparse)                                                                                  \
	X(einsum)
#define FSMOE_DISPATCH_MODULES(X)                                                                  \
	X(flat)                                                                                    \
	X(1dh)                                                                                     \
	X(2dh)
#define FSMOE_EXPERT_MODULES(X)                                                                    \
	X(mlp)                                                                                     \
	X(swiglu)

#define FSMOE_DECLARE_GATE(name)  extern const struct fsmoe_gate fsmoe_gate_module_##name;
#define FSMOE_DECLARE_ORDER(name) extern const struct fsmoe_order fsmoe_order_module_##name;
#define FSMOE_DECLARE_DISPATCH(name)                                                               \
	extern const struct fsmoe_dispatch fsmoe_dispatch_module_##name;
#define FSMOE_DECLARE_EXPERT(name) extern const struct fsmoe_expert fsmoe_expert_module_##name;
FSMOE_GATE_MODULES(FSMOE_DECLARE_GATE)
FSMOE_ORDER_MODULES(FSMOE_DECLARE_ORDER)
FSMOE_DISPATCH_MODULES(FSMOE_DECLARE_DISPATCH)
FSMOE_EXPERT_MODULES(FSMOE_DECLARE_EXPERT)

/* The first order that reads a kind of routing; NULL, with a sentence: there is none. */
const struct fsmoe_order *fsmoe_order_for(enum fsmoe_routing_kind kind);

#endif
