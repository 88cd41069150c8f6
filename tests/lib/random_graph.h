/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_RANDOM_GRAPH_H
#define FSMOE_TESTS_RANDOM_GRAPH_H

#include <fsmoe/op.h>

/*
 * Random graphs of an operation whose result depends on the order of everything before it: a
 * walker that breaks an access computes other numbers. Equal seeds give equal graphs on every
 * rank. With groups, a third of the nodes communicate, on both lanes where there are both.
 */
fsmoe_graph_t random_graph(uint64_t seed, fsmoe_groups_t groups);

/* 1 when the timeline starts a node before one it depends on has ended, or a collective before
 * an earlier one of its lane; says which. */
int timeline_breaks_order(fsmoe_graph_t graph, const struct fsmoe_timeline *timeline);

#endif
