/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_H
#define FSMOE_RUNTIME_H

#include <fsmoe/graph.h>
#include <fsmoe/profile.h>

/*
 * Runs graphs with StarPU. Every node becomes a task, or part of one task with its neighbours
 * (fsmoe_runtime_opts.fuse). Tasks run on three lanes: computation, communication inside a node
 * and communication between nodes.
 *
 * Functions that return int return 0, or a negative errno and leave one sentence (fsmoe/error.h).
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_runtime *fsmoe_runtime_t;
typedef struct fsmoe_program *fsmoe_program_t;

struct fsmoe_runtime_opts
{
	size_t size;      /* set by fsmoe_runtime_opts_init */
	int blas_threads; /* threads of the compute worker; 0: as many as this rank has cores */
	int bind;       /* 1: bind this rank's threads to cores of their own if there are enough */
	double timeout; /* seconds without progress until the watchdog ends the job; 0: never */
	int catch_term; /* 1: SIGTERM, which mpirun sends when another rank died, ends this rank at
			   * once with a sentence that names the place where it was */
	/* Name of a StarPU scheduling policy. NULL: $STARPU_SCHED if set, otherwise "fsmoe". */
	const char *starpu_sched;
	/* The device of the programs: "cpu" or "cuda". Each rank uses the GPU with the rank's
	 * number on its host, and NCCL carries the collectives. Operations without a CUDA kernel
	 * run on the CPU. */
	const char *device;
	/* "starpu", or on GPUs "stream": three CUDA streams run the graph and StarPU is not
	 * started. */
	const char *executor;
	/* Fuses consecutive nodes of the compute lane into one task where no other lane waits
	 * between them. 0: never; 1: within one layer's pass; 2: wherever possible; -1: 2 on GPUs,
	 * 1 on GPUs with a trace, 0 on CPUs. */
	int fuse;
	/* GPUs only. 1: a task of the compute lane ends for StarPU once it is enqueued, where that
	 * is possible, and communication waits for it on the device. 0: never. */
	int early_release;
	int timing; /* 1: fsmoe_program_observe works on GPUs too */
	/* "fp32"; on GPUs also "tf32" (matrix products round their factors to TF32) or "bf16" (a
	 * bf16 run, see fsmoe/graph.h). */
	const char *dtype;
	/* GPUs only: how many of a GPU's processors NCCL uses. "default", "efficiency" (fewer) or
	 * "zero": copy engines carry AlltoAlls and AllGathers with equal parts over registered
	 * buffers, if all GPUs of a group can reach each other's memory. If they cannot, a warning
	 * is printed and nothing changes. Results do not depend on this option. */
	const char *cta_policy;
	/* Directory for StarPU's own trace (FxT) of the steps trace_first to trace_last, one file a
	 * rank (doc/traces.md). It is created if it is missing. NULL: no trace and no cost. */
	const char *trace;
	uint64_t trace_first, trace_last;
	/* CPUs only: slows messages between nodes (inter) and inside nodes (intra) down to a link
	 * of this many GB/s a rank and direction, plus this many microseconds a message, in order
	 * to compare schedules on one host. 0 GB/s: no emulation. */
	double emulate_inter_gbs, emulate_intra_gbs, emulate_latency_us;
};

/* Sets the defaults, then those that FSMOE_BLAS_THREADS, FSMOE_BIND and FSMOE_TIMEOUT give. */
void fsmoe_runtime_opts_init(struct fsmoe_runtime_opts *opts);

/* Starts StarPU and creates the communicators of `groups`. groups NULL means one rank; opts NULL
 * means the defaults. The caller stops the runtime with fsmoe_runtime_stop. Blocks; collective over
 * the job. -EBUSY: StarPU already runs. -ENODEV: no worker or no GPU is available. -EINVAL: an
 * option names something unknown. */
int fsmoe_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
			const struct fsmoe_runtime_opts *opts);
