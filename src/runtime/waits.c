/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/waits.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

int fsmoe_waits_plan(struct fsmoe_waits *waits, fsmoe_graph_t graph)
{
	int seen[FSMOE_NLANES][FSMOE_NLANES], n, *first, *pred, err;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);

	*waits = (struct fsmoe_waits){.on = calloc((size_t)n + 1, sizeof(*waits->on)),
				      .awaited = calloc((size_t)n + 1, 1)};
	err = waits->on && waits->awaited ? fsmoe_graph_edges(graph, &first, &pred)
					  : fsmoe_fail(ENOMEM, "no memory for a graph's edges");
	if (err)
	{
		fsmoe_waits_free(waits);
		return err;
	}
	memset(seen, -1, sizeof(seen));
	for (int i = 0; i < n; i++)
	{
		const enum fsmoe_lane lane = nodes[i].lane;
		int last[FSMOE_NLANES] = {-1, -1, -1};

		for (int k = first[i]; k < first[i + 1]; k++)
			if (pred[k] > last[nodes[pred[k]].lane])
				last[nodes[pred[k]].lane] = pred[k];
		for (int l = 0; l < FSMOE_NLANES; l++)
		{
			const int needed = l != (int)lane && last[l] > seen[lane][l];

			waits->on[i][l] = needed ? last[l] : -1;
			if (!needed)
				continue;
			seen[lane][l] = last[l];
			waits->awaited[last[l]] = 1;
		}
	}
	free(first);
	free(pred);
	return 0;
}

void fsmoe_waits_free(struct fsmoe_waits *waits)
{
	free(waits->on);
	free(waits->awaited);
	*waits = (struct fsmoe_waits){0};
}
