/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COMM_DEVICE_H
#define FSMOE_COMM_DEVICE_H

#include "comm/comm.h"

/*
 * The collectives of a training step between GPUs, by NCCL. They enqueue on a stream and return;
 * addresses are the device's. A communicator of a group is used by one stream at a time. Sums are
 * NCCL's: the same on every rank and every run with the same ranks, but not in group order beyond
 * two ranks.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/* Makes the device's side of every communicator of more than one rank, with this thread's current
 * device, and warms each with every operation. Groups in which two ranks have the same GPU stay
 * without: NCCL serves none, and a step that needs it fails. Collective over the job. */
int fsmoe_device_comms_create(fsmoe_comms_t comms);
/* Collective over the job; whatever was enqueued must be done. */
void fsmoe_device_comms_destroy(fsmoe_comms_t comms);

/* By a pattern of this group; send is NULL where a rank sends nothing, recv where it gets nothing. */
int fsmoe_device_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
			  const void *send, void *recv, struct CUstream_st *stream);
/* bytes: of this rank's part. */
int fsmoe_device_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			   struct CUstream_st *stream);
/* count: elements that this rank receives, floats or bf16. */
int fsmoe_device_reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
				void *recv, size_t count, struct CUstream_st *stream);
int fsmoe_device_allreduce(struct fsmoe_comm *comm, float *data, size_t count,
			   struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
