/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SCHEDULE_H
#define FSMOE_SCHEDULE_H

/*
 * Schedules as rows of a table. What plans, simulates and builds a step reads columns and never
 * asks for a name; a schedule of one's own is a row in a file. Schedules change time, never
 * values.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* A rank has a worker for each. */
enum fsmoe_lane
{
	FSMOE_COMPUTE,
	FSMOE_INTRA, /* communication inside a node */
	FSMOE_INTER, /* communication between nodes */
	FSMOE_NLANES
};

const char *fsmoe_lane_name(enum fsmoe_lane lane); /* "compute", "intra", "inter" */

/* How the number of chunks of a MoE layer is found. */
enum fsmoe_degree_rule
{
	FSMOE_DEGREE_ONE,
	FSMOE_DEGREE_SHARED, /* one for both passes: the best for their sum */
	FSMOE_DEGREE_BEST,   /* of every pass and layer by itself */
	FSMOE_NDEGREE_RULES
};

/* When the gradients of the experts' weights are computed. */
enum fsmoe_weight_rule
{
	FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, /* with the chunk's input gradient, as in the paper */
	FSMOE_WEIGHT_GRADIENTS_DEFERRED,  /* once a layer, after its last chunk */
	FSMOE_NWEIGHT_RULES
};

/* When the gradients of replicated weights are summed over the ranks. */
enum fsmoe_gradient_rule
{
	FSMOE_GRADIENTS_AT_END,       /* after the backward, exposed */
	FSMOE_GRADIENTS_BESIDE_DENSE, /* a layer's, beside the dense part of the next in backward */
	FSMOE_GRADIENTS_FIXED,        /* pieces of gradient_bytes, wherever the lane is idle */
	FSMOE_GRADIENTS_ADAPTIVE,     /* cut by the planner to fit beside experts and dense parts */
	FSMOE_NGRADIENT_RULES
};

#define FSMOE_SCHEDULE_NAME 32
#define FSMOE_SCHEDULE_DOC  96

struct fsmoe_schedule
{
	char name[FSMOE_SCHEDULE_NAME], doc[FSMOE_SCHEDULE_DOC];
	enum fsmoe_degree_rule forward_degree, backward_degree;
	enum fsmoe_lane alltoall_lane; /* AlltoAll, and the AllReduce of gradients */
	enum fsmoe_lane gather_lane; /* AllGather, ReduceScatter; equal: one communication stream */
	int overlap_experts;         /* 0: communication waits for experts, and they for it */
	enum fsmoe_weight_rule weight_gradients;
	enum fsmoe_gradient_rule gradients;
	double gradient_bytes; /* of a piece, FSMOE_GRADIENTS_FIXED; else 0 */
};

/* Row i of the table, i = 0, 1, ... until NULL. */
const struct fsmoe_schedule *fsmoe_schedule_at(int i);
/* By name; NULL when there is none: the sentence names those there are. */
const struct fsmoe_schedule *fsmoe_schedule_find(const char *name);
/* 0, or -EINVAL with the column that does not go with the others. */
int fsmoe_schedule_check(const struct fsmoe_schedule *schedule);
/* A row from a JSON file (doc/formats.md), checked. -ENOENT, ...; -EPROTO for a file that is no
 * row; -EINVAL as above, with the file's name. */
int fsmoe_schedule_load(struct fsmoe_schedule *schedule, const char *path);

#ifdef __cplusplus
}
#endif
#endif
