/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/topo.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>

/*
 * Every kind of group is a run of ranks with a constant stride, so size and stride say it all:
 * the index of a rank in its group is (rank / stride) % size, and member i is i strides from the
 * group's first.
 */
struct fsmoe_groups
{
	fsmoe_topo_t topo;
	int rank;
	struct
	{
		int size, stride;
	} kind[FSMOE_NGROUPS];
};

static const char *const names[FSMOE_NGROUPS] = {
	[FSMOE_GROUP_WORLD] = "world",     [FSMOE_GROUP_DP] = "dp",
	[FSMOE_GROUP_TP] = "tp",           [FSMOE_GROUP_EP] = "ep",
	[FSMOE_GROUP_ESP] = "esp",         [FSMOE_GROUP_EDP] = "edp",
	[FSMOE_GROUP_EP_NODE] = "ep-node", [FSMOE_GROUP_EP_RAIL] = "ep-rail",
};

static int common_divisor(int a, int b)
{
	return b ? common_divisor(b, a % b) : a;
}

/* Fills in the degrees left at 0. What is given is never changed; a default that does not fit
 * what is given shrinks to the nearest one that does. */
static void fill(struct fsmoe_layout *layout, int ranks, int nodes)
{
	int devices = ranks / nodes;

	if (!layout->tp)
		layout->tp = layout->dp && ranks % layout->dp == 0 ? ranks / layout->dp : devices;
	if (!layout->dp)
		layout->dp = ranks % layout->tp == 0 ? ranks / layout->tp : nodes;
	if (!layout->ep)
		layout->ep = layout->esp && ranks % layout->esp == 0
				     ? common_divisor(nodes, ranks / layout->esp)
				     : nodes;
	if (!layout->esp)
		layout->esp = ranks % layout->ep == 0 ? common_divisor(devices, ranks / layout->ep)
						      : devices;
}

static int check(const struct fsmoe_layout *layout, int ranks)
{
	if ((long)layout->dp * layout->tp != ranks)
		return fsmoe_fail(
			EINVAL,
			"dp %d times tp %d is not the number of ranks, %d; leave one of the "
			"two at 0, or choose divisors of %d",
			layout->dp, layout->tp, ranks, ranks);
	if (ranks % layout->ep || (ranks / layout->ep) % layout->esp)
		return fsmoe_fail(
			EINVAL,
			"ep %d times esp %d does not divide the number of ranks, %d; leave "
			"one of the two at 0, or choose divisors of %d",
			layout->ep, layout->esp, ranks, ranks);
	return 0;
}

/* An EP group as nodes x places, where it is: its ranks are esp apart, and so are those of a node
 * when shards do not straddle nodes and the group takes up whole ones. */
static void cut_experts(struct fsmoe_groups *groups, int devices)
{
	const int size = groups->kind[FSMOE_GROUP_EP].size,
		  stride = groups->kind[FSMOE_GROUP_EP].stride, span = size * stride;
	const int even = devices % stride == 0 && span % devices == 0;
	const int places = even ? devices / stride : 1, nodes = even ? span / devices : 1;
	const int both = places > 1 && nodes > 1;

	groups->kind[FSMOE_GROUP_EP_NODE].size = both ? places : 1;
	groups->kind[FSMOE_GROUP_EP_NODE].stride = stride;
	groups->kind[FSMOE_GROUP_EP_RAIL].size = both ? nodes : 1;
	groups->kind[FSMOE_GROUP_EP_RAIL].stride = devices;
}

