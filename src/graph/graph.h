/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GRAPH_INTERNAL_H
#define FSMOE_GRAPH_INTERNAL_H

#include <fsmoe/op.h>
#include <fsmoe/schedule.h>

/* Memory that lives as long as the graph: names, arguments, access lists. Addresses stay. */
struct arena_block;

struct fsmoe_region
{
	const char *name;
	int first, last; /* nodes */
	fsmoe_region_grad_fn grad;
	const void *args;
};

/* Parameters of one layer with the same reduction group and replication share a bucket: one
 * buffer, one gradient buffer, one AllReduce, one optimizer node. */
struct fsmoe_bucket
{
	int layer, replicas;
	enum fsmoe_group reduce;
	fsmoe_tensor_t tensor, grad;
};

struct fsmoe_labels
{
	int layer, micro_batch, chunk, priority;
	enum fsmoe_phase phase;
};

/* What is said of the MoE layers under one label, and what they say. */
struct fsmoe_layer_cuts
{
	int forward, backward; /* chunks; 0: as the layer asks */
	int slots;             /* fewest of those built so far: no more chunks than these */
};

/*
 * Where gradients may be exchanged while a backward is built: a place on the communication lanes
 * that the planner knows of. `done`: the forward nodes after this one are differentiated.
 */
enum fsmoe_gap
{
	FSMOE_GAP_EXPERTS, /* after the last dispatch of a MoE layer's backward */
	FSMOE_GAP_DENSE,   /* in the backward of the rest of a layer: after its first communication,
			      and at its end */
	FSMOE_NGAPS
};
typedef void (*fsmoe_gap_fn)(fsmoe_graph_t graph, enum fsmoe_gap gap, int layer, int done,
			     void *arg);

struct fsmoe_graph
{
	fsmoe_groups_t groups;
	struct fsmoe_schedule schedule;
	struct fsmoe_layer_cuts *cuts; /* by layer */
	int ncuts;
	fsmoe_gap_fn gap; /* called by the next backwards; NULL: nobody */
	void *gap_arg;
	int status;
	char sentence[512];

	struct fsmoe_tensor_info *tensors;
	int ntensors, tensors_room;
	struct fsmoe_node *nodes;
	int nnodes, nodes_room;
	struct fsmoe_param *params;
	int nparams, params_room;
	struct fsmoe_bucket *buckets;
	int nbuckets, buckets_room;
	struct fsmoe_region *regions;
	int nregions, regions_room;
	int open_region;        /* -1: none */
	fsmoe_tensor_t *losses; /* auxiliary ones, and how many of them are differentiated */
	int nlosses, losses_room, losses_done;

	struct fsmoe_labels labels;
	int next_seq[FSMOE_NLANES];
	struct arena_block *arena;
};

/* Every bucket and the parameters in it start at a multiple of this many elements, so that
 * vector loads are aligned in every bucket alike. */
#define FSMOE_BUCKET_ALIGN 32

/* Of a label of layer; NULL when it has none (-1) or memory ran out, the graph's status then. */
struct fsmoe_layer_cuts *fsmoe_graph_cuts(fsmoe_graph_t graph, int layer);

/* For region builders, between what is sent and what is computed: offers FSMOE_GAP_EXPERTS. */
void fsmoe_backward_gap(struct fsmoe_backward *backward);

/* NULL on failure, which is then the graph's status. */
void *fsmoe_graph_alloc(fsmoe_graph_t graph, size_t size);
void *fsmoe_graph_copy(fsmoe_graph_t graph, const void *data, size_t size);
/* Room for one more element of an array; 0 or the graph's status. */
int fsmoe_graph_grow(fsmoe_graph_t graph, void **array, int count, int *room, size_t size);

fsmoe_tensor_t fsmoe_graph_add_tensor(fsmoe_graph_t graph, const struct fsmoe_tensor_info *info);
/* The gradient's tensor name and shape follow the tensor's; an activation of the same layer. */
fsmoe_tensor_t fsmoe_graph_like(fsmoe_graph_t graph, fsmoe_tensor_t tensor, const char *prefix);

/* What reads `tensor` later waits for the nodes from `first` on, as if they rewrote it. */
void fsmoe_graph_delay(fsmoe_graph_t graph, int first, fsmoe_tensor_t tensor);

/* Accesses of a node merged by base tensor: what sequential consistency and StarPU see. Fills
 * base[] and mode[] (room for node->naccess + 1 each); returns how many. */
int fsmoe_node_bases(const struct fsmoe_graph *graph, const struct fsmoe_node *node,
		     fsmoe_tensor_t *base, int *mode);

#endif
