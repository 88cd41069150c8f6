/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GRAPH_SHAPES_H
#define FSMOE_GRAPH_SHAPES_H

#include <fsmoe/op.h>

/* Checks element types, runs the operation's own check, and unifies the letters of its ports
 * (fsmoe/op.h). Fails with one sentence that names operation, port, letters and both sizes. */
int fsmoe_check_node(fsmoe_graph_t graph, const struct fsmoe_op *op, const void *args,
		     const struct fsmoe_access *access, int n);

/* "(7, 3)" in `buffer`, which is returned. */
#define FSMOE_SHAPE_TEXT 96
const char *fsmoe_shape_text(char buffer[FSMOE_SHAPE_TEXT], const struct fsmoe_shape *shape);

#endif
