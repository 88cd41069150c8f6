/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_INTERNAL_H
#define FSMOE_RUNTIME_INTERNAL_H

#include "comm/comm.h"
#include "comm/watch.h"
#include "runtime/bind.h"
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
	struct starpu_codelet early;   /* the same on a GPU, ended when it is enqueued */
	struct starpu_perfmodel model; /* the codelet's where the runtime has a profile */
};

/* A tensor's buffer. Programs that share memory share it. */
struct fsmoe_handle
{
	void *data; /* the key: where it lies on the host */
	size_t bytes;
	enum fsmoe_role role;
	char *name; /* its own: the graph that named it may go first */
	int users;
	starpu_data_handle_t handle; /* of the StarPU executor */
	char *fixed;  /* where it lies for the workers that compute; on a GPU the executor's own */
	void *copy;   /* of a parameter in a bf16 run: its copy on the GPU */
	int narrow;   /* bf16 there, while the host's memory has floats */
	int pinned;   /* the host's pages */
	int unwanted; /* on the host once programs are gone */
	struct fsmoe_nccl_window *window; /* `fixed` lies in it; NULL: it is of its own */
};

/* StarPU counts a vector's elements in 32 bits: one is so many of the buffer's numbers, the last
 * filled up, for which there is room (FSMOE_ALIGNMENT in graph/memory.h; a window's is no less). */
enum
{
	FSMOE_NUMBERS = 64
};

static inline size_t fsmoe_handle_elements(const struct fsmoe_handle *handle)
{
	return (handle->bytes / sizeof(float) + FSMOE_NUMBERS - 1) / FSMOE_NUMBERS;
}

/* Bytes of one such element where programs compute. */
static inline size_t fsmoe_handle_element_bytes(const struct fsmoe_handle *handle)
{
	return FSMOE_NUMBERS * (handle->narrow ? sizeof(uint16_t) : sizeof(float));
}

/* Whether its content is wanted on the host after its last user. */
static inline int fsmoe_handle_outlives(const struct fsmoe_handle *handle)
{
	return !handle->narrow && !handle->unwanted &&
	       (handle->role == FSMOE_PARAM || handle->role == FSMOE_STATE);
}

/* Bytes of the buffer where programs compute, without its copy. */
static inline size_t fsmoe_handle_bytes(const struct fsmoe_handle *handle)
{
	return fsmoe_handle_elements(handle) * fsmoe_handle_element_bytes(handle);
}

/* An executor runs a program's nodes. Functions return 0 or -errno with a sentence. */
struct fsmoe_executor
{
	const char *name;
	/* A buffer's place, at its first user and after its last; with a window it is there. */
	int (*place)(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);
	void (*remove)(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);
	int (*create)(struct fsmoe_program *program); /* its handles are there */
	void (*destroy)(struct fsmoe_program *program);
	int (*submit)(struct fsmoe_program *program, const struct fsmoe_step *step);
	int (*wait)(struct fsmoe_program *program);
	/* start and end of the last step's nodes into the program's arrays */
	int (*observe)(struct fsmoe_program *program);
	/* A tensor's whole content, as the host has it. */
	int (*write)(struct fsmoe_program *program, fsmoe_tensor_t tensor, const void *from,
		     size_t bytes);
	/* Of it n numbers from `first` on. */
	int (*read)(struct fsmoe_program *program, fsmoe_tensor_t tensor, size_t first, size_t n,
		    void *to);
	/* Makes the host's copy of tensors current. */
	int (*pull)(struct fsmoe_program *program, const fsmoe_tensor_t *tensors, int n);
};

enum fsmoe_worker
{
	FSMOE_ON_CPU,
	FSMOE_ON_GPU,
	FSMOE_NWORKERS
};

/* StarPU's state in this runtime. */
struct fsmoe_starpu
{
	int runs;
	int own_policy; /* the policy is "fsmoe" */
	int polls;      /* idle CPU workers look for tasks and messages before they sleep */
	int idle_hook;
	int lane_worker[FSMOE_NWORKERS][FSMOE_NLANES];
	unsigned order[FSMOE_NWORKERS][FSMOE_NLANES]; /* for StarPU's own policies: workerorder */
};

struct fsmoe_rank_clock /* against rank 0's: fsmoe_runtime_clock */
{
	int known;
	double offset, error; /* s */
};

struct fsmoe_runtime
{
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	struct fsmoe_watch *watch;
	struct fsmoe_trace *trace; /* NULL: no trace was asked for */
	const struct fsmoe_executor *executor;
	struct fsmoe_gpu *gpu; /* runtime/gpu_ops.h; NULL: the CPU computes */
	enum fsmoe_real real;  /* of the programs: FSMOE_F32, or on a GPU FSMOE_BF16 */
	const char *dtype;     /* the option's name of it */
	int fuse;              /* opts.fuse, decided */
	struct fsmoe_starpu starpu;
	struct fsmoe_binding binding; /* bound: threads have cores of their own */
	int blas_threads;
	struct fsmoe_codelet *codelets;
	void *handles;                  /* tsearch tree of struct fsmoe_handle by data */
	int64_t next_seq[FSMOE_NLANES]; /* of everything submitted so far */
	fsmoe_profile_t profile;        /* a copy; NULL: tasks have no model */
	int recording;                  /* tasks note when they became ready */
	struct fsmoe_record *record;    /* the file; NULL: none */
	struct fsmoe_rank_clock clock;
};