int fsmoe_groups_create(fsmoe_groups_t *groups, fsmoe_topo_t topo,
			const struct fsmoe_layout *layout)
{
	struct fsmoe_layout full = layout ? *layout : (struct fsmoe_layout){0};
	int ranks = topo->ranks;

	if (full.dp < 0 || full.tp < 0 || full.ep < 0 || full.esp < 0)
		return fsmoe_fail(EINVAL, "a degree of parallelism cannot be negative; 0 chooses "
					  "the default");
	if (!topo->is_job && (full.rank < 0 || full.rank >= ranks))
		return fsmoe_fail(EINVAL, "rank %d is not on this machine of %d ranks", full.rank,
				  ranks);
	fill(&full, ranks, topo->nodes);
	int ret = check(&full, ranks);
	if (ret)
		return ret;

	struct fsmoe_groups *new = calloc(1, sizeof(*new));
	if (!new)
		return fsmoe_fail(ENOMEM, "no memory for process groups");
	const int size[FSMOE_NGROUPS] = {
		[FSMOE_GROUP_WORLD] = ranks,  [FSMOE_GROUP_DP] = full.dp,
		[FSMOE_GROUP_TP] = full.tp,   [FSMOE_GROUP_EP] = full.ep,
		[FSMOE_GROUP_ESP] = full.esp, [FSMOE_GROUP_EDP] = ranks / full.ep / full.esp,
	};
	const int stride[FSMOE_NGROUPS] = {
		[FSMOE_GROUP_WORLD] = 1, [FSMOE_GROUP_DP] = full.tp,
		[FSMOE_GROUP_TP] = 1,    [FSMOE_GROUP_EP] = full.esp,
		[FSMOE_GROUP_ESP] = 1,   [FSMOE_GROUP_EDP] = full.ep * full.esp,
	};
	for (int kind = 0; kind <= FSMOE_GROUP_EDP; kind++)
	{
		new->kind[kind].size = size[kind];
		new->kind[kind].stride = stride[kind];
	}
	cut_experts(new, ranks / topo->nodes);
	new->topo = topo;
	new->rank = topo->is_job ? topo->rank : full.rank;
	*groups = new;
	return 0;
}

int fsmoe_groups_of_rank(fsmoe_groups_t *of, fsmoe_groups_t groups, int rank)
{
	struct fsmoe_groups *copy = groups ? malloc(sizeof(*copy)) : NULL;

	*of = copy;
	if (!groups)
		return 0;
	if (!copy)
		return fsmoe_fail(ENOMEM, "no memory for process groups");
	*copy = *groups;
	copy->rank = rank;
	return 0;
}

void fsmoe_groups_destroy(fsmoe_groups_t groups)
{
	free(groups);
}

static int index_in_group(fsmoe_groups_t groups, enum fsmoe_group kind, int rank)
{
	return rank / groups->kind[kind].stride % groups->kind[kind].size;
}

static int first_of_group(fsmoe_groups_t groups, enum fsmoe_group kind, int rank)
{
	return rank - index_in_group(groups, kind, rank) * groups->kind[kind].stride;
}

int fsmoe_group_size(fsmoe_groups_t groups, enum fsmoe_group kind)
{
	return groups ? groups->kind[kind].size : 1;
}

int fsmoe_group_rank(fsmoe_groups_t groups, enum fsmoe_group kind)
{
	return groups ? index_in_group(groups, kind, groups->rank) : 0;
}

int fsmoe_group_spans_nodes(fsmoe_groups_t groups, enum fsmoe_group kind)
{
	if (!groups)
		return 0;
	int ranks = groups->topo->ranks, devices = ranks / groups->topo->nodes;
	int reach = (groups->kind[kind].size - 1) * groups->kind[kind].stride;

	/* Ranks of a node are consecutive, so the group's ends decide. */
	for (int rank = 0; rank < ranks; rank++)
	{
		int first = first_of_group(groups, kind, rank);
		if (first / devices != (first + reach) / devices)
			return 1;
	}
	return 0;
}

const char *fsmoe_group_name(enum fsmoe_group kind)
{
	return (int)kind >= 0 && kind < FSMOE_NGROUPS ? names[kind] : "?";
}

int fsmoe_groups_members(fsmoe_groups_t groups, enum fsmoe_group kind, int rank, int *ranks, int *n)
{
	int total = groups ? groups->topo->ranks : 1;

	if ((int)kind < 0 || kind >= FSMOE_NGROUPS)
		return fsmoe_fail(EINVAL, "there is no process group of kind %d", (int)kind);
	if (rank < 0 || rank >= total)
		return fsmoe_fail(EINVAL, "rank %d is not on this machine of %d ranks", rank,
				  total);

	int size = fsmoe_group_size(groups, kind), capacity = *n;
	for (int i = 0; i < size && i < capacity; i++)
		ranks[i] =
			groups ? first_of_group(groups, kind, rank) + i * groups->kind[kind].stride
			       : 0;
	*n = size;
	return 0;
}

fsmoe_topo_t fsmoe_groups_topo(fsmoe_groups_t groups)
{
	return groups ? groups->topo : NULL;
}

struct fsmoe_layout fsmoe_groups_layout(fsmoe_groups_t groups)
{
	return (struct fsmoe_layout){
		.dp = fsmoe_group_size(groups, FSMOE_GROUP_DP),
		.tp = fsmoe_group_size(groups, FSMOE_GROUP_TP),
		.ep = fsmoe_group_size(groups, FSMOE_GROUP_EP),
		.esp = fsmoe_group_size(groups, FSMOE_GROUP_ESP),
	};
}
