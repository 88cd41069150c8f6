/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_INTERNAL_H
#define FSMOE_RUNTIME_INTERNAL_H

#include "comm/comm.h"
#include "comm/watch.h"
#include "runtime/trace.h"

#include <fsmoe/op.h>
#include <fsmoe/runtime.h>
#include <fsmoe/starpu.h>

/* The StarPU codelet of an operation's row; made at its first use, kept until the runtime stops. */
struct fsmoe_codelet
{
	struct fsmoe_codelet *next;
	const struct fsmoe_op *op;
	struct starpu_codelet codelet;
};

/* A buffer known to StarPU. Programs that share memory share it. */
struct fsmoe_handle
{
	void *data; /* the key */
	starpu_data_handle_t handle;
	int users;
};

struct fsmoe_runtime
{
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	struct fsmoe_watch *watch;
	struct fsmoe_trace *trace; /* NULL: nobody asked for one */
	struct fsmoe_codelet *codelets;
	void *handles;                  /* tsearch tree of struct fsmoe_handle by data */
	int64_t next_seq[FSMOE_NLANES]; /* of everything submitted so far */
	unsigned order[FSMOE_NLANES];   /* the same for StarPU's own policies: workerorder */
	int lane_worker[FSMOE_NLANES];
	int own_policy; /* the policy is "fsmoe" */
	int idle_hook;
};

/* One node made ready to be submitted. */
struct fsmoe_slot
{
	struct starpu_codelet *codelet;
	int nbuffers;
	starpu_data_handle_t *handles;
	enum starpu_data_access_mode *modes;
	short *buffer; /* by access: which of the buffers holds it; -1 absent */
	char *label;
};

struct fsmoe_program
{
	fsmoe_runtime_t runtime;
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	const struct fsmoe_node *nodes;
	const struct fsmoe_tensor_info *tensors;
	int nnodes, ntensors;
	struct fsmoe_slot *slots;
	struct fsmoe_handle **handles; /* by tensor; bases only */
	int nseq[FSMOE_NLANES];        /* numbers one step takes */
	double *start, *end;           /* seconds, of the last step */

	starpu_pthread_mutex_t lock; /* over the two below */
	int error;
	char sentence[512];
};

/* What a task carries: its node, and this step's values. Freed by StarPU with the task. */
struct fsmoe_job
{
	struct fsmoe_task_info info;
	struct fsmoe_program *program;
	int node;
	struct fsmoe_step step;
};

struct starpu_codelet *fsmoe_codelet_of(fsmoe_runtime_t runtime, const struct fsmoe_op *op);
void fsmoe_codelets_destroy(fsmoe_runtime_t runtime);

/* The handle of a buffer, made at its first user; released by its last. */
struct fsmoe_handle *fsmoe_handle_get(fsmoe_runtime_t runtime, void *data, size_t bytes,
				      const char *name);
void fsmoe_handle_put(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);

/* Collective over the job: -EINVAL unless every rank's program has the same collectives in the
 * same order. A difference would hang the first step. */
int fsmoe_program_agree(struct fsmoe_program *program);

/* The one door: makes and submits the task of a node. */
int fsmoe_submit_node(struct fsmoe_program *program, int node, const struct fsmoe_step *step);

#endif