enum
{
	FSMOE_ABSENT = -1,
	FSMOE_MERGED = -2 /* another handle orders it: merged[] of its base is its address */
};

/* One task ready to be submitted: a node, or several fused nodes of the compute lane. */
struct fsmoe_task_template
{
	struct starpu_codelet *codelet, *early; /* early: released when enqueued; NULL: never */
	int *node;                              /* numbers, in program order */
	int nnodes;
	int held; /* a task that is released early waits until its lane is idle */
	int nbuffers;
	starpu_data_handle_t *handles;
	enum starpu_data_access_mode *modes;
	fsmoe_tensor_t *tensor; /* by buffer */
	short *buffer; /* by access of the first node, then of the second, ...: which of the buffers
			* holds it, FSMOE_ABSENT or FSMOE_MERGED */
	char *label;
};

struct fsmoe_node_times /* seconds, of the last step, by node; ready, submitted 0: not noted */
{
	double *submitted, *ready, *start, *end;
};

struct fsmoe_failure /* the first of a step */
{
	starpu_pthread_mutex_t lock;
	int error;
	char sentence[512];
};

struct fsmoe_program
{
	fsmoe_runtime_t runtime;
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	const struct fsmoe_node *nodes;
	const struct fsmoe_tensor_info *tensors;
	int nnodes, ntensors;
	struct fsmoe_task_template *templates;
	int ntemplates, *order;        /* all templates' nodes */
	struct fsmoe_handle **handles; /* by tensor; bases only */
	char **merged; /* by tensor; bases only: its address; NULL: tasks name its handle */
	int early;     /* tasks of the compute lane end for StarPU when they are enqueued */
	struct fsmoe_gpu_program *gpu; /* gpu/gpu_internal.h; NULL: the CPU computes */
	int nseq[FSMOE_NLANES];        /* numbers one step takes */
	double *work;                  /* by node: n of the cost model */
	struct fsmoe_node_times times;
	uint64_t step; /* the last one submitted */
	int recorded;  /* its number in the record's file, from 1; 0: not yet */
	struct fsmoe_failure failure;
};

/* The arguments of a task: its nodes, and the step's values. StarPU frees them with the task. */
struct fsmoe_task_args
{
	struct fsmoe_task_info info; /* first: the policy's pointer to it is a pointer to this */
	struct fsmoe_program *program;
	const struct fsmoe_task_template *template;
	int early;
	struct fsmoe_step step;
};

/* The codelet's performance model, or none without a profile. */
void fsmoe_codelet_set_model(fsmoe_runtime_t runtime, struct fsmoe_codelet *codelet);
struct fsmoe_codelet *fsmoe_codelet_of(fsmoe_runtime_t runtime, const struct fsmoe_op *op);
/* The CUDA kernel of an operation in this runtime; NULL: it runs on the host. */
fsmoe_cuda_fn fsmoe_runtime_kernel(fsmoe_runtime_t runtime, const struct fsmoe_op *op);
void fsmoe_codelets_destroy(fsmoe_runtime_t runtime);

/* What codelets' functions share: a task's nodes one after another. `run` is told what the node's
 * kernel is told, with the addresses that StarPU gave. */
typedef int (*fsmoe_run_fn)(const struct fsmoe_task_args *args, const struct fsmoe_call *call);
void fsmoe_task_run(const struct fsmoe_task_args *args, void *buffers[], fsmoe_run_fn run);

struct fsmoe_home /* where a handle's buffer must lie, and the window it lies in; NULL: anywhere */
{
	char *at;
	struct fsmoe_nccl_window *window;
};

/* The buffer of a tensor, made at its first user; released by its last. -errno in *err. */
struct fsmoe_handle *fsmoe_handle_get(fsmoe_runtime_t runtime, void *data, size_t bytes,
				      const struct fsmoe_tensor_info *tensor,
				      struct fsmoe_home home, int *err);
int fsmoe_handle_known(fsmoe_runtime_t runtime, void *data);
void fsmoe_handle_put(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);

/* Collective over the job: -EINVAL unless every rank's program has the same collectives in the
 * same order. A difference would hang the first step. */
int fsmoe_program_agree(struct fsmoe_program *program);

/* Appends the last step's times to the runtime's record. */
int fsmoe_record_step(struct fsmoe_program *program);
void fsmoe_record_close(struct fsmoe_record *record);

/* Bytes of device memory that a node needs as scratch, by its shapes; 0 without a CUDA kernel. */
size_t fsmoe_scratch_bytes(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors,
			   enum fsmoe_real real);

/* Nodes into templates: each of its own, or by chains. Fills order, ntemplates and the templates'
 * nodes. */
int fsmoe_fuse_tasks(struct fsmoe_program *program);

/* Takes out of the templates the buffers that another one speaks for (alike.c): rides[] says where
 * they lie. Needs the templates' tensors, modes and buffers. */
int fsmoe_merge_handles(struct fsmoe_program *program);

/* The one door: makes and submits the task of a template. */
int fsmoe_submit_task(struct fsmoe_program *program, const struct fsmoe_task_template *template,
		      const struct fsmoe_step *step);

extern const struct fsmoe_executor fsmoe_executor_starpu;

#endif
