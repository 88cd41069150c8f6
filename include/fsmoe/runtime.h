/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_H
#define FSMOE_RUNTIME_H

#include <fsmoe/graph.h>
#include <fsmoe/profile.h>

/*
 * The StarPU side: start and stop, and the submit walker. One StarPU task a node, every task
 * through one door, on three lanes: compute, intra-node and inter-node communication.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_runtime *fsmoe_runtime_t;
typedef struct fsmoe_program *fsmoe_program_t;

struct fsmoe_runtime_opts
{
	size_t size;      /* set by fsmoe_runtime_opts_init */
	int blas_threads; /* of the compute worker; 0: as many cores as this rank has */
	int bind;         /* 1: give this rank's threads cores of their own where there are enough
			   */
	double timeout;   /* seconds without progress until the watchdog ends the job; 0: never */
	int catch_term; /* 1: SIGTERM, which mpirun sends when another rank died, ends this rank at
				* once with a sentence that says where it was */
	const char *starpu_sched; /* NULL: $STARPU_SCHED, or the policy "fsmoe"; else a StarPU
					  policy's name */
	const char *device;   /* "cpu" or "cuda": where programs run. A rank takes the GPU of its
				* number on the host, and NCCL carries the collectives; operations
				* without a CUDA kernel run on the CPU */
	const char *executor; /* "starpu", or on GPUs "stream": the graph goes to three CUDA
				* streams without StarPU, which is not started then */
	int chain;  /* consecutive nodes of the compute lane as one task, where no other lane waits
		     * between them: 0 no, 1 within a layer's pass, 2 wherever it can be; -1: 2 on
		     * GPUs, 1 there with a trace, 0 on CPUs */
	int ahead;  /* of GPUs: a task of the compute lane ends for StarPU when it is enqueued, and
		    * communication waits for it on the device: 0 no, 1 where it can be */
	int timing; /* 1: fsmoe_program_observe works on GPUs too */
	/* "fp32", or on GPUs "tf32": matrix products round their factors to TF32, or "bf16": a bf16
	 * run, see fsmoe/graph.h. */
	const char *dtype;
	/* What NCCL takes of a GPU's processors: "default", "efficiency" (fewer) or "zero": copy
	 * engines carry AlltoAlls and AllGathers of equal parts, over buffers that are registered
	 * for it, where all GPUs of a group can reach each other's memory; where they cannot, a
	 * warning says so and nothing changes. No value depends on it. Of GPUs. */
	const char *cta_policy;
	/* A directory, made where it is missing, for StarPU's own trace (FxT) of the steps
	 * trace_first .. trace_last, a file a rank; doc/traces.md. NULL: none, at no cost. */
	const char *trace;
	uint64_t trace_first, trace_last;
	/* On CPUs: messages between nodes, and inside them, take as long as over a link of so many
	 * GB/s of each rank each way, and so many microseconds a message, where they would be
	 * faster: to compare schedules on one host. 0 GB/s: links are what they are. */
	double emulate_inter_gbs, emulate_intra_gbs, emulate_latency_us;
};

/* Defaults, then FSMOE_BLAS_THREADS, FSMOE_BIND, FSMOE_TIMEOUT. */
void fsmoe_runtime_opts_init(struct fsmoe_runtime_opts *opts);

/* Starts StarPU and makes the communicators of `groups` (NULL: one rank). Collective over
 * the job. opts may be NULL. -EBUSY if StarPU already runs, -ENODEV if no worker or no GPU can be
 * had, -EINVAL for a name that is none. */
int fsmoe_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
			const struct fsmoe_runtime_opts *opts);
/* Waits for what was submitted, releases, stops StarPU; collective over the job; NULL is
 * legal. */
void fsmoe_runtime_stop(fsmoe_runtime_t runtime);
fsmoe_comms_t fsmoe_runtime_comms(fsmoe_runtime_t runtime);
fsmoe_groups_t fsmoe_runtime_groups(fsmoe_runtime_t runtime);

/* What tasks cost: from now on starpu_task_expected_length() answers by these lines for every task
 * of this runtime. Waits for what was submitted; the profile is copied; NULL: no models. */
int fsmoe_runtime_set_profile(fsmoe_runtime_t runtime, fsmoe_profile_t profile);

/* The event recorder, off at first: from now on tasks note when they become ready, besides when
 * they start and end. With a folder (made if it is not there), every step that is waited for is
 * appended to FOLDER/rank-N.events (doc/formats.md). record = 0: off again. Between steps;
 * collective over the job with a folder. */
int fsmoe_runtime_record(fsmoe_runtime_t runtime, int record, const char *folder);
/* This rank's clock minus rank 0's, in seconds, and how far that may be off; 0 and 0 on one host.
 * Found at the first call and kept. Collective over the job. error may be NULL. */
int fsmoe_runtime_clock(fsmoe_runtime_t runtime, double *offset, double *error);

/* A graph made ready to be submitted again and again: its tensors as StarPU data. The graph
 * and its memory (float) must outlive it, and must not change. Two programs that share
 * memory (fsmoe_memory_create's `share`) share the data handles, so their order is kept. Collective
 * over the job: -EINVAL when the ranks' graphs have other collectives or another order of them. */
int fsmoe_program_create(fsmoe_program_t *program, fsmoe_runtime_t runtime, fsmoe_graph_t graph,
			 fsmoe_memory_t memory);
/* Waits first. Parameters and state are then in the memory on the host, wherever they were
 * computed. NULL is legal. */
void fsmoe_program_destroy(fsmoe_program_t program);

/* Inserts the step's tasks and returns without waiting for them; on a GPU it waits for a step
 * before that nobody waited for. The step's values are copied. */
int fsmoe_program_submit(fsmoe_program_t program, const struct fsmoe_step *step);
/* Until all that was submitted has ended. The first failure of a kernel comes out here. */
int fsmoe_program_wait(fsmoe_program_t program);
/* Measured times of the nodes of the last step waited for, in seconds from its first; the
 * caller frees it with fsmoe_timeline_destroy. `ready` is the start unless recording is on. */
int fsmoe_program_observe(fsmoe_program_t program, struct fsmoe_timeline *timeline);
/* The same of every rank, by rank, on one clock: seconds from the first start on any rank. The
 * caller frees them all, and the array. Collective over the job, on graphs of equally many nodes;
 * how well clocks agree: fsmoe_runtime_clock. */
int fsmoe_program_observe_all(fsmoe_program_t program, struct fsmoe_timeline **timelines,
			      int *ranks);

/* Between wait and submit: copies a tensor's whole content in or out, wherever it lies; `bytes` is
 * its size. On a GPU fsmoe_memory_data() shows what the program was made with. */
int fsmoe_program_write(fsmoe_program_t program, fsmoe_tensor_t tensor, const void *data,
			size_t bytes);
int fsmoe_program_read(fsmoe_program_t program, fsmoe_tensor_t tensor, void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
