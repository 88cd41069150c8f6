/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SCHEDULE_H
#define FSMOE_SCHEDULE_H

/*
 * Schedules are rows of a table. The planner, the simulation and the builder of a step read its
 * columns and never ask for a name. A user's own schedule is a row in a file. A schedule changes
 * the time of a step, never its values.
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

/* The number of chunks of an MoE layer, its pipeline degree. */
enum fsmoe_degree_rule
{
	FSMOE_DEGREE_ONE,  /* one chunk */
	FSMOE_DEGREE_BEST, /* the plan's for every layer and pass; the layer's own without a plan */
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
	enum fsmoe_weight_rule weight_gradients;
	enum fsmoe_gradient_rule gradients;
	double gradient_bytes; /* of a piece, for FSMOE_GRADIENTS_FIXED; 0 otherwise */
};

/* The first rows of the table are those that papers publish. */
#define FSMOE_PUBLISHED_SCHEDULES 6

/* Returns row i of the table, i = 0, 1, ... until NULL: the published rows, then the default. */
const struct fsmoe_schedule *fsmoe_schedule_at(int i);
/* Returns the row `default`, which a graph has until another one is set. */
const struct fsmoe_schedule *fsmoe_schedule_default(void);
/* Finds a row by name. NULL if no row has it: the sentence lists the names. */
const struct fsmoe_schedule *fsmoe_schedule_find(const char *name);
/* Checks that the columns go together. -EINVAL names the column that does not. */
int fsmoe_schedule_check(const struct fsmoe_schedule *schedule);
/* Reads and checks a row from a JSON file (doc/formats.md). Omitted columns are those of the row
 * `fsmoe`. -ENOENT, ...: the file cannot be read; -EPROTO: it is no row; -EINVAL: as
 * fsmoe_schedule_check, with the file's name. */
int fsmoe_schedule_load(struct fsmoe_schedule *schedule, const char *path);

#ifdef __cplusplus
}
#endif
#endif
