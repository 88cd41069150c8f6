/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/fault.h"

#include <errno.h>
#include <fsmoe/error.h>

int fsmoe_cuda_fault_check(const struct fsmoe_cuda_fault *f, fsmoe_graph_t graph)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);
	char label[128] = "a kernel";

	if (f->node >= 0 && f->node < n)
		fsmoe_node_label(&nodes[f->node], label, sizeof(label));
	switch (f->code)
	{
	case FSMOE_FAULT_NONE:
		return 0;
	case FSMOE_FAULT_TOKEN:
		return fsmoe_fail(EDOM,
				  "%s: token %lld of row %lld is outside the vocabulary; was the "
				  "text tokenised for another one?",
				  label, f->value, f->index);
	case FSMOE_FAULT_TARGET:
		return fsmoe_fail(EDOM, "%s: target %lld of row %lld is outside the vocabulary",
				  label, f->value, f->index);
	case FSMOE_FAULT_LOSS:
		return fsmoe_fail(EDOM,
				  "%s: the loss of row %lld is %g; a smaller learning rate or "
				  "clipping may help",
				  label, f->index, f->real);
	case FSMOE_FAULT_LOGIT:
		return fsmoe_fail(EDOM,
				  "%s: the gate's logit of token row %lld for expert %lld is not "
				  "finite: training diverged, or an input is not a number",
				  label, f->index, f->value);
	case FSMOE_FAULT_EXPERT:
		return fsmoe_fail(EINVAL,
				  "%s: token row %lld names expert %lld, which does not exist",
				  label, f->index, f->value);
	case FSMOE_FAULT_NORM:
		return fsmoe_fail(EDOM, "%s: the squared norm of the gradients is %g", label,
				  f->real);
	}
	return fsmoe_fail(EIO, "%s: left a fault of unknown kind %d", label, f->code);
}
