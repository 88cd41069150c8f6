/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_NONFINITE_H
#define FSMOE_TRAIN_NONFINITE_H

#include "comm/comm.h"

#include <fsmoe/runtime.h>

/*
 * After a step whose loss or gradient is not finite: where that began, as text: the first
 * parameter that holds a NaN or an infinity, else the first node in program order that wrote one,
 * with its layer, over all ranks; else `why` of the first rank that has one. Tensors are looked at
 * piece by piece, in that order, until there is one: the host need not hold what a GPU does.
 * Collective over `world`; the text is the same on every rank.
 */
int fsmoe_nonfinite_blame(fsmoe_program_t program, fsmoe_graph_t graph, struct fsmoe_comm *world,
			  const char *why, char *text, size_t size);

#endif