/* Waits for all submitted tasks, frees the runtime and stops StarPU. Collective over the job. NULL
 * is legal. */
void fsmoe_runtime_stop(fsmoe_runtime_t runtime);
/* Returns the runtime's communicators, which it owns. */
fsmoe_comms_t fsmoe_runtime_comms(fsmoe_runtime_t runtime);
/* Returns the groups that the runtime was started with. */
fsmoe_groups_t fsmoe_runtime_groups(fsmoe_runtime_t runtime);

/* Sets the profile by which starpu_task_expected_length() predicts the tasks of this runtime. Waits
 * for all submitted tasks. The profile is copied; NULL removes the predictions. */
int fsmoe_runtime_set_profile(fsmoe_runtime_t runtime, fsmoe_profile_t profile);

/* Turns the event recorder on (record 1) or off (0, as at the start). While it is on, tasks also
 * note when they become ready. With a folder, which is created if it is missing, each step that is
 * waited for is appended to FOLDER/rank-N.events (doc/formats.md). Call it between steps; with a
 * folder it is collective over the job. */
int fsmoe_runtime_record(fsmoe_runtime_t runtime, int record, const char *folder);
/* Gets this rank's clock minus rank 0's, and a bound of the error, both in seconds; 0 and 0 on one
 * host. The first call measures them, later calls return the same values. error may be NULL.
 * Blocks; collective over the job. */
int fsmoe_runtime_clock(fsmoe_runtime_t runtime, double *offset, double *error);

/* Creates a program: a graph with its tensors as StarPU data, to be submitted any number of times.
 * The graph and its memory, which must be float, outlive the program and do not change meanwhile.
 * Programs whose memories are shared (`share` of fsmoe_memory_create) share data handles, so their
 * tasks keep their order. Collective over the job. -EINVAL: the ranks' graphs have different
 * collectives, or a different order of them. */
int fsmoe_program_create(fsmoe_program_t *program, fsmoe_runtime_t runtime, fsmoe_graph_t graph,
			 fsmoe_memory_t memory);
/* Waits for the program's tasks and frees it. Afterwards the memory on the host holds parameters
 * and state, also if a GPU computed them. NULL is legal. */
void fsmoe_program_destroy(fsmoe_program_t program);

/* Submits the tasks of a step and returns before they end. On a GPU it first waits for an earlier
 * step that nobody has waited for. `step` is copied. */
int fsmoe_program_submit(fsmoe_program_t program, const struct fsmoe_step *step);
/* Blocks until all submitted tasks have ended, and returns the first error of a kernel. */
int fsmoe_program_wait(fsmoe_program_t program);
/* Gets the measured times of the nodes of the last step waited for, in seconds since its first
 * start. The caller frees it with fsmoe_timeline_destroy. `ready` equals the start unless the
 * recorder is on. */
int fsmoe_program_observe(fsmoe_program_t program, struct fsmoe_timeline *timeline);
/* Gets the timelines of all ranks, by rank, on one clock: seconds since the first start on any
 * rank. The graphs must have equally many nodes. The caller destroys each timeline and frees the
 * array. fsmoe_runtime_clock gives the error of the clock. Blocks; collective over the job. */
int fsmoe_program_observe_all(fsmoe_program_t program, struct fsmoe_timeline **timelines,
			      int *ranks);

/* Copies `data` into a tensor, on the host or on a GPU. `bytes` must be the size of the whole
 * tensor. Call it after fsmoe_program_wait and before the next submission. On a GPU,
 * fsmoe_memory_data() keeps the values from before the program was created. */
int fsmoe_program_write(fsmoe_program_t program, fsmoe_tensor_t tensor, const void *data,
			size_t bytes);
/* Copies a tensor into `data`, under the rules of fsmoe_program_write. */
int fsmoe_program_read(fsmoe_program_t program, fsmoe_tensor_t tensor, void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
