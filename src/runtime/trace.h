/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_H
#define FSMOE_TRACE_H

#include "comm/comm.h"

#include <fsmoe/runtime.h>
#include <stdint.h>

/*
 * StarPU's own traces: FxT records the tasks of chosen steps, a file a rank; libstarpumpi leaves
 * in each file a mark at one moment of all ranks, by which StarPU's tool sets their clocks. Every
 * function takes NULL for "nobody asked for a trace" and then does nothing.
 */
struct fsmoe_trace;

/* Before starpu_init: what StarPU reads then. Leaves *trace NULL where opts ask for none. -ENODEV
 * where this StarPU cannot trace, -errno where opts->trace cannot be written. */
int fsmoe_trace_open(struct fsmoe_trace **trace, fsmoe_groups_t groups,
		     const struct fsmoe_runtime_opts *opts);

/* Before the tasks of a step are submitted. Starts and pauses the recording: of the first step to
 * be recorded it is collective over the job and blocks. */
int fsmoe_trace_submit(struct fsmoe_trace *trace, fsmoe_comms_t comms, uint64_t step);
/* A task's name as files of traces can hold it: without blanks, "alltoall.backward_L3_m0_c1". */
void fsmoe_trace_label(const struct fsmoe_trace *trace, char *label);
/* Before the task of a node is submitted: what StarPU calls its iteration is (step, layer). */
void fsmoe_trace_node(struct fsmoe_trace *trace, int layer);
/* When the tasks submitted last have ended. Collective after the last step to be recorded. */
void fsmoe_trace_waited(struct fsmoe_trace *trace);

/* Around starpu_shutdown, which writes this rank's file; both collective over the job. The second
 * leaves what fsmoe_trace_convert (trace_files.h) reads, and frees. */
void fsmoe_trace_finish(struct fsmoe_trace *trace);
int fsmoe_trace_close(struct fsmoe_trace *trace, struct fsmoe_comm *world);
/* Where StarPU did not start. */
void fsmoe_trace_free(struct fsmoe_trace *trace);

#endif
