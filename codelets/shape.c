/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>

struct fsmoe_shape fsmoe_shape_of(fsmoe_graph_t graph, fsmoe_tensor_t tensor)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(graph, &n);

	return tensor >= 0 && tensor < n ? info[tensor].shape : (struct fsmoe_shape){0};
}

static const char *port_name(const struct fsmoe_check *check, int i)
{
	return check->op->ports[check->access[i].port].name;
}

int fsmoe_check_matrix(const struct fsmoe_check *check, int i, size_t rows, size_t columns)
{
	const struct fsmoe_tensor_info *t = check->tensor[i];
	char text[FSMOE_SHAPE_TEXT];

	if (!t || (fsmoe_rows(t) == rows && fsmoe_columns(t) == columns))
		return 0;
	return fsmoe_fail(EINVAL, "%s: '%s' must be %zu rows of %zu, but '%s' is %s",
			  check->op->name, port_name(check, i), rows, columns, t->name,
			  fsmoe_shape_text(text, &t->shape));
}

int fsmoe_check_count(const struct fsmoe_check *check, int i, size_t count)
{
	const struct fsmoe_tensor_info *t = check->tensor[i];
	char text[FSMOE_SHAPE_TEXT];

	if (!t || fsmoe_count(t) == count)
		return 0;
	return fsmoe_fail(EINVAL, "%s: '%s' must have %zu elements, but '%s' is %s",
			  check->op->name, port_name(check, i), count, t->name,
			  fsmoe_shape_text(text, &t->shape));
}

double fsmoe_work_bytes(const void *args, const struct fsmoe_tensor_info *const *tensor, int n)
{
	double elements = 0;

	(void)args;
	for (int i = 0; i < n; i++)
		elements += tensor[i] ? (double)fsmoe_count(tensor[i]) : 0;
	return 4 * elements;
}

const struct fsmoe_access *fsmoe_accesses(struct fsmoe_access access[8],
					  const fsmoe_tensor_t *tensor, int n)
{
	for (int i = 0; i < n; i++)
		access[i] = (struct fsmoe_access){.tensor = tensor[i], .port = (short)i};
	return access;
}

int fsmoe_param_gradient(struct fsmoe_backward *backward, const struct fsmoe_node *node, int i,
			 fsmoe_tensor_t *gradient)
{
	fsmoe_tensor_t tensor = node->access[i].tensor;
	int n;

	*gradient = FSMOE_NONE;
	if (!fsmoe_backward_wants(backward, tensor))
		return 0;
	*gradient = fsmoe_backward_param(backward, tensor);
	if (*gradient != FSMOE_NONE)
		return 0;
	return fsmoe_fail(EINVAL,
			  "%s: its '%s' must be a parameter to be differentiated, but '%s' is "
			  "computed or a part of one",
			  node->op->name, node->op->ports[node->access[i].port].name,
			  fsmoe_graph_tensors(fsmoe_backward_graph(backward), &n)[tensor].name);
}
