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
 * without: NCCL serves none, and a step that needs it fails. cta_policy: what NCCL takes of the
 * GPU's processors, "default", "efficiency" or "zero", as its NCCL_CTA_POLICY. Collective over the
 * job. */
int fsmoe_device_comms_create(fsmoe_comms_t comms, const char *cta_policy);
/* Collective over the job; whatever was enqueued must be done. */
void fsmoe_device_comms_destroy(fsmoe_comms_t comms);

/*
 * A window: memory of this GPU that groups' communicators know on all their ranks. Under the CTA
 * policy "zero" copy engines carry the AlltoAlls (a part for everybody, one after the other) and
 * AllGathers whose both buffers lie in windows, at the same distance from their start on every rank.
 */
struct fsmoe_window;
/* Why a group can have none, for a sentence about it; NULL: it can. The same on every rank. */
const char *fsmoe_window_refused(fsmoe_comms_t comms, enum fsmoe_group group);
/* Of at least so many bytes, zeros, with one user. Local. -ENOMEM. */
int fsmoe_window_create(struct fsmoe_window **window, size_t bytes);
/* Makes it known to communicators of these kinds (bits 1 << kind) and warms them. Collective over
 * the job, with windows of one size, while nothing is enqueued. */
int fsmoe_window_register(struct fsmoe_window *window, fsmoe_comms_t comms, unsigned groups);
char *fsmoe_window_data(struct fsmoe_window *window);
/* One user more, or one less: the last frees it. In the same order on every rank, before the
 * communicators go; NULL is legal to release. */
void fsmoe_window_keep(struct fsmoe_window *window);
void fsmoe_window_release(struct fsmoe_window *window);

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
