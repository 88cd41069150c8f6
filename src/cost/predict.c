/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/profile.h>

struct lookup
{
	fsmoe_profile_t profile;
	const struct fsmoe_tensor_info *tensors;
	int err; /* the first line that lacks; its sentence is the last error */
};

static double seconds_of(const struct fsmoe_node *node, void *arg)
{
	struct lookup *l = arg;
	const double work = fsmoe_node_work(node, l->tensors);
	double seconds = 0;

	if (work > 0 && !l->err)
		l->err = fsmoe_profile_predict(l->profile, fsmoe_node_cost_kind(node), node->span,
					       work, &seconds);
	return seconds;
}

int fsmoe_profile_simulate(fsmoe_profile_t profile, fsmoe_graph_t graph,
			   struct fsmoe_timeline *timeline)
{
	struct lookup l = {.profile = profile};
	int n, err;

	l.tensors = fsmoe_graph_tensors(graph, &n);
	err = fsmoe_graph_simulate(graph, seconds_of, &l, NULL, timeline);
	if (!err && l.err)
	{
		fsmoe_timeline_destroy(timeline);
		err = l.err;
	}
	return err;
}
