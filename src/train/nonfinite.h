/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_NONFINITE_H
#define FSMOE_TRAIN_NONFINITE_H

#include "comm/comm.h"

#include <fsmoe/runtime.h>

/*
 * Describes where a step's loss or gradient became NaN or infinite, over all ranks: the first
 * parameter that holds such a number, or the first node in program order that wrote one, with its
 * layer, or `why` of the first rank that has a reason. Tensors are read piece by piece, so the host
 * needs no room for those of a GPU. Collective over `world`; the text is the same on every rank.
 */
int fsmoe_nonfinite_blame(fsmoe_program_t program, fsmoe_graph_t graph, struct fsmoe_comm *world,
			  const char *why, char *text, size_t size);

#endif
