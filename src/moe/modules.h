/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_MODULES_H
#define FSMOE_MOE_MODULES_H

#include <fsmoe/module.h>

/* The built-in variants, one file each. */
extern const struct fsmoe_gate fsmoe_gate_module_topk;
extern const struct fsmoe_gate fsmoe_gate_module_gshard;
extern const struct fsmoe_gate fsmoe_gate_module_sigmoid;
extern const struct fsmoe_gate fsmoe_gate_module_xmoe;
extern const struct fsmoe_gate fsmoe_gate_module_expert_choice;
extern const struct fsmoe_gate fsmoe_gate_module_softmoe;
extern const struct fsmoe_order fsmoe_order_module_sparse;
extern const struct fsmoe_order fsmoe_order_module_einsum;
extern const struct fsmoe_dispatch fsmoe_dispatch_module_flat;
extern const struct fsmoe_dispatch fsmoe_dispatch_module_1dh;
extern const struct fsmoe_dispatch fsmoe_dispatch_module_2dh;
extern const struct fsmoe_expert fsmoe_expert_module_gpt;
extern const struct fsmoe_expert fsmoe_expert_module_mixtral;

/* The first order that reads a kind of routing; NULL, with a sentence: there is none. */
const struct fsmoe_order *fsmoe_order_for(enum fsmoe_routing_kind kind);

#endif
